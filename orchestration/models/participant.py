"""A participant: a user with a role in one session (co-host or moderator)."""

import uuid
from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import Named


class Participant(Named, table=True):
    """Given by the host, taken away by the host; a removed one keeps its row."""

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("session_id", "user_id", "role"),)

    session_id: uuid.UUID = Field(foreign_key="sessions.id", index=True)
    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    #: co_host | moderator
    role: str = Field(max_length=16)
    is_active: bool = True
    assigned_at: datetime = Field(sa_type=UtcDateTime)
    assigned_by: uuid.UUID = Field(foreign_key="users.id")
    joined_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    left_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

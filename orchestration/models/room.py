"""A room: the host's lasting place for shows."""

import uuid
from datetime import datetime
from typing import Any

from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, Named, new_id


class Room(Named, table=True):
    """A place; at most one of its sessions is live."""

    __tablename__ = "rooms"

    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    host_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    #: The contract's library id: where the organization files what belongs to this room.
    library_id: uuid.UUID = Field(default_factory=new_id)
    title: str = Field(max_length=255)
    description: str | None = None
    #: RoomAnalytics as given.
    analytics: dict[str, Any] | None = Field(default=None, sa_type=AnyJson)
    #: Counts changes.
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    #: A deleted room is hidden, with its sessions.
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

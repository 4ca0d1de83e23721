"""An event: one change of one show, numbered; timeline, feed and end report all read this table."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, utc_now


class Event(SQLModel, table=True):
    """Written in the transaction that made the change; never changed, never deleted."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("session_id", "seq"),)

    id: int | None = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger().with_variant(Integer(), "sqlite"),
    )
    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    session_id: uuid.UUID = Field(foreign_key="sessions.id")
    #: 1, 2, 3 ... within the session, without a gap.
    seq: int
    #: e.g. session.phase_changed, playback.ready, take.started: see events.py.
    kind: str = Field(max_length=64)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    #: Facts of the change; never a secret.
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=AnyJson)
    request_id: str | None = Field(default=None, max_length=128)
    job_id: uuid.UUID | None = None

"""A take: one run of the egress."""

import uuid
from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import Named, Word
from orchestration.states import TakeState


class Take(Named, table=True):
    """Its number is reserved before LiveKit is asked; its files lie under hls/<session>/<n>/."""

    __tablename__ = "takes"
    __table_args__ = (UniqueConstraint("session_id", "number"),)

    session_id: uuid.UUID = Field(foreign_key="sessions.id", index=True)
    #: 1, 2, 3 ...
    number: int
    state: TakeState = Field(default=TakeState.RESERVED, sa_type=Word(TakeState))
    #: Whose picture it shows: an identity in the LiveKit room.
    source: str = Field(max_length=255)
    #: media (v2 StartEgress) | participant (ParticipantEgress: a drop ends it)
    kind: str = Field(default="media", max_length=16)
    #: first | source_changed | egress_gone | no_progress
    reason: str = Field(max_length=32)
    egress_id: str | None = Field(default=None, max_length=64)
    #: Whether the egress writes an mp4 beside the segments.
    with_file: bool = True
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: When we asked it to stop.
    stopping_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: complete | failed | aborted | limit_reached | abandoned
    outcome: str | None = Field(default=None, max_length=16)
    #: What LiveKit said, or why it was abandoned.
    error: str | None = Field(default=None, max_length=1024)
    #: Progress: the only proof that an egress lives (written by the publisher of the playlist).
    newest_sequence: int | None = None
    newest_segment_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

"""A session: one show; the row that says what is wanted and what was learned."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, Duty, Named, Word
from orchestration.states import EndReason, Phase, Status, Wanted


class Session(Named, Duty, table=True):
    """Its wish is written by commands, its facts by the engine, its counts by the viewer tick."""

    __tablename__ = "sessions"
    __table_args__ = (
        # One live session per room, whoever asks at the same moment.
        Index(
            "one_live_session_per_room",
            "room_id",
            unique=True,
            sqlite_where=text("wanted = 'live'"),
            postgresql_where=text("wanted = 'live'"),
        ),
    )

    # What it is
    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    room_id: uuid.UUID = Field(foreign_key="rooms.id", index=True)
    host_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    title: str = Field(max_length=255)
    description: str | None = None
    #: webcam | rtmp: whose picture comes first.
    mode: str = Field(max_length=8)
    #: PresetResponse as it was when the session was created.
    preset: dict[str, Any] = Field(default_factory=dict, sa_type=AnyJson)
    scheduled_start_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    chat_enabled_override: bool | None = None
    stage_enabled_override: bool | None = None
    max_join_limit_override: int | None = None
    recording_enabled: bool = True
    reconnect_window_seconds: int = 60
    no_media_seconds: int = 900
    max_duration_seconds: int = 43_200

    # What is wanted
    wanted: Wanted = Field(default=Wanted.PREPARED, sa_type=Word(Wanted))
    #: Counts wishes; a job waits for its version.
    wanted_version: int = 1
    wanted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: The newest wish that the world matches.
    reached_version: int = 0
    #: Set with the wish to end.
    end_reason: EndReason | None = Field(default=None, sa_type=Word(EndReason))

    # What it is now
    phase: Phase = Field(default=Phase.SCHEDULED, sa_type=Word(Phase))
    phase_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: status_of(phase), kept for lists.
    status: Status = Field(default=Status.SCHEDULED, sa_type=Word(Status), index=True)
    #: Why it is not further, as `{slug, detail}` of a problem; NULL when all is well.
    trouble: dict[str, Any] | None = Field(default=None, sa_type=AnyJson)
    #: What an end gave up waiting for, in words.
    abandoned: list[str] = Field(default_factory=list, sa_type=AnyJson)

    # What LiveKit gave us. Ids are remembered, never needed: everything is found by name.
    rtmp_ingress_id: str | None = Field(default=None, max_length=64)
    rtmp_url: str | None = Field(default=None, max_length=512)
    #: Sealed (secrets.py): a stream key is never stored in plain.
    rtmp_key_sealed: str | None = Field(default=None, max_length=512)
    #: Counts the stream keys: an ingress of an earlier one is taken away.
    key_number: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    whip_ingress_id: str | None = Field(default=None, max_length=64)
    whip_url: str | None = Field(default=None, max_length=512)
    whip_key_sealed: str | None = Field(default=None, max_length=512)

    # When what happened
    opened_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: The first accepted go_live.
    go_live_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: On air: room and ingresses exist.
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: The first picture at LiveKit.
    media_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: Who sends the picture now: an identity in the LiveKit room.
    source: str | None = Field(default=None, max_length=255)
    #: Since when that one does.
    source_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: Since when nobody sends a picture.
    source_lost_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: When the world was last asked about this show.
    observed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: When ending began: every wait of an end is measured from here.
    ending_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    # Who watches (the viewer tick's columns)
    viewer_count: int = 0
    max_viewers: int = 0
    viewers_livekit: int = 0
    viewers_hls: int = 0
    viewers_as_of: datetime | None = Field(default=None, sa_type=UtcDateTime)

    #: The newest event's number.
    event_seq: int = 0
    #: Counts changes that a reader can see.
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

"""A playback: the one stable playlist of a show."""

import uuid
from datetime import datetime
from typing import Any

from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, Duty, Word
from orchestration.states import PlaybackState


class Playback(Duty, table=True):
    """What hls/<session>/index.m3u8 says; the file is derived from this row."""

    __tablename__ = "playbacks"

    session_id: uuid.UUID = Field(foreign_key="sessions.id", primary_key=True)
    state: PlaybackState = Field(default=PlaybackState.PENDING, sa_type=Word(PlaybackState))
    since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: Segments published so far, over the whole show.
    segments: int = 0
    #: playlists.Window as JSON.
    window: dict[str, Any] | None = Field(default=None, sa_type=AnyJson)
    #: When a player could play for the first time.
    ready_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: Program date time of the newest segment plus its length.
    newest_segment_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: How often it stalled.
    stalls: int = 0
    #: All takes are over: write ENDLIST and full.m3u8, then look no more.
    closing: bool = False
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

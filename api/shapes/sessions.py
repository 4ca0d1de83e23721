"""What is asked and told about sessions: a session, starting one, joining one."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from api.problems import CATALOGUE
from api.session_rows import SessionRow
from api.shapes.common import Asked, Count, Id, Moment, Text, Title, Told
from api.shapes.presets import JoinLimit, PresetResponse
from api.shapes.rooms import RoomResponse, room_document
from orchestration.models import Playback, Session
from orchestration.settings import Settings
from orchestration.states import (
    ON_AIR,
    OVER,
    EndReason,
    Phase,
    PlaybackState,
    Status,
)

Mode = Literal["webcam", "rtmp"]

#: Viewers are counted every few seconds; older than this, nobody counts.
STALE_AFTER: Final = timedelta(seconds=30)

#: From a preset's type to the mode of its shows.
MODE_OF_TYPE: Final[Mapping[str, Mode]] = {"whip": "webcam", "rtmp": "rtmp"}

#: What a person does in OBS, in three sentences.
INSTRUCTIONS: Final[Mapping[str, str]] = {
    "step1": "In OBS open Settings, choose Stream, and set Service to Custom.",
    "step2": "Copy the server into Server and the stream key into Stream Key, then press OK.",
    "step3": "Press Start Streaming; the picture is on air a few seconds later.",
}


class CreateSessionRequest(Asked):
    """A new show in a room."""

    title: Title = Field(examples=["Spring launch"])
    description: Text | None = None
    mode: Mode | None = Field(
        default=None, description="Whose picture comes first; by default from the preset's type."
    )
    scheduled_start_time: Moment | None = None
    preset_id: Id


class RescheduleSessionRequest(Asked):
    """When the show begins instead."""

    scheduled_start_time: Moment


class UpdateSessionSettingsRequest(Asked):
    """What this show does differently from its preset; null goes back to the preset's."""

    chat_enabled: bool | None = None
    stage_enabled: bool | None = None
    max_join_limit: JoinLimit | None = None


class PlaybackResponse(Told):
    """What a player would find at `hls_url`."""

    state: PlaybackState
    since: datetime | None
    segments: Count = Field(description="Segments published so far.")


class ViewersResponse(Told):
    """Who watches, by how."""

    livekit: Count
    hls: Count
    as_of: datetime | None = Field(description="When this was counted.")
    stale: bool = Field(description="The show is on air and was not counted for 30 s.")


class Trouble(Told):
    """Why the show is not further: a line of the catalogue of problems."""

    slug: str
    detail: str


class SessionResponse(Told):
    """One show."""

    id: uuid.UUID
    room_id: uuid.UUID
    room: RoomResponse
    preset: PresetResponse = Field(description="As it was when the session was created.")
    title: str
    description: str | None
    status: Status
    mode: Mode
    started_at: datetime | None
    ended_at: datetime | None
    duration: Count = Field(description="Seconds on air; runs while the show is live.")
    scheduled_start_time: datetime | None
    viewer_count: int
    max_viewers: int
    recording_enabled: bool
    hls_url: str | None = Field(description="Known from go_live on, and then for ever the same.")
    chat_enabled_override: bool | None
    stage_enabled_override: bool | None
    max_join_limit_override: int | None
    effective_chat_enabled: bool
    effective_stage_enabled: bool
    effective_max_join_limit: int
    created_at: datetime
    updated_at: datetime
    phase: Phase = Field(description="The finer truth behind `status`.")
    playback: PlaybackResponse
    viewers: ViewersResponse
    end_reason: EndReason | None
    trouble: Trouble | None


class SessionListResponse(Told):
    """A page of sessions."""

    sessions: list[SessionResponse]
    total: Count
    page: int
    limit: int


class CreateSessionResponse(Told):
    """The session, and what an encoder can be set up with days before."""

    session: SessionResponse
    rtmp_url: str | None
    stream_key: str | None = Field(
        description="A secret. null when LiveKit did not answer in time; go_live tells it."
    )


class Rtmp(Told):
    """Where an RTMP encoder sends to."""

    ingress_id: str | None
    url: str | None
    stream_key: str | None = Field(description="A secret.")


class Instructions(Told):
    """Three sentences a person can follow in OBS."""

    step1: str
    step2: str
    step3: str


class RtmpSetup(Told):
    """How to set up OBS."""

    server: str | None
    stream_key: str | None = Field(description="A secret.")
    instructions: Instructions


class StartSessionResponse(Told):
    """Everything that is needed to broadcast."""

    session: SessionResponse
    livekit_token: str = Field(description="The host's. A secret.")
    rtmp: Rtmp
    rtmp_setup: RtmpSetup
    whip_url: str | None = Field(description="Holds its key. A secret.")
    livekit_url: str = Field(description="Where the token is good.")


class EndSessionResponse(Told):
    """The session as it is now."""

    session: SessionResponse


class JoinSessionResponse(Told):
    """What somebody needs to join the LiveKit room."""

    livekit_token: str = Field(description="Allows what the caller's role allows. A secret.")
    room_name: str
    livekit_url: str
    viewer_mark: str | None = Field(description="For the heartbeat header X-Greenroom-Viewer.")


class MonitorSessionResponse(Told):
    """A hidden, subscribe-only token."""

    livekit_token: str
    room_name: str
    livekit_url: str


class EnsuredResponse(Told):
    """The session and its playback, which a worker looks at now."""

    session: SessionResponse
    playback: PlaybackResponse


class DashboardStatsResponse(Told):
    """The caller's organization's shows."""

    total_sessions: Count
    live_now: Count
    scheduled: Count
    ended: Count


class HostTrackRequest(Asked):
    """Switch the host's picture or sound on or off; without `enabled` it is turned round."""

    enabled: bool | None = None


class HostTrackResponse(Told):
    """What the host sends now."""

    enabled: bool
    tracks: Annotated[int, Field(description="How many published tracks were switched.")]


def session_document(
    row: SessionRow, settings: Settings, *, shows_private: bool, now: datetime | None = None
) -> dict[str, Any]:
    """Say a session as SessionResponse.

    `shows_private` only to hosts of its organization: e-mail, and the words of a trouble.
    """
    session, moment = row.session, now or datetime.now(UTC)
    preset = session.preset
    return {
        "id": session.id,
        "room_id": session.room_id,
        "room": room_document(row.room, row.host, row.active_session_id, shows_email=shows_private),
        "preset": preset,
        "title": session.title,
        "description": session.description,
        "status": session.status,
        "mode": session.mode,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "duration": duration_of(session, moment),
        "scheduled_start_time": session.scheduled_start_time,
        "viewer_count": session.viewer_count,
        "max_viewers": session.max_viewers,
        "recording_enabled": session.recording_enabled,
        "hls_url": hls_url_of(session, settings),
        "chat_enabled_override": session.chat_enabled_override,
        "stage_enabled_override": session.stage_enabled_override,
        "max_join_limit_override": session.max_join_limit_override,
        "effective_chat_enabled": _either(session.chat_enabled_override, preset["chat_enabled"]),
        "effective_stage_enabled": _either(session.stage_enabled_override, preset["stage_enabled"]),
        "effective_max_join_limit": _either(
            session.max_join_limit_override, preset["max_join_limit"]
        ),
        "created_at": session.created_at,
        "updated_at": max(
            filter(None, (session.updated_at, session.phase_since, session.wanted_at))
        ),
        "phase": session.phase,
        "playback": playback_document(row.playback),
        "viewers": {
            "livekit": session.viewers_livekit,
            "hls": session.viewers_hls,
            "as_of": session.viewers_as_of,
            "stale": _is_stale(session, moment),
        },
        "end_reason": session.end_reason,
        "trouble": _trouble(session, shows_private=shows_private),
    }


def playback_document(playback: Playback | None) -> dict[str, Any]:
    """Say a playback as PlaybackResponse; a show that never had one is pending."""
    if playback is None:
        return {"state": PlaybackState.PENDING, "since": None, "segments": 0}
    return {"state": playback.state, "since": playback.since, "segments": playback.segments}


def hls_url_of(session: Session, settings: Settings) -> str | None:
    """Say where the show is played: known from the accepted go_live on."""
    if session.go_live_at is None:
        return None
    return f"{settings.hls_base}/{session.id}/index.m3u8"


def duration_of(session: Session, now: datetime) -> int:
    """Count the whole seconds on air so far."""
    if session.started_at is None:
        return 0
    until = session.ended_at if session.phase in OVER and session.ended_at else now
    return max(0, int((until - session.started_at).total_seconds()))


def _either(override: Any, preset: Any) -> Any:  # Any: a switch or a number
    return preset if override is None else override


def _is_stale(session: Session, now: datetime) -> bool:
    if session.phase not in ON_AIR:
        return False
    counted_at = session.viewers_as_of or session.started_at or now
    return now - counted_at > STALE_AFTER


def _trouble(session: Session, *, shows_private: bool) -> dict[str, str] | None:
    if session.trouble is None:
        return None
    slug = str(session.trouble.get("slug", "internal-error"))
    meaning = CATALOGUE[slug].meaning if slug in CATALOGUE else ""
    detail = str(session.trouble.get("detail") or meaning)
    return {"slug": slug, "detail": detail if shows_private else meaning}

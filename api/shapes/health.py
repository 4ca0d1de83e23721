"""What is told about what arrives at LiveKit and what leaves it."""

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.common import Count, Told
from api.shapes.events import TakeReport, take_document
from api.shapes.sessions import PlaybackResponse, playback_document
from orchestration.health import Arriving, Health, Judgement, Note
from orchestration.models import Playback, Session, Take
from orchestration.plane import IngressSeen, ParticipantSeen
from orchestration.states import Phase


class LiveKitHealth(Told):
    """Whether LiveKit answered just now; without an answer the lists are empty."""

    answers: bool
    error: str | None


class IngressHealth(Told):
    """What an ingress reports; never its key."""

    ingress_id: str | None = Field(description="null for everybody but the host.")
    kind: str
    enabled: bool
    status: str
    error: str
    width: int
    height: int
    frames_per_second: float
    video_bits_per_second: int
    audio_bits_per_second: int


class TrackHealth(Told):
    """A published track."""

    kind: str
    source: str
    muted: bool
    width: int
    height: int


class PublisherHealth(Told):
    """Who sends something into the room."""

    identity: str
    kind: str
    joined_at: datetime | None
    tracks: list[TrackHealth]


class TakeHealth(TakeReport):
    """The newest run of the egress; its newest segment is the proof that it lives."""

    newest_sequence: int | None
    newest_segment_at: datetime | None


class ProgramHealth(Told):
    """The picture the show is made of; what LiveKit does not tell is null."""

    identity: str | None = Field(description="Who sends it.")
    via: Literal["browser", "rtmp", "whip"] | None
    width: int | None
    height: int | None
    frames_per_second: float | None
    video_bits_per_second: int | None
    audio_bits_per_second: int | None
    drops: Count = Field(description="How often it was lost so far.")


class OutputHealth(Told):
    """What the audience is given of it: the newest published segment."""

    newest_segment_at: datetime | None
    age_seconds: float | None = Field(description="How long ago it was published.")
    bits_per_second: int | None = Field(description="Its size by its length.")


class StreamHealthResponse(Told):
    """What the ingresses, the room and the newest take report, and what that means."""

    session_id: uuid.UUID
    phase: Phase
    health: Health = Field(description="In one word.")
    notes: list[Note] = Field(description="What is the matter.")
    program: ProgramHealth
    output: OutputHealth
    livekit: LiveKitHealth
    ingress: list[IngressHealth]
    publishers: list[PublisherHealth]
    source: str | None = Field(description="Whose picture the show has now.")
    source_lost_at: datetime | None
    media_at: datetime | None
    take: TakeHealth | None
    playback: PlaybackResponse


def health_document(
    session: Session,
    take: Take | None,
    playback: Playback | None,
    arriving: Arriving,
    judgement: Judgement,
    *,
    drops: int,
    shows_ids: bool,
) -> dict[str, Any]:
    """Say a show's health as StreamHealthResponse."""
    return {
        "session_id": session.id,
        "phase": session.phase,
        "health": judgement.health,
        "notes": list(judgement.notes),
        "program": {**asdict(judgement.program), "drops": drops},
        "output": asdict(judgement.output),
        "livekit": {"answers": arriving.error is None, "error": arriving.error},
        "ingress": [ingress_document(each, shows_id=shows_ids) for each in arriving.ingresses],
        "publishers": [publisher_document(each) for each in arriving.people if each.tracks],
        "source": session.source,
        "source_lost_at": session.source_lost_at,
        "media_at": session.media_at,
        "take": None if take is None else _take_health(take),
        "playback": playback_document(playback),
    }


def ingress_document(seen: IngressSeen, *, shows_id: bool) -> dict[str, Any]:
    """Say an ingress as IngressHealth."""
    return {
        "ingress_id": seen.ingress_id if shows_id else None,
        "kind": seen.input,
        "enabled": seen.enabled,
        "status": seen.status,
        "error": seen.error,
        "width": seen.width,
        "height": seen.height,
        "frames_per_second": seen.frames_per_second,
        "video_bits_per_second": seen.video_bits_per_second,
        "audio_bits_per_second": seen.audio_bits_per_second,
    }


def publisher_document(seen: ParticipantSeen) -> dict[str, Any]:
    """Say a participant as PublisherHealth."""
    return {
        "identity": seen.identity,
        "kind": seen.kind,
        "joined_at": seen.joined_at,
        "tracks": [
            {
                "kind": track.kind,
                "source": track.source,
                "muted": track.muted,
                "width": track.width,
                "height": track.height,
            }
            for track in seen.tracks
        ],
    }


def _take_health(take: Take) -> dict[str, Any]:
    return {
        **take_document(take),
        "newest_sequence": take.newest_sequence,
        "newest_segment_at": take.newest_segment_at,
    }

"""A show's timeline, and what is said about it when it is over."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from api.shapes.common import INT32_MAX, AnyObject, Count, Digits, Query, Told
from orchestration.models import Event, Recording, Take
from orchestration.states import EndReason, Phase, Status, TakeState, Verdict

#: A page of a timeline; a show of twelve hours has some hundred events.
EVENTS_MAX: Final = 500


class EventsQuery(Query):
    """Which part of the timeline."""

    after: Annotated[Digits, Field(ge=0, le=INT32_MAX)] = Field(
        default=0, description="Only events with a greater number."
    )
    limit: Annotated[Digits, Field(ge=1, le=EVENTS_MAX)] = Field(
        default=100, description="At most so many."
    )


class EventResponse(Told):
    """One change of one show."""

    seq: int
    kind: str
    at: datetime
    facts: AnyObject = Field(description="What changed; the names depend on the kind.")
    request_id: str | None
    job_id: uuid.UUID | None


class EventListResponse(Told):
    """A part of the timeline, oldest first."""

    events: list[EventResponse]
    newest: int = Field(description="The show's newest number.")
    next_after: int = Field(description="Ask with `after` set to this for what comes next.")


class TakeReport(Told):
    """One run of the egress."""

    number: int
    state: TakeState
    source: str
    kind: str
    reason: str
    outcome: str | None
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None


class RecordingReport(Told):
    """What became of the recording."""

    id: uuid.UUID
    status: str
    verdict: Verdict | None
    verdict_reason: str | None
    duration: Count | None
    file_size: Count | None
    sha256: str | None


class ReportResponse(Told):
    """How a show went; it can be read while the show runs, and is final when it is over."""

    session_id: uuid.UUID
    title: str
    status: Status
    phase: Phase
    end_reason: EndReason | None
    go_live_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: Count = Field(description="Seconds on air.")
    max_viewers: int
    seconds_to_live: float | None = Field(
        description="From the accepted go_live until room and ingresses stood."
    )
    seconds_to_media: float | None = Field(
        description="From the accepted go_live to the first picture: mostly the host's time."
    )
    seconds_to_playback: float | None = Field(
        description="From the accepted go_live until a player could play."
    )
    seconds_from_media_to_playback: float | None = Field(
        description="From the first picture until a player could play."
    )
    segments: Count
    stalls: Count
    takes: list[TakeReport]
    recording: RecordingReport | None
    abandoned: list[str] = Field(description="What an end gave up waiting for, in words.")


def event_document(event: Event) -> dict[str, Any]:
    """Say an event as EventResponse."""
    return {
        "seq": event.seq,
        "kind": event.kind,
        "at": event.at,
        "facts": event.facts,
        "request_id": event.request_id,
        "job_id": event.job_id,
    }


def take_document(take: Take) -> dict[str, Any]:
    """Say a take as TakeReport."""
    return {
        "number": take.number,
        "state": take.state,
        "source": take.source,
        "kind": take.kind,
        "reason": take.reason,
        "outcome": take.outcome,
        "error": take.error,
        "started_at": take.started_at,
        "ended_at": take.ended_at,
    }


def recording_report(recording: Recording) -> dict[str, Any]:
    """Say a recording as RecordingReport."""
    return {
        "id": recording.id,
        "status": recording.status,
        "verdict": recording.verdict,
        "verdict_reason": recording.verdict_reason,
        "duration": recording.duration_seconds,
        "file_size": recording.file_size,
        "sha256": recording.sha256,
    }

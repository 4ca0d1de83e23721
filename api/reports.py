"""The end report: how a show went, and how long what took."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlmodel import col

from api import access
from api.routes import Answer, Call, Route, Who
from api.shapes.events import ReportResponse, recording_report, take_document
from api.shapes.sessions import duration_of
from orchestration.models import Playback, Recording, Take


async def get_report(call: Call) -> Answer:
    """Tell how a show went; final when it is over."""
    session_id = call.ids["id"]
    async with call.resources.db.read() as tx:
        session = await access.own_session(tx, session_id, call.caller)
        playback = await tx.get(Playback, session_id)
        recording = await tx.scalar(
            select(Recording).where(
                col(Recording.session_id) == session_id, col(Recording.deleted_at).is_(None)
            )
        )
        takes = await tx.scalars(
            select(Take).where(col(Take.session_id) == session_id).order_by(col(Take.number))
        )
        told_takes = [take_document(take) for take in takes]
    ready_at = playback.ready_at if playback is not None else None
    return Answer(
        {
            "session_id": session.id,
            "title": session.title,
            "status": session.status,
            "phase": session.phase,
            "end_reason": session.end_reason,
            "go_live_at": session.go_live_at,
            "started_at": session.started_at,
            "ended_at": session.ended_at,
            "duration": duration_of(session, datetime.now(UTC)),
            "max_viewers": session.max_viewers,
            "seconds_to_live": seconds_between(session.go_live_at, session.started_at),
            "seconds_to_media": seconds_between(session.go_live_at, session.media_at),
            "seconds_to_playback": seconds_between(session.go_live_at, ready_at),
            "seconds_from_media_to_playback": seconds_between(session.media_at, ready_at),
            "segments": playback.segments if playback is not None else 0,
            "stalls": playback.stalls if playback is not None else 0,
            "takes": told_takes,
            "recording": None if recording is None else recording_report(recording),
            "abandoned": list(session.abandoned),
        }
    )


def seconds_between(begun: datetime | None, done: datetime | None) -> float | None:
    """Measure from one moment to a later one; None when either never came."""
    if begun is None or done is None:
        return None
    # A host may send before the show is on air: then it took no time.
    return round(max(0.0, (done - begun).total_seconds()), 3)


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/report", get_report, Who.HOST, "Read a session's end report",
          answer=ReportResponse, tag="sessions",
          problems=("session-not-found", "insufficient-scope")),
)
# fmt: on

"""A show's timeline: what happened, in order."""

from typing import Final

from sqlalchemy import select
from sqlmodel import col

from api import access
from api.routes import Answer, Call, Route, Who
from api.shapes.events import EventListResponse, EventsQuery, event_document
from orchestration.models import Event


async def list_events(call: Call) -> Answer:
    """Tell what happened after a number; numbers have no gaps."""
    asked: EventsQuery = call.query
    async with call.resources.db.read() as tx:
        session = await access.staffed_session(tx, call.ids["id"], call.caller)
        found = await tx.scalars(
            select(Event)
            .where(col(Event.session_id) == session.id, col(Event.seq) > asked.after)
            .order_by(col(Event.seq))
            .limit(asked.limit)
        )
        events = [event_document(event) for event in found]
    return Answer(
        {
            "events": events,
            "newest": session.event_seq,
            "next_after": events[-1]["seq"] if events else asked.after,
        }
    )


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/events", list_events, Who.ANY, "Read a session's timeline",
          query=EventsQuery, answer=EventListResponse, tag="sessions",
          problems=("session-not-found", "insufficient-scope")),
)
# fmt: on

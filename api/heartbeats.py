"""Heartbeats of HLS viewers: a signed mark is the viewer; nothing is asked or written here."""

from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from aiohttp import web
from multidict import istr
from sqlalchemy import select
from sqlmodel import col

from api.access import visible_session
from api.limits import Limit, address_of
from api.problems import Problem
from api.routes import Call, Replay, Route, Speaks, Who
from observability.metrics import MARKS_COUNTED, MARKS_REFUSED
from orchestration.models import Session
from orchestration.resources import Resources

#: Carries the viewer's mark, there and back.
VIEWER: Final = istr("X-Greenroom-Viewer")
#: A company behind one address comes to a show within a minute or two.
NEW_MARKS_BURST: Final = 300
#: Whoever makes up viewers gets this many a second at most.
NEW_MARKS_PER_SECOND: Final = 5
#: Sessions that were seen to be there; of these only the newest are asked for often.
KNOWN_MAX: Final = 10_000
#: How long a deleted show may still hand out marks that nobody counts.
KNOWN_SECONDS: Final = 30.0

_HEADERS: Final = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class Gate:
    """What one process remembers to keep strangers from making up viewers."""

    limit: Limit = field(
        default_factory=lambda: Limit(per_second=NEW_MARKS_PER_SECOND, burst=NEW_MARKS_BURST)
    )
    known: OrderedDict[UUID, float] = field(default_factory=OrderedDict)

    async def check(self, session_id: UUID, resources: Resources) -> None:
        """Ask the ledger, at most now and then. Raises Problem session-not-found."""
        if self.known.get(session_id, 0.0) > monotonic():
            return
        async with resources.db.read() as tx:
            found = await tx.scalar(
                select(col(Session.id)).where(col(Session.id) == session_id, visible_session())
            )
        if found is None:
            self.known.pop(session_id, None)
            raise Problem("session-not-found")
        self.known[session_id] = monotonic() + KNOWN_SECONDS
        self.known.move_to_end(session_id)
        if len(self.known) > KNOWN_MAX:
            self.known.popitem(last=False)


#: One gate per application, so that tests and processes do not share one.
_GATES: Final[WeakKeyDictionary[web.Application, Gate]] = WeakKeyDictionary()


async def heartbeat(call: Call) -> web.StreamResponse:
    """Note that a viewer watches; the first beat is given its mark."""
    session_id, request = call.ids["id"], call.request
    mark = request.headers.get(VIEWER)
    if mark:
        if not call.resources.marks.seen(session_id, mark):
            MARKS_REFUSED.inc()
            raise Problem("mark-invalid")
        MARKS_COUNTED.inc()
        return web.Response(status=204, headers=_HEADERS)
    return await _first(call, session_id)


async def _first(call: Call, session_id: UUID) -> web.StreamResponse:
    gate = _GATES.setdefault(call.request.app, Gate())
    try:
        gate.limit.take(address_of(call.request, call.resources.settings))
    except Problem:
        MARKS_REFUSED.inc()
        raise
    await gate.check(session_id, call.resources)
    mark = call.resources.marks.new(session_id)
    call.resources.marks.seen(session_id, mark)
    MARKS_COUNTED.inc()
    return web.Response(status=204, headers={**_HEADERS, VIEWER: mark})


# fmt: off
ROUTES: Final = (
    Route("POST", "/sessions/{id}/heartbeat", heartbeat, Who.PUBLIC, "Say that one watches",
          status=204, replay=Replay.HARMLESS, speaks=Speaks.RAW, is_limited=False, is_open=True,
          tag="viewers", problems=("session-not-found", "mark-invalid"),
          description="Every 10 s while watching by HLS. The first answer carries the viewer's "
                      "mark in X-Greenroom-Viewer; send it with every further beat."),
)
# fmt: on

"""Say ahead of time whether a show could go live: everything it needs is tried, and put back."""

from datetime import UTC, datetime
from time import monotonic
from typing import Final

from aiohttp import web

from api import access
from api.lifecycle import ADMISSION
from api.limits import Limit
from api.routes import Answer, Call, Route, Who
from api.shapes.preflight import PreflightResponse
from orchestration.preflight import Finding, Flight
from orchestration.preflight import preflight as fly

#: Each makes a room at LiveKit and writes a probe: a person presses the button a few times.
BURST: Final = 5
PER_SECOND: Final = 0.2
FLIGHTS: Final = web.AppKey("flights", Limit)


async def preflight(call: Call) -> Answer:
    """Try what this show needs: LiveKit and our key, a worker, ingress, egress, storage, webhooks.

    Takes up to ten seconds, changes nothing, and leaves nothing behind.
    """
    async with call.resources.db.read() as tx:
        session = await access.own_session(tx, call.ids["id"], call.caller)
    call.request.app[FLIGHTS].take(str(call.caller.user.id))
    began, moment = monotonic(), datetime.now(UTC)
    flight = Flight(session.rtmp_url, call.resources, call.request.app[ADMISSION])
    findings = await fly(flight)
    return Answer(
        {
            "session_id": session.id,
            "ok": _all_of(findings),
            "checked_at": moment,
            "seconds": round(monotonic() - began, 3),
            "checks": [
                {
                    "name": finding.name,
                    "ok": finding.ok,
                    "seen": finding.seen,
                    "todo": finding.todo or None,
                }
                for finding in findings
            ],
        }
    )


def _all_of(findings: list[Finding]) -> bool | None:
    if any(finding.ok is False for finding in findings):
        return False
    return None if any(finding.ok is None for finding in findings) else True


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/preflight", preflight, Who.HOST, "Check whether it could go live",
          answer=PreflightResponse, tag="lifecycle",
          problems=("session-not-found", "insufficient-scope")),
)
# fmt: on

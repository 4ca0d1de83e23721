"""Take LiveKit's webhooks as hints: verify, remember, ring; what is true is asked for later."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from aiohttp import web
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from api import bodies
from api.auth import CHALLENGE
from api.problems import Problem
from api.routes import Call, Replay, Route, Speaks, Who
from observability import metrics
from orchestration import commands
from orchestration.models import SeenWebhook, Session
from orchestration.names import session_of_room
from orchestration.plane import Hint
from orchestration.preflight import note_arrival
from orchestration.resources import Resources
from orchestration.tokens import BadSignature, verify_webhook

log = structlog.get_logger(__name__)

#: LiveKit's largest bodies (an egress with many outputs) are some 20 KB.
BODY_BYTES_MAX: Final = 256 * 1024
#: Longer ids are not LiveKit's (`EV_` and a dozen letters).
EVENT_ID_CHARACTERS_MAX: Final = 64


async def take_webhook(call: Call) -> web.StreamResponse:
    """Answer 200 to whatever LiveKit signed, quickly; LiveKit repeats what gets 5xx."""
    body = await bodies.read(call.request, bytes_max=BODY_BYTES_MAX)
    try:
        hint = verify_webhook(
            call.resources.settings, body, call.request.headers.get("Authorization", "")
        )
    except BadSignature:
        _count("unknown", "rejected")
        raise Problem("webhook-signature", headers={"WWW-Authenticate": CHALLENGE}) from None
    except ValueError:
        _count("unknown", "rejected")
        raise Problem("malformed-json", "The webhook is signed, and is none.") from None
    _count(hint.event, await _take(hint, call.resources))
    return web.Response(status=200)


async def _take(hint: Hint, resources: Resources) -> str:
    """Ring for the session the hint is about; say what became of the hint."""
    if await note_arrival(hint.room, hint.event, resources):
        return "accepted"
    session_id = session_of_room(resources.settings.livekit_prefix, hint.room)
    if session_id is None or not hint.event_id or len(hint.event_id) > EVENT_ID_CHARACTERS_MAX:
        return "ignored"
    try:
        known = await _remember(hint, session_id, resources)
    except IntegrityError:
        # Two of our processes were sent the same webhook at the same moment.
        return "duplicate"
    if known is None:
        return "duplicate"
    if known:
        await resources.bell.ring("sessions", session_id)
        return "accepted"
    return "ignored"


async def _remember(hint: Hint, session_id: UUID, resources: Resources) -> bool | None:
    """Write down the event and the hint together. None: seen before. False: no such session."""
    async with resources.db.begin() as tx:
        if await tx.get(SeenWebhook, hint.event_id) is not None:
            return None
        tx.add(
            SeenWebhook(event_id=hint.event_id, event=hint.event[:64], seen_at=datetime.now(UTC))
        )
        await tx.flush()
        found = await tx.scalar(select(col(Session.id)).where(col(Session.id) == session_id))
        if found is None:
            return False
        await commands.nudge(tx, session_id)
        return True


def _count(event: str, outcome: str) -> None:
    label = event if event in metrics.WEBHOOKS else "unknown"
    metrics.WEBHOOKS_RECEIVED.labels(label, outcome).inc()


ROUTES: Final = (
    Route(
        "POST",
        "/livekit/webhook",
        take_webhook,
        Who.PUBLIC,
        "Take a webhook of LiveKit's",
        problems=("webhook-signature", "malformed-json", "payload-too-large"),
        replay=Replay.HARMLESS,
        speaks=Speaks.RAW,
        is_limited=False,
        body_bytes_max=BODY_BYTES_MAX,
        tag="livekit",
        description="Signed with the API key that Greenroom and LiveKit share. Hints only: "
        "everything also works without them.",
    ),
)

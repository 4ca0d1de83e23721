"""See what arrives of a show at LiveKit, and what becomes of it."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from api import access
from api.backstage import Backstage, read_backstage
from api.problems import Problem
from api.routes import Answer, Call, Route, Who
from api.shapes.health import StreamHealthResponse, health_document
from orchestration import segments
from orchestration.health import Arriving, judge
from orchestration.models import Playback
from orchestration.names import room_name
from orchestration.plane import MediaPlane, PlaneError
from orchestration.playlists import Segment, Window
from orchestration.resources import Resources
from orchestration.settings import Settings
from orchestration.storage import Storage, StorageUnavailable

log = structlog.get_logger(__name__)


async def stream_health(call: Call) -> Answer:
    """Tell what the ingresses, the room and the newest take report; LiveKit may be away."""
    session_id, resources = call.ids["id"], call.resources
    async with resources.db.read() as tx:
        session = await access.staffed_session(tx, session_id, call.caller)
        backstage = (await read_backstage(tx, [session_id])).get(session_id)
    if backstage is None:
        raise Problem("session-not-found")
    arriving, size = await asyncio.gather(
        ask(session_id, resources),
        size_of(session_id, newest_of(backstage.row.playback), resources.storage),
    )
    shows_ids = call.caller.user.id == session.host_id
    return Answer(told(backstage, arriving, size, resources.settings, shows_ids=shows_ids))


async def ask(session_id: UUID, resources: Resources) -> Arriving:
    """Ask LiveKit for both lists side by side; without an answer the ledger's part still stands."""
    room = room_name(resources.settings.livekit_prefix, session_id)
    plane: MediaPlane = resources.plane
    try:
        ingresses, people = await asyncio.gather(
            plane.list_ingress(room), plane.list_participants(room)
        )
    except PlaneError as error:
        log.info("stream_health_without_livekit", code=error.code)
        return Arriving(error=error.code)
    return Arriving(ingresses, people)


async def size_of(session_id: UUID, segment: Segment | None, storage: Storage) -> int | None:
    """Say how large a published segment is, in bytes; None when that cannot be seen."""
    if segment is None:
        return None
    try:
        stored = await storage.head(segments.key_of(session_id, segment))
    except StorageUnavailable:
        return None
    return None if stored is None else stored.size


def newest_of(playback: Playback | None) -> Segment | None:
    """Give the newest published segment."""
    published = Window.from_json(playback.window).segments if playback is not None else ()
    return published[-1] if published else None


def told(
    backstage: Backstage,
    arriving: Arriving,
    newest_bytes: int | None,
    settings: Settings,
    *,
    shows_ids: bool,
) -> dict[str, Any]:
    """Say a show's health as StreamHealthResponse; ids of ingresses are for its host alone."""
    playback = backstage.row.playback
    judgement = judge(
        backstage.row.session,
        arriving,
        newest_of(playback),
        newest_at=playback.newest_segment_at if playback is not None else None,
        newest_bytes=newest_bytes,
        target_seconds=settings.target_seconds,
        now=datetime.now(UTC),
    )
    return health_document(
        backstage.row.session,
        backstage.take,
        playback,
        arriving,
        judgement,
        drops=backstage.drops,
        shows_ids=shows_ids,
    )


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/stream_health", stream_health, Who.ANY, "See what arrives",
          answer=StreamHealthResponse, tag="stage",
          problems=("session-not-found", "insufficient-scope")),
)
# fmt: on

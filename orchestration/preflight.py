"""Try all that a show will need before it is needed, and leave nothing behind: CHECKS."""

import asyncio
import hashlib
import hmac
import re
import secrets as chance
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from orchestration.admission import Admission, Room, Told
from orchestration.database import Database, DatabaseUnavailable, now
from orchestration.models import SeenWebhook, Tick
from orchestration.plane import PlaneError, Refused
from orchestration.resources import Resources
from orchestration.secrets import Secrets
from orchestration.storage import StorageUnavailable
from orchestration.troubles import KEY_CODES

log = structlog.get_logger(__name__)

#: No check takes longer; what has not answered by then does not work in a show either.
CHECK_SECONDS: Final = 9.0
#: LiveKit sends a webhook within milliseconds of what happened.
WEBHOOK_SECONDS: Final = 4.0
#: For making the room, and for removing it again.
ROOM_SECONDS: Final = 2.0
#: Shorter than anybody notices.
WEBHOOK_POLL_SECONDS: Final = 0.1
#: LiveKit removes the room by itself after so long, if we could not.
EMPTY_SECONDS: Final = 10
#: Tokens and uploads are refused when clocks differ by minutes; HTTP's dates have whole seconds.
SKEW_SECONDS_MAX: Final = 5.0
#: Some tick is due every 5 s; a worker that has not done one for so long is not there.
WORKER_SILENT_SECONDS_MAX: Final = 60.0
#: A neighbour takes a connection in milliseconds.
CONNECT_SECONDS: Final = 2.0
#: How the webhook that is waited for is called.
EVENT: Final = "room_started"

_ROOM: Final = re.compile(r"preflight-([0-9a-f]{16})([0-9a-f]{16})", re.ASCII)


@dataclass(frozen=True)
class Finding:
    """What one check came to. `ok` is None when it cannot be seen from here."""

    name: str
    ok: bool | None
    seen: str
    todo: str = ""


@dataclass(frozen=True)
class Flight:
    """What is checked, and with what."""

    rtmp_url: str | None  #: the show's address for encoders, if it has one yet
    resources: Resources
    admission: Admission


Check = Callable[[Flight], Awaitable[list[Finding]]]


async def preflight(flight: Flight, *, untried: Collection[str] = frozenset()) -> list[Finding]:
    """Run every check that is not to stay untried, side by side, within ten seconds.

    Raises nothing for what is not well.
    """
    tried = [(names, check) for names, check in CHECKS if not set(names) & set(untried)]
    found = await asyncio.gather(*(_bounded(names, check, flight) for names, check in tried))
    return [finding for findings in found for finding in findings]


async def note_arrival(room: str, event: str, resources: Resources) -> bool:
    """Note that the webhook about a preflight's room has arrived; whether it is one of ours."""
    if not _is_ours(room, resources.secrets):
        return False
    if event == EVENT:
        with suppress(IntegrityError):
            async with resources.db.begin() as tx:
                if await tx.get(SeenWebhook, room) is None:
                    tx.add(SeenWebhook(event_id=room, event=event, seen_at=datetime.now(UTC)))
    return True


async def livekit(flight: Flight) -> list[Finding]:
    """Ask LiveKit for its rooms: that it answers, and that it takes our key."""
    began = monotonic()
    try:
        await flight.resources.plane.list_rooms()
    except Refused as error:
        if error.code in KEY_CODES:
            todo = "Give Greenroom LiveKit's own LIVEKIT_API_KEY and LIVEKIT_API_SECRET."
            seen = "LiveKit does not take our key or its secret"
            return [Finding("livekit", True, "LiveKit answers"), Finding("key", False, seen, todo)]
        todo = "Is LIVEKIT_URL the address of a LiveKit server?"
        return [Finding("livekit", False, f"LiveKit refuses: {error.code}", todo), _NO_KEY]
    except PlaneError as error:
        todo = "Start LiveKit, or correct LIVEKIT_URL."
        return [Finding("livekit", False, f"LiveKit does not answer: {error.code}", todo), _NO_KEY]
    took = f"LiveKit answers, in {1000 * (monotonic() - began):.0f} ms"
    return [Finding("livekit", True, took), Finding("key", True, "LiveKit takes our key")]


async def ingress(flight: Flight) -> list[Finding]:
    """Ask the ingress' own address; without one, knock where an encoder would."""
    told = await flight.admission.ingress()
    todo = "Start a LiveKit ingress, or correct GREENROOM_INGRESS_HEALTH_URL."
    if told.room is not Room.UNKNOWN:
        return [_told("ingress", told, todo)]
    if await _takes_connections(flight.rtmp_url):
        seen = "the address for encoders takes connections"
        return [Finding("ingress", True, seen)]
    todo = "Set GREENROOM_INGRESS_HEALTH_URL, or try it with an encoder in the green room."
    return [Finding("ingress", None, told.seen, todo)]


async def egress(flight: Flight) -> list[Finding]:
    """Ask the egress' own addresses; without them, only what LiveKit lists can be told."""
    told = await flight.admission.egress()
    if told.room is not Room.UNKNOWN:
        todo = "Start a LiveKit egress, or end another show first."
        return [_told("egress", told, todo)]
    todo = "Set GREENROOM_EGRESS_HEALTH_URL and GREENROOM_EGRESS_METRICS_URL."
    try:
        running = len(await flight.resources.plane.list_egress())
    except PlaneError as error:
        why = "LiveKit needs Redis, and an egress beside it that uses the same Redis."
        return [Finding("egress", False, f"LiveKit lists no egress: {error.code}", why)]
    seen = f"{told.seen}; LiveKit lists {running} at work"
    return [Finding("egress", None, seen, todo)]


async def storage(flight: Flight) -> list[Finding]:
    """Write, read and delete a probe."""
    try:
        await flight.resources.storage.ping()
    except (StorageUnavailable, OSError) as error:
        log.warning("preflight_storage", error=str(error))
        todo = "Check GREENROOM_MEDIA_URL, and GREENROOM_S3_* if it is a bucket; the log says more."
        return [Finding("storage", False, "the storage cannot be written and read", todo)]
    return [Finding("storage", True, "the storage can be written, read and deleted from")]


async def webhook(flight: Flight) -> list[Finding]:
    """Make a room at LiveKit and see whether its webhook comes here."""
    plane, db = flight.resources.plane, flight.resources.db
    room = _new_room(flight.resources.secrets)
    began = monotonic()
    try:
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await plane.create_room(
                    room, empty_seconds=EMPTY_SECONDS, departure_seconds=EMPTY_SECONDS
                )
        except (PlaneError, TimeoutError):
            seen = "no room could be made at LiveKit, so that nothing was sent"
            return [Finding("webhook", None, seen, "See what is said of LiveKit.")]
        if await _arrives(room, db):
            took = f"LiveKit's webhook arrived, after {monotonic() - began:.1f} s"
            return [Finding("webhook", True, took)]
    finally:
        await _remove(room, flight.resources)
    hook = flight.resources.settings.webhook_url
    todo = (
        f"Put {hook}, or another address of this API, into `webhook.urls` of LiveKit's "
        "configuration. Without webhooks a show sees changes some seconds later."
    )
    seen = f"LiveKit's webhook did not arrive within {WEBHOOK_SECONDS:.0f} s"
    return [Finding("webhook", False, seen, todo)]


async def clock(flight: Flight) -> list[Finding]:
    """Hold our clock against LiveKit's and the database's."""
    skews = {
        "LiveKit": await _livekit_skew(flight.resources),
        "the database": await _database_skew(flight.resources.db),
    }
    known = {name: skew for name, skew in skews.items() if skew is not None}
    wrong = {name: skew for name, skew in known.items() if abs(skew) > SKEW_SECONDS_MAX}
    if wrong:
        seen = " and ".join(f"{name}'s clock by {skew:.0f} s" for name, skew in wrong.items())
        todo = "Let all machines follow NTP: tokens and leases are judged by their time."
        return [Finding("clock", False, f"ours differs from {seen}", todo)]
    if len(known) < len(skews):
        missing = next(name for name in skews if name not in known)
        return [Finding("clock", None, f"{missing} tells no time to compare ours with")]
    return [Finding("clock", True, "our clock agrees with LiveKit's and the database's")]


async def worker(flight: Flight) -> list[Finding]:
    """See that some worker has done something lately: without one nothing goes live."""
    columns: Any = Tick  # SQLModel types columns as values
    async with flight.resources.db.read() as tx:
        moment = await now(tx)
        newest = (await tx.execute(select(func.max(columns.last_done_at)))).scalar_one()
    todo = "Start `greenroom worker`: without one nothing goes live."
    if newest is None:
        return [Finding("worker", False, "no worker has ever worked here", todo)]
    silent = (moment - newest).total_seconds()
    if silent > WORKER_SILENT_SECONDS_MAX:
        return [Finding("worker", False, f"no worker has worked for {silent:.0f} s", todo)]
    return [Finding("worker", True, "a worker is at work")]


#: What a show needs, in the order in which one thing needs another, and what each check is about.
CHECKS: Final[tuple[tuple[tuple[str, ...], Check], ...]] = (
    (("livekit", "key"), livekit),
    (("worker",), worker),
    (("ingress",), ingress),
    (("egress",), egress),
    (("storage",), storage),
    (("webhook",), webhook),
    (("clock",), clock),
)
_NO_KEY: Final = Finding("key", None, "LiveKit could not be asked", "See what is said of LiveKit.")


async def _bounded(names: tuple[str, ...], check: Check, flight: Flight) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(flight)
    except TimeoutError:
        seen = f"no answer within {CHECK_SECONDS:.0f} s"
        return [Finding(name, False, seen, "Is it reachable from the API?") for name in names]
    except DatabaseUnavailable:
        todo = "Run `greenroom doctor`."
        return [Finding(name, False, "the database does not answer", todo) for name in names]


def _told(name: str, told: Told, todo: str) -> Finding:
    is_free = told.room is Room.FREE
    return Finding(name, is_free, told.seen, "" if is_free else todo)


async def _takes_connections(url: str | None) -> bool:
    """Knock at an address of ours for encoders, as LiveKit told it."""
    parts = urlsplit(url or "")
    if not parts.hostname:
        return False
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 1935)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _new_room(secrets: Secrets) -> str:
    """Name a room that only we can have named: `preflight-<nonce>`."""
    nonce = chance.token_hex(8)
    return f"preflight-{nonce}{_signature(nonce, secrets)}"


def _is_ours(room: str, secrets: Secrets) -> bool:
    match = _ROOM.fullmatch(room)
    return match is not None and hmac.compare_digest(_signature(match[1], secrets), match[2])


def _signature(nonce: str, secrets: Secrets) -> str:
    signed = hashlib.blake2b(
        nonce.encode(), digest_size=8, key=secrets.mark_key, person=b"preflight"
    )
    return signed.hexdigest()


async def _arrives(room: str, db: Database) -> bool:
    """Wait for the note of whichever process is sent the webhook."""
    until = monotonic() + WEBHOOK_SECONDS
    while monotonic() < until:
        async with db.read() as tx:
            if await tx.get(SeenWebhook, room) is not None:
                return True
        await asyncio.sleep(WEBHOOK_POLL_SECONDS)
    return False


async def _remove(room: str, resources: Resources) -> None:
    """Leave nothing behind; a room that cannot be removed now goes by itself."""
    columns: Any = SeenWebhook  # SQLModel types columns as values
    with suppress(PlaneError, TimeoutError):
        async with asyncio.timeout(ROOM_SECONDS):
            await resources.plane.delete_room(room)
    with suppress(DatabaseUnavailable):
        async with resources.db.begin() as tx:
            await tx.execute(delete(SeenWebhook).where(columns.event_id == room))


async def _livekit_skew(resources: Resources) -> float | None:
    """Compare with the date of an answer of LiveKit's, in seconds."""
    address = re.sub("^ws", "http", resources.settings.livekit_url)
    before = datetime.now(UTC)
    try:
        async with asyncio.timeout(CONNECT_SECONDS), resources.http.get(address) as answer:
            told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    after = datetime.now(UTC)
    if told.tzinfo is None:
        return None
    # The date was written between the two, within a second that began at it.
    return max((before - told).total_seconds() - 1, 0) + min((after - told).total_seconds(), 0)


async def _database_skew(db: Database) -> float | None:
    before = datetime.now(UTC)
    async with db.read() as tx:
        told = await now(tx)
    after = datetime.now(UTC)
    return max((before - told).total_seconds(), 0) + min((after - told).total_seconds(), 0)

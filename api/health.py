"""Say whether this process lives, whether it can work, and what it counted."""

import ipaddress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.answers import JSON, encode
from api.problems import Problem
from api.routes import Call, Route, Speaks, Who
from observability import exposition
from orchestration import migrations
from orchestration.database import DatabaseUnavailable


@dataclass(slots=True)
class Migrated:
    """What this process knows about the database's tables."""

    is_current: bool = False


@dataclass(slots=True)
class Draining:
    """Whether this process was told to end: it still serves, and takes no new callers."""

    has_begun: bool = False


#: How often it is worth asking whether an operator has put it right.
_RETRY_SECONDS: Final = 5
MIGRATED: Final = web.AppKey("migrated", Migrated)
DRAINING: Final = web.AppKey("draining", Draining)
_ALIVE: Final = b'{"status":"ok"}'
_FRESH: Final = {"Content-Type": JSON, "Cache-Control": "no-store"}
#: Headers by which a proxy says that somebody else asks.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For")
_metrics = exposition.endpoint()


async def healthz(call: Call) -> web.Response:
    """Say that the event loop runs; nothing else is looked at."""
    del call
    return web.Response(body=_ALIVE, headers=_FRESH)


async def readyz(call: Call) -> web.Response:
    """Say whether it should be sent requests: 200, or 503 and why not.

    The database answers and has this version's tables, and this process was not told to end.
    """
    if call.request.app[DRAINING].has_begun:
        raise Problem(
            "service-unavailable", "The server is shutting down.", retry_after=_RETRY_SECONDS
        )
    checks = {"database": "ok", "migrations": "ok"}
    try:
        if not await _is_current(call):
            checks["migrations"] = "run `greenroom migrate`"
    except DatabaseUnavailable:
        checks = {"database": "does not answer", "migrations": "unknown"}
    if any(value != "ok" for value in checks.values()):
        said = ", ".join(f"{name}: {value}" for name, value in checks.items())
        raise Problem("service-unavailable", said, retry_after=_RETRY_SECONDS, checks=checks)
    return web.Response(body=encode({"status": "ready", "checks": checks}), headers=_FRESH)


async def metrics(call: Call) -> web.StreamResponse:
    """Show the metrics to whoever asks from this machine or network, never through a proxy."""
    request = call.request
    if any(name in request.headers for name in _FORWARDED) or not _is_near(request.remote):
        raise Problem("not-found")
    return await _metrics(request)


async def _is_current(call: Call) -> bool:
    """Ask the database, and whether it is migrated; what was once migrated stays so."""
    known, db = call.request.app[MIGRATED], call.resources.db
    if known.is_current:
        await db.ping()
    else:
        known.is_current = await migrations.is_current(db)
    return known.is_current


def _is_near(remote: str | None) -> bool:
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        # A UNIX socket has no address.
        return remote is None or remote == ""
    return address.is_loopback or address.is_private


ROUTES: Final = (
    Route(
        "GET",
        "/healthz",
        healthz,
        Who.PUBLIC,
        "Does it live",
        speaks=Speaks.RAW,
        content_type=JSON,
        is_limited=False,
        tag="operation",
    ),
    Route(
        "GET",
        "/readyz",
        readyz,
        Who.PUBLIC,
        "Can it work",
        speaks=Speaks.RAW,
        content_type=JSON,
        is_limited=False,
        problems=("service-unavailable",),
        tag="operation",
    ),
    Route(
        "GET",
        "/metrics",
        metrics,
        Who.PUBLIC,
        "What was counted",
        speaks=Speaks.RAW,
        content_type="text/plain",
        is_limited=False,
        problems=("not-found",),
        tag="operation",
    ),
)

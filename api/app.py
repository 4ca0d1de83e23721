"""ROUTES, and the application that serves them."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from api import (
    accounts,
    docs,
    event_stream,
    events,
    health,
    heartbeats,
    hls,
    host_media,
    jobs,
    joining,
    keys,
    lifecycle,
    livekit_webhook,
    participants,
    preflight,
    presets,
    problem_pages,
    recordings,
    reports,
    rooms,
    sessions,
    stream_health,
    studio_page,
    watch_page,
)
from api.accounts import GUESSES, GUESSES_A_MINUTE, PASSWORDS
from api.auth import Doorkeeper
from api.cache import Serve
from api.cors import Cors
from api.docs import DESCRIPTION, Description
from api.door import Door
from api.feeds import FEEDS, Feeds
from api.health import DRAINING, MIGRATED, Draining, Migrated
from api.jwks import Jwks
from api.lifecycle import ADMISSION
from api.limits import Limit
from api.passwords import Passwords
from api.preflight import BURST, FLIGHTS, PER_SECOND
from api.problems import Problem
from api.quick import Quick
from api.routes import Route
from api.server import QUICK
from observability import http
from orchestration.admission import Admission
from orchestration.resources import Resources

#: Every route there is, resource by resource.
ROUTES: Final[tuple[Route, ...]] = (
    *accounts.ROUTES,
    *keys.ROUTES,
    *rooms.ROUTES,
    *presets.ROUTES,
    *sessions.ROUTES,
    *lifecycle.ROUTES,
    *preflight.ROUTES,
    *host_media.ROUTES,
    *stream_health.ROUTES,
    *joining.ROUTES,
    *participants.ROUTES,
    *recordings.ROUTES,
    *jobs.ROUTES,
    *events.ROUTES,
    *event_stream.ROUTES,
    *reports.ROUTES,
    *heartbeats.ROUTES,
    *hls.ROUTES,
    *watch_page.ROUTES,
    *studio_page.ROUTES,
    *livekit_webhook.ROUTES,
    *health.ROUTES,
    *problem_pages.ROUTES,
    *docs.ROUTES,
)

#: A parameter is whatever stands between two slashes: what it must be is checked by the door.
_PARAMETER: Final = re.compile(r"\{(\w+)\}")

#: What is found at the root, too, when the API has a base path: its names are fixed.
ROOTED: Final = frozenset({"/healthz", "/readyz", "/metrics", "/livekit/webhook"})

DOOR: Final = web.AppKey("door", Door)


def make_app(resources: Resources, *, routes: tuple[Route, ...] = ROUTES) -> web.Application:
    """Build the application; tests pass lines of their own. Nothing is opened here."""
    settings = resources.settings
    base = settings.base_path.rstrip("/")
    door = Door(
        resources=resources,
        doorkeeper=Doorkeeper(
            resources.db,
            settings,
            resources.secrets,
            Jwks(settings.jwks_url, resources.http) if settings.jwks_url else None,
        ),
        limit=Limit(settings.rate_limit_per_second, settings.rate_limit_per_second),
        cors=Cors(frozenset(settings.cors_origins)),
        base_path=base,
    )
    app = web.Application(middlewares=[http.requests])
    app[DOOR] = door
    app[QUICK] = Quick(door.kept, resources.marks, base)
    app[PASSWORDS] = Passwords()
    app[MIGRATED] = Migrated()
    app[DRAINING] = Draining()
    app[GUESSES] = Limit(GUESSES_A_MINUTE / 60, GUESSES_A_MINUTE)
    app[DESCRIPTION] = Description(routes, base)
    app[FLIGHTS] = Limit(PER_SECOND, BURST)
    app[ADMISSION] = Admission(settings, resources.http)
    app[FEEDS] = Feeds(resources)
    # Streams never end by themselves: without this a shutdown waits for them in vain.
    app.on_shutdown.append(app[FEEDS].close)
    app.on_response_prepare.append(http.name_response)
    _add_routes(app, door, routes, base)
    if base:
        _add_routes(app, door, tuple(route for route in routes if route.path in ROOTED), "")
    app.router.add_route("*", "/{nothing:.*}", _nowhere(door), expect_handler=_expect(door))
    return app


def _add_routes(app: web.Application, door: Door, routes: tuple[Route, ...], base: str) -> None:
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(base + route.path, []).append(route)
    expect = _expect(door)
    # aiohttp tries paths that begin alike one after another: the busiest are tried first.
    for path, siblings in sorted(by_path.items(), key=_busiest_first):
        resource = app.router.add_resource(_PARAMETER.sub(r"{\1:[^/]+}", path))
        for route in siblings:
            serve = door.serve(route)
            resource.add_route(route.method, serve, expect_handler=expect)
            if route.method == hdrs.METH_GET:
                resource.add_route(hdrs.METH_HEAD, serve, expect_handler=expect)
        resource.add_route("*", _other_methods(door, siblings), expect_handler=expect)


def _busiest_first(item: tuple[str, list[Route]]) -> bool:
    _, siblings = item
    return not any(route.is_cached for route in siblings)


def _other_methods(door: Door, siblings: list[Route]) -> Serve:
    """Answer methods that a path does not have; OPTIONS is a browser's question."""
    methods = _with_head(route.method for route in siblings)
    open_methods = _with_head(route.method for route in siblings if route.is_open)

    async def other_methods(request: web.Request) -> web.StreamResponse:
        try:
            if request.method == hdrs.METH_OPTIONS:
                return door.cors.preflight(request, methods, open_methods)
        except Problem as problem:
            return door.refuse(request, problem)
        allow = {"Allow": ", ".join((*methods, "OPTIONS"))}
        return door.refuse(request, Problem("method-not-allowed", headers=allow))

    return other_methods


def _with_head(methods: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for method in methods:
        found += [method, "HEAD"] if method == "GET" else [method]
    return tuple(found)


def _nowhere(door: Door) -> Serve:
    async def nowhere(request: web.Request) -> web.StreamResponse:
        return door.refuse(request, Problem("not-found"))

    return nowhere


def _expect(door: Door) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    """Tell a caller that asks first to go on; anything else it may expect is unknown."""

    async def expect(request: web.Request) -> web.StreamResponse | None:
        wanted = request.headers.get(hdrs.EXPECT, "")
        if request.version >= HttpVersion11 and wanted.lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # What was written is not yet the answer.
            request.writer.output_size = 0
            return None
        return door.refuse(request, Problem("expectation-failed"))

    return expect

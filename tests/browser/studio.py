"""A small Greenroom that tests direct: the contract's answers, the page and the show's media."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.browser.broadcast import Broadcast
from tests.system.web import serving

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "api" / "pages"
HLS_JS = ROOT / "node_modules" / "hls.js" / "dist"

#: As strict as the API's: nothing inline, nothing from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
#: A logo that needs no network.
LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 36 36'%3E"
    "%3Crect width='36' height='36' rx='10' fill='%237c5cff'/%3E"
    "%3Ccircle cx='18' cy='18' r='8' fill='white'/%3E%3C/svg%3E"
)
MARK = "v1.a-signed-mark"


@dataclass
class Studio:
    """What the API knows of one show; a test changes it, and the page follows."""

    broadcast: Broadcast
    session: dict[str, Any]
    url: str = ""
    version: int = 1
    #: The API answers 404, as for a session that was deleted.
    is_deleted: bool = False
    #: The API answers 503, while media go on.
    is_down: bool = False
    #: Playlists and segments answer 404.
    is_media_gone: bool = False
    #: `full.m3u8` is written.
    has_full: bool = False
    #: Marks that heartbeats carried; None for one without.
    beats: list[str | None] = field(default_factory=list)
    #: Statuses of answered session reads.
    reads: list[int] = field(default_factory=list)

    @property
    def page(self) -> str:
        """Address of the watch page."""
        return f"{self.url}/watch/{self.session['id']}"

    def tell(self, **changes: Any) -> None:
        """Change the session; `phase` and `playback` may be given as words."""
        for name, value in changes.items():
            if name == "playback" and isinstance(value, str):
                self.session["playback"] = {
                    "state": value,
                    "since": in_seconds(0),
                    "segments": self.broadcast.segments,
                }
            elif name == "preset":
                self.session["preset"] |= value
            else:
                self.session[name] = value
        if "phase" in changes:
            self.session["status"] = _STATUS[changes["phase"]]
        self.version += 1

    def go_live(self, *, minutes_ago: float = 12) -> None:
        """On air, with a picture."""
        self.tell(phase="live", playback="ready", started_at=in_seconds(-60 * minutes_ago))

    def end(self) -> None:
        """Over: the playlist has its ENDLIST."""
        self.broadcast.end()
        self.tell(phase="ended", playback="ended", ended_at=in_seconds(0))


# fmt: off
_STATUS = {
    "scheduled": "scheduled", "provisioning": "scheduled", "open": "scheduled",
    "waiting_for_media": "live", "live": "live", "reconnecting": "live", "ending": "live",
    "ended": "ended", "failed": "ended", "expired": "expired",
}
# fmt: on


@asynccontextmanager
async def running(
    broadcast: Broadcast, *, add: Callable[[web.Application, Studio], None] | None = None
) -> AsyncIterator[Studio]:
    """Serve a studio for the length of a block; `add` may add routes to it."""
    studio = Studio(broadcast=broadcast, session=_session())
    application = _application(studio)
    if add is not None:
        add(application, studio)
    async with serving(application) as url:
        studio.url = url
        studio.session["hls_url"] = f"{url}/hls/{studio.session['id']}/index.m3u8"
        yield studio


def _application(studio: Studio) -> web.Application:
    async def page(request: web.Request) -> web.StreamResponse:
        name = "watch.html" if is_id(request.match_info["id"]) else "not_found.html"
        return web.FileResponse(
            PAGES / name,
            headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"},
        )

    async def read(request: web.Request) -> web.Response:
        response = _read(studio, request)
        studio.reads.append(response.status)
        return response

    async def beat(request: web.Request) -> web.Response:
        mark = request.headers.get("X-Greenroom-Viewer")
        studio.beats.append(mark)
        if mark not in {None, MARK}:
            return problem(403, "mark-invalid")
        return web.Response(status=204, headers={} if mark else {"X-Greenroom-Viewer": MARK})

    async def playlist(request: web.Request) -> web.Response:
        broadcast = studio.broadcast
        text = {"index.m3u8": broadcast.live, "full.m3u8": studio.has_full and broadcast.full}[
            request.match_info["name"]
        ]
        if studio.is_media_gone or not text:
            return problem(404, "media-not-found")
        return web.Response(
            text=text,
            content_type="application/vnd.apple.mpegurl",
            headers={"Cache-Control": "max-age=1"},
        )

    async def segment(request: web.Request) -> web.StreamResponse:
        if studio.is_media_gone:
            return problem(404, "media-not-found")
        take = studio.broadcast.takes[int(request.match_info["take"]) - 1]
        return web.FileResponse(
            take.directory / request.match_info["name"], headers={"Content-Type": "video/mp2t"}
        )

    application = web.Application()
    application.router.add_get("/watch/{id}", page)
    application.router.add_static("/static/pages", PAGES)
    application.router.add_static("/static/vendor/hls.js", HLS_JS)
    application.router.add_get("/sessions/{id}", read)
    application.router.add_post("/sessions/{id}/heartbeat", beat)
    application.router.add_get("/hls/{id}/{name}", playlist)
    application.router.add_get("/hls/{id}/{take}/{name}", segment)
    return application


def is_id(text: str) -> bool:
    """Say whether a text is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _read(studio: Studio, request: web.Request) -> web.Response:
    if studio.is_down:
        return problem(503, "service-unavailable")
    if studio.is_deleted or request.match_info["id"] != studio.session["id"]:
        return problem(404, "session-not-found")
    tag = f'"{studio.version}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    body = {"success": True, "data": studio.session, "timestamp": int(time.time())}
    return web.json_response(body, headers={"ETag": tag})


def problem(status: int, slug: str, detail: str = "") -> web.Response:
    """Say no as the API does."""
    body = {
        "success": False,
        "error": slug,
        "message": detail or slug,
        "title": slug.replace("-", " ").capitalize(),
        "detail": detail or slug,
        "timestamp": int(time.time()),
    }
    return web.json_response(body, status=status, content_type="application/problem+json")


def _session() -> dict[str, Any]:
    ids = {name: str(uuid.uuid4()) for name in ("session", "room", "host", "preset")}
    host = {"id": ids["host"], "username": "Maya Lindqvist", "email": None, "role": "host"}
    return {
        "id": ids["session"],
        "room_id": ids["room"],
        "room": {"id": ids["room"], "title": "Northlight Studio", "host": host},
        "preset": {
            "id": ids["preset"],
            "primary_color": "#7c5cff",
            "logo": LOGO,
            "logo_destination_url": "https://example.com/",
            "viewer_count_visible": True,
        },
        "title": "Designing for the dark: light, colour and sound on a small stage",
        "description": "An evening with the people who light the rooms you remember.\n"
        "Bring your questions, we answer them live after the second half.",
        "status": "scheduled",
        "phase": "scheduled",
        "playback": {"state": "pending", "since": None, "segments": 0},
        "scheduled_start_time": in_seconds(2 * 3600 + 14 * 60 + 9),
        "started_at": None,
        "ended_at": None,
        "duration": 0,
        "viewer_count": 0,
        "max_viewers": 0,
        "viewers": {"livekit": 0, "hls": 0, "as_of": None, "stale": False},
        "recording_enabled": True,
        "hls_url": None,
        "end_reason": None,
        "trouble": None,
    }


def in_seconds(seconds: float) -> str:
    """Return the moment that many seconds from now, as the contract writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")

"""Serve the watch page, and the files it is made of."""

import asyncio
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from api import files
from api.access import visible_session
from api.problems import Problem
from api.routes import Call, Route, Speaks, Who
from api.shapes.common import is_id
from orchestration.models import Session

#: Where the pages lie; nothing else lies there.
PAGES: Final = Path(__file__).parent / "pages"
#: npm's lock says what lies here.
MODULES: Final = Path(__file__).parent.parent / "node_modules"
#: Scripts that are not ours: path below /static/vendor/ -> file.
VENDOR: Final = {
    "hls.js/hls.min.js": MODULES / "hls.js/dist/hls.min.js",
    "livekit-client/livekit-client.umd.js": MODULES / "livekit-client/dist/livekit-client.umd.js",
}
#: What a page is made of; not asked of the machine, whose table may be another one.
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: What a page's file is called: one name, no folders.
_FILE: Final = re.compile(r"[a-z0-9_]+\.(css|js|svg)", re.ASCII)
#: Pages change with a release: looked after again each time, answered 304.
_CACHE: Final = "public, no-cache"
HTML: Final = "text/html"
#: Scripts and styles of ours alone; media and playlists may lie in a bucket or CDN; hls.js starts
#: its worker from a blob; logos lie anywhere.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob: https: http:; media-src 'self' blob: https: http:; "
    "connect-src 'self' https: http:; font-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS: Final = {
    "Cache-Control": _CACHE,
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


async def watch(call: Call) -> web.StreamResponse:
    """Show the watch page of a show; a page that says so when there is no such show."""
    if not await is_there(call):
        return await page("not_found.html", status=404)
    return await page("watch.html")


async def page_file(call: Call) -> web.StreamResponse:
    """Send a stylesheet, script or picture of a page."""
    name = call.words["name"]
    if not _FILE.fullmatch(name):
        raise Problem("not-found")
    return await _send(call, PAGES / name)


async def vendor_file(call: Call) -> web.StreamResponse:
    """Send a script that is not ours."""
    path = VENDOR.get(call.words["path"])
    if path is None:
        raise Problem("not-found")
    return await _send(call, path)


async def _send(call: Call, path: Path) -> web.StreamResponse:
    content_type = f"{TYPES[path.suffix]}; charset=utf-8"
    return await files.send(call.request, path, content_type=content_type, cache=_CACHE)


async def is_there(call: Call) -> bool:
    """Whether there is such a show, for anybody to know."""
    show = call.words["show"]
    if not is_id(show):
        return False
    async with call.resources.db.read() as tx:
        found = await tx.scalar(
            select(col(Session.id)).where(col(Session.id) == uuid.UUID(show), visible_session())
        )
    return found is not None


async def page(
    name: str, *, status: int = 200, headers: Mapping[str, str] = HEADERS
) -> web.Response:
    """Send a page."""
    body = await asyncio.to_thread((PAGES / name).read_bytes)
    return web.Response(
        body=body, status=status, content_type=HTML, charset="utf-8", headers=headers
    )


# fmt: off
ROUTES: Final = (
    Route("GET", "/watch/{show}", watch, Who.PUBLIC, "Watch a show", speaks=Speaks.RAW,
          content_type=HTML, is_limited=False, is_listed=False, tag="pages"),
    Route("GET", "/static/pages/{name}", page_file, Who.PUBLIC, "A file of a page",
          speaks=Speaks.RAW, content_type="text/css", is_limited=False, is_listed=False,
          tag="pages"),
    Route("GET", "/static/vendor/{path:.+}", vendor_file, Who.PUBLIC, "A script that is not ours",
          speaks=Speaks.RAW, content_type="text/javascript", is_limited=False, is_listed=False,
          tag="pages"),
)
# fmt: on

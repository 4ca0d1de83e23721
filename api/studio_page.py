"""Serve the studio page: what its host and helpers see of a show, and broadcast from."""

from typing import Final

from aiohttp import web

from api.routes import Call, Route, Speaks, Who
from api.watch_page import HEADERS, HTML, is_there, page

#: As strict as the watch page's; LiveKit is spoken to by WebSocket, wherever it is.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob: https: http:; media-src 'self' blob: https: http:; "
    "connect-src 'self' https: http: wss: ws:; font-src 'self'; base-uri 'none'; "
    # Whoever shows this page in a frame of theirs could have somebody press its buttons.
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    **HEADERS,
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    # The page's address may have carried a token.
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}


async def studio(call: Call) -> web.StreamResponse:
    """Show the studio of a show; who may do what there, the API says when it is asked."""
    if not await is_there(call):
        return await page("not_found.html", status=404)
    return await page("studio.html", headers=_HEADERS)


# fmt: off
ROUTES: Final = (
    Route("GET", "/studio/{show}", studio, Who.PUBLIC, "Broadcast a show", speaks=Speaks.RAW,
          content_type=HTML, is_limited=False, is_listed=False, tag="pages"),
)
# fmt: on

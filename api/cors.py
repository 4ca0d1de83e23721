"""Say which pages of other origins may read our answers: those the operator listed."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.problems import Problem

#: What a listed page's script may send beside the ordinary.
_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, "
    "X-API-Key, X-Request-ID"
)
#: What any page's script may send to what is open: nothing that could carry credentials.
_OPEN_HEADERS: Final = "Content-Type, If-None-Match, Range, X-Greenroom-Viewer"
#: What a script may read beside the ordinary.
_EXPOSED: Final = (
    "ETag, Idempotency-Replayed, Location, Retry-After, X-Greenroom-Viewer, X-Request-ID"
)
#: How long a browser remembers a preflight.
_MAX_AGE_SECONDS: Final = "600"


@dataclass(frozen=True, slots=True)
class Cors:
    """The operator's list. Credentials travel in headers only, so none are ever allowed here."""

    origins: frozenset[str]

    def open(
        self, request: web.BaseRequest, response: web.StreamResponse, *, is_open: bool
    ) -> None:
        """Add to an answer who may read it."""
        if response.prepared:
            return
        if is_open:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        elif self.origins:
            varies = response.headers.get("Vary")
            response.headers["Vary"] = f"{varies}, Origin" if varies else "Origin"
            origin = request.headers.get("Origin")
            if origin in self.origins:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    def preflight(
        self, request: web.Request, methods: tuple[str, ...], open_methods: tuple[str, ...]
    ) -> web.Response:
        """Answer OPTIONS. Raises Problem cors-denied (403) for a page that is not listed."""
        allow = ", ".join((*methods, "OPTIONS"))
        origin = request.headers.get("Origin")
        wanted = request.headers.get("Access-Control-Request-Method")
        if origin is None or wanted is None:
            return web.Response(status=204, headers={"Allow": allow})
        if origin in self.origins:
            return web.Response(status=204, headers=_allowing(origin, methods, _HEADERS))
        if wanted in open_methods:
            return web.Response(status=204, headers=_allowing("*", open_methods, _OPEN_HEADERS))
        raise Problem("cors-denied")


#: What an application without a list has.
NO_PAGES: Final = Cors(frozenset())


def _allowing(origin: str, methods: tuple[str, ...], headers: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": headers,
        "Access-Control-Max-Age": _MAX_AGE_SECONDS,
        "Vary": "Origin",
    }

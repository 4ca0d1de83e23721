"""Answer those who show no credentials from what was answered within the last second."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from aiohttp import web
from multidict import CIMultiDict, istr

from api.answers import JSON, is_known
from observability.http import route_of
from observability.metrics import CACHE_HITS, CACHE_MISSES

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Public answers an application keeps; at 3 KB each this is 12 MB.
ANSWERS_MAX: Final = 4_096
#: The longest a public answer may trail the ledger.
KEPT_SECONDS: Final = 1.0
#: What belongs to one answer and not to the next.
_OWN_HEADERS: Final = ("Content-Length", "Date", "Server", "X-Request-ID")
_ACCEPT: Final = istr("Accept")
_API_KEY: Final = istr("X-API-Key")
_AUTHORIZATION: Final = istr("Authorization")
_IF_NONE_MATCH: Final = istr("If-None-Match")


@dataclass(slots=True)
class Kept:
    """A public answer as it was sent."""

    route: str  #: the template that matched
    body: bytes
    etag: str | None
    headers: CIMultiDict[str]
    until: float
    #: As it goes over the wire, without what belongs to one answer alone; and the same for a 304.
    head: bytes = b""
    not_modified: bytes = b""

    def __post_init__(self) -> None:
        self.head = _head("200 OK", self.headers) + b"Content-Length: %d\r\n" % len(self.body)
        self.not_modified = _head("304 Not Modified", self.headers)

    def is_known_by(self, headers: Mapping[str, str]) -> bool:
        """Whether a caller has this very answer, going by its request's headers."""
        known = headers.get(_IF_NONE_MATCH)
        return known is not None and self.etag is not None and is_known(self.etag, known)

    def response(self, request: web.Request) -> web.Response:
        """Say it again, or that the caller has it."""
        if self.is_known_by(request.headers):
            return web.Response(status=304, headers=self.headers)
        return web.Response(body=self.body, headers=self.headers)


@dataclass(slots=True)
class Cache:
    """A route's answers among all that are kept, by path and query; `serve` makes new ones."""

    serve: Serve
    kept: OrderedDict[str, Kept]
    _underway: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; what is kept is mostly answered before it comes here, by quick.py."""
        if not may_be_kept(request.headers):
            return await self.serve(request)
        path = request.raw_path
        while (kept := self.kept.get(path)) is None or kept.until < monotonic():
            other = self._underway.get(path)
            if other is None:
                return await self._first(path, request)
            # Somebody else is asking the ledger the same; one answer is enough for all.
            await other
        CACHE_HITS.inc()
        return kept.response(request)

    async def _first(self, path: str, request: web.Request) -> web.StreamResponse:
        CACHE_MISSES.inc()
        done = self._underway[path] = asyncio.get_running_loop().create_future()
        try:
            response = await self.serve(request)
            kept = self._remember(path, request, response)
            is_known = kept is not None and kept.is_known_by(request.headers)
            return kept.response(request) if kept is not None and is_known else response
        finally:
            del self._underway[path]
            done.set_result(None)

    def _remember(
        self, path: str, request: web.Request, response: web.StreamResponse
    ) -> Kept | None:
        """Keep an answer that others may be given, too; None for any other."""
        body = response.body if isinstance(response, web.Response) else None
        if response.status != web.HTTPOk.status_code or not isinstance(body, bytes):
            self.kept.pop(path, None)
            return None
        headers = CIMultiDict(response.headers)
        for name in _OWN_HEADERS:
            headers.popall(name, None)
        etag = headers.get("ETag")
        until = monotonic() + KEPT_SECONDS
        kept = self.kept[path] = Kept(route_of(request), body, etag, headers, until)
        self.kept.move_to_end(path)
        if len(self.kept) > ANSWERS_MAX:
            self.kept.popitem(last=False)
        return kept


def may_be_kept(headers: Mapping[str, str]) -> bool:
    """Whether a request's headers are the public's, which takes JSON for an answer."""
    if _AUTHORIZATION in headers or _API_KEY in headers:
        return False
    accept = headers.get(_ACCEPT)
    return accept is None or "*/*" in accept or JSON in accept


def _head(status: str, headers: CIMultiDict[str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}".encode()

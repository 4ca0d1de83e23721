"""Listen: connections that are cut when they dawdle, and refused in JSON when they are no HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from api import problems
from api.problems import Problem
from api.quick import Quick
from observability.http import HEADER, REQUEST_ID, request_id_of
from observability.logs import log

#: A browser sends its headers in one packet; who needs longer keeps others out.
HEADERS_SECONDS: Final = 10
#: An idle connection is cheap to make again.
KEEPALIVE_SECONDS: Final = 15
#: How long the rest of a refused body is swallowed, so that the answer can be read.
LINGERING_SECONDS: Final = 2
#: How long running requests may take to end when we are told to stop.
SHUTDOWN_SECONDS: Final = 10
#: The longest request line, and the longest header.
LINE_BYTES_MAX: Final = 8_190
#: What an application answers before its routes are looked at.
QUICK: Final = web.AppKey("quick", Quick)
#: More clients than this wait in the kernel's queue.
BACKLOG: Final = 1_024
#: HTTP with a method of somebody's own; what looks otherwise is no HTTP at all.
_UNKNOWN_METHOD: Final = re.compile(r"b'[A-Z]{3,20} \S+ HTTP/")


class Connection(RequestHandler):
    """One connection; beyond aiohttp's: quick answers, a deadline for headers, and problems."""

    __slots__ = ("_headers_deadline", "_is_answered", "_quick")

    def __init__(self, manager: web.Server, quick: Quick | None = None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._headers_deadline: asyncio.TimerHandle | None = None
        self._is_answered = False
        self._quick = quick
        if quick is not None:
            # It is asked for nothing but what ours has.
            self._parser = _Parser(self._parser, self._answers)  # type: ignore[assignment]

    def _answers(self, asked: RawRequestMessage, body: StreamReader) -> bool:
        """Answer at once, if nobody else is being answered here and the caller reads."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._paused or body is not EMPTY_PAYLOAD:
            return False
        wire = self._quick.answer(asked) if self._quick is not None else None
        if wire is None or self.transport is None:
            return False
        self.transport.write(wire)
        self._is_answered = True
        # From here on as after any other answer: the connection may be idle for so long.
        self._keepalive = True
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        return True

    @override
    def data_received(self, data: bytes) -> None:
        self._is_answered = False
        super().data_received(data)
        waiter = self._waiter
        if waiter is not None and not waiter.done() and not self._is_answered:
            # Bytes came, and no request is whole yet: these are the first of its headers.
            if self._headers_deadline is None:
                self._headers_deadline = self._loop.call_later(HEADERS_SECONDS, self.force_close)
        elif self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        if self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None
        super().connection_lost(exc)

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what nobody expected; both end the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun; it can only be cut.")
        slug = _slug_of(status, exc)
        response = _named_response(request, Problem(slug))
        if status < web.HTTPInternalServerError.status_code:
            # No middleware saw this one; what nobody expected has its line already.
            log.info("request_unreadable", slug=slug, request_id=response.headers[HEADER])
        response.force_close()
        return response

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that aiohttp made by itself is said as a problem."""
        if isinstance(resp, web.HTTPException):
            problem = problems.of_status(resp)
            if problem is not None:
                resp = _named_response(request, problem)
        return await super().finish_response(request, resp, start_time)


class Runner(web.AppRunner):
    """Runs the application with connections of ours."""

    @override
    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.quick = self.app.get(QUICK)
        return server


class _Server(web.Server):
    quick: Quick | None

    @override
    def __call__(self) -> RequestHandler:
        return Connection(self, self.quick, loop=self._loop, **self._kwargs)


class _Parser:
    """aiohttp's parser of one connection; requests that were answered at once go no further."""

    def __init__(
        self, parser: Any, answers: Callable[[RawRequestMessage, StreamReader], bool]
    ) -> None:
        self._feed_data = parser.feed_data
        self._answers = answers
        self.set_upgraded = parser.set_upgraded
        self.message_consumed = parser.message_consumed

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        found: tuple[Sequence[Any], bool, bytes] = self._feed_data(data)
        messages, upgraded, tail = found
        if upgraded or len(messages) != 1 or not self._answers(*messages[0]):
            return found
        self.message_consumed()
        return (), upgraded, tail


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Listen while the block runs; give the port (port 0 is any free one)."""
    runner = Runner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=LINE_BYTES_MAX,
        max_field_size=LINE_BYTES_MAX,
        # Bodies are opened by bodies.py, which says what is wrong with them.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _named_response(request: web.BaseRequest, problem: Problem) -> web.Response:
    """Say a problem outside the application, with the request's id if it has got one."""
    assert isinstance(request, web.Request), "an Application makes Requests"
    request_id = request[REQUEST_ID] if REQUEST_ID in request else request_id_of(request)
    response = problems.response(problem, request_id)
    response.headers[HEADER] = request_id
    return response


def _slug_of(status: int, exc: BaseException | None) -> str:
    """Name what a parser said, or a bug."""
    match exc:
        case LineTooLong():
            line = exc.args[0]
            return "uri-too-long" if line[:1] == b"/" else "headers-too-large"
        case BadHttpMethod() if _UNKNOWN_METHOD.search(exc.message):
            return "method-unknown"
        case BadHttpMessage() if exc.message.startswith("Too many headers"):
            return "headers-too-large"
        case _ if status >= web.HTTPInternalServerError.status_code:
            return "internal-error"
        case _:
            return "bad-request"

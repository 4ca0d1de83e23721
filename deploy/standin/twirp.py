"""Twirp over HTTP: routes, codecs, permissions, errors, and the faults that strike a call."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from deploy.standin.errors import BUS_PREFIX, STATUS, TwirpError
from deploy.standin.faults import Faults, Kind
from deploy.standin.tokens import BadTokenError, Grants, read_grants

log = structlog.get_logger("standin.twirp")

PREFIX = "/twirp/livekit."

JSON = "application/json"
PROTOBUF = "application/protobuf"

#: Browsers may call from anywhere, as with the real one.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
}

#: Enough to look back on for a test or a bench; the oldest go first.
CALLS_KEPT = 100_000

#: A stand-in that was told to hang lets go after an hour, should the caller never hang up.
HANG_SECONDS = 3600.0

#: Families that LiveKit has and the stand-in does not play.
NOT_PLAYED = ("AgentDispatchService", "SIP", "Connector", "CloudAgent", "PhoneNumberService")


class Grant:
    """What a call needs; `room_admin` is bound to the request's room."""

    ROOM_CREATE = "roomCreate"
    ROOM_LIST = "roomList"
    ROOM_ADMIN = "roomAdmin"
    ROOM_RECORD = "roomRecord"
    INGRESS_ADMIN = "ingressAdmin"


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its grant, its request's type, and who answers it."""

    grant: str
    request: type[Message]
    # The request's type differs from method to method, and Callable is contravariant.
    answer: Callable[[Any], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that arrived: when (Unix seconds) and for which method."""

    method: str
    at: float


#: Methods by `Service`, then by name.
Table = Mapping[str, Mapping[str, Method]]


class Twirp:
    """The handler of every path under /twirp."""

    def __init__(self, table: Table, *, keys: dict[str, str], faults: Faults) -> None:
        self.table = table
        self.keys = keys
        self.faults = faults
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self._stale: dict[tuple[str, str, bytes], Message] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request as livekit-server would."""
        started = time.monotonic()
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=CORS)
        try:
            grants = read_grants(
                request.headers.get("Authorization"),
                request.query.get("access_token"),
                keys=self.keys,
            )
        except BadTokenError as error:
            return web.Response(status=401, text=f"{error}\n", headers=CORS)
        outcome = "ok"
        try:
            return await self._route(request, grants)
        except TwirpError as error:
            outcome = error.code
            return error_response(error)
        finally:
            log.info(
                "twirp_call",
                path=request.path,
                outcome=outcome,
                seconds=round(time.monotonic() - started, 4),
            )

    async def _route(self, request: web.Request, grants: Grants) -> web.StreamResponse:
        path = "/" + request.path.lstrip("/")
        if not path.startswith(tuple(f"{PREFIX}{one}/" for one in (*self.table, *NOT_PLAYED))):
            # No service's: this is the answer of Go's HTTP server, not of Twirp.
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "POST":
            bad_route(request, f'unsupported method "{request.method}" (only POST is allowed)')
        if path.count("/") != PREFIX.count("/") + 1:
            bad_route(request, f'no handler for path "{path}"')
        service, name = path[len(PREFIX) :].split("/")
        if service in NOT_PLAYED:
            raise TwirpError("unimplemented", f"the LiveKit stand-in does not play {service}")
        method = self.table.get(service, {}).get(name)
        if method is None:
            bad_route(request, f'no handler for path "{path}"')
        self.calls.append(Call(name, time.time()))
        self._refuse_unimplemented(request, name, path)
        content_type = request.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if content_type not in {JSON, PROTOBUF}:
            bad_route(request, f'unexpected Content-Type: "{content_type}"')
        message = decode(method.request, await request.read(), content_type)
        self._refuse(name)
        self._check_grant(method, message, grants)
        return await self._obey(request, name, method, message, content_type)

    def _check_grant(self, method: Method, message: Message, grants: Grants) -> None:
        if method.grant == Grant.ROOM_ADMIN:
            allowed = grants.is_admin_of(getattr(message, "room", ""))
        else:
            allowed = grants.allows(method.grant)
        if not allowed:
            raise TwirpError("unauthenticated", "permissions denied")

    def _refuse(self, name: str) -> None:
        fault = self.faults.strike(Kind.REFUSE, method=name)
        if fault is not None:
            code = fault.code or "unavailable"
            raise TwirpError(
                code,
                fault.msg or BUS_PREFIX + "no response from servers",
                status=fault.status or STATUS.get(code),
            )

    def _refuse_unimplemented(self, request: web.Request, name: str, path: str) -> None:
        fault = self.faults.strike(Kind.UNIMPLEMENTED, method=name)
        if fault is None:
            return
        if fault.code and fault.code != "bad_route":
            raise TwirpError(fault.code, fault.msg or "not implemented", status=fault.status)
        bad_route(request, f'no handler for path "{path}"')

    async def _obey(
        self, request: web.Request, name: str, method: Method, message: Message, content_type: str
    ) -> web.StreamResponse:
        """Answer the call, with whatever goes wrong before, during and after it."""
        slow = self.faults.strike(Kind.SLOW, method=name)
        delay = 0.0 if slow is None else slow.delay_seconds or 0.0
        if slow is not None and slow.when == "before":
            await asyncio.sleep(delay)
        lost = self.faults.strike(Kind.ANSWER_LOST, method=name)
        try:
            async with asyncio.timeout(patience(request)):
                result = await self._listed(name, method, message)
        except TimeoutError as error:
            raise TwirpError("deadline_exceeded", "context deadline exceeded") from error
        finally:
            if slow is not None and slow.when == "after":
                await asyncio.sleep(delay)
        if lost is not None:
            await lose_answer(request, mode=lost.mode)
        if self.faults.strike(Kind.GARBLED_ANSWER, method=name) is not None:
            return web.Response(body=b"\xff\xff{garbled", content_type=content_type)
        return encode(result, content_type)

    async def _listed(self, name: str, method: Method, message: Message) -> Message:
        """Answer the call; a list may be empty or stale on purpose."""
        if not name.startswith("List"):
            return await method.answer(message)
        if self.faults.strike(Kind.EMPTY_LIST, method=name) is not None:
            return type(await method.answer(message))()
        stale = self.faults.strike(Kind.STALE_LIST, method=name)
        if stale is None:
            return await method.answer(message)
        key = (stale.id, name, message.SerializeToString(deterministic=True))
        if key not in self._stale:
            self._stale[key] = await method.answer(message)
        return self._stale[key]


def patience(request: web.Request) -> float | None:
    """Read the deadline a Go client sends along, in seconds; None when there is none."""
    milliseconds = request.headers.get("X-Twirp-Timeout-Ms", "")
    return int(milliseconds) / 1000 if milliseconds.isascii() and milliseconds.isdigit() else None


def decode(kind: type[Message], body: bytes, content_type: str) -> Message:
    """Read a request; raises `malformed` when it is none."""
    message = kind()
    if content_type == PROTOBUF:
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            raise TwirpError("malformed", "the protobuf request could not be decoded") from error
        return message
    try:
        json_format.Parse(body, message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, ValueError) as error:
        raise TwirpError("malformed", "the json request could not be decoded") from error
    return message


def encode(message: Message, content_type: str) -> web.Response:
    """Write an answer in the request's own codec."""
    if content_type == PROTOBUF:
        return web.Response(body=message.SerializeToString(), content_type=PROTOBUF, headers=CORS)
    text = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=None,
    )
    return web.Response(body=text.encode(), headers={"Content-Type": JSON, **CORS})


def error_response(error: TwirpError) -> web.Response:
    # The Node SDK compares the whole header: no charset may follow.
    return web.Response(
        status=error.status,
        body=json.dumps(error.body(), separators=(",", ":")).encode(),
        headers={"Content-Type": JSON, **CORS},
    )


def bad_route(request: web.Request, msg: str) -> NoReturn:
    raise TwirpError(
        "bad_route", msg, meta={"twirp_invalid_route": f"{request.method} {request.path}"}
    )


async def lose_answer(request: web.Request, *, mode: str) -> None:
    """Close the connection without a word, or (mode `hang`) never say one."""
    if mode == "hang":
        await asyncio.sleep(HANG_SECONDS)
    if request.transport is not None:
        request.transport.abort()

"""What is asked most is answered before aiohttp's own way, and nobody can tell the difference."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from api import cache, server
from observability import logs, redaction
from orchestration import marks
from tests.integration.api.client import Api
from tests.integration.api.conftest import Running

#: Long enough that only a connection that is held for ever gets there.
PATIENCE_SECONDS = 30
#: What each answer has for itself; `Server` is only said by aiohttp's own way.
OWN = {"date", "x-request-id", "server"}


@dataclass
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_quick(self) -> bool:
        return "server" not in self.headers

    @property
    def lasting(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name not in OWN}


@dataclass
class Wire:
    """One kept connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, line: str, *headers: str, end: str = "\r\n\r\n") -> None:
        self.writer.write("\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers]).encode())
        self.writer.write(end.encode())

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value for name, value in (each.split(": ", 1) for each in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def get(self, path: str, *headers: str) -> Answer:
        self.ask(f"GET {path}", *headers)
        return await self.answer()

    async def beat(self, show: uuid.UUID | str, *headers: str) -> Answer:
        self.ask(f"POST /sessions/{show}/heartbeat", "Content-Length: 0", *headers)
        return await self.answer()

    async def is_ended(self) -> bool:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read() == b""


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer become too old, and no mark be flushed, while a test looks at it."""
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    monkeypatch.setattr(marks, "FLUSH_SECONDS", 60)


@pytest.fixture
async def wire(api: Api) -> AsyncIterator[Wire]:
    """Give a connection on which the public list of shows was asked for once."""
    async with connected(api) as wire:
        first = await wire.get("/sessions")
        assert (first.status, first.is_quick) == (200, False)
        yield wire


async def test_a_kept_answer_is_told_again_as_it_was(wire: Wire) -> None:
    """Only its name and its date are its own."""
    quick, other = await wire.get("/sessions"), await wire.get("/sessions")

    assert quick.is_quick
    assert quick.status == 200
    assert json.loads(quick.body)["data"]["total"] == 0
    assert quick.headers["x-request-id"] != other.headers["x-request-id"]
    assert len(quick.headers["x-request-id"]) == 16
    assert quick.headers["date"].endswith("GMT")


async def test_a_kept_answer_has_the_headers_of_the_first(api: Api) -> None:
    """Caches, browsers and proxies are told the same."""
    async with connected(api) as wire:
        first, again = await wire.get("/sessions"), await wire.get("/sessions")

    assert (first.is_quick, again.is_quick) == (False, True)
    assert again.lasting == first.lasting
    assert again.body == first.body


async def test_a_caller_names_its_request(wire: Wire) -> None:
    """A sane name is taken, any other is replaced."""
    named = await wire.get("/sessions", "X-Request-ID: call-12345678")
    odd = await wire.get("/sessions", "X-Request-ID: <script>")

    assert named.is_quick
    assert named.headers["x-request-id"] == "call-12345678"
    assert "script" not in odd.headers["x-request-id"]


@pytest.mark.parametrize(
    "header", ["Authorization: Bearer x", "X-API-Key: x", "Accept: text/plain", "Expect: foo"]
)
async def test_what_is_unusual_goes_the_long_way(wire: Wire, header: str) -> None:
    """Credentials are looked at, and refusals are the application's."""
    answer = await wire.get("/sessions", header)

    assert not answer.is_quick
    assert answer.status in {401, 406, 417}


async def test_other_methods_and_addresses_go_the_long_way(wire: Wire) -> None:
    """Only this very address was answered."""
    query = await wire.get("/sessions?limit=0")
    wire.ask("DELETE /sessions")
    deleted = await wire.answer()

    assert (query.is_quick, query.status) == (False, 400)
    assert (deleted.is_quick, deleted.status) == (False, 405)


async def test_the_last_answer_of_a_connection_ends_it(wire: Wire) -> None:
    """Whoever says so is not kept."""
    answer = await wire.get("/sessions", "Connection: close")

    assert answer.status == 200
    assert await wire.is_ended()


async def test_requests_in_one_packet_are_answered_in_order(wire: Wire, api: Api) -> None:
    """Quick ones do not overtake."""
    show = uuid.uuid4()
    for line in ("GET /sessions", f"GET /sessions/{show}", "GET /sessions", "GET /healthz"):
        wire.ask(line)

    assert [(await wire.answer()).status for _ in range(4)] == [200, 404, 200, 200]
    assert (await wire.get("/sessions")).status == 200


async def test_a_request_that_comes_in_pieces_is_answered(wire: Wire) -> None:
    """A slow line is no reason to lose it."""
    wire.ask("GET /sessions", end="\r\n")
    await wire.writer.drain()
    await asyncio.sleep(0.05)
    wire.writer.write(b"X-Rest: y\r\n\r\n")
    answer = await wire.answer()

    assert (answer.status, answer.is_quick) == (200, True)


async def test_headers_that_never_end_are_cut_off_after_a_quick_answer_too(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds a connection by dawdling."""
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.2)
    assert (await wire.get("/sessions")).is_quick

    wire.ask("GET /sessions", end="\r\n")

    assert await wire.is_ended()


async def test_an_idle_connection_is_closed_after_quick_answers(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept for as long as any other, and no longer."""
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", 0.5)
    show = uuid.uuid4()

    async with running() as api, connected(api) as wire:
        beaten = await wire.beat(show, f"X-Greenroom-Viewer: {api.resources.marks.new(show)}")

        assert beaten.is_quick
        assert await wire.is_ended()


async def test_a_good_mark_is_counted(wire: Wire, api: Api) -> None:
    """It answers 204 to pages of any origin, and keeps nothing in caches."""
    show = uuid.uuid4()
    mark = api.resources.marks.new(show)

    beaten = await wire.beat(show, f"X-Greenroom-Viewer: {mark}")

    assert (beaten.status, beaten.is_quick, beaten.body) == (204, True, b"")
    assert beaten.headers["access-control-allow-origin"] == "*"
    assert beaten.headers["cache-control"] == "no-store"
    assert list(api.resources.marks._pending) == [show]


@pytest.mark.parametrize("kind", ["made up", "of another show", "not ASCII", "empty"])
async def test_a_bad_mark_goes_the_long_way(wire: Wire, api: Api, kind: str) -> None:
    """It is refused there, and counted nowhere."""
    mark = {
        "made up": "A" * 43,
        "of another show": api.resources.marks.new(uuid.uuid4()),
        "not ASCII": "é",
        "empty": "",
    }[kind]

    beaten = await wire.beat(uuid.uuid4(), f"X-Greenroom-Viewer: {mark}")

    assert not beaten.is_quick
    assert beaten.status in {400, 401, 403, 404}
    assert not api.resources.marks._pending


async def test_a_beat_with_a_body_goes_the_long_way(wire: Wire, api: Api) -> None:
    """What comes after it is still read from its beginning."""
    mark = api.resources.marks.new(show := uuid.uuid4())
    wire.ask(f"POST /sessions/{show}/heartbeat", "Content-Length: 4", f"X-Greenroom-Viewer: {mark}")
    wire.writer.write(b"GET ")
    with_body = await wire.answer()
    after = await wire.get("/sessions")

    assert (with_body.status, with_body.is_quick) == (204, False)
    assert (after.status, after.is_quick) == (200, True)


async def test_each_quick_answer_has_its_line(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route and not the address; no known secret, even when it was offered for a name."""
    lines: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(logs, "_plain_lines", [lambda *line: lines.append(line)])
    monkeypatch.setattr(redaction, "_remembered", redaction._Remembered())
    logs.remember_secret("stream-key-of-somebody")

    named = await wire.get("/sessions", "X-Request-ID: call-12345678")
    secret = await wire.get("/sessions", "X-Request-ID: stream-key-of-somebody")

    assert named.is_quick
    assert secret.is_quick
    (event, first), (_, second) = lines
    assert event == "request_done"
    assert first.pop("seconds") >= 0
    assert first == {
        "request_id": "call-12345678",
        "method": "GET",
        "route": "/sessions",
        "status": 200,
        "bytes": len(named.body),
    }
    assert second["request_id"] == "[redacted]"

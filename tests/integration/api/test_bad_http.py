"""What is no HTTP, or dawdles: refused as a problem document, cut, and changes nothing."""

import asyncio
import json
from contextlib import suppress
from itertools import product

import pytest

from api import bodies, server
from tests.integration.api.client import Api, People

#: Long enough that only a connection that is held for ever gets there.
PATIENCE_SECONDS = 30


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line, b"Host: x", *headers, b"", body))


CLOSE = b"Connection: close"
BAD = (400, "bad-request")
NOWHERE = (404, "not-found")
NO_ID = (400, "invalid-id")
JSON = b"Content-Type: application/json"
ROOMS, POST = b"GET /rooms HTTP/1.1", b"POST /rooms HTTP/1.1"
SCRIPT = b"GET /static/pages/watch.js HTTP/1.1"
NEVER = b"1 Jan 99999999999 00:00:00 GMT"
TYPE = (415, "unsupported-media-type")
LOGIN = b"POST /auth/login HTTP/1.1"
#: More headers than anybody sends.
MANY = tuple(b"X-%d: a" % number for number in range(200))
CHUNKED = b"Transfer-Encoding: chunked"
# fmt: off
#: Bytes on the wire: what they are answered, and that the connection ends.
WIRE: dict[str, tuple[bytes, tuple[int, str]]] = {
    "B23 both lengths": (
        request(POST, b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
        BAD,
    ),
    "B24 two lengths": (
        request(POST, b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
        BAD,
    ),
    "B24 negative length":    (request(POST, b"Content-Length: -5", body=b"hello"), BAD),
    "B25 two hosts":          (request(ROOMS, b"Host: y"), BAD),
    "B25 no host":            (b"GET /rooms HTTP/1.1\r\n\r\n", BAD),
    "B26 folded header":      (request(ROOMS, b"X-A: b", b" c"), BAD),
    "B26 NUL in a header":    (request(ROOMS, b"X-A: b\0c"), BAD),
    "B26 CR in a header":     (request(ROOMS, b"X-A: b\rc"), BAD),
    "B28 long target": (
        request(b"GET /" + b"a" * 9_000 + b" HTTP/1.1"),
        (414, "uri-too-long"),
    ),
    "B29 long header":        (request(ROOMS, b"X-A: " + b"a" * 9_000), (431, "headers-too-large")),
    "B29 many headers":       (request(ROOMS, *MANY), (431, "headers-too-large")),
    "B30 TLS":                (bytes.fromhex("16030100b8010000b403"), BAD),
    "B30 junk":               (b"hello there\r\n\r\n", BAD),
    "B30 HTTP/2":             (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "B30 HTTP/3.7":           (request(b"GET /rooms HTTP/3.7"), BAD),
    "B30 raw UTF-8":          (request("GET /rooms/é HTTP/1.1".encode()), BAD),
    "B31 FOO":                (request(b"FOO /rooms HTTP/1.1"), (501, "method-unknown")),
    "B31 TRACE": (
        request(b"TRACE /rooms HTTP/1.1", CLOSE),
        (405, "method-not-allowed"),
    ),
    "B33 two slashes":        (request(b"GET //rooms HTTP/1.1", CLOSE), NOWHERE),
    "B33 slashes inside":     (request(b"GET /rooms//my HTTP/1.1", CLOSE), NOWHERE),
    "B33 dots":               (request(b"GET /rooms/../../etc/passwd HTTP/1.1", CLOSE), NOWHERE),
    "B34 Expect":             (request(ROOMS, b"Expect: foo", CLOSE), (417, "expectation-failed")),
    "B34 Expect nowhere": (
        request(b"GET /nothing HTTP/1.1", b"Expect: foo", CLOSE),
        (417, "expectation-failed"),
    ),
    "B36 NUL in an id":       (request(b"GET /rooms/%00 HTTP/1.1", CLOSE), NO_ID),
    "B37 escaped dots":       (request(b"GET /rooms/..%2f..%2fetc HTTP/1.1", CLOSE), NO_ID),
    "bad escape":             (request(b"GET /rooms/%zz HTTP/1.1", CLOSE), NO_ID),
    "bad UTF-8, escaped":     (request(b"GET /rooms/%ff?a=%ff HTTP/1.1", CLOSE), NO_ID),
    "B14 type's name alone": (
        request(LOGIN, b"Content-Type: application/json; charset*", CLOSE),
        TYPE,
    ),
    "B14 type of digits": (
        request(LOGIN, b"Content-Type: application/json; x*" + b"1" * 5_000, CLOSE),
        TYPE,
    ),
    "B14 no type":            (request(LOGIN, b"Content-Length: 2", CLOSE, body=b"{}"), TYPE),
    "B42 no UTF-8": (
        request(ROOMS, b"Authorization: Bearer \xff\xfe", CLOSE),
        (401, "invalid-token"),
    ),
    "B42 no UTF-8 in parts": (
        request(ROOMS, b"Authorization: Bearer \xff.\xfe.\xfd", CLOSE),
        (401, "invalid-token"),
    ),
    "B42 no UTF-8 in a key": (
        request(ROOMS, b"X-API-Key: grk_\xff", CLOSE),
        (401, "unauthenticated"),
    ),
    "a date of no year":      (request(SCRIPT, b"If-Modified-Since: " + NEVER, CLOSE), BAD),
    "a range of no year":     (request(SCRIPT, b"If-Range: " + NEVER, CLOSE), BAD),
    "bad chunk":              (request(LOGIN, JSON, CHUNKED, body=b"zz\r\nhello\r\n"), BAD),
}
# fmt: on


async def exchange(api: Api, wire: bytes) -> bytes:
    """Send bytes and read until the other side ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        writer.write(wire)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("case", WIRE)
async def test_what_is_no_http_is_a_problem_document(api: Api, case: str) -> None:
    """Never text/plain, never 5xx but for a method nobody has, and the connection ends."""
    wire, (status, slug) = WIRE[case]

    head, _, body = (await exchange(api, wire)).partition(b"\r\n\r\n")

    assert int(head.split(b" ")[1]) == status
    assert b"content-type: application/problem+json" in head.lower()
    problem = json.loads(body)
    assert (problem["status"], problem["error"]) == (status, slug)


async def test_the_authority_of_an_absolute_target_is_ignored(api: Api) -> None:
    """B27: links are made from our own settings, never from what a request says we are called."""
    wire = request(b"GET https://evil.example/rooms HTTP/1.1", CLOSE)

    answer = await exchange(api, wire)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"evil" not in answer


async def test_half_a_header_is_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """B22: who has not sent its headers in time is cut off, also when it sends drop by drop."""
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)

    async def drip() -> None:
        while True:
            writer.write(b"X")
            await asyncio.sleep(0.05)

    writer.write(b"GET /rooms HTTP/1.1\r\nX-Slow: ")
    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(PATIENCE_SECONDS):
        # When the cut comes between two drops, it is seen as an error.
        with suppress(ConnectionError):
            assert await reader.read() == b""

    dripping.cancel()
    writer.close()


async def test_a_second_request_has_its_own_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for headers begins with their first byte, not with the connection."""
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)

    for _ in range(3):
        writer.write(request(b"GET /healthz HTTP/1.1"))
        assert b"200" in await reader.readline()
        while await reader.readline() != b"\r\n":
            pass
        await reader.readexactly(len(b'{"status":"ok"}'))
        await asyncio.sleep(0.25)

    writer.close()


async def test_half_a_body_is_408(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B21: who has not sent its body in time is told so, and cut off."""
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.2)
    token = f"Authorization: Bearer {api.token(people.host)}".encode()
    wire = request(
        b"POST /rooms HTTP/1.1",
        token,
        b"Content-Type: application/json",
        b"Content-Length: 100",
        body=b'{"title":',
    )

    head, _, body = (await exchange(api, wire)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body)["error"] == "request-timeout"


async def test_a_caller_that_asks_first_is_told_to_go_on(api: Api, people: People) -> None:
    """`Expect: 100-continue`, which curl sends with larger bodies."""
    got = await api("POST", "/rooms", by=people.host, json={"title": "Large"}, expect100=True)

    assert got.status == 201


async def test_many_idle_connections_keep_nobody_out(api: Api) -> None:
    """B89: connections that say nothing cost a socket, and others are served."""
    idle = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(300)]

    assert (await api("GET", "/healthz")).status == 200

    for _, writer in idle:
        writer.close()


async def test_pipelined_requests_are_answered_in_turn(api: Api) -> None:
    """B89: as many as somebody likes to send, without being kept in memory all at once."""
    wire = request(b"GET /healthz HTTP/1.1") * 500 + request(b"GET /healthz HTTP/1.1", CLOSE)

    answer = await exchange(api, wire)

    assert answer.count(b"HTTP/1.1 200") == 501


#: Headers that something of ours or of aiohttp's reads.
READ = (
    *("Accept", "Authorization", "Content-Encoding", "Content-Length", "Content-Type", "Cookie"),
    *("Expect", "Forwarded", "Host", "Idempotency-Key", "If-Match", "If-Modified-Since"),
    *("If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Event-ID", "Origin", "Prefer"),
    *("Range", "Referer", "Traceparent", "Upgrade", "User-Agent", "X-API-Key", "X-Forwarded-For"),
    *("X-Forwarded-Proto", "X-Real-IP", "X-Request-ID", "Access-Control-Request-Method"),
)
#: Bytes that are no UTF-8, a year, a number or a token of anybody.
NONSENSE = (b"\xff\xfe", b"99999999999999999999", b"=;,*'\"", b"1 Jan 99999999999 00:00:00 GMT")


async def test_no_header_breaks_an_answer(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in it: refused or ignored, never an error of ours or a cut connection."""
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.2)
    token = f"Authorization: Bearer {api.token(people.host)}".encode()
    asked = (
        (b"GET /rooms/my HTTP/1.1", b""),
        (SCRIPT, b""),
        (POST, b'{"title":"A room"}'),
        (b"POST /livekit/webhook HTTP/1.1", b"{}"),
    )
    for name, value, (line, body) in product(READ, NONSENSE, asked):
        given = {
            "Authorization": token,
            "Content-Type": JSON,
            "Content-Length": b"Content-Length: %d" % len(body),
            name: name.encode() + b": " + value,
        }
        answer = await exchange(api, request(line, *given.values(), CLOSE, body=body))
        status = answer.split(b" ", 2)[1:2]
        assert status, (line, name, value)
        assert int(status[0]) < 500, (line, name, value, answer[:300])

"""When something is wrong on our side, or somebody asks too much."""

import ipaddress
from typing import Any

import pytest
import structlog

from api import cache, limits
from api.routes import Answer, Call, Replay, Route, Speaks, Who
from orchestration.database import Database, DatabaseUnavailable
from tests.integration.api.client import Api, People
from tests.integration.api.conftest import Running


async def boom(call: Call) -> Answer:
    raise RuntimeError("a secret of our insides")


async def unspeakable(call: Call) -> Answer:
    return Answer({"thing": object()})


ROUTES = (
    Route("GET", "/boom", boom, Who.PUBLIC, "", answer=dict[str, Any]),
    Route("GET", "/unspeakable", unspeakable, Who.PUBLIC, "", answer=dict[str, Any]),
    Route("GET", "/kept", boom, Who.PUBLIC, "", answer=dict[str, Any], is_cached=True),
    Route("POST", "/boom", boom, Who.STRANGER, "", replay=Replay.HARMLESS),
    Route("GET", "/raw", boom, Who.PUBLIC, "", speaks=Speaks.RAW, content_type="text/html"),
)


@pytest.fixture
def stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no bucket refill, however long the requests of a test take."""
    monkeypatch.setattr(limits, "monotonic", lambda: 0.0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/boom"),
        ("GET", "/unspeakable"),
        ("GET", "/kept"),
        ("POST", "/boom"),
        ("GET", "/raw"),
    ],
)
async def test_what_nobody_expected_is_500_without_our_insides(
    running: Running, method: str, path: str
) -> None:
    """Logged once, with the traceback and the id that the caller was told."""
    async with running(ROUTES) as api:
        with structlog.testing.capture_logs() as lines:
            got = await api(method, path, headers={"X-Request-ID": "told-by-the-caller"})

        assert got.problem == (500, "internal-error")
        assert b"secret" not in got.raw
        assert b"Traceback" not in got.raw
        assert got.json["instance"] == "told-by-the-caller"
        errors = [line for line in lines if line["log_level"] == "error"]
        assert len(errors) == 1
        assert isinstance(errors[0]["exc_info"], Exception)


async def test_a_database_that_does_not_answer_is_503(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B90: with Retry-After, whoever asks, and nothing is kept of it."""

    def gone(_: Database) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(Database, "read", gone)
    monkeypatch.setattr(Database, "begin", gone)

    for method, path, by in (
        ("GET", "/rooms", None),
        ("GET", "/rooms/my", people.host),
        ("POST", "/auth/logout", None),
    ):
        body = {"refresh_token": "x"} if method == "POST" else None
        got = await api(method, path, by=by, json=body)
        assert got.problem == (503, "service-unavailable")
        assert int(got.headers["Retry-After"]) >= 1
    assert (await api("GET", "/healthz")).status == 200
    monkeypatch.undo()
    assert (await api("GET", "/rooms")).status == 200


@pytest.mark.usefixtures("stands_still")
async def test_one_caller_may_ask_so_often(running: Running, people: People) -> None:
    """B51, B87: per user or address, whatever it says of where it comes from."""
    async with running(rate_limit_per_second=5) as api:
        for _ in range(5):
            assert (await api("GET", "/rooms/my", by=people.host)).status == 200
        refused = await api("GET", "/rooms/my", by=people.host)
        assert refused.problem == (429, "rate-limited")
        assert int(refused.headers["Retry-After"]) >= 1
        # Somebody else is not held back by that.
        assert (await api("GET", "/rooms/my", by=people.colleague)).status == 200

        for number in range(4):
            spoofed = {"X-Forwarded-For": str(ipaddress.ip_address(number))}
            await api("POST", "/auth/logout", json={"refresh_token": "x"}, headers=spoofed)
        found = [
            await api("GET", "/rooms/my", headers={"Authorization": "Bearer a.b.c"})
            for _ in range(2)
        ]
        assert [got.status for got in found] == [401, 429]


@pytest.mark.usefixtures("stands_still")
async def test_what_is_kept_is_not_counted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd behind one address may watch one show."""
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    async with running(rate_limit_per_second=2) as api:
        found = [await api("GET", "/rooms") for _ in range(20)]

        assert {got.status for got in found} == {200}


@pytest.mark.usefixtures("stands_still")
async def test_a_proxy_is_believed_when_the_operator_says_so(running: Running) -> None:
    """And then only its own word, the last one."""
    async with running(rate_limit_per_second=2, trust_forwarded_for=True) as api:

        async def ask(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return (
                await api("POST", "/auth/logout", json={"refresh_token": "x"}, headers=headers)
            ).status

        found = [await ask(f"10.0.0.{number}, 192.0.2.1") for number in range(3)]

        assert found == [200, 200, 429]
        assert await ask("192.0.2.2") == 200

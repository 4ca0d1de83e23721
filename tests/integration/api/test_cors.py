"""Pages of other origins: the listed may call, the others may read what is open to all."""

import pytest

from api.app import ROUTES
from api.routes import Speaks, Who
from tests.integration.api.client import People
from tests.integration.api.conftest import Running

LISTED = "https://shows.example.com"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_a_listed_page_may_call(running: Running, people: People) -> None:
    """Also when its answer is a problem; other pages are told nothing."""
    async with running(cors_origins=(LISTED,)) as api:
        asked = await api("OPTIONS", "/rooms", headers={"Origin": LISTED, **ASKS})
        called = await api("GET", "/rooms/my", by=people.host, headers={"Origin": LISTED})
        refused = await api("GET", "/rooms/my", headers={"Origin": LISTED})
        other = await api(
            "GET", "/rooms/my", by=people.host, headers={"Origin": "https://x.example"}
        )

        assert asked.status == 204
        for got in (asked, called, refused):
            assert got.headers["Access-Control-Allow-Origin"] == LISTED
            assert "Access-Control-Allow-Credentials" not in got.headers
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Origin" not in other.headers
        assert "Origin" in other.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{LISTED}.evil.example"])
async def test_other_pages_may_not(running: Running, origin: str) -> None:
    """B86: the answer never repeats the origin."""
    async with running(cors_origins=(LISTED,)) as api:
        got = await api("OPTIONS", "/rooms", headers={"Origin": origin, **ASKS})

        assert got.problem == (403, "cors-denied")
        assert "Access-Control-Allow-Origin" not in got.headers


async def test_what_is_open_is_open_to_all(running: Running) -> None:
    """Without credentials only: a page's script cannot send a key along."""
    async with running() as api:
        asks = {"Origin": "https://blog.example", "Access-Control-Request-Method": "GET"}

        asked = await api("OPTIONS", "/rooms", headers=asks)
        read = [
            await api("GET", "/rooms", headers={"Origin": "https://blog.example"}) for _ in "ab"
        ]

        for got in (asked, *read):
            assert got.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" not in asked.headers["Access-Control-Allow-Headers"]
        assert "POST" not in asked.headers["Access-Control-Allow-Methods"]


async def test_options_without_an_origin_tells_the_methods(running: Running) -> None:
    async with running() as api:
        got = await api("OPTIONS", "/rooms")

        assert got.status == 204
        assert got.headers["Allow"] == "GET, HEAD, POST, OPTIONS"


def test_only_what_is_public_is_open() -> None:
    """And nothing that makes or changes a thing by a caller's right."""
    for route in ROUTES:
        if route.is_open:
            assert route.who is Who.PUBLIC, route.path
            assert route.method == "GET" or route.speaks is Speaks.RAW, route.path

"""The watch page and its files, as the API serves them."""

import re
import uuid
from pathlib import Path

import pytest

from api import watch_page
from tests.integration.api.client import Api
from tests.integration.api.sessions.conftest import Shows

PAGES = Path(watch_page.PAGES)


async def test_every_show_has_its_page(shows: Shows) -> None:
    """For everybody; what it loads is there, and the policy lets nothing else run."""
    show = await shows.announce()

    got = await shows.api("GET", f"/watch/{show}")
    page = got.raw.decode()
    files = set(re.findall(r'"\.\./(static/[^"]+)"', page))

    assert got.status == 200
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in got.headers["Content-Security-Policy"]
    assert "unsafe" not in got.headers["Content-Security-Policy"]
    assert files
    for file in files:
        assert (await shows.api("GET", f"/{file}")).status == 200


@pytest.mark.parametrize("show", [str(uuid.uuid4()), "x", "%F0%9F%8E%AC", "..%2f..%2fetc"])
async def test_a_show_that_is_not_there_has_a_page_that_says_so(api: Api, show: str) -> None:
    """404, for people."""
    async with api.http.get(f"{api.url}/watch/{show}") as got:
        page = await got.text()

    assert got.status == 404
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>" in page


@pytest.mark.parametrize("name", sorted(path.name for path in PAGES.iterdir()))
async def test_only_what_pages_are_made_of_is_served(api: Api, name: str) -> None:
    """Styles, scripts and pictures, as what they are."""
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    kind = kinds.get(Path(name).suffix)

    got = await api("GET", f"/static/pages/{name}")

    if kind is None:
        assert got.status == 404
    else:
        assert got.raw == (PAGES / name).read_bytes()
        assert got.headers["Content-Type"] == f"{kind}; charset=utf-8"
        known = {"If-None-Match": got.headers["ETag"]}
        assert (await api("GET", f"/static/pages/{name}", headers=known)).status == 304


@pytest.mark.parametrize(
    "name", ["..%2fapp.py", "%2e%2e%2fapp.py", "watch.html", "x.css", "a%00.js"]
)
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    """404."""
    async with api.http.get(f"{api.url}/static/pages/{name}") as got:
        assert got.status == 404


async def test_the_player_comes_from_here(api: Api) -> None:
    """hls.js as npm's lock has it; nothing else of node_modules is served."""
    got = await api("GET", "/static/vendor/hls.js/hls.min.js")

    assert got.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"Hls" in got.raw
    for path in ("hls.js/package.json", "hls.js", "x"):
        assert (await api("GET", f"/static/vendor/{path}")).status == 404

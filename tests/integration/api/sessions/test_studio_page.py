"""The studio page and its files, as the API serves them."""

import re
import uuid

import pytest

from tests.integration.api.client import Api
from tests.integration.api.sessions.conftest import Shows


async def test_every_show_has_its_studio(shows: Shows) -> None:
    """For everybody to log in at; what it loads is there, and nothing else may run."""
    show = await shows.announce()

    got = await shows.api("GET", f"/studio/{show}")
    policy = got.headers["Content-Security-Policy"]
    files = set(re.findall(r'"\.\./(static/[^"]+)"', got.raw.decode()))

    assert got.status == 200
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert got.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=(self)" in got.headers["Permissions-Policy"]
    assert files
    for file in files:
        assert (await shows.api("GET", f"/{file}")).status == 200


async def test_scripts_load_only_scripts_that_are_there(shows: Shows) -> None:
    """Every module that a page's module imports is served, too."""
    asked, known = ["studio.js", "watch.js"], set()
    while asked:
        name = asked.pop()
        if name in known:
            continue
        known.add(name)
        got = await shows.api("GET", f"/static/pages/{name}")
        assert got.status == 200, name
        asked += re.findall(r'from "\./([a-z_]+\.js)"', got.raw.decode())

    assert {"account.js", "wire.js", "broadcaster.js", "situation.js"} <= known


@pytest.mark.parametrize("show", [str(uuid.uuid4()), "x", "..%2f..%2fetc"])
async def test_a_show_that_is_not_there_has_no_studio(api: Api, show: str) -> None:
    """404, for people."""
    async with api.http.get(f"{api.url}/studio/{show}") as got:
        page = await got.text()

    assert got.status == 404
    assert "<h1>" in page


async def test_livekits_client_comes_from_here(api: Api) -> None:
    """As npm's lock has it; nothing else of it is served."""
    got = await api("GET", "/static/vendor/livekit-client/livekit-client.umd.js")

    assert got.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"LivekitClient" in got.raw
    for path in ("livekit-client/package.json", "livekit-client/livekit-client.esm.mjs"):
        assert (await api("GET", f"/static/vendor/{path}")).status == 404

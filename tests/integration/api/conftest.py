"""An API that listens, over a database of its own, with Redis and LiveKit gone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.app import ROUTES, make_app
from api.routes import Route
from api.server import serving
from orchestration.resources import Resources, open_resources
from orchestration.settings import Settings
from tests.integration.api.client import Api, People

#: Long enough for the rules on secrets, and known to nobody.
SECRET = "a secret of these tests that opens nothing else"
Running = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def settings(tmp_path: Path, tables_url: str) -> Settings:
    """Give settings with which nothing but the database is there."""
    return Settings(
        database_url=tables_url,
        redis_url="redis://127.0.0.1:1/0",
        media_url=f"file://{tmp_path / 'media'}",
        livekit_url="http://127.0.0.1:1",
        jwt_secret=SECRET,
        rate_limit_per_second=100_000,
    )


@pytest.fixture
async def resources(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Resources]:
    """Open what the API stands on, with empty tables."""
    # The machine that runs the tests may stand still for longer than a caller would wait.
    monkeypatch.setattr("orchestration.resources.CALLERS_SECONDS", 60.0)
    async with open_resources(settings, role="api") as opened:
        yield opened


@pytest.fixture
def running(resources: Resources) -> Running:
    """Give a way to run the API with other routes or settings."""

    @asynccontextmanager
    async def run(routes: tuple[Route, ...] = ROUTES, **changes: Any) -> AsyncIterator[Api]:
        resources.settings = resources.settings.model_copy(update=changes)
        app = make_app(resources, routes=routes)
        async with (
            serving(app, "127.0.0.1", 0) as port,
            aiohttp.ClientSession() as http,
        ):
            yield Api(resources, port, http, routes, base=resources.settings.base_path)

    return run


@pytest.fixture
async def api(running: Running) -> AsyncIterator[Api]:
    """Run the whole API."""
    async with running() as api:
        yield api


@pytest.fixture
async def people(resources: Resources) -> People:
    """Let two organizations' people move in."""
    return await People.move_in(resources)

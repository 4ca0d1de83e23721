"""What tests of the watch page may ask for: footage, a studio, viewers on phone and desktop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser

from tests.browser import studio as studios
from tests.browser.broadcast import Broadcast
from tests.browser.footage import Footage, film
from tests.browser.studio import Studio
from tests.browser.viewer import Viewer
from tests.system.chromium import DESKTOP

Visit = Callable[..., Awaitable[Viewer]]


@pytest.fixture(scope="session")
def takes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Footage, ...]:
    """Film two takes once, longer than any test lasts, also on a busy machine."""
    return film(tmp_path_factory.mktemp("footage"), seconds=(120, 120))


@pytest.fixture
def broadcast(takes: tuple[Footage, ...]) -> Broadcast:
    return Broadcast(takes)


@pytest.fixture
async def studio(broadcast: Broadcast) -> AsyncIterator[Studio]:
    async with studios.running(broadcast) as running:
        yield running


@pytest.fixture
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    """Open an address as a new viewer, after running a script; in the end no page may complain."""
    async with AsyncExitStack() as stack:
        viewers: list[Viewer] = []

        async def open_page(url: str, *, script: str = "", **options: object) -> Viewer:
            context = await chromium.new_context(
                **{"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "Europe/Berlin"} | options
            )
            stack.push_async_callback(context.close)
            await context.add_init_script(script)
            viewer = Viewer(await context.new_page())
            viewers.append(viewer)
            await viewer.page.goto(url)
            return viewer

        yield open_page
        for viewer in viewers:
            assert viewer.complaints == []

"""One whole show in a browser: real API, worker, stand-in, encoder and page, nothing planted."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.product import product
from tests.acceptance.show import announce
from tests.browser.conftest import Visit
from tests.browser.viewer import Viewer
from tests.system.chromium import PHONE
from tests.system.waits import until

pytestmark = [pytest.mark.browser, pytest.mark.media]

#: How long the encoder is away: longer than what a player has in hand.
DROP_SECONDS = 5
#: Two cores encode, ingest, encode again, package and play at once.
PATIENCE = 120.0


async def test_a_viewer_sees_a_whole_show(tmp_path: Path, database_url: str, visit: Visit):
    """Waits before it, plays, is counted, rides out a drop, and plays it again afterwards."""
    async with product(tmp_path, database_url=database_url) as whole:
        show = await announce(
            await whole.host(),
            scheduled_start_time=(datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        )
        viewer = await visit(f"{whole.url}/watch/{show.id}", viewport=PHONE)
        await viewer.page.evaluate("window.isTheSamePage = true")
        await viewer.sees("scheduled")
        await assert_in_order(viewer)

        await show.go_live()
        await viewer.sees("waiting")
        await assert_in_order(viewer)

        encoder = await whole.encoder(show)
        await viewer.sees("live", within=PATIENCE)
        await viewer.sees_motion(within=PATIENCE)
        assert await viewer.hears() > 0.01
        await until(
            lambda: _is_counted(viewer), what="the viewer being counted and shown", within=PATIENCE
        )
        await assert_in_order(viewer)

        encoder.kill()
        await viewer.sees("reconnecting", within=PATIENCE)
        await assert_in_order(viewer)
        await asyncio.sleep(DROP_SECONDS)
        before = await viewer.sees_picture(within=PATIENCE)
        await whole.encoder(show)
        await viewer.sees("live", within=PATIENCE)
        # The new encoder counts its pictures from 0 again.
        await until(lambda: _is_before(viewer, before), what="the new picture", within=PATIENCE)
        await viewer.sees_motion()
        assert await viewer.hears() > 0.01

        await show.end()
        await viewer.sees("replay", within=PATIENCE)
        await assert_in_order(viewer)
        await viewer.page.click("#action")
        await viewer.sees("replaying")
        await viewer.sees_motion()
        assert await viewer.hears() > 0.01
        await assert_in_order(viewer)
        assert await viewer.page.evaluate("window.isTheSamePage")


async def assert_in_order(viewer: Viewer) -> None:
    """Nothing scrolls sideways, and axe finds nothing."""
    assert await viewer.sideways_pixels() == 0
    assert await viewer.axe_violations() == []


async def _is_counted(viewer: Viewer) -> bool:
    return await viewer.text("#viewers") == "1 watching"


async def _is_before(viewer: Viewer, frame: int) -> bool:
    return 0 <= await viewer.frame() < frame

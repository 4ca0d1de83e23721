"""One whole show from the studio: real API, worker, stand-in and encoder, nothing planted."""

from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.product import product
from tests.acceptance.show import announce
from tests.browser.conftest import Visit
from tests.browser.viewer import Viewer
from tests.system.waits import until

pytestmark = [pytest.mark.browser, pytest.mark.media]

LAPTOP = {"width": 1280, "height": 800}
#: Two cores encode, ingest, encode again, package and play at once.
PATIENCE = 120.0


async def test_a_host_runs_a_whole_show_from_the_studio(
    tmp_path: Path, database_url: str, visit: Visit
):
    """Checks, opens, goes live with an encoder, sees a drop and the API gone, ends, is told."""
    async with product(tmp_path, database_url=database_url) as whole:
        host = await whole.host()
        show = await announce(host)
        page = await visit(f"{whole.url}/studio/{show.id}#token={host.token}", viewport=LAPTOP)
        await reads(page, "#headline", "Nothing is open yet")
        await until(lambda: is_checked(page), what="the checks", within=PATIENCE, every=0.5)

        await page.page.click("#open")
        await reads(page, "#headline", "The green room is open, waiting for your picture")
        await page.page.wait_for_selector("#addresses", state="visible")
        show.live = {
            "rtmp": {
                "url": await page.page.input_value("#rtmp-url"),
                "stream_key": await shown_key(page),
            }
        }
        encoder = await whole.encoder(show)
        await reads(page, "#headline", "Your picture is here")
        await assert_in_order(page)

        await page.page.click("#go-live")
        await reads(page, "#headline", "You are live")
        await until(lambda: is_measured(page), what="the bit rate to viewers", within=PATIENCE)
        await page.page.wait_for_selector("#screen[data-view=program]")
        await assert_in_order(page)

        assert whole.api is not None
        whole.api.kill()
        await page.page.wait_for_selector("#toast", state="visible")
        await whole.start_api()
        await page.page.wait_for_selector("#toast", state="hidden")

        encoder.kill()
        await reads(page, "#headline", "Your picture is gone")
        await whole.encoder(show)
        await reads(page, "#headline", "You are live")
        assert await page.page.evaluate(DROPS) == "1"

        await page.page.click("#end")
        await page.page.click("#end-yes")
        await reads(page, "#headline", "The show is over")
        await page.page.wait_for_selector("#recording-download", state="visible")
        for sentence in ("You went live", "Your picture was lost", "The show is over"):
            await until(partial(_is_told_once, page, sentence), what=f"the event {sentence!r}")
        numbers = await page.page.evaluate(NUMBERS)
        assert numbers == sorted(set(numbers), reverse=True)
        await assert_in_order(page)


#: The figure under "Drops".
DROPS = """[...document.querySelectorAll("#gauges div")]
    .find((one) => one.textContent.startsWith("Drops")).querySelector("dd").textContent"""
#: The numbers of the events on the page.
NUMBERS = """[...document.querySelectorAll("#events time")]
    .map((time) => +/event ([0-9]+)/.exec(time.title)[1])"""


async def shown_key(page: Viewer) -> str:
    await page.page.click("#rtmp-reveal")
    return await page.page.input_value("#rtmp-key")


async def is_checked(page: Viewer) -> bool:
    """Run the checks, again when one took longer than its limit, as on a busy machine."""
    said = await page.text("#preflight-line")
    if said.startswith("Nothing is wrong;"):
        return True
    if await page.page.is_enabled("#preflight-run"):
        await page.page.click("#preflight-run")
    raise AssertionError(f"it says {said!r}")


async def is_measured(page: Viewer) -> bool:
    return "bit/s" in await page.text("#gauges")


async def assert_in_order(page: Viewer) -> None:
    """Nothing scrolls sideways, and axe finds nothing."""
    assert await page.sideways_pixels() == 0
    assert await page.axe_violations() == []


async def _is_told_once(page: Viewer, sentence: str) -> bool:
    """Look for an event; it may come a moment after the headline."""
    told = await page.text("#events")
    assert told.count(sentence) == 1, told
    return True


async def reads(page: Viewer, selector: str, text: str) -> None:
    """Wait until an element has this text."""
    await until(
        lambda: _is(page, selector, text), what=f"{selector} to say {text!r}", within=PATIENCE
    )


async def _is(page: Viewer, selector: str, text: str) -> bool:
    seen = await page.text(selector)
    assert seen == text, f"it says {seen!r}"
    return True

"""The tests' browser is a real one that plays what viewers' browsers play."""

import pytest
from playwright.async_api import Browser

from tests.system.chromium import PHONE

pytestmark = pytest.mark.browser


async def test_a_page_is_laid_out_at_the_width_of_a_phone(chromium: Browser):
    """Screenshots and overflow checks are worth something."""
    page = await chromium.new_page(viewport=PHONE)
    await page.set_content("<p style='width:100%;margin:0'>Hello</p>")

    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_it_plays_h264_and_aac(chromium: Browser):
    """HLS in this project is H264 and AAC: without them no test of playback means anything."""
    page = await chromium.new_page()

    assert await page.evaluate(
        "MediaSource.isTypeSupported('video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"')"
    )

"""Debian's Chromium, driven by Playwright, as a viewer's browser."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, ViewportSize, async_playwright

#: What a browser without a person, a screen or a way out to the internet needs.
FLAGS = (
    "--no-sandbox",  # the tests may run as root, for whom the sandbox refuses to start
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers often have a tiny /dev/shm
    "--no-first-run",
    "--disable-background-networking",  # or it looks up its maker's hosts at every start
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",  # nobody is there to click on play
)
#: Widths and heights of the two screens that every page is looked at on.
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1440, "height": 900}


@asynccontextmanager
async def running(*flags: str) -> AsyncIterator[Browser]:
    """Run a browser, with more flags if a test needs them, for the length of a block."""
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: run `make test` once"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, headless=True, args=[*FLAGS, *flags]
        )
        try:
            yield browser
        finally:
            await browser.close()

"""`make demo LIVEKIT=real`: a show on the real plane, from the first process to the last."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.demo import start, worked
from tests.plane.real import BUILD_SECONDS
from tests.plane.whip import FLAGS
from tests.system import chromium
from tests.system.processes import Process
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

#: Building, which is once, and a show of a few seconds on a busy machine.
SHOW_SECONDS = BUILD_SECONDS + 300
#: Chromium encodes, LiveKit forwards, the egress encodes again, on two cores.
SEEN_SECONDS = 180.0


def demo(folder: Path, **more: str) -> Process:
    """Type the command."""
    return start(["make", "--no-print-directory", "demo", "LIVEKIT=real"], folder, **more)


async def preflight(api: str, session_id: str, token: str) -> list[dict[str, Any]]:
    """Ask whether the show could go live: every address that could be asked is known."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{api}/sessions/{session_id}/preflight"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        checks: list[dict[str, Any]] = (await answer.json())["data"]["checks"]
        return checks


@pytest_asyncio.fixture(loop_scope="session")
async def show(tmp_path: Path) -> AsyncIterator[Process]:
    """Run the demo until somebody ends it."""
    running = demo(tmp_path)
    try:
        yield running
    finally:
        await asyncio.to_thread(running.stop)


async def test_the_demo_on_the_real_plane_worked_and_leaves_nothing(tmp_path: Path) -> None:
    """It ends by itself; exit code 0 says that going live, watching and recording all were so."""
    # Within it a viewer is counted: a mark is flushed, a round of counting comes, and is written.
    show = demo(tmp_path, GREENROOM_DEMO_SECONDS="25")
    try:
        addresses = ("/watch/", "/studio/", "index.m3u8", "rtmp://", "/docs", "Host token")
        report = ("the real one", "verified", "peak viewers               1", "playable")
        await worked(show, (*addresses, *report), within=SHOW_SECONDS)
    finally:
        await asyncio.to_thread(show.stop)


@pytest.mark.browser
async def test_a_camera_in_the_studio_takes_the_place_of_the_test_picture(
    show: Process, tmp_path: Path
) -> None:
    """And gives it back when it goes; Ctrl-C then ends the show, and all its processes."""

    def segments_of(take: int) -> int:
        return len(list(tmp_path.glob(f"media/hls/*/{take}/*.ts")))

    await show.says("Ctrl-C ends the show", within=SHOW_SECONDS)
    studio = re.search(r"(http\S+)/studio/(\S+)#token=(\S+)", show.log())
    assert studio is not None
    api, session_id, token = studio.groups()

    async def is_well() -> bool:
        checks = await preflight(api, session_id, token)
        assert {check["ok"] for check in checks} == {True}, checks
        return True

    # Each check has a limit of some seconds, which a busy machine may exceed.
    await until(is_well, what="every check to be well", within=SEEN_SECONDS, every=1.0)

    async with chromium.running(*FLAGS) as browser:
        page = await browser.new_page(locale="en-GB")
        await page.goto(studio[0])
        await page.click("#camera:not([disabled])")
        await show.says("the picture now comes from the host's browser", within=SEEN_SECONDS)
        await until(lambda: segments_of(2) > 1, what="the camera's segments", within=SEEN_SECONDS)
        await page.click("#camera[aria-pressed=true]")
        await show.says("the picture now comes by RTMP", within=SEEN_SECONDS)
        await until(lambda: segments_of(3) > 1, what="the test picture's", within=SEEN_SECONDS)

    # In a terminal Ctrl-C reaches the demo and the `make` that waits for it.
    os.killpg(show.pid, signal.SIGINT)

    await show.ended(within=SEEN_SECONDS)
    assert "The show worked." in show.log(), show.log()
    assert "frozen" not in show.log()
    show.assert_nothing_left()

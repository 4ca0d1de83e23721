"""`make demo`'s show, on a real RTMP push, from the first process to the last."""

import re
import sys
from pathlib import Path

import psutil
import pytest

from deploy import testcard
from tests.acceptance.demo import start, worked
from tests.system import processes
from tests.system.processes import Process
from tests.system.waits import until

#: Longer than a busy machine takes for a whole show of a few seconds.
SHOW_SECONDS = 240.0


def demo(folder: Path, **more: str) -> Process:
    """Start the demo by its own command, so that Ctrl-C reaches it alone."""
    return start([sys.executable, "-m", "deploy.cli", "demo"], folder, **more)


@pytest.mark.media
async def test_a_show_that_ends_by_itself_worked(tmp_path: Path) -> None:
    """Going live, watching, counting, recording, ending: exit code 0 says that all of it was so."""
    show = demo(tmp_path, GREENROOM_DEMO_SECONDS="25")
    try:
        addresses = ("/watch/", "index.m3u8", "rtmp://", "/docs", "Host token", "viewer")
        report = ("verified", "peak viewers               1", "time to go live", "playable")
        await worked(show, (*addresses, *report), within=SHOW_SECONDS)
    finally:
        show.stop()


@pytest.mark.media
async def test_ctrl_c_ends_the_show_properly(tmp_path: Path) -> None:
    """The encoder drops once and comes back; Ctrl-C then ends the show, and all its processes."""
    show = demo(tmp_path)
    try:
        await show.says("Ctrl-C ends the show", within=SHOW_SECONDS)
        _encoder_of(show).kill()
        await show.says("the picture is back", within=SHOW_SECONDS)
        await show.says("1 viewer watches", within=SHOW_SECONDS)

        show.interrupt()

        assert await show.ended(within=SHOW_SECONDS) == 0, show.log()
        assert "the host ends the show" in show.log()
        assert "The show worked." in show.log()
        show.assert_nothing_left()
    finally:
        show.stop()


@pytest.mark.media
async def test_an_encoder_of_the_persons_own_is_left_alone(tmp_path: Path) -> None:
    """On the same key it takes the test picture's place; that is back when it has gone."""
    show = demo(tmp_path)
    sends = "an encoder sends a test picture"
    try:
        await show.says("Ctrl-C ends the show", within=SHOW_SECONDS)
        told = re.search(r"(rtmp://\S+)   stream key (\S+)", show.log())
        assert told is not None
        push = testcard.push_command(f"{told[1]}/{told[2]}", testcard.Card(width=320, height=180))
        async with processes.running(push, name="own encoder") as own:
            await show.says("encoder dropped", within=SHOW_SECONDS)
            before = segments_in(tmp_path)
            await until(lambda: segments_in(tmp_path) > before + 3, what="more segments")
            assert own.exit_code is None
            assert show.log().count(sends) == 1

        await until(lambda: show.log().count(sends) == 2, what="the test picture to be back")
        await show.says("the picture is back", within=SHOW_SECONDS)
    finally:
        show.stop()


async def test_ctrl_c_before_the_show_leaves_nothing_behind(tmp_path: Path) -> None:
    """Somebody changed their mind while things were starting."""
    show = demo(tmp_path)
    try:
        await show.says("one show on this machine")

        show.interrupt()

        assert await show.ended() == 1
        show.assert_nothing_left()
    finally:
        show.stop()


async def test_a_livekit_that_does_not_exist_is_refused_in_a_sentence() -> None:
    """`make demo LIVEKIT=...` knows two; nothing is set up or started for another."""
    asked = processes.start(["make", "demo", "LIVEKIT=reel"], name="make")

    assert await asked.ended() != 0
    assert "LIVEKIT is `real` or `standin`" in asked.log()
    assert "not `reel`" in asked.log()


def segments_in(folder: Path) -> int:
    return len(list(folder.glob("media/hls/*/*/*.ts")))


def _encoder_of(show: Process) -> psutil.Process:
    """Find the process that sends the picture: the demo's own ffmpeg."""
    children = psutil.Process(show.pid).children()
    return next(child for child in children if "-re" in child.cmdline())

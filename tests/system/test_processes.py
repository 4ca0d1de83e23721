"""A process that a test starts can be read, paused and killed, and leaves nothing behind."""

import signal
import sys

import pytest

from tests.system.processes import marked, running
from tests.system.waits import until

CHATTY = "import time; print('here I am', flush=True); time.sleep(600)"
#: A parent whose child moves into a session of its own, as the demo's children do.
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHATTY!r}], start_new_session=True)
time.sleep(600)
"""


async def test_its_log_is_read_while_it_runs():
    """What it says can be waited for."""
    async with running([sys.executable, "-c", CHATTY], ready="here I am") as process:
        assert process.exit_code is None
        assert process.log() == "here I am\n"


async def test_kill_reaches_children_in_sessions_of_their_own():
    """Nothing that descends from it survives."""
    async with running([sys.executable, "-c", PARENT], ready="here I am") as process:
        assert len(process.family()) == 2

        process.kill()

        assert process.exit_code == -signal.SIGKILL
        process.assert_nothing_left()


async def test_leaving_the_block_ends_what_is_left():
    """A test that forgets, or fails, leaves nothing running."""
    async with running([sys.executable, "-c", PARENT], ready="here I am") as process:
        pass

    assert marked(process.mark) == []


async def test_what_is_left_behind_is_named():
    """The message says which process it is."""
    async with running([sys.executable, "-c", PARENT], ready="here I am") as process:
        process.popen.kill()
        await process.ended()

        with pytest.raises(AssertionError, match="here I am"):
            process.assert_nothing_left()


async def test_a_paused_process_goes_on_after_resume():
    """SIGSTOP keeps it alive and silent."""
    counting = (
        "import itertools, time\nfor n in itertools.count(): print(n, flush=1); time.sleep(0.01)"
    )
    async with running([sys.executable, "-c", counting], ready="3\n") as process:
        process.pause()
        await until(lambda: process.family()[0].status() == "stopped", what="the pause")
        said = process.log()
        assert process.log() == said

        process.resume()

        await until(lambda: len(process.log()) > len(said), what="another word")


async def test_one_that_ends_before_it_is_ready_is_told_with_its_log():
    """Nobody waits a minute for a process that is gone."""
    with pytest.raises(AssertionError, match="no such thing"):
        async with running([sys.executable, "-c", "raise SystemExit('no such thing')"], ready="up"):
            pass


async def test_its_last_word_counts():
    """A process that says what was waited for and ends was ready."""
    async with running([sys.executable, "-c", "print('done')"], ready="done") as process:
        assert await process.ended() == 0

"""Row `processor`: what API and worker use of a core for each show that is live."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import psutil

from deploy import testcard
from tests.bench import house
from tests.bench.figures import Measured, Pair
from tests.bench.turns import say
from tests.system.processes import Process, running
from tests.system.waits import until

SHOWS = 10
TURNS = 3
SECONDS = 20.0
#: After the last of them is playable, until all is as it will be.
SETTLE_SECONDS = 10.0
#: As little as an encoder and an egress can be asked: ten of each share the machine with us.
CARD = testcard.Card(
    width=160, height=90, frames_per_second=5, video_kbits=60, audio_kbits=32, seconds=30
)
#: The floor: one percent of a core.
ALLOWED_PERCENT = 1.0


async def measure() -> list[Measured]:
    """Measure with none and with ten shows live, each with an encoder and segments."""
    line = Measured(
        f"API + worker per live show ({SHOWS} shows, less none)", "1 % of a core", "%", at_most=1.0
    )
    async with house.opened() as ours:
        await ours.send_webhooks()
        idle = [await _percent(ours) for _ in range(TURNS)]
        say(f"    no show: {_told(idle)}")
        async with AsyncExitStack() as encoders:
            shows = await _on_air(ours, encoders)
            await asyncio.sleep(SETTLE_SECONDS)
            busy = [await _percent(ours) for _ in range(TURNS)]
            say(f"    {SHOWS} shows: {_told(busy)}")
        for session_id in shows:
            await ours.end(session_id)
    for more, less in zip(busy, idle, strict=True):
        line.pairs.append(Pair((sum(more) - sum(less)) / SHOWS, ALLOWED_PERCENT))
    line.notes.append(f"with no show API and worker use {_told(idle)}; with {SHOWS} {_told(busy)}")
    return [line]


async def _on_air(ours: house.House, encoders: AsyncExitStack) -> list[str]:
    """Put the shows on air, each with a loop that costs its encoder nothing to make."""
    film = ours.folder / "film.flv"
    made = await asyncio.create_subprocess_exec(
        *testcard.push_command(film, CARD, in_real_time=False)
    )
    assert await made.wait() == 0
    shows = []
    for _ in range(SHOWS):
        session_id = await ours.announce()
        rtmp = (await ours.ask("POST", f"/sessions/{session_id}/go_live"))["rtmp"]
        loop = [
            *(testcard.encoder(), "-hide_banner", "-loglevel", "warning", "-nostdin"),
            *("-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", "flv"),
            f"{rtmp['url']}/{rtmp['stream_key']}",
        ]
        await encoders.enter_async_context(running(loop, name="encoder"))
        shows.append(session_id)

    async def all_play() -> bool:
        told = [await ours.ask("GET", f"/sessions/{one}") for one in shows]
        return all(one["playback"]["state"] == "ready" for one in told)

    await until(all_play, what="all shows to play", within=120, every=1.0)
    return shows


async def _percent(ours: house.House) -> list[float]:
    """Give what API and worker each use of a core for some seconds."""
    before = [_seconds(one) for one in ours.processes]
    began = time.monotonic()
    await asyncio.sleep(SECONDS)
    passed = time.monotonic() - began
    after = [_seconds(one) for one in ours.processes]
    return [100 * (then - now) / passed for now, then in zip(before, after, strict=True)]


def _seconds(process: Process) -> float:
    """Sum up what a process and its children have used."""
    used = 0.0
    for one in process.family():
        with suppress(psutil.NoSuchProcess):
            spent = one.cpu_times()
            used += spent.user + spent.system
    return used


def _told(measured: list[list[float]]) -> str:
    api, worker = (sum(column) / len(measured) for column in zip(*measured, strict=True))
    return f"{api:.2f} % + {worker:.2f} %"

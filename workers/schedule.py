"""What is repaired without being asked, and how often: EVERY, and the loops that run it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from observability import metrics
from orchestration import ticks, upkeep
from orchestration.database import DatabaseUnavailable
from orchestration.plane import PlaneError
from orchestration.resources import Resources
from orchestration.settings import Settings
from orchestration.viewers import Counting
from orchestration.world import World
from workers import upkeep as gauges
from workers.playback import LOOK_SECONDS, Publishing
from workers.sweep import Sweep

log = structlog.get_logger(__name__)


@dataclass
class Looker:
    """What the lines of EVERY work with: a process' resources, and whatever has a memory."""

    resources: Resources
    sweep: Sweep
    publishing: Publishing
    world: World = field(default_factory=World)
    counting: Counting = field(default_factory=Counting)

    @property
    def settings(self) -> Settings:
        return self.resources.settings


@dataclass(frozen=True)
class Every:
    """One line of EVERY."""

    name: str
    seconds: Callable[[Settings], float]
    by_all: bool  #: True: every worker process runs it; False: one of all, claimed in SQL
    patience_seconds: float  #: it is cancelled after this
    run: Callable[[Looker], Awaitable[object]]
    why: str


def _with(run: Callable[[Resources], Awaitable[object]]) -> Callable[[Looker], Awaitable[object]]:
    return lambda our: run(our.resources)


async def _compare(our: Looker) -> None:
    await our.world.compare(our.resources)


async def _count(our: Looker) -> None:
    await our.counting.count(our.resources)


# fmt: off
EVERY: Final = (
    Every(metrics.SWEEP, lambda s: s.sweep_seconds,   True,  10, lambda our: our.sweep.run(),
          "a ring may be lost, a time may have come: what is due is rung for, or looked at here"),
    Every("playback",    lambda _: LOOK_SECONDS,      True,  10, lambda our: our.publishing.run(),
          "due playlists are written by whichever process claims them"),
    Every("compare",     lambda s: s.observe_seconds, False, 30, _compare,
          "webhooks get lost: what LiveKit lists is compared with SQL, three calls for all shows"),
    Every("viewers",     lambda _: 5,                 False, 20, _count,
          "who watches is counted for all shows at once, never per request"),
    Every("gauges",      lambda _: 5,                 False, 20, _with(gauges.measure),
          "what waits, and for how long, is what an operator is woken by"),
    Every("rewind",      lambda _: 10,                False, 20, _with(upkeep.rewind),
          "a clock that was set back would have shows wait for as long as it was ahead"),
    Every("prune",       lambda _: 3_600,             False, 60, _with(upkeep.prune),
          "used keys, seen webhooks and old tokens are of no use to anybody"),
)
# fmt: on

#: Loops of several processes that started together drift apart by so much of their period.
JITTER: Final = 0.1
#: How long what is under way may go on when the process must end.
FINISH_SECONDS: Final = 10.0


@asynccontextmanager
async def running(resources: Resources) -> AsyncIterator[None]:
    """Run every line of EVERY for the length of a block, and end in order."""
    our = Looker(resources, Sweep(resources), Publishing(resources))
    loops = [asyncio.create_task(_loop(line, our), name=f"every {line.name}") for line in EVERY]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await asyncio.gather(
            our.sweep.finish(FINISH_SECONDS), our.publishing.finish(FINISH_SECONDS)
        )


async def _loop(line: Every, our: Looker) -> None:
    while True:
        pause = await _run(line, our)
        await asyncio.sleep(pause * (1 + random.uniform(-JITTER, JITTER)))  # noqa: S311  # no secret


async def _run(line: Every, our: Looker) -> float:
    """Run a line once if it is ours to run; say in how many seconds to try again."""
    seconds = line.seconds(our.settings)
    try:
        if line.by_all:
            await _bounded(line, our)
        else:
            return await _run_if_claimed(line, our, seconds)
    except DatabaseUnavailable as error:
        log.warning("tick_failed", tick=line.name, error=f"database: {error}")
    except PlaneError as error:
        log.warning("tick_failed", tick=line.name, error=f"LiveKit: {error}")
    except Exception:
        # A loop never ends over one bad round: what it repairs, nobody else repairs.
        log.exception("tick_failed", tick=line.name)
    return seconds


async def _run_if_claimed(line: Every, our: Looker, seconds: float) -> float:
    db, owner = our.resources.db, our.resources.owner
    wait = await ticks.claim(
        db, line.name, owner=owner, every_seconds=seconds, patience_seconds=line.patience_seconds
    )
    if wait is not None:
        return wait
    done = False
    try:
        await _bounded(line, our)
        done = True
    finally:
        await ticks.give_back(db, line.name, owner=owner, done=done)
    return seconds


async def _bounded(line: Every, our: Looker) -> None:
    with metrics.tick(line.name):
        async with asyncio.timeout(line.patience_seconds):
            await line.run(our)

"""Row `ring`: from ringing to the actor's first line in an idle worker, against LPUSH to BLPOP."""

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import redis as redis_client

from orchestration.doorbell import Bell
from tests.bench import popper, worker
from tests.bench.figures import Measured
from tests.bench.house import environment_of, once
from tests.bench.turns import Measure, take_turns
from tests.system import redis

TURNS = 12
#: One ring takes less than a busy machine's hiccups: a turn is the median of so many.
RINGS = 10
#: An idle worker has gone to sleep by then, and so has its core: a ring in the middle of a burst
#: takes a third of the time, of which the floor takes the same share.
IDLE_SECONDS = 0.1
#: A message that did not come by then is lost.
LOST_SECONDS = 10


async def measure() -> list[Measured]:
    """Ring and push in turn, each once the last has come."""
    line = Measured(
        what="ring to the actor's first line, idle worker",
        floor="Redis LPUSH to BLPOP between two processes",
        unit="ms",
        at_most=3,
    )
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-bench-")))
        server = await enter(redis.running())
        environment = environment_of(folder, server.url)
        await once(folder, environment, "migrate")
        working = await enter(_speaking("tests.bench.worker", environment=environment))
        waiting = await enter(_speaking("tests.bench.popper", server.url, environment={}))
        await _said(waiting.stdout, popper.READY)
        bell = Bell(server.url)
        stack.push_async_callback(bell.close)
        pusher = redis_client.Redis.from_url(server.url)

        async def ring() -> float:
            await asyncio.sleep(IDLE_SECONDS)
            row_id = uuid.uuid4()
            rung_at = time.monotonic_ns()
            assert await bell.ring("sessions", row_id), "Redis takes every ring"
            return _milliseconds(rung_at, await _said(working.stderr, f"{worker.BEGAN} {row_id}"))

        async def push() -> float:
            await asyncio.sleep(IDLE_SECONDS)
            word = uuid.uuid4().hex
            pushed_at = time.monotonic_ns()
            pusher.lpush(popper.KEY, word)
            return _milliseconds(pushed_at, await _said(waiting.stdout, word))

        await take_turns(line, _median_of(ring), _median_of(push), turns=TURNS)
    return [line]


def _median_of(measure: Measure) -> Measure:
    async def measured() -> float:
        return median([await measure() for _ in range(RINGS)])

    return measured


def _milliseconds(began: int, line: str) -> float:
    return (int(line.rsplit(maxsplit=1)[-1]) - began) / 1e6


async def _said(stream: asyncio.StreamReader | None, first: str) -> str:
    """Read until a line that begins so."""
    assert stream is not None
    async with asyncio.timeout(LOST_SECONDS):
        while line := (await stream.readline()).decode():
            if line.startswith(first):
                return line
    raise AssertionError(f"the other process ended and did not say {first!r}")


@asynccontextmanager
async def _speaking(
    module: str, *arguments: str, environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process whose words are waited for; log lines are nobody's business here."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdout=asyncio.subprocess.PIPE if not environment else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE if environment else None,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

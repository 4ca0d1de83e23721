"""Without a Redis that answers, the doorbell is silent: it neither raises nor waits for long."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import redis

from orchestration import doorbell
from orchestration.doorbell import BELLS, QUEUES, Bell


@pytest.fixture
async def bell() -> AsyncIterator[Bell]:
    bell = Bell("redis://127.0.0.1:1/0")  # nobody listens on port 1
    yield bell
    await bell.close()


async def test_a_ring_without_redis_is_told_and_not_raised(bell: Bell) -> None:
    """The caller learns that nobody heard it, so that it can look itself."""
    assert await bell.ring("sessions", uuid.uuid4()) is False
    assert await bell.ring("recordings", uuid.uuid4(), slow=True) is False
    assert await bell.waiting() is None
    assert await bell.answers() is False
    await bell.finished(uuid.uuid4())


async def test_after_a_failure_redis_is_left_alone_for_a_while(bell: Bell) -> None:
    """A Redis that hangs delays one caller, and not everybody who comes after."""
    asked = []

    def hang() -> None:
        asked.append(1)
        raise redis.TimeoutError

    assert await bell._ask(hang) is None
    assert await bell._ask(hang) is None

    assert asked == [1]


async def test_rings_beyond_the_bound_are_dropped(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of rings while Redis hangs costs no memory."""
    monkeypatch.setattr(doorbell, "PENDING_MAX", 0)

    assert await bell._ask(lambda: "taken") is None


async def test_a_ring_for_a_playback_is_not_needed(bell: Bell) -> None:
    """Every worker process looks for due playlists by itself."""
    assert await bell.ring("playbacks", uuid.uuid4()) is True


async def test_whoever_waits_is_woken_by_its_job_only(bell: Bell) -> None:
    """Two waiters of one job are both told; a waiter of another job is not."""
    mine, other = uuid.uuid4(), uuid.uuid4()
    waits = [asyncio.create_task(bell.wait(job, 0.2)) for job in (mine, mine, other)]
    await asyncio.sleep(0)

    bell._hear(str(mine).encode())

    assert await asyncio.gather(*waits) == [True, True, False]
    assert bell._waiters == {}


async def test_who_begins_to_wait_too_late_is_told_at_once(bell: Bell) -> None:
    """A job can be finished before the API gets round to waiting for it."""
    job = uuid.uuid4()
    bell._hear(str(job).encode())

    assert await bell.wait(job, 60) is True


async def test_a_word_that_is_no_job_is_ignored(bell: Bell) -> None:
    """Whoever can reach Redis can say anything."""
    bell._hear(b"\xff not a job")

    assert len(bell._heard) == 0


def test_every_bell_rings_in_a_queue_that_is_listened_to() -> None:
    """A queue that no worker reads would swallow rings."""
    assert {queue for _, queue in BELLS.values()} <= set(QUEUES)

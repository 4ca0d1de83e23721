"""Rings with a real Redis and Dramatiq's own worker threads."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import dramatiq
import pytest
import redis
from dramatiq.middleware import AsyncIO

from orchestration import doorbell
from orchestration.doorbell import SESSIONS_QUEUE, SLOW_QUEUE, Bell, queue_key
from tests.system import redis as redis_servers
from tests.system.waits import PATIENCE, until
from workers import broker as brokers
from workers.broker import ACTORS, RungBroker, middleware_of
from workers.under_way import UnderWay

THREADS = 4


class Heard:
    """What the actors heard, and a gate that holds them back."""

    def __init__(self) -> None:
        self.quick: list[str] = []
        self.slow: list[str] = []
        self.gate = threading.Event()
        self.gate.set()


@contextmanager
def listening(url: str, heard: Heard) -> Iterator[RungBroker]:
    """Run one worker with two actors that only note what they are rung for."""
    broker = RungBroker(url, threads=THREADS, middleware=middleware_of(AsyncIO()))

    def look(session_id: str) -> None:
        heard.quick.append(session_id)

    def look_slow(session_id: str) -> None:
        heard.slow.append(session_id)
        heard.gate.wait(2 * PATIENCE)

    declare: Callable[..., Callable[..., object]] = dramatiq.actor
    declare(broker=broker, actor_name="look", queue_name=SESSIONS_QUEUE)(look)
    declare(broker=broker, actor_name="look_slow", queue_name=SLOW_QUEUE)(look_slow)
    worker = dramatiq.Worker(broker, worker_threads=THREADS, worker_timeout=100)
    worker.start()
    try:
        yield broker
    finally:
        heard.gate.set()
        broker.draining.set()
        worker.stop(timeout=10_000)
        broker.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a Redis that answers late for slow and not for gone, on both sides."""
    for module in (doorbell, brokers):
        monkeypatch.setattr(module, "CONNECT_SECONDS", PATIENCE)
        monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)


@pytest.fixture
async def bell(redis_url: str) -> AsyncIterator[Bell]:
    bell = Bell(redis_url)
    yield bell
    await bell.close()


async def test_a_ring_is_heard(bell: Bell, redis_url: str) -> None:
    """What is rung before a worker listens is heard, too."""
    heard = Heard()
    before, after = uuid.uuid4(), uuid.uuid4()
    assert await bell.ring("sessions", before)

    with listening(redis_url, heard):
        assert await bell.ring("sessions", after)
        await until(lambda: len(heard.quick) == 2, what="both rings to be heard")

    # Which of two threads writes down first is not promised.
    assert sorted(heard.quick) == sorted([str(before), str(after)])


async def test_what_waits_is_told_with_its_age(bell: Bell) -> None:
    """The gauges of an operator's dashboard come from here."""
    for _ in range(3):
        assert await bell.ring("sessions", uuid.uuid4())
    await asyncio.sleep(0.05)

    waiting = await bell.waiting()

    assert waiting is not None
    assert waiting[SESSIONS_QUEUE].depth == 3
    assert waiting[SESSIONS_QUEUE].oldest_age_seconds >= 0.04
    assert waiting[SLOW_QUEUE].depth == 0


async def test_undecodable_messages_strand_nobody(bell: Bell, redis_url: str) -> None:
    """Whoever can reach Redis can write anything; good messages around it are worked on."""
    heard = Heard()
    client = redis.Redis.from_url(redis_url)
    ids = [uuid.uuid4() for _ in range(20)]
    for number, one in enumerate(ids):
        await bell.ring("sessions", one)
        if number % 5 == 0:
            client.rpush(queue_key(SESSIONS_QUEUE), b"\xffnot a message", b'{"args": []}')

    with listening(redis_url, heard):
        await until(lambda: len(heard.quick) == len(ids), what="all good messages to be heard")

    assert {str(one) for one in ids} == set(heard.quick)
    client.close()


async def test_a_message_for_an_unknown_actor_holds_no_thread(bell: Bell, redis_url: str) -> None:
    """A newer release may ring for what this one does not know."""
    heard = Heard()
    client = redis.Redis.from_url(redis_url)
    for _ in range(THREADS * 2):
        unknown: dramatiq.Message[None] = dramatiq.Message(
            queue_name=SESSIONS_QUEUE,
            actor_name="from_tomorrow",
            args=("x",),
            kwargs={},
            options={},
        )
        client.rpush(queue_key(SESSIONS_QUEUE), unknown.encode())
    await bell.ring("sessions", uuid.uuid4())

    with listening(redis_url, heard):
        await until(lambda: heard.quick, what="the known one to be heard")
    client.close()


async def test_a_message_that_somebody_made_up_does_no_harm(bell: Bell, redis_url: str) -> None:
    """Whoever can write to Redis can ring: for nothing, for nonsense, with arguments of its own."""
    heard: list[object] = []

    async def look(session_id: str, resources: object) -> None:
        heard.append((uuid.UUID(session_id), resources))

    ours = object()
    broker = RungBroker(redis_url, threads=THREADS, middleware=middleware_of(AsyncIO()))
    under_way = UnderWay()
    for line in ACTORS:
        dramatiq.actor(actor_name=line.name, queue_name=line.queue, broker=broker)(
            under_way.bound(look, ours)
        )
    client = redis.Redis.from_url(redis_url)
    for args, kwargs in (
        (("no id",), {}),
        (("../../etc",), {}),
        ((), {}),
        ((str(uuid.uuid4()), "one too many"), {}),
        ((str(uuid.uuid4()),), {"resources": "theirs"}),
    ):
        forged: dramatiq.Message[None] = dramatiq.Message(
            queue_name=SESSIONS_QUEUE, actor_name="look", args=args, kwargs=kwargs, options={}
        )
        client.rpush(queue_key(SESSIONS_QUEUE), forged.encode())
    real = uuid.uuid4()
    await bell.ring("sessions", real)

    worker = dramatiq.Worker(broker, worker_threads=THREADS, worker_timeout=100)
    worker.start()
    try:
        await until(lambda: (real, ours) in heard, what="the real ring to be heard")
        assert heard == [(real, ours)]
    finally:
        broker.draining.set()
        worker.stop(timeout=10_000)
        broker.close()
        client.close()


async def test_slow_work_cannot_hold_every_thread(bell: Bell, redis_url: str) -> None:
    """Egress starts take half a minute; a go_live must find a thread meanwhile."""
    heard = Heard()
    heard.gate.clear()
    for _ in range(THREADS * 3):
        await bell.ring("sessions", uuid.uuid4(), slow=True)

    with listening(redis_url, heard):
        await until(lambda: heard.slow, what="slow work to begin")
        for _ in range(THREADS * 3):
            await bell.ring("sessions", uuid.uuid4())
        await until(lambda: len(heard.quick) == THREADS * 3, what="quick work to go on")
        slow_in_hand = len(heard.slow)

    assert slow_in_hand == 1


async def test_a_ring_after_redis_came_back_is_heard() -> None:
    """Neither bell nor worker has to be started again when Redis was."""
    heard = Heard()
    async with redis_servers.running() as server:
        bell = Bell(server.url)
        with listening(server.url, heard):
            await bell.ring("sessions", uuid.uuid4())
            await until(lambda: len(heard.quick) == 1, what="the first ring to be heard")

            await server.restart()

            async def rung() -> bool:
                return await bell.ring("sessions", uuid.uuid4())

            await until(rung, what="Redis to take a ring again")
            await until(lambda: len(heard.quick) >= 2, what="a ring to be heard again")
        await bell.close()


async def test_a_finished_job_wakes_who_waits_in_another_process(redis_url: str) -> None:
    """The API waits, a worker tells; each has a bell of its own."""
    api, worker = Bell(redis_url), Bell(redis_url)
    job = uuid.uuid4()
    api.listen()
    waiting = asyncio.create_task(api.wait(job, 2 * PATIENCE))

    async def told() -> bool:
        await worker.finished(job)
        return waiting.done()

    await until(told, what="the waiter to be woken")

    assert await waiting is True
    await api.close()
    await worker.close()


def test_every_actor_has_limits_and_a_sentence() -> None:
    """ACTORS is the table a newcomer reads."""
    assert len({line.name for line in ACTORS}) == len(ACTORS)
    for line in ACTORS:
        assert line.what
        assert line.time_limit_seconds > 0
        assert line.queue in {SESSIONS_QUEUE, SLOW_QUEUE}

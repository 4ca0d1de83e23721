"""Ring a worker, and hear that a job is finished: Redis as a doorbell, which may be missing."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Final, TypeVar
from uuid import UUID

import dramatiq
import redis
import redis.asyncio
import structlog
from dramatiq.errors import DecodeError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from observability import messages, metrics

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

#: Every Redis key of the doorbell starts with this.
NAMESPACE: Final = "greenroom"
#: The queue of what takes milliseconds.
SESSIONS_QUEUE: Final = "sessions"
#: The queue of what may take half a minute or more: egress starts, recordings.
SLOW_QUEUE: Final = "slow"
QUEUES: Final = (SESSIONS_QUEUE, SLOW_QUEUE)
#: Where workers say which job is finished.
FINISHED_CHANNEL: Final = f"{NAMESPACE}:finished"

# fmt: off
#: Which actor is rung for a row, and in which queue it waits: (table, slow) -> (actor, queue).
#: A playback is never rung for: each worker process looks for due playlists twice a second anyway.
BELLS: Final[Mapping[tuple[str, bool], tuple[str, str]]] = {
    ("sessions",   False): ("look",             SESSIONS_QUEUE),
    ("sessions",   True):  ("look_slow",        SLOW_QUEUE),
    ("recordings", False): ("finish_recording", SLOW_QUEUE),
    ("recordings", True):  ("finish_recording", SLOW_QUEUE),
}
# fmt: on

#: Redis on the same network connects in a millisecond or not at all.
CONNECT_SECONDS: Final = 0.5
#: A ring that is not taken by then is not worth waiting for: the sweep looks in a second or two.
ANSWER_SECONDS: Final = 0.5
#: After a failure nobody else tries for this long, so that a silent Redis delays one caller a
#: second and not all of them.
REST_SECONDS: Final = 1.0
#: How often a silent connection is asked whether it still lives.
LISTENING_SECONDS: Final = 15
#: One connection carries thousands of rings a second; a burst shares these.
CONNECTIONS_MAX: Final = 8
#: Rings under way; beyond it Redis is in trouble, and a ring is dropped.
PENDING_MAX: Final = 256
#: Jobs that finished a moment ago, for who begins to wait just too late.
REMEMBERED_MAX: Final = 1024


@dataclass(frozen=True)
class Waiting:
    """What waits in one queue."""

    depth: int
    oldest_age_seconds: float  #: 0.0 when nothing waits


class Bell:
    """Rings workers and wakes waiters. Nothing here blocks the event loop, and nothing raises.

    Losing Redis costs seconds: the sweep finds what was not rung for, and who waits for a job
    reads the job's row now and then. One bell belongs to one event loop.
    """

    def __init__(self, redis_url: str) -> None:
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool.from_url(
                redis_url,
                max_connections=CONNECTIONS_MAX,
                timeout=ANSWER_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=CONNECT_SECONDS,
                # A connection that Redis closed by restarting is made anew; silence is not answered
                # with more of the same.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        )
        self._ears = redis.asyncio.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_SECONDS,
            health_check_interval=LISTENING_SECONDS,
        )
        self._pending = 0
        self._resting_until = 0.0
        self._down = False
        self._waiters: dict[UUID, set[asyncio.Future[None]]] = {}
        self._heard: OrderedDict[UUID, None] = OrderedDict()
        self._listening: asyncio.Task[None] | None = None

    async def ring(self, table: str, row_id: UUID, *, slow: bool = False) -> bool:
        """Ask a worker to look at a row. False when Redis did not take it; the sweep will look."""
        if (table, slow) not in BELLS:
            return True
        actor, queue = BELLS[table, slow]
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=queue,
            actor_name=actor,
            args=(str(row_id),),
            kwargs={},
            options=messages.carry({}),
        )
        taken = await self._ask(lambda: self._client.rpush(queue_key(queue), message.encode()))
        if taken is None:
            metrics.RING_FAILURES.inc()
        return taken is not None

    async def finished(self, job_id: UUID) -> None:
        """Wake whoever waits for the job, in whichever process."""
        await self._ask(lambda: self._client.publish(FINISHED_CHANNEL, str(job_id)))

    async def wait(self, job_id: UUID, seconds: float) -> bool:
        """Wait until told that the job is finished, at most so many seconds. True when told.

        A word may be lost: read the job's row again whatever this says, and at least every half
        second.
        """
        self.listen()
        if job_id in self._heard:
            return True
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(told)
        try:
            async with asyncio.timeout(seconds):
                await told
        except TimeoutError:
            return False
        else:
            return True
        finally:
            waiters.discard(told)
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    def listen(self) -> None:
        """Begin to hear of finished jobs; `wait` does it too, but may miss a first word."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="bell")

    async def waiting(self) -> dict[str, Waiting] | None:
        """Say what waits in each queue; None when Redis does not answer."""
        async with self._client.pipeline(transaction=False) as asked:
            for queue in QUEUES:
                asked.llen(queue_key(queue))
                asked.lindex(queue_key(queue), 0)
            answers = await self._ask(asked.execute)
        if answers is None:
            return None
        return {
            queue: Waiting(depth, _age(oldest))
            for queue, depth, oldest in zip(QUEUES, answers[::2], answers[1::2], strict=True)
        }

    async def answers(self) -> bool:
        """Say whether Redis answers now."""
        return await self._ask(self._client.ping) is not None

    async def close(self) -> None:
        """Hang up. Rings under way may still arrive."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        await self._client.aclose()
        await self._ears.aclose()

    async def _ask(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Ask Redis; None when it cannot be asked or does not answer."""
        if self._pending >= PENDING_MAX or monotonic() < self._resting_until:
            return None
        self._pending += 1
        try:
            # Redis' own deadlines are per packet; this one is for all of it.
            async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                answer = await ask()
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._resting_until = monotonic() + REST_SECONDS
            self._say_up(up=False, error=type(error).__name__)
            return None
        finally:
            self._pending -= 1
        self._say_up(up=True)
        return answer

    def _say_up(self, *, up: bool, error: str = "") -> None:
        metrics.REDIS_UP.labels("queue").set(int(up))
        if up is self._down:
            self._down = not up
            if up:
                log.info("doorbell_back")
            else:
                log.warning("doorbell_gone", error=error)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._ears.pubsub(ignore_subscribe_messages=True) as heard:
                    await heard.subscribe(FINISHED_CHANNEL)
                    while True:
                        word = await heard.get_message(timeout=LISTENING_SECONDS)
                        if word is not None:
                            self._hear(word["data"])
            except (redis.RedisError, OSError) as error:
                log.debug("doorbell_deaf", error=type(error).__name__)
            # Until it is back, waiters go by the job's row alone.
            await asyncio.sleep(REST_SECONDS)

    def _hear(self, word: bytes) -> None:
        try:
            job_id = UUID(word.decode())
        except ValueError:
            return  # whoever can reach Redis can say anything
        self._heard[job_id] = None
        while len(self._heard) > REMEMBERED_MAX:
            self._heard.popitem(last=False)
        for told in self._waiters.pop(job_id, set()):
            if not told.done():
                told.set_result(None)


def queue_key(queue: str) -> str:
    """Redis list of a queue's messages, as Dramatiq encodes them: `greenroom:<queue>`."""
    return f"{NAMESPACE}:{queue}"


def _age(encoded: bytes | None) -> float:
    """Say how long ago a message was rung, in seconds; 0 for none, or for one that is not ours."""
    if encoded is None:
        return 0.0
    try:
        return max(0.0, time() - dramatiq.Message.decode(encoded).message_timestamp / 1000)
    except DecodeError:
        return 0.0

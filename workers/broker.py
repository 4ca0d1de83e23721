"""Who is rung and with which limits: ACTORS; what happens around each message: middleware."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq.errors import DecodeError
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Middleware,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing_extensions import override

from observability import metrics
from observability.messages import UNKNOWN, Messages
from orchestration.doorbell import CONNECT_SECONDS, SESSIONS_QUEUE, SLOW_QUEUE, queue_key
from orchestration.resources import Resources
from workers import lifecycle, recordings
from workers.under_way import UnderWay, Work

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ActorLine:
    """One line of ACTORS."""

    name: str
    queue: str
    time_limit_seconds: int
    stops_at_shutdown: bool  #: interrupted when its process must end; others may finish
    does: Work
    what: str


# fmt: off
ACTORS: Final = (
    ActorLine("look",             SESSIONS_QUEUE, 45,    False, lifecycle.look,
              "look at a session and do the next thing; what may take long is left to look_slow"),
    ActorLine("look_slow",        SLOW_QUEUE,     120,   False, lifecycle.look_slow,
              "the same, starting and stopping egresses too: LiveKit answers those late"),
    ActorLine("finish_recording", SLOW_QUEUE,     3_600, True,  recordings.finish_recording,
              "check a show's recording, join its segments if it must be, and give the verdict"),
)
# fmt: on

#: Of all messages a process has in hand, so many may be slow ones: the others must find a thread.
SLOW_SHARE: Final = 0.25
#: A ring that waited so long is stale: the sweep has looked many times since.
AGE_MAX_SECONDS: Final = 60
#: How long a consumer waits for a ring at a time; then it sees whether its process must end.
BLOCK_SECONDS: Final = 1
#: How much later than asked Redis may answer before it is taken for gone.
ANSWER_SECONDS: Final = 1.0
#: While its process drains, how often a consumer sees whether it is over.
DRAINING_SECONDS: Final = 0.1
#: After Redis failed, how long until it is tried again; the sweep works meanwhile.
REST_SECONDS: Final = 1.0


class RungBroker(dramatiq.Broker):
    """Messages in Redis lists: rung with RPUSH, waited for with BLPOP.

    Dramatiq's own Redis broker looks for messages now and then, and keeps each until it is
    acknowledged. Ours are only rings: what they ring for stands in SQL, where the sweep finds it if
    this process dies. So a message is gone once it is taken, and there is nothing to acknowledge,
    to redeliver, to run twice, or to strand behind one that cannot be decoded.
    """

    def __init__(
        self, redis_url: str, *, threads: int, middleware: Iterable[Middleware] = ()
    ) -> None:
        super().__init__(middleware=list(middleware))
        self.client = redis.Redis.from_url(
            redis_url,
            socket_timeout=BLOCK_SECONDS + ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the consumer tries again by itself, and says so
        )
        #: Set when the process must end: nothing more is taken in hand.
        self.draining = threading.Event()
        slow = max(1, int(threads * SLOW_SHARE))
        #: How many more messages of a queue this process may take in hand.
        self.places = {
            SESSIONS_QUEUE: threading.BoundedSemaphore(max(1, threads - slow)),
            SLOW_QUEUE: threading.BoundedSemaphore(slow),
        }

    @override
    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = queue_key(queue_name)
            self.emit_after("declare_queue", queue_name)

    @override
    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Ring. Raises redis.RedisError; a delay is a time in SQL and never a message."""
        assert delay is None, "timers and retries of ours are rows"
        self.emit_before("enqueue", message, delay)
        self.client.rpush(queue_key(message.queue_name), message.encode())
        self.emit_after("enqueue", message, delay)
        return message

    @override
    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> "Consumer":
        del prefetch, timeout  # one message, one thread; and the wait is Redis' own
        return Consumer(self, queue_name)

    @override
    def close(self) -> None:
        self.client.close()


class Consumer(dramatiq.Consumer):
    """Takes one message at a time, and only when a thread is free for it."""

    def __init__(self, broker: RungBroker, queue_name: str) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.place = broker.places[queue_name]
        self.closed = threading.Event()
        self.down = False

    @override
    def __next__(self) -> dramatiq.MessageProxy | None:
        """Wait for a ring, at most BLOCK_SECONDS; None when there was none."""
        if self.broker.draining.is_set():
            self.closed.wait(DRAINING_SECONDS)
            return None
        if not self.place.acquire(timeout=BLOCK_SECONDS):
            return None
        message = None
        try:
            message = self._take()
        except (redis.RedisError, OSError) as error:
            self._say_up(up=False, error=type(error).__name__)
            self.closed.wait(REST_SECONDS)
        else:
            # With a message in hand nothing is written down first: somebody waits for it.
            if message is None or self.down:
                self._say_up(up=True)
        finally:
            if message is None:
                self.place.release()
        return message

    def _take(self) -> dramatiq.MessageProxy | None:
        rung: Any = self.broker.client.blpop([queue_key(self.queue_name)], timeout=BLOCK_SECONDS)
        if rung is None:
            return None
        try:
            return dramatiq.MessageProxy(dramatiq.Message.decode(rung[1]))
        except DecodeError:
            metrics.message_done(UNKNOWN, "failed", 0.0, 0.0)
            log.warning("message_undecodable", queue=self.queue_name)
            return None

    def _say_up(self, *, up: bool, error: str = "") -> None:
        metrics.REDIS_UP.labels("queue").set(int(up))
        if up is self.down:
            self.down = not up
            if up:
                log.info("queue_back", queue=self.queue_name)
            else:
                log.warning("queue_gone", queue=self.queue_name, error=error)

    @override
    def ack(self, message: dramatiq.MessageProxy) -> None:
        self.place.release()

    @override
    def nack(self, message: dramatiq.MessageProxy) -> None:
        self.place.release()

    @override
    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Ring again for what was taken and not begun: another process may be idle."""
        for message in messages:
            try:
                self.broker.enqueue(message._message)  # noqa: SLF001  # a proxy has no other way
            except (redis.RedisError, OSError):
                return  # the sweep of another process finds them

    @override
    def close(self) -> None:
        self.closed.set()


def middleware_of(one_loop: AsyncIO) -> list[Middleware]:
    """List what happens around each message, outermost first."""
    # fmt: off
    return [
        Messages(),                # a log line with the caller's ids, and metrics, over all others
        AgeLimit(max_age=AGE_MAX_SECONDS * 1_000),
                                   # after an outage, stale rings are not worked off one by one
        TimeLimit(),               # a look that hangs gives its thread back; ACTORS says when
        ShutdownNotifications(),   # what ACTORS lets go is interrupted when the process must end
        Retries(max_retries=0),    # retries are rows in SQL: Dramatiq's own get lost with Redis
        one_loop,                  # actors are coroutines, on the one event loop of the process
    ]
    # fmt: on


def declare_actors(broker: dramatiq.Broker, resources: Resources, under_way: UnderWay) -> None:
    """Make each line of ACTORS known to the broker, working with these resources."""
    for line in ACTORS:
        dramatiq.actor(
            actor_name=line.name,
            queue_name=line.queue,
            broker=broker,
            time_limit=line.time_limit_seconds * 1_000,
            notify_shutdown=line.stops_at_shutdown,
        )(under_way.bound(line.does, resources))

"""One worker process: what it opens once, how it listens, and how it ends in order."""

import os
import signal
import sys
import threading
from contextlib import AsyncExitStack, suppress
from types import FrameType
from typing import Final

import dramatiq
import structlog
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO, MiddlewareError
from typing_extensions import override

from observability import logs
from orchestration import migrations
from orchestration.database import DatabaseUnavailable
from orchestration.resources import Resources, open_resources
from orchestration.settings import Settings
from workers import schedule
from workers.broker import RungBroker, declare_actors, middleware_of
from workers.supervisor import END_SECONDS, FOLLOW_STDIN
from workers.under_way import UnderWay

log = structlog.get_logger(__name__)

#: Looks under way get so long to end when the process must; longer ones are cut, and done again
#: elsewhere.
DRAIN_SECONDS: Final = 15
#: One that is cut has a row to free.
CUT_SECONDS: Final = 2.0


class NotMigrated(Exception):
    """The database does not have this release's tables (yet)."""


class OneLoop(AsyncIO):
    """Dramatiq's event loop, with everything that is opened once for it.

    Actors, sweep and ticks share it, and its one LiveKit client, database pool and storage.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._opened = AsyncExitStack()
        self._resources: Resources | None = None
        self._under_way = UnderWay()

    @override
    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        super().before_worker_boot(broker, worker)  # type: ignore[no-untyped-call]
        try:
            _loop().run_coroutine(self._open(broker))
        except Exception as error:
            # Any other error of a middleware is logged and forgotten.
            raise MiddlewareError(f"{type(error).__name__}: {error}") from error

    @override
    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        assert isinstance(broker, RungBroker), "Bug: this process makes no other"
        broker.draining.set()
        if self._resources is not None:
            self._resources.ending.set()

    @override
    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        _loop().run_coroutine(self._close())
        super().after_worker_shutdown(broker, worker)  # type: ignore[no-untyped-call]

    async def _open(self, broker: dramatiq.Broker) -> None:
        resources = await self._opened.enter_async_context(
            open_resources(self._settings, role="worker")
        )
        with suppress(DatabaseUnavailable):  # it may come yet: every loop tries again
            if not await migrations.is_current(resources.db):
                raise NotMigrated("run `greenroom migrate`")
        self._resources = resources
        declare_actors(broker, resources, self._under_way)
        await self._opened.enter_async_context(schedule.running(resources))

    async def _close(self) -> None:
        """Cut what did not end in time, so that it frees its rows; then close what was opened."""
        await self._under_way.cut(CUT_SECONDS)
        await self._opened.aclose()


def run(settings: Settings, *, follow_stdin: bool = False) -> int:
    """Work until SIGTERM or SIGINT, or until stdin closes if it is followed; 0: ended well."""
    stop = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            os._exit(1)  # told twice: somebody is in a hurry
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    if follow_stdin:
        threading.Thread(target=_follow, args=(stop,), daemon=True).start()

    broker = RungBroker(
        settings.redis_url,
        threads=settings.worker_threads,
        middleware=middleware_of(OneLoop(settings)),
    )
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=settings.worker_threads)
    try:
        worker.start()
    except MiddlewareError as error:
        log.critical("worker_cannot_start", error=str(error), todo="`greenroom doctor` says more")
        return _leave(1)
    log.info("worker_ready", threads=settings.worker_threads)
    stop.wait()
    _leave_in(END_SECONDS)
    log.info("worker_draining")
    worker.stop(timeout=DRAIN_SECONDS * 1_000)
    broker.close()
    log.info("worker_ended")
    return _leave(0)


def _loop() -> EventLoopThread:
    loop = get_event_loop_thread()
    assert loop is not None, "Dramatiq starts the loop before it asks for anything else"
    return loop


def _follow(stop: threading.Event) -> None:
    """Stop when nobody holds the other end of stdin any more."""
    sys.stdin.buffer.read()
    stop.set()


def _leave_in(seconds: float) -> None:
    def leave() -> None:
        log.error("worker_abandoned", seconds=seconds)
        os._exit(1)

    alarm = threading.Timer(seconds, leave)
    alarm.daemon = True
    alarm.start()


def _leave(code: int) -> int:
    """End now: a thread that waits for a Redis that is gone must not keep the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> int:
    settings = Settings()
    logs.configure(settings.log_level, role="worker")
    return run(settings, follow_stdin=FOLLOW_STDIN in sys.argv)


if __name__ == "__main__":
    sys.exit(main())

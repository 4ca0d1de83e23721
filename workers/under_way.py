"""What actors are doing in this process, so that it can be cut when the process must end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger(__name__)

#: What an actor does: a coroutine function of one id and the process' resources.
Work = Callable[..., Awaitable[None]]


class UnderWay:
    """The coroutines of this process' actors; they share one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def bound(self, work: Work, resources: Any) -> Callable[[str], Awaitable[None]]:
        """Make the actor of a work: it takes one id, and nothing else a message may bring."""

        async def do(row_id: str) -> None:
            task = asyncio.current_task()
            assert task is not None, "an actor is a coroutine"
            self._tasks.add(task)
            try:
                await work(row_id, resources=resources)
            finally:
                self._tasks.discard(task)

        return do

    async def cut(self, seconds: float) -> None:
        """Cancel everything, and let it clean up for at most so long."""
        cut = tuple(self._tasks)
        for task in cut:
            task.cancel()
        if cut:
            log.warning("work_cut", messages=len(cut))
            await asyncio.wait(cut, timeout=seconds)

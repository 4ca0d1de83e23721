"""Hands: work on several rows side by side, on each only once at a time, and never on too many."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

import structlog

from orchestration.database import DatabaseUnavailable

log = structlog.get_logger(__name__)


class Hands:
    """So many pairs of hands. What goes wrong in one is told, and hinders nobody else."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._busy: dict[Hashable, asyncio.Task[None]] = {}

    def take(self, key: Hashable, work: Callable[[], Awaitable[object]]) -> bool:
        """Begin the work, unless it is under way already or no hand is free."""
        if key in self._busy or len(self._busy) >= self._places:
            return False
        task = asyncio.create_task(self._do(key, work))
        self._busy[key] = task
        task.add_done_callback(lambda _: self._busy.pop(key, None))
        return True

    async def finish(self, seconds: float) -> None:
        """Let what is under way come to its end; cancel what takes longer."""
        under_way = tuple(self._busy.values())
        if not under_way:
            return
        _, late = await asyncio.wait(under_way, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _do(self, key: Hashable, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except DatabaseUnavailable as error:
            log.warning("work_failed", row=str(key), error=str(error))
        except Exception:
            # Whatever it is, the row stays due and is looked at again.
            log.exception("work_failed", row=str(key))

"""A doorbell behind which a worker sits in the same process and looks at once."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from orchestration import lookout
from orchestration.resources import Resources

#: A look that is due sooner is part of what was asked (an end waits for what it closes).
SOON_SECONDS = 1.5


class LookingBell:
    """Rings are looked at in the background, so that a request waits for its job as it would."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._looking: set[asyncio.Task[None]] = set()
        self._finished: dict[UUID, asyncio.Event] = {}
        self.rings: list[tuple[str, UUID]] = []
        #: Off: nobody hears the bell, as when Redis and every worker are gone.
        self.is_heard = True

    async def ring(self, table: str, row_id: UUID, *, slow: bool = False) -> bool:
        del slow
        self.rings.append((table, row_id))
        if self.is_heard and table == "sessions":
            task = asyncio.create_task(self._look(row_id))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        return self.is_heard

    async def finished(self, job_id: UUID) -> None:
        self._finished.setdefault(job_id, asyncio.Event()).set()

    async def wait(self, job_id: UUID, seconds: float) -> bool:
        told = self._finished.setdefault(job_id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                return await told.wait()
        except TimeoutError:
            return False

    async def rest(self) -> None:
        """Wait until nobody looks any more."""
        while self._looking:
            await asyncio.gather(*self._looking)

    async def close(self) -> None:
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    async def _look(self, session_id: UUID) -> None:
        while True:
            looked = await lookout.look(session_id, self._resources)
            if looked.due_now:
                continue
            if looked.again_at is None:
                return
            seconds = (looked.again_at - datetime.now(UTC)).total_seconds()
            if seconds > SOON_SECONDS:
                return
            await asyncio.sleep(max(seconds, 0.01))

"""The sweep: ring for every row that is due, and look at it here when nobody hears the ring."""

from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final

from orchestration import due
from orchestration.due import Due
from orchestration.resources import Resources
from workers import lifecycle, recordings
from workers.hands import Hands

#: Rows of one kind that a sweep reads: more than a process could look at until the next one.
SWEPT_MAX: Final = 200
#: A row that was rung for and is still due after so long is looked at here: rings get lost.
HEARD_SECONDS: Final = 3.0
#: Looks side by side when this process does what it would have rung for.
QUICK_HANDS: Final = 16
#: The same for what takes long.
SLOW_HANDS: Final = 8


@dataclass
class Sweep:
    """One process' sweep, and what it remembers from one to the next."""

    resources: Resources
    quick: Hands = field(default_factory=lambda: Hands(QUICK_HANDS))
    slow: Hands = field(default_factory=lambda: Hands(SLOW_HANDS))
    #: How long each due row is left to who was rung: it is rung for once, not with every sweep.
    left_until: dict[Due, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Look for due sessions and recordings once."""
        moment = monotonic()
        rows = await due.due(self.resources.db, "sessions", "recordings", limit=SWEPT_MAX)
        before, self.left_until = self.left_until, {}
        for row in rows:
            left_until = before.get(row)
            if left_until is None:
                is_rung = await self.resources.bell.ring(row.table, row.id)
                left_until = moment + HEARD_SECONDS if is_rung else moment
            self.left_until[row] = left_until
            if moment >= left_until:
                self._take(row)

    async def finish(self, seconds: float) -> None:
        """Bring what is under way to its end."""
        await self.quick.finish(seconds)
        await self.slow.finish(seconds)

    def _take(self, row: Due) -> None:
        """Look at the row in this process, beside the sweep."""
        if row.table == "recordings":
            work = partial(recordings.finish_recording, str(row.id), self.resources)
            self.slow.take(row.id, work)
        else:
            self.quick.take(row.id, partial(self._look, row))

    async def _look(self, row: Due) -> None:
        if not await lifecycle.look_at(row.id, self.resources, may_be_slow=False):
            slowly = partial(lifecycle.look_at, row.id, self.resources, may_be_slow=True)
            self.slow.take(row.id, slowly)

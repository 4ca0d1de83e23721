"""Publish playlists: a loop in every worker process, without a message per playlist.

A playlist is due about once a segment for as long as a show lasts. Ringing for each would put as
many messages into Redis as there are live shows, every two seconds; looking for due rows is one
query for all of them, and the lease on the row decides which process writes.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from orchestration import due, publish
from orchestration.resources import Resources
from workers.hands import Hands

#: A quarter of a segment: what looking adds to a viewer's delay.
LOOK_SECONDS: Final = 0.5
#: Playlists that one look reads.
LOOKED_MAX: Final = 200
#: Playlists being written at the same time by one process: each waits mostly for storage.
SIDE_BY_SIDE: Final = 16


@dataclass
class Publishing:
    """One process' publishing of whichever playlists are due."""

    resources: Resources
    hands: Hands = field(default_factory=lambda: Hands(SIDE_BY_SIDE))

    async def run(self) -> None:
        """Begin to publish every playlist that is due now."""
        for row in await due.due(self.resources.db, "playbacks", limit=LOOKED_MAX):
            self.hands.take(row.id, partial(publish.publish, row.id, self.resources))

    async def finish(self, seconds: float) -> None:
        """Bring what is under way to its end."""
        await self.hands.finish(seconds)

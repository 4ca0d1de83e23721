"""The show's one stable playlist."""

from typing import Final

from orchestration.parts.part import READY, Outcome, Tools, Waiting
from orchestration.show import Show

#: Another worker is publishing: it will be done in a moment.
POLL_SECONDS: Final = 0.3


async def ensure(show: Show, tools: Tools) -> Outcome:
    """See that somebody publishes: workers look for playback rows that are due."""
    if not show.has_playback:
        await tools.ledger.open_playback()
    return READY


async def remove(show: Show, tools: Tools) -> Outcome:
    """Give the playlist its ENDLIST, and write the whole show's."""
    if not show.has_playback or await tools.ledger.close_playback():
        return READY
    return Waiting(show.after(POLL_SECONDS), "the last playlist is being written")

"""The recording of a show: opened with its first take, finished by its own repeatable job."""

from orchestration.parts.part import READY, Outcome, Tools
from orchestration.show import Show


async def ensure(show: Show, tools: Tools) -> Outcome:
    """Open the recording once there is something to record."""
    if show.recording_enabled and show.takes and not show.has_recording:
        await tools.ledger.open_recording()
    return READY


async def remove(show: Show, tools: Tools) -> Outcome:
    """Ask for it to be finished; nobody waits for that here."""
    # A worker may have died between the first take and the opening.
    await ensure(show, tools)
    if show.has_recording or show.takes:
        await tools.ledger.finish_recording()
    return READY

"""The LiveKit room of a show."""

from typing import Final

from orchestration.parts.part import READY, Outcome, Tools, Waiting
from orchestration.show import Show

#: LiveKit closes a room this long after everybody left; a reconnecting encoder must find it.
DEPARTURE_SLACK_SECONDS: Final = 120
#: A room that is being deleted may be listed for a moment.
DRAIN_SECONDS: Final = 0.3


async def ensure(show: Show, tools: Tools) -> Outcome:
    """Create or get the room: LiveKit's CreateRoom is both, so it needs no look before."""
    await tools.plane.create_room(
        show.room,
        empty_seconds=show.max_duration_seconds + tools.settings.green_room_seconds,
        departure_seconds=show.reconnect_window_seconds + DEPARTURE_SLACK_SECONDS,
    )
    return READY


async def remove(show: Show, tools: Tools) -> Outcome:
    """Delete the room, and see that it is gone: an encoder that still pushes would re-create it."""
    if not await tools.plane.list_rooms([show.room]):
        return READY
    await tools.plane.delete_room(show.room)
    if await tools.plane.list_rooms([show.room]):
        return Waiting(show.after(DRAIN_SECONDS), "the room is still listed")
    return READY

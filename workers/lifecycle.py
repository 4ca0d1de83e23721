"""Look at a session: the two actors of going live and ending, one line each."""

from uuid import UUID

from orchestration import lookout
from orchestration.resources import Resources


async def look(session_id: str, resources: Resources) -> None:
    """Do what takes milliseconds, and ring look_slow for the rest."""
    await look_at(UUID(session_id), resources, may_be_slow=False)


async def look_slow(session_id: str, resources: Resources) -> None:
    """Do everything, also what LiveKit answers after half a minute."""
    await look_at(UUID(session_id), resources, may_be_slow=True)


async def look_at(session_id: UUID, resources: Resources, *, may_be_slow: bool) -> bool:
    """Look once, and ring for what is to be done next.

    False when a slow look is wanted and Redis did not take the ring: the sweep, which calls this
    too, then does it itself.
    """
    looked = await lookout.look(session_id, resources, may_be_slow=may_be_slow)
    if looked.ring_slow:
        return await resources.bell.ring("sessions", session_id, slow=True)
    if looked.due_now:
        await resources.bell.ring("sessions", session_id)
    return True

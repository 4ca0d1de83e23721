"""Finish a recording: the actor, one line."""

from uuid import UUID

from orchestration import finishing
from orchestration.resources import Resources


async def finish_recording(recording_id: str, resources: Resources) -> None:
    """Check what a show left behind and give the verdict; harmless when it is done already."""
    await finishing.finish_recording(UUID(recording_id), resources)

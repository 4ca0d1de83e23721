"""Read shows with everything that their staff sees of them: a few queries, however many shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.session_rows import SessionRow, read_these_sessions
from orchestration.models import Event, Recording, Take

#: The event by which the engine says that the picture is gone.
LOST = "media.lost"


@dataclass(frozen=True)
class Backstage:
    """One show, and what is behind it."""

    row: SessionRow
    #: The newest run of the egress.
    take: Take | None
    recording: Recording | None
    #: How often the picture was lost so far.
    drops: int


async def read_backstage(tx: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Backstage]:
    """Read these shows; one that is not there, or hidden with its room, is left out."""
    rows = await read_these_sessions(tx, ids)
    takes = await tx.scalars(
        select(Take).where(col(Take.session_id).in_(ids)).order_by(col(Take.number))
    )
    newest = {take.session_id: take for take in takes}
    recordings = await tx.scalars(
        select(Recording).where(
            col(Recording.session_id).in_(ids), col(Recording.deleted_at).is_(None)
        )
    )
    kept = {recording.session_id: recording for recording in recordings}
    counted = await tx.execute(
        select(col(Event.session_id), func.count())
        .where(col(Event.session_id).in_(ids), col(Event.kind) == LOST)
        .group_by(col(Event.session_id))
    )
    drops = {session_id: int(count) for session_id, count in counted}
    return {
        row.session.id: Backstage(
            row,
            newest.get(row.session.id),
            kept.get(row.session.id),
            drops.get(row.session.id, 0),
        )
        for row in rows
    }

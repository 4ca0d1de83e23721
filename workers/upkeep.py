"""Measure what waits: the gauges of queues and shows, from SQL and Redis, for all of Greenroom."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration.database import now
from orchestration.models import Playback, Recording, Session
from orchestration.resources import Resources
from orchestration.states import OVER, PlaybackState

#: The name under which due rows are told, beside Redis' queues.
DUE: Final = "due"


async def measure(resources: Resources) -> None:
    """Write down what waits, how long, and how many shows are in which phase."""
    async with resources.db.read() as tx:
        moment = await now(tx)
        depth, oldest = await _due(tx, moment)
        phases, oldest_phases = await _phases(tx, moment)
        quarantined = await _count(tx, Session, Session.quarantined_at)
        stalled = (
            await tx.execute(
                select(func.count()).where(_column(Playback.state) == PlaybackState.STALLED)
            )
        ).scalar_one()
    depths, ages = {DUE: float(depth)}, {DUE: oldest}
    waiting = await resources.bell.waiting()
    for queue, one in (waiting or {}).items():
        depths[queue] = float(one.depth)
        ages[queue] = one.oldest_age_seconds
    metrics.measured(metrics.QUEUE_DEPTH, depths)
    metrics.measured(metrics.QUEUE_OLDEST_AGE, ages)
    metrics.measured(metrics.SESSIONS, phases)
    metrics.measured(metrics.PHASE_OLDEST, oldest_phases)
    metrics.measured(metrics.QUARANTINED, quarantined)
    metrics.measured(metrics.PLAYBACK_STALLED, stalled)


async def _due(tx: AsyncSession, moment: datetime) -> tuple[int, float]:
    """Count rows that are due and free, and say for how long the oldest has been, in seconds."""
    depth, oldest = 0, 0.0
    for table in (Session, Playback, Recording):
        columns: Any = table  # SQLModel types columns as values
        count, first = (
            await tx.execute(
                select(func.count(), func.min(columns.look_at)).where(
                    columns.look_at <= moment,
                    columns.lease_until.is_(None) | (columns.lease_until <= moment),
                    columns.quarantined_at.is_(None),
                )
            )
        ).one()
        depth += count
        if first is not None:
            oldest = max(oldest, (moment - first).total_seconds())
    return depth, oldest


async def _phases(tx: AsyncSession, moment: datetime) -> tuple[dict[str, float], dict[str, float]]:
    """Count sessions by phase; and how long the oldest of each that is not over has been in it."""
    phase, since = _column(Session.phase), _column(Session.phase_since)
    rows = (
        await tx.execute(
            select(phase, func.count(), func.min(since))
            .where(_column(Session.deleted_at).is_(None))
            .group_by(phase)
        )
    ).all()
    counts = {str(name): float(count) for name, count, _ in rows}
    oldest = {
        str(name): max(0.0, (moment - first).total_seconds())
        for name, _, first in rows
        if first is not None and name not in OVER
    }
    return counts, oldest


async def _count(tx: AsyncSession, table: Any, filled: object) -> int:
    """Count rows whose column is filled."""
    count = await tx.execute(
        select(func.count()).select_from(table).where(_column(filled).is_not(None))
    )
    return int(count.scalar_one())


def _column(value: object) -> Any:
    """Take a column for what it is: SQLModel types columns as values."""
    return value

"""Who may act on a row that is due: claim, renew, and write only while the claim holds."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration.database import Database, DatabaseUnavailable, clock, keep_now, now
from orchestration.models import Playback, Recording, Session

log = structlog.get_logger(__name__)

#: A row of any of these is a duty: see models/columns.py.
DutyRow = Session | Playback | Recording
#: Further ahead than any lease, and any look at a show that is on its way, is ever set.
AHEAD_MAX: Final = timedelta(minutes=10)
#: How far the first retry is away; each further one doubles it.
BACKOFF_SECONDS_FIRST: Final = 0.5


class LeaseLost(Exception):
    """Somebody else owns the row now: stop, touch nothing."""


@dataclass(frozen=True)
class Lease:
    """The right to act on one row, and its number."""

    table: type[DutyRow]
    id: UUID
    owner: str
    epoch: int
    nudges: int  #: as they were at the claim
    attempts: int


def key_of(table: type[DutyRow]) -> ColumnElement[UUID]:
    """Name the column a duty is found by."""
    return table.session_id if table is Playback else table.id  # type: ignore[return-value, union-attr]  # SQLModel types columns as values


async def claim(
    db: Database, table: type[DutyRow], row_id: UUID, *, owner: str, seconds: float
) -> Lease | None:
    """Take the right to act, if the row is due and nobody has it.

    The claim counts an attempt; an orderly `save` sets the count back to 0, so that only what
    kills its worker adds up.
    """
    columns: Any = table  # SQLModel types columns as values
    async with db.begin() as tx:
        moment = await now(tx)
        won = (
            await tx.execute(
                update(table)
                .where(
                    key_of(table) == row_id,
                    # due: somebody wished, hinted, or the time has come
                    columns.look_at <= moment,
                    # free: never claimed, given back, or its owner fell silent
                    or_(columns.lease_until.is_(None), columns.lease_until <= moment),
                )
                .values(
                    epoch=columns.epoch + 1,
                    attempts=columns.attempts + 1,
                    lease_owner=owner,
                    lease_until=moment + timedelta(seconds=seconds),
                )
                .returning(columns.epoch, columns.nudges, columns.attempts)
                .execution_options(synchronize_session=False)
            )
        ).one_or_none()
    if won is None:
        return None
    return Lease(table, row_id, owner, epoch=won.epoch, nudges=won.nudges, attempts=won.attempts)


@asynccontextmanager
async def kept(
    db: Database, lease: Lease, *, seconds: float, ending: threading.Event
) -> AsyncIterator[None]:
    """Renew the lease while the block works; cancel the block when the lease is lost.

    `ending` is set once this process must end.

    A block that is cut because its process ends, or that the database failed, frees the row on its
    way out: nothing was killed, and somebody else may go on at once. Raises LeaseLost.
    """
    worker = asyncio.current_task()
    assert worker is not None
    lost = False

    async def renew() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(seconds / 3)
            try:
                lost = not await _renew(db, lease, seconds=seconds)
            except DatabaseUnavailable:
                continue  # the lease still has two thirds to run
            if lost:
                worker.cancel()
                return

    renewing = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            worker.uncancel()
            raise LeaseLost(str(lease.id)) from None
        # Cut by its time limit it hangs: that counts as a kill, and the lease runs out.
        if ending.is_set():
            await _free(db, lease)
        raise
    except DatabaseUnavailable:
        await _free(db, lease)
        raise
    finally:
        renewing.cancel()


async def locked(tx: AsyncSession, lease: Lease) -> Any:  # the table's row
    """Load the row for writing, if the claim still holds. Raises LeaseLost."""
    columns: Any = lease.table
    found = (
        await tx.execute(
            select(lease.table, clock(tx))
            .where(key_of(lease.table) == lease.id, columns.epoch == lease.epoch)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one_or_none()
    row = None
    if found is not None:
        row = found[0]
        keep_now(tx, found[1])
    if row is None or row.lease_owner != lease.owner:
        metrics.LEASES_LOST.inc()
        raise LeaseLost(str(lease.id))
    return row


async def locked_with_session(tx: AsyncSession, lease: Lease) -> tuple[Any, Session]:
    """Load the row and its session's for writing, if the claim still holds. Raises LeaseLost.

    Whoever writes to several rows of a show locks its session's first: two orders are a deadlock.
    """
    columns: Any = lease.table
    session_id = select(columns.session_id).where(key_of(lease.table) == lease.id).scalar_subquery()
    session = (
        await tx.execute(select(Session).where(Session.id == session_id).with_for_update())  # type: ignore[arg-type]
    ).scalar_one()
    return await locked(tx, lease), session


def give_back(row: DutyRow, lease: Lease, moment: datetime, *, again_at: datetime | None) -> None:
    """End a claim in order: free the row, and say when to look again.

    A wish or hint that came meanwhile is due at once.
    """
    row.attempts = 0
    row.lease_owner = None
    row.lease_until = None
    row.look_at = moment if row.nudges != lease.nudges else again_at


def nudge(row: DutyRow, moment: datetime) -> None:
    """Make a row due now: something happened to it. Only a wish lifts a quarantine, before this."""
    row.nudges += 1
    if row.quarantined_at is None:
        row.look_at = moment


def backoff_seconds(failures: int, *, longest: float) -> float:
    """Say how long to wait after so many failures in a row: 0.5 s, 1 s, 2 s ... `longest`."""
    exponent = min(max(failures - 1, 0), 16)
    return float(min(BACKOFF_SECONDS_FIRST * 2**exponent, longest))


async def _free(db: Database, lease: Lease) -> None:
    """Undo a claim as far as it can be undone: what was done is found by the next look."""
    columns: Any = lease.table
    with suppress(DatabaseUnavailable):  # then the lease runs out
        async with db.begin() as tx:
            # A wish that came meanwhile has set the count to 0 already.
            undone = case((columns.attempts > 0, columns.attempts - 1), else_=0)
            await _write(tx, lease, attempts=undone, lease_owner=None, lease_until=None)


async def _renew(db: Database, lease: Lease, *, seconds: float) -> bool:
    async with db.begin() as tx:
        moment = await now(tx)
        return await _write(tx, lease, lease_until=moment + timedelta(seconds=seconds))


async def _write(tx: AsyncSession, lease: Lease, **values: Any) -> bool:
    """Write a row's columns while the claim holds; whether it does."""
    columns: Any = lease.table
    written = await tx.execute(
        update(lease.table)
        .where(
            key_of(lease.table) == lease.id,
            columns.epoch == lease.epoch,
            columns.lease_owner == lease.owner,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(written.rowcount)  # type: ignore[attr-defined]  # an UPDATE answers a cursor result

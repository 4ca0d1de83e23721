"""Find what is due: rows that somebody should look at now and nobody does."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Subquery,
    bindparam,
    literal,
    or_,
    select,
    union_all,
)

from orchestration.database import Database, UtcDateTime, now
from orchestration.leases import DutyRow, key_of
from orchestration.models import Playback, Recording, Session

#: Every table whose rows are duties.
TABLES: Final[dict[str, type[DutyRow]]] = {
    "sessions": Session,
    "playbacks": Playback,
    "recordings": Recording,
}


@dataclass(frozen=True)
class Due:
    """One row that should be looked at."""

    table: str
    id: UUID
    since: datetime


async def due(db: Database, *tables: str, limit: int = 200) -> list[Due]:
    """List due rows of these tables (all by default), longest due first.

    `limit` is for each table, so that none is left out.
    """
    async with db.read() as tx:
        rows = await tx.execute(_due_rows(tables or tuple(TABLES), limit), {"now": await now(tx)})
        found = [Due(row[0], row[1], row[2]) for row in rows]
    return sorted(found, key=lambda one: one.since)  # a union promises no order


@cache
def _due_rows(tables: tuple[str, ...], limit: int) -> CompoundSelect[Any]:
    """Build one query for all: each sweep of each worker asks it."""
    moment = bindparam("now", type_=UtcDateTime())
    return union_all(*(select(_due_of(table, moment, limit)) for table in tables))


def _due_of(name: str, moment: ColumnElement[Any], limit: int) -> Subquery:
    columns: Any = TABLES[name]  # SQLModel types columns as values
    return (
        select(literal(name).label("table_name"), key_of(columns).label("id"), columns.look_at)
        .where(
            columns.look_at <= moment,
            or_(columns.lease_until.is_(None), columns.lease_until <= moment),
        )
        .order_by(columns.look_at)
        .limit(limit)
        .subquery()
    )

"""Find what is due: rows that somebody should look at now and nobody does."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import or_, select

from orchestration.database import Database, now
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
    """List due rows of these tables (all by default), longest due first."""
    found: list[Due] = []
    async with db.read() as tx:
        moment = await now(tx)
        for name in tables or TABLES:
            table = TABLES[name]
            columns: Any = table  # SQLModel types columns as values
            rows = await tx.execute(
                select(key_of(table), columns.look_at)
                .where(
                    columns.look_at <= moment,
                    or_(columns.lease_until.is_(None), columns.lease_until <= moment),
                )
                .order_by(columns.look_at)
                .limit(limit)
            )
            found += [Due(name, row[0], row[1]) for row in rows]
    return found

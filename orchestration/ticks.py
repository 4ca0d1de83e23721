"""Claim a tick: each line of the schedule is run by one worker of all, by the database's clock."""

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestration.database import Database, now
from orchestration.leases import AHEAD_MAX
from orchestration.models import Tick


async def claim(
    db: Database, name: str, *, owner: str, every_seconds: float, patience_seconds: float
) -> float | None:
    """Take a tick that is due, for at most so long; None when it is ours now.

    Otherwise in how many seconds to try again, at most `every_seconds`. The next tick is due
    `every_seconds` after this one began, also if this one fails.
    """
    columns: Any = Tick  # SQLModel types columns as values
    async with db.read() as tx:
        moment = await now(tx)
        tick = (await tx.execute(select(Tick).where(columns.name == name))).scalar_one_or_none()
    every = timedelta(seconds=every_seconds)
    if tick is not None and moment < tick.due_at <= moment + every:
        return (tick.due_at - moment).total_seconds()
    async with db.begin() as tx:
        moment = await now(tx)
        if tick is None:
            insert = sqlite.insert if db.is_sqlite else postgresql.insert
            await tx.execute(insert(Tick).values(name=name, due_at=moment).on_conflict_do_nothing())
        won = await tx.execute(
            update(Tick)
            .where(
                columns.name == name,
                # Later than it was ever set: the clock went back.
                or_(columns.due_at <= moment, columns.due_at > moment + every),
                or_(
                    columns.lease_until.is_(None),
                    columns.lease_until <= moment,  # whoever ran it died over it
                    columns.lease_until > moment + AHEAD_MAX,
                ),
            )
            .values(
                due_at=moment + every,
                lease_owner=owner,
                lease_until=moment + timedelta(seconds=patience_seconds),
            )
            .execution_options(synchronize_session=False)
        )
    return None if won.rowcount else every_seconds  # type: ignore[attr-defined]  # an UPDATE answers a cursor result


async def give_back(db: Database, name: str, *, owner: str, done: bool) -> None:
    """End a tick; `done` says that it ended well."""
    columns: Any = Tick
    async with db.begin() as tx:
        moment = await now(tx)
        values: dict[str, Any] = {"lease_owner": None, "lease_until": None}
        if done:
            values["last_done_at"] = moment
        await tx.execute(
            update(Tick)
            .where(columns.name == name, columns.lease_owner == owner)
            .values(**values)
            .execution_options(synchronize_session=False)
        )

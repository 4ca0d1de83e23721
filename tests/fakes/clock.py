"""A database clock that stands still until a test moves it.

The engine asks only the database what time it is. SQLite and PostgreSQL both let a connection put
a function of its own in front of the built-in one, so nothing in the engine knows of this.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text

from orchestration.database import Database

#: Any moment will do; this one is easy to read in a failure.
BEGINNING = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """What time it is for the engine and for the LiveKit in memory."""

    def __init__(self, at: datetime = BEGINNING) -> None:
        self.at = at
        self._databases: list[Database] = []

    def now(self) -> datetime:
        return self.at

    async def govern(self, db: Database) -> None:
        """Make this the clock of a database: SQLite's before its first use, else after it."""
        if db.is_sqlite:
            _teach_sqlite(db, self.now)
            return
        async with db.engine.begin() as connection:
            for statement in _POSTGRES:
                await connection.execute(text(statement))
            await connection.execute(text("INSERT INTO clock.face VALUES (:at)"), {"at": self.at})
        await db.engine.dispose()  # connections learn their search path when they are made
        self._databases.append(db)

    async def advance(self, seconds: float) -> None:
        """Move on, in every database that is governed."""
        self.at += timedelta(seconds=seconds)
        for db in self._databases:
            async with db.engine.begin() as connection:
                await connection.execute(text("UPDATE clock.face SET at = :at"), {"at": self.at})


def _teach_sqlite(db: Database, now: Callable[[], datetime]) -> None:
    def strftime(form: str, moment: str) -> str:
        assert (form, moment) == ("%Y-%m-%dT%H:%M:%f", "now"), "the one way the engine asks"
        return now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]

    def connected(connection: Any, _record: object) -> None:
        connection.create_function("strftime", 2, strftime)
        cursor = connection.cursor()
        # No test here loses power; the disk's patience is not what is tested.
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()

    event.listen(db.engine.sync_engine, "connect", connected)


_POSTGRES = (
    "CREATE SCHEMA clock",
    "CREATE TABLE clock.face (at timestamptz NOT NULL)",
    """CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
       AS 'SELECT at FROM clock.face'""",
    """DO $$ BEGIN EXECUTE format(
       'ALTER DATABASE %I SET search_path = public, clock, pg_catalog', current_database());
       END $$""",
)

"""SQLite's own connection: whole statements in one trip, also when one fails or is given up."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from orchestration.database import Database, DatabaseUnavailable


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """Give a database with one table and one connection, so that each test meets the last one's."""
    db = Database.open(f"sqlite:///{tmp_path / 'it.sqlite3'}", pool_size=1)
    async with db.begin() as tx:
        await tx.execute(text("CREATE TABLE words (word TEXT UNIQUE)"))
    yield db
    await db.close()


async def words(db: Database) -> list[str]:
    async with db.read() as tx:
        found = await tx.execute(text("SELECT word FROM words ORDER BY word"))
        return [str(word) for word in found.scalars()]


async def add(db: Database, *them: str) -> None:
    async with db.begin() as tx:
        for word in them:
            await tx.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})


async def test_what_was_written_is_read(db: Database) -> None:
    """Rows, counts and what a statement returns are those of SQLite."""
    await add(db, "a", "b")

    async with db.begin() as tx:
        returned = await tx.execute(text("UPDATE words SET word = word || '!' RETURNING word"))
        counted = await tx.execute(text("DELETE FROM words WHERE word = 'a!'"))

        assert sorted(returned.scalars()) == ["a!", "b!"]
        assert counted.rowcount == 1

    assert await words(db) == ["b!"]


async def test_a_statement_that_fails_leaves_a_connection_that_works(db: Database) -> None:
    """It is said as SQLAlchemy says it, and what came before it is undone."""
    with pytest.raises(IntegrityError):
        await add(db, "a", "b", "a")

    assert await words(db) == []
    await add(db, "a")
    assert await words(db) == ["a"]


async def test_a_statement_that_is_given_up_leaves_a_database_that_works(
    db: Database, tmp_path: Path
) -> None:
    """Whoever waits for another's lock may be cancelled at any moment."""
    other = sqlite3.connect(tmp_path / "it.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(add(db, "a"))
    await asyncio.sleep(0.1)

    waiting.cancel()
    await asyncio.sleep(0.1)
    other.execute("COMMIT")
    other.close()
    outcome = await asyncio.gather(waiting, return_exceptions=True)
    await add(db, "b")

    assert isinstance(outcome[0], asyncio.CancelledError)
    assert await words(db) == ["b"]


async def test_a_lock_that_stays_is_told(db: Database, tmp_path: Path) -> None:
    """It is no other error than before."""
    await add(db, "a")
    async with db.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "it.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseUnavailable):
        await add(db, "b")
    other.close()

    assert await words(db) == ["a"]

"""Migrations go up, down and up again, on both databases, and `is_current` knows where they are."""

import asyncio

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlmodel import SQLModel

from orchestration import migrations
from orchestration.database import Database
from orchestration.models import Session


async def tables(db: Database) -> set[str]:
    async with db.read() as tx:
        connection = await tx.connection()
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_migrations_go_up_and_down_and_up_again(database_url: str) -> None:
    """A release can be taken back, and an upgrade that ran twice is one."""
    db = Database.open(database_url)
    try:
        assert not await migrations.is_current(db)

        for _ in range(2):
            await asyncio.to_thread(migrations.upgrade, database_url)
        assert await migrations.is_current(db)
        made = await tables(db)
        await asyncio.to_thread(command.downgrade, migrations.config_of(database_url), "base")
        assert not await migrations.is_current(db)
        left = await tables(db)
        await asyncio.to_thread(migrations.upgrade, database_url)

        assert Session.__tablename__ in made
        assert left <= {"alembic_version"}
        assert await tables(db) == made
    finally:
        await db.close()


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    """Who adds one says so in HEAD, or every process would call the database old."""
    scripts = ScriptDirectory.from_config(migrations.config_of(""))

    assert scripts.get_current_head() == migrations.HEAD


async def test_the_migrated_tables_are_those_of_the_models(database_url: str) -> None:
    """A column that somebody forgot to migrate is found here, and not by an operator."""
    await asyncio.to_thread(migrations.upgrade, database_url)
    db = Database.open(database_url)
    try:
        async with db.read() as tx:
            connection = await tx.connection()
            differences = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), SQLModel.metadata)
            )
    finally:
        await db.close()

    assert differences == []

"""Bring the ledger to this version's tables (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from orchestration.database import Database


def upgrade(url: str) -> None:
    """Run every migration that this database has not seen; running it again does nothing."""
    command.upgrade(_config(url), "head")


async def is_current(db: Database) -> bool:
    """Say whether the database has this version's tables. Raises DatabaseUnavailable."""
    head = ScriptDirectory.from_config(_config("")).get_current_head()
    async with db.read() as tx:
        connection = await tx.connection()
        return await connection.run_sync(_revision) == head


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # A percent sign in a password is not Alembic's interpolation.
    config.attributes["url"] = url
    return config

"""Bring the ledger to this version's tables (Alembic)."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from orchestration.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest of `versions/`. Every process asks for it when it starts; only who migrates loads
#: Alembic, which takes as long as a tenth of everything else.
HEAD: Final = "0002"


def upgrade(url: str) -> None:
    """Run every migration that this database has not seen; running it again does nothing."""
    from alembic import command  # noqa: PLC0415  # see HEAD

    command.upgrade(config_of(url), "head")


async def is_current(db: Database) -> bool:
    """Say whether the database has this version's tables. Raises DatabaseUnavailable."""
    async with db.read() as tx:
        connection = await tx.connection()
        return await connection.run_sync(_revision) == HEAD


def config_of(url: str) -> "Config":
    """Tell Alembic where the migrations lie, and what they are for."""
    from alembic.config import Config  # noqa: PLC0415  # see HEAD

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # A percent sign in a password is not Alembic's interpolation.
    config.attributes["url"] = url
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found

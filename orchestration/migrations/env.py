"""Run migrations on the database that `upgrade` names."""

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import JSON, Connection, text
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import orchestration.models
from orchestration.database import Database, UtcDateTime
from orchestration.models.columns import Word

assert orchestration.models.__all__


def _plain(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write columns in plain SQL types: a migration must not change when a class of ours does."""
    if kind != "type":
        return False
    match item:
        case UtcDateTime():
            return "sa.DateTime(timezone=True)"
        case Word():
            return "sa.String(length=32)"
        case AutoString():
            return f"sa.String(length={item.length})" if item.length else "sa.String()"
        case JSON():
            return "ANY_JSON"
        case _:
            return False


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # A large table takes longer than any statement of ours may; a lock is still given up on.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=_plain,
        # SQLite cannot alter a column: Alembic copies the table instead.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    db = Database.open(context.config.attributes["url"])
    try:
        async with db.begin() as tx:
            await (await tx.connection()).run_sync(_run)
    finally:
        await db.close()


asyncio.run(_online())

"""The watcher of lock order, so that its silence means something."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Executable, delete, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlmodel import col

from orchestration.models import Playback, Recording, Session, Take
from tests.integration.lock_order import LockOrder, locked_by

OWNER = select(col(Recording.session_id)).limit(1).scalar_subquery()


def sql(statement: Any) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))


# fmt: off
STATEMENTS = (
    (select(Session).with_for_update(),                                          "sessions"),
    (select(Session).where(col(Session.id) == OWNER).with_for_update(),          "sessions"),
    (select(Recording).join(Session, col(Session.id) == col(Recording.session_id))
        .with_for_update(of=Recording),                                          "recordings"),
    (update(Playback).values(closing=True),                                      "playbacks"),
    (delete(Take),                                                               "takes"),
    (select(Session),                                                            None),
    (insert(Take),                                                               None),
)
# fmt: on


@pytest.mark.parametrize(("statement", "table"), STATEMENTS, ids=map(str, range(len(STATEMENTS))))
def test_the_locked_table_is_seen(statement: Executable, table: str | None) -> None:
    """In what SQLAlchemy writes for PostgreSQL."""
    assert locked_by(sql(statement)) == table


@pytest.mark.parametrize(
    ("tables", "trespasses"),
    [
        ((Session, Playback, Take), 0),
        ((Playback,), 0),
        ((Playback, Session), 1),
        ((Playback, Take), 1),
    ],
)
def test_a_transaction_that_goes_back_is_told(tables: tuple[Any, ...], trespasses: int) -> None:
    """A session's row goes before what belongs to it; after the end everything is free again."""
    order = LockOrder()
    connection: Any = SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))

    for table in tables:
        order.locks(connection, None, sql(select(table).with_for_update()))
    order.ended(connection)
    order.locks(connection, None, sql(select(Session).with_for_update()))

    assert len(order.trespasses) == trespasses

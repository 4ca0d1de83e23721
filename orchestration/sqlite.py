"""SQLite beside the event loop: one trip to its thread for each statement.

aiosqlite makes four (a cursor, the statement, its rows, the cursor's end), and each trip wakes two
threads. A go_live is some fifty statements, of which most take less time than a trip.
"""

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import aiosqlite
from typing_extensions import override

#: Rows that an iteration would fetch at a time; nothing here iterates.
_CHUNK: Final = 64


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """Open a connection when it is awaited; options are sqlite3.connect's."""
    connection = Connection(partial(sqlite3.connect, database, **options), _CHUNK)
    # A process that ends need not wait for it.
    connection._thread.daemon = True  # noqa: SLF001  # as SQLAlchemy does with aiosqlite's own
    return connection


class Cursor(aiosqlite.Cursor):
    """A cursor that has fetched its rows when its statement is done."""

    def __init__(self, connection: aiosqlite.Connection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._rows: list[sqlite3.Row] = []
        self._is_idle = True

    @override
    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "Cursor":
        self._is_idle = False
        given = () if parameters is None else tuple(parameters)
        self._rows = await self._execute(self._whole, sql, given)  # type: ignore[no-untyped-call]
        return self

    @override
    async def fetchall(self) -> Iterable[sqlite3.Row]:
        rows, self._rows = self._rows, []
        return rows

    @override
    async def close(self) -> None:
        """Close it: here when its thread is done with it, else there, when it will be."""
        if self._is_idle:
            self._cursor.close()
        else:
            await super().close()

    def _whole(self, sql: str, parameters: tuple[Any, ...]) -> list[sqlite3.Row]:
        try:
            self._cursor.execute(sql, parameters)
            return self._cursor.fetchall() if self._cursor.description else []
        finally:
            self._is_idle = True


class Connection(aiosqlite.Connection):
    """A connection whose cursors are made where they are asked for: that touches no file."""

    @override
    def cursor(self) -> Cursor:  # type: ignore[override]  # aiosqlite's is entered the same way
        return Cursor(self, self._conn.cursor())

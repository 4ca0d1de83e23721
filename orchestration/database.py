"""Open the ledger (SQLite or PostgreSQL) and hand out short transactions."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import (
    URL,
    ColumnElement,
    DateTime,
    Dialect,
    TypeDecorator,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from typing_extensions import override

from observability import metrics
from orchestration import sqlite

#: Longer than any transaction of ours by far, shorter than a caller's patience.
SQLITE_BUSY_SECONDS: Final = 10
#: A statement that runs longer is a mistake of ours.
POSTGRES_SETTINGS: Final = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
#: Longer than PostgreSQL's own limits: only a server that is silent is given up by the clock.
PATIENCE_SECONDS: Final = 6.0
# fmt: off
#: Beginnings of SQLSTATEs that say something about PostgreSQL and nothing about the statement.
POSTGRES_OUT_OF_REACH: Final = (
    "08",     # the connection broke
    "25006",  # read only: after a failover this is the wrong server
    "28",     # it does not know us
    "3D000",  # there is no such database
    "40",     # a deadlock, or a commit that another one overtook
    "53",     # no connections, memory or disk left
    "55000",  # the database takes no connections
    "55P03",  # somebody holds a row for too long
    "57",     # starting, stopping, or the statement took too long
    "58",     # its disk fails
)
# fmt: on


class DatabaseUnavailable(Exception):
    """The ledger did not answer; nothing is known to have been written. Retryable."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None:
            return None
        assert value.tzinfo is not None, "a naive time would be read as another one"
        return value.astimezone(UTC)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Database:
    """One pool. `begin()` is a transaction that commits; `read()` one that writes nothing."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(
        cls, url: str, *, pool_size: int = 10, patience_seconds: float = PATIENCE_SECONDS
    ) -> Self:
        """Build the pool; the network is touched by the first transaction, not here.

        A statement that PostgreSQL has not answered after `patience_seconds` is given up.
        """
        if url.startswith("sqlite"):
            path = url.split("///", 1)[-1]
            if path and path != ":memory:":
                Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            engine = create_async_engine(
                async_url(url),
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=SQLITE_BUSY_SECONDS,
                connect_args={
                    "timeout": SQLITE_BUSY_SECONDS,
                    "async_creator_fn": sqlite.connect,
                },
            )
            _teach_sqlite(engine)
        else:
            plain, parameters = _apart(async_url(url))
            engine = create_async_engine(
                plain,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_timeout=3,
                pool_pre_ping=True,
                connect_args={
                    "dsn": parameters,
                    "timeout": patience_seconds,
                    "command_timeout": patience_seconds,
                    "server_settings": dict(POSTGRES_SETTINGS),
                },
            )
        return cls(engine)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that commits when the block ends well.

        Raises DatabaseUnavailable when the database cannot be reached. An error on COMMIT is
        ambiguous: the caller looks again by key.
        """
        with _failures_told():
            async with self._sessions() as session, session.begin():
                yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction for reading only; nothing it does is kept."""
        with _failures_told():
            async with self._sessions() as session:
                await session.connection(execution_options={"greenroom_reads": True})
                yield session

    async def ping(self) -> None:
        """Ask the database anything. Raises DatabaseUnavailable."""
        async with self.read() as tx:
            await tx.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


@contextmanager
def _failures_told() -> Iterator[None]:
    """Tell what lies outside a statement (no connection, no room, locked) in one way.

    asyncpg's dialect calls most of it a plain DBAPIError; only the SQLSTATE says what it is.
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
        metrics.DATABASE_ERRORS.inc()
        raise DatabaseUnavailable(str(type(error).__name__)) from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if error.connection_invalidated or state.startswith(POSTGRES_OUT_OF_REACH):
            metrics.DATABASE_ERRORS.inc()
            raise DatabaseUnavailable(state or type(error).__name__) from error
        raise


def async_url(url: str) -> str:
    """`sqlite:///x` -> `sqlite+aiosqlite:///x`; `postgresql://...` -> `postgresql+asyncpg://...`."""
    scheme, _, rest = url.partition("://")
    match scheme.split("+")[0]:
        case "sqlite":
            return f"sqlite+aiosqlite://{rest}"
        case "postgresql" | "postgres":
            return f"postgresql+asyncpg://{rest}"
        case other:
            raise ValueError(f"GREENROOM_DATABASE_URL: {other!r} is neither sqlite nor postgresql")


def _apart(url: str) -> tuple[URL, str]:
    """Take libpq's parameters (sslmode, sslrootcert, application_name ...) out of an address.

    SQLAlchemy would give them to asyncpg as arguments it does not have; it reads them in a DSN.
    """
    given = make_url(url)
    parameters = URL.create("postgresql", query=given.query)
    return given.set(query={}), parameters.render_as_string()


async def now(tx: AsyncSession) -> datetime:
    """Say what time the database has: leases and deadlines never trust a worker's clock.

    A transaction has one time, however often it asks: when it asked first.
    """
    known: datetime | None = tx.info.get(_NOW)
    return known or keep_now(tx, (await tx.execute(select(clock(tx)))).scalar_one())


def clock(tx: AsyncSession) -> ColumnElement[Any]:
    """Name the database's time, for a query that reads something else as well; see `keep_now`."""
    if tx.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m-%dT%H:%M:%f", "now")
    return func.clock_timestamp()


def keep_now(tx: AsyncSession, told: Any) -> datetime:
    """Take what `clock` told for the transaction's time, unless it has one."""
    known: datetime | None = tx.info.get(_NOW)
    if known is None:
        # SQLite tells it as text, and without a zone: it is UTC.
        known = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
        known = tx.info[_NOW] = known.replace(tzinfo=known.tzinfo or UTC).astimezone(UTC)
    return known


#: Where a transaction's time is kept.
_NOW: Final = "greenroom_now"


def _teach_sqlite(engine: AsyncEngine) -> None:
    """WAL, full sync, foreign keys; and BEGIN IMMEDIATE, or two writers deadlock into 'busy'."""

    def connected(connection: Any, _record: object) -> None:  # a DBAPI connection
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Any) -> None:  # a SQLAlchemy connection
        reads = connection.get_execution_options().get("greenroom_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    listen: Callable[..., None] = event.listen
    listen(engine.sync_engine, "connect", connected)
    listen(engine.sync_engine, "begin", begun)

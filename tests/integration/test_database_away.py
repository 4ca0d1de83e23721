"""A database that is there and does not serve: every way of it is DatabaseUnavailable, counted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from observability import metrics
from orchestration.database import Database, DatabaseUnavailable
from tests.system.postgres import PostgresServer
from tests.system.waits import until

pytestmark = pytest.mark.postgres


@pytest.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


async def failure_of(url: str) -> str:
    """Open a database that cannot be had; the reason it gives."""
    db = Database.open(url)
    before = _counted()
    try:
        with pytest.raises(DatabaseUnavailable) as failed:
            await db.ping()
    finally:
        await db.close()
    assert _counted() == before + 1
    return str(failed.value)


def _counted() -> float:
    return metrics.DATABASE_ERRORS._value.get()


async def test_one_that_takes_no_connections_is_unavailable(
    url: str, postgres_server: PostgresServer
):
    """An operator closed it for a moment; what was connected is thrown out."""
    name = url.rpartition("/")[2]
    db = Database.open(url)
    await db.ping()
    postgres_server.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    postgres_server.sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )

    with pytest.raises(DatabaseUnavailable, match="55000"):
        await db.ping()

    postgres_server.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await db.ping()
    await db.close()


async def test_an_address_says_what_libpq_says_in_one(url: str) -> None:
    """TLS as it is asked for, or no connection; the name by which PostgreSQL lists us."""
    db = Database.open(f"{url}?sslmode=disable&application_name=greenroom-tests")
    async with db.read() as tx:
        name = (await tx.execute(text("SHOW application_name"))).scalar_one()
    await db.close()

    assert name == "greenroom-tests"
    assert "Connection" in await failure_of(f"{url}?sslmode=require")


async def test_one_that_is_silent_is_unavailable_in_time() -> None:
    """Stopped, swapping, or behind a broken network: connected, and no word; later it goes on."""
    server = PostgresServer()
    await asyncio.to_thread(server.start)
    db = Database.open(server.create_database(), patience_seconds=0.5)
    await db.ping()
    assert server.process is not None
    server.process.pause()
    try:
        # One that was connected, one that is new, and again: nothing piles up.
        for _ in range(3):
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(db.ping(), db.ping(), return_exceptions=True)
            assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes), outcomes
    finally:
        server.process.resume()

    await until(lambda: answers(db), what="the database to be back")
    await db.close()
    await asyncio.to_thread(server.stop)


async def answers(db: Database) -> bool:
    await db.ping()
    return True


async def test_one_without_a_free_connection_is_unavailable(
    url: str, postgres_server: PostgresServer
):
    """Too many processes with too large pools."""
    role = f"few_{url.rpartition('_')[2]}"
    postgres_server.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")

    assert await failure_of(url.replace("postgres@", f"{role}@")) == "53300"

    postgres_server.sql(f"DROP ROLE {role}")


async def test_one_that_is_gone_or_does_not_know_us_is_unavailable(url: str):
    """The API goes on answering 503, and workers try again."""
    assert await failure_of(f"{url}_gone") == "3D000"
    assert await failure_of(url.replace("postgres@", "nobody@")) == "28000"


async def test_a_row_that_somebody_holds_is_unavailable_after_a_while(url: str):
    """The lock's time-out is ours, and asking again may help."""
    db = Database.open(url)
    async with db.begin() as tx:
        await tx.execute(text("CREATE TABLE here AS SELECT 1 AS n"))

    async with db.begin() as holder:
        await holder.execute(text("SELECT * FROM here FOR UPDATE"))
        with pytest.raises(DatabaseUnavailable, match="55P03"):
            async with db.begin() as tx:
                await tx.execute(text("SELECT * FROM here FOR UPDATE"))
    await db.close()


async def test_of_two_that_wait_for_each_other_one_is_unavailable(url: str):
    """PostgreSQL breaks a deadlock; the loser asks again."""
    db = Database.open(url)
    async with db.begin() as tx:
        await tx.execute(text("CREATE TABLE here AS SELECT generate_series(1, 2) AS n"))
    both_hold = asyncio.Barrier(2)

    async def take(first: int, second: int) -> None:
        async with db.begin() as tx:
            await tx.execute(text("SET LOCAL deadlock_timeout = '100ms'"))
            await tx.execute(text(f"SELECT * FROM here WHERE n = {first} FOR UPDATE"))
            await both_hold.wait()
            await tx.execute(text(f"SELECT * FROM here WHERE n = {second} FOR UPDATE"))

    outcomes = await asyncio.gather(take(1, 2), take(2, 1), return_exceptions=True)

    (lost,) = (outcome for outcome in outcomes if outcome is not None)
    assert isinstance(lost, DatabaseUnavailable)
    assert str(lost) == "40P01"
    await db.close()


async def test_a_mistake_of_ours_is_not_the_databases(url: str):
    """A broken rule and a misspelt statement are told as what they are."""
    db = Database.open(url)
    async with db.begin() as tx:
        await tx.execute(text("CREATE TABLE here (n int UNIQUE)"))
    before = _counted()

    with pytest.raises(IntegrityError):
        async with db.begin() as tx:
            await tx.execute(text("INSERT INTO here VALUES (1), (1)"))
    with pytest.raises(ProgrammingError):
        async with db.read() as tx:
            await tx.execute(text("SELECT nothing FROM here"))

    assert _counted() == before
    await db.close()

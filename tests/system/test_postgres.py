"""The tests' PostgreSQL is a real one, and every test gets a database of its own."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.system.postgres import PostgresServer


async def test_a_fresh_database_takes_connections(postgres_server: PostgresServer):
    """The address works with the driver that Greenroom uses."""
    url = postgres_server.create_database()
    engine = create_async_engine(with_driver(url))
    try:
        async with engine.connect() as connection:
            assert await connection.scalar(text("SHOW server_encoding")) == "UTF8"
            assert await connection.scalar(text("SHOW timezone")) == "UTC"
    finally:
        await engine.dispose()
        postgres_server.drop_database(url)


async def test_databases_do_not_see_each_other(postgres_server: PostgresServer):
    """What one test writes, no other reads."""
    first, second = postgres_server.create_database(), postgres_server.create_database()
    postgres_server.sql("CREATE TABLE here (n int)", database=first.rpartition("/")[2])

    with pytest.raises(AssertionError, match="does not exist"):
        postgres_server.sql("SELECT * FROM here", database=second.rpartition("/")[2])

    postgres_server.drop_database(first)
    postgres_server.drop_database(second)


async def test_a_database_can_be_a_copy(postgres_server: PostgresServer):
    """A migrated database is copied in milliseconds."""
    original = postgres_server.create_database()
    name = original.rpartition("/")[2]
    postgres_server.sql("CREATE TABLE here AS SELECT 7 AS n", database=name)

    copy = postgres_server.create_database(template=name)

    assert postgres_server.sql("SELECT n FROM here", database=copy.rpartition("/")[2]) == "7"
    postgres_server.drop_database(copy)
    postgres_server.drop_database(original)


async def test_the_address_of_a_test_database_follows_the_run(database_url: str):
    """GREENROOM_TEST_DATABASE decides which database the same test runs on."""
    engine = create_async_engine(with_driver(database_url))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE here (n integer)"))
            await connection.execute(text("INSERT INTO here VALUES (7)"))
            assert await connection.scalar(text("SELECT n FROM here")) == 7
    finally:
        await engine.dispose()


def with_driver(url: str) -> str:
    """Name the asynchronous driver, as SQLAlchemy wants it."""
    return url.replace("postgresql:", "postgresql+asyncpg:").replace("sqlite:", "sqlite+aiosqlite:")

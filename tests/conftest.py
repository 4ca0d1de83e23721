"""What every test may ask for: servers that are shared, addresses that are fresh."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.system import chromium as browsers
from tests.system import tables
from tests.system.postgres import PostgresServer
from tests.system.redis import RedisServer
from tests.system.s3 import S3Server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start one Redis for all tests that do not harm it; others run `redis.running()`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the address of a Redis with nothing in it."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start one PostgreSQL for all tests; each makes a database of its own."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a GREENROOM_DATABASE_URL of an empty database; GREENROOM_TEST_DATABASE says which."""
    match os.environ.get("GREENROOM_TEST_DATABASE", "sqlite"):
        case "sqlite":
            yield f"sqlite:///{tmp_path / 'greenroom.sqlite3'}"
        case "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = server.create_database()
            yield url
            server.drop_database(url)
        case unknown:
            raise AssertionError(f"GREENROOM_TEST_DATABASE is sqlite or postgres, not {unknown}")


@pytest.fixture
def tables_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Do the same with a database that has its tables already, and nothing in them."""
    match os.environ.get("GREENROOM_TEST_DATABASE", "sqlite"):
        case "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = tables.postgres_tables(server)
            yield url
            server.drop_database(url)
        case _:
            yield tables.sqlite_tables(tmp_path)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Start one S3-speaking server for all tests; each makes a bucket of its own."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser for one test."""
    async with browsers.running() as browser:
        yield browser


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped something: here a test runs, or it fails and says why."""
    report = session.config.pluginmanager.get_plugin("terminalreporter")
    if report is not None and report.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

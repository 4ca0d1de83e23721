"""What acceptance tests may ask for: databases, and a Greenroom that a file's tests share."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.product import Product, product
from tests.system.postgres import PostgresServer

#: Short segments and short patience, so that what takes a minute in life takes seconds here.
BRISK: Mapping[str, str] = {
    "GREENROOM_SEGMENT_SECONDS": "1",
    "GREENROOM_TARGET_SECONDS": "2",
    "GREENROOM_LEASE_SECONDS": "5",
    "GREENROOM_OBSERVE_SECONDS": "2",
    "GREENROOM_LIVEKIT_SECONDS": "4",
    "GREENROOM_LIVEKIT_STOP_SECONDS": "4",
    "GREENROOM_LIVEKIT_START_EGRESS_SECONDS": "8",
    "GREENROOM_LOOK_BACKOFF_SECONDS_MAX": "2",
    "GREENROOM_END_PATIENCE_SECONDS": "20",
}
#: Makes an empty database for the length of a block: gives its GREENROOM_DATABASE_URL.
Databases = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Databases:
    """Make databases that outlive one test; GREENROOM_TEST_DATABASE says of which kind."""

    @contextmanager
    def fresh() -> Iterator[str]:
        match os.environ.get("GREENROOM_TEST_DATABASE", "sqlite"):
            case "sqlite":
                folder: Path = tmp_path_factory.mktemp("database")
                yield f"sqlite:///{folder / 'greenroom.sqlite3'}"
            case "postgres":
                server: PostgresServer = request.getfixturevalue("postgres_server")
                url = server.create_database()
                yield url
                server.drop_database(url)
            case unknown:
                raise AssertionError(
                    f"GREENROOM_TEST_DATABASE is sqlite or postgres, not {unknown}"
                )

    return fresh


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """Give the settings of `greenroom` that differ from the defaults; files have their own."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def greenroom(
    settings: Mapping[str, str],
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Product]:
    """Run one Greenroom for all tests of a file; they must not harm it."""
    with databases() as database_url:
        async with product(
            tmp_path_factory.mktemp("product"),
            database_url=database_url,
            more=settings,
        ) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def brisk_greenroom(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """Run one Greenroom of little patience for all tests that do not harm it."""
    with databases() as database_url:
        async with product(
            tmp_path_factory.mktemp("brisk"),
            database_url=database_url,
            more=BRISK,
        ) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def brisk(brisk_greenroom: Product) -> AsyncIterator[Product]:
    """Give the brisk Greenroom; no fault and no encoder outlives the test."""
    yield brisk_greenroom
    await brisk_greenroom.livekit.clear()
    await brisk_greenroom.stop_encoders()

"""What tests on the real plane may ask for: it is started once, for all of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.product import Product
from tests.plane.real import real_product
from tests.system.redis import RedisServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def greenroom_on_air(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """Run one Greenroom on one real plane for all tests."""
    redis_server.flush()
    folder = tmp_path_factory.mktemp("plane")
    async with real_product(
        folder,
        database_url=f"sqlite:///{folder / 'greenroom.sqlite3'}",
        redis_url=redis_server.url,
        keeps_webhooks=True,
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def real(greenroom_on_air: Product) -> AsyncIterator[Product]:
    """Give the Greenroom on the real plane; no encoder outlives the test."""
    yield greenroom_on_air
    await greenroom_on_air.stop_encoders()

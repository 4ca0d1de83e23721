"""Redis is a doorbell and a whiteboard: without it shows happen all the same."""

import asyncio
from pathlib import Path

import pytest

from deploy.ports import free_port
from tests.acceptance.audience import watching
from tests.acceptance.conftest import BRISK, Databases
from tests.acceptance.performance import perform
from tests.acceptance.product import product
from tests.acceptance.show import Show
from tests.system import redis as redis_servers

pytestmark = pytest.mark.media


async def test_a_whole_show_without_redis(databases: Databases, tmp_path: Path):
    """Nobody ever started one; only HLS viewers are not counted."""
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with databases() as database_url:
        async with product(
            tmp_path, database_url=database_url, redis_url=nobody, more=BRISK
        ) as greenroom:

            async def beat(show: Show) -> None:
                async with watching(show, greenroom.stranger, count=1):
                    await show.grows(1)

            performed = await perform(greenroom, beat)

            assert (await performed.show.report())["max_viewers"] == 0


async def test_a_show_whose_redis_is_killed_goes_on(databases: Databases, tmp_path: Path):
    """It vanishes in mid-show and stays away; the show ends as if nothing had happened."""
    with databases() as database_url:
        async with (
            redis_servers.running() as redis,
            product(
                tmp_path, database_url=database_url, redis_url=redis.url, more=BRISK
            ) as greenroom,
        ):

            async def kill(_: Show) -> None:
                await asyncio.to_thread(redis.kill)

            await perform(greenroom, kill)

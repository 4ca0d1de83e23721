"""The tests' Redis is a real one, and it can die, fall silent and come back."""

import asyncio

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.system import redis as redis_servers
from tests.system.redis import RedisServer
from tests.system.waits import until, until_sync


async def test_a_fresh_address_is_empty(redis_url: str):
    """Every test starts with nothing in Redis."""
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("mark", "left for the next test")


async def test_what_another_test_left_is_gone(redis_url: str):
    """The pair of the test above."""
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_durable_data_survives_a_kill_on_the_same_address():
    """With an append-only file a restart loses nothing that was answered."""
    async with redis_servers.running(durable=True) as server:
        async with redis.asyncio.from_url(server.url) as client:
            await client.set("kept", "yes")

        await server.restart()

        async with redis.asyncio.from_url(server.url) as client:
            assert await client.get("kept") == b"yes"


async def test_killed_it_refuses():
    """A connection is refused at once, as on a machine without Redis."""
    async with (
        redis_servers.running() as server,
        redis.asyncio.from_url(server.url, retry=None) as client,
    ):
        server.kill()

        with pytest.raises(RedisConnectionError):
            await client.ping()


async def test_paused_it_is_silent_until_resumed():
    """A connection is accepted by the kernel and never answered."""
    async with redis_servers.running() as server:
        server.pause()
        assert not await asyncio.to_thread(server.answers)

        server.resume()

        await until(lambda: asyncio.to_thread(server.answers), what="an answer again")


def test_the_shared_server_is_up(redis_server: RedisServer):
    """One server serves all tests that do not harm it."""
    until_sync(redis_server.answers, what="the shared server to answer")

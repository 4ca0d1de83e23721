"""Processes that die at the worst moment: what was accepted happens all the same."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import aiohttp
import psutil
import pytest
import pytest_asyncio

from tests.acceptance.conftest import BRISK, Databases
from tests.acceptance.product import Product, product
from tests.acceptance.show import Show, announce
from tests.system.processes import Process
from tests.system.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mortal(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """Run a Greenroom whose processes these tests kill."""
    with databases() as database_url:
        async with product(
            tmp_path_factory.mktemp("mortal"),
            database_url=database_url,
            more=BRISK,
            # A process that is killed has its supervisor say so.
            may_complain=True,
        ) as running:
            yield running


async def _called(mortal: Product, method: str, before: int) -> None:
    """Wait until LiveKit is asked for something."""

    async def asked() -> bool:
        return method in (await mortal.livekit.calls())[before:]

    await until(asked, what=f"a call of {method}", every=0.02)


async def _one_of_each(mortal: Product, show: Show) -> None:
    """Wait until the show has one room and one ingress of each kind: no more, and no less."""

    async def settled() -> bool:
        made = await mortal.livekit.made(show.room)
        kinds = sorted(one["input_type"] for one in made["ingresses"])
        return len(made["rooms"]) == 1 and kinds == ["RTMP_INPUT", "WHIP_INPUT"]

    await until(settled, what="one of each")


async def _paused_between_writes(worker: Process, database_url: str) -> None:
    """Pause it where it does not hold the database's only pen."""

    async def paused() -> bool:
        worker.pause()
        if await asyncio.to_thread(_can_be_written, database_url):
            return True
        worker.resume()
        return False

    await until(paused, what="the worker to be paused between two writes")


def _can_be_written(database_url: str) -> bool:
    """Whether nobody holds SQLite's one lock; PostgreSQL has one for each row."""
    if not database_url.startswith("sqlite"):
        return True
    with closing(sqlite3.connect(database_url.partition("///")[2], timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


def _working_process(worker: Process) -> psutil.Process:
    """Find the process that works: its supervisor's only child."""
    (child,) = psutil.Process(worker.pid).children()
    return child


@pytest.mark.parametrize("obeyed", ["before it obeys", "after it obeyed"])
async def test_a_worker_killed_while_going_live_is_replaced(mortal: Product, obeyed: str):
    """LiveKit was asked and nobody is there for its answer; the host still gets one."""
    show = await announce(await mortal.host())
    before = len(await mortal.livekit.calls())
    when = obeyed.partition(" ")[0]
    await mortal.livekit.arm("slow", method="CreateIngress", delay_seconds=3, when=when, count=1)
    going = asyncio.create_task(show.go_live(prefer="wait=60"))
    await _called(mortal, "CreateIngress", before)

    _working_process(mortal.workers[-1]).kill()

    live = await going
    assert live["session"]["status"] == "live"
    await _one_of_each(mortal, show)
    assert (await show.kinds()).count("session.wanted") == 1
    await show.end()
    await mortal.livekit.forgets(show.room)


async def test_a_worker_killed_while_ending_is_relieved_by_another(mortal: Product):
    """The whole machine is gone in the middle; another one finishes, after the lease."""
    show = await announce(await mortal.host())
    await show.go_live()
    before = len(await mortal.livekit.calls())
    await mortal.livekit.arm("slow", method="DeleteIngress", delay_seconds=3, count=1)
    ending = asyncio.create_task(show.end(prefer="wait=60"))
    await _called(mortal, "DeleteIngress", before)

    await asyncio.to_thread(mortal.workers[-1].kill)
    await mortal.start_worker()

    assert (await ending)["end_reason"] == "requested"
    assert (await show.kinds()).count("session.wanted") == 2
    await mortal.livekit.forgets(show.room)
    assert (await show.report())["abandoned"] == []


async def test_an_api_killed_after_the_commit_has_accepted(mortal: Product):
    """The client never got its answer; asking again with the same key gives the same job."""
    show = await announce(await mortal.host())
    async with mortal.another_api() as other:
        # Nobody works, so that the API waits with its answer.
        worker = mortal.workers[-1]
        await _paused_between_writes(worker, mortal.environment["GREENROOM_DATABASE_URL"])
        asked = asyncio.create_task(show.ask("go_live", key="once", prefer="wait=60"))

        async def committed() -> bool:
            session = await (await other.host()).get(f"/sessions/{show.id}")
            return session["hls_url"] is not None

        await until(committed, what="the commit")
        assert mortal.api is not None
        await asyncio.to_thread(mortal.api.kill)
        with pytest.raises(aiohttp.ClientError):
            await asked

    await mortal.start_api()
    again = (await show.ask("go_live", key="once", prefer="respond-async")).expect(202)
    worker.resume()
    live = await show.go_live(key="once")

    wished = [event for event in await show.events() if event["kind"] == "session.wanted"]
    assert [event["facts"]["job"] for event in wished] == [again.data["job"]["id"]]
    assert live["session"]["id"] == show.id
    assert live["session"]["status"] == "live"
    await _one_of_each(mortal, show)
    await show.end()
    await mortal.livekit.forgets(show.room)

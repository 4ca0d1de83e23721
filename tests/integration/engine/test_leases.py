"""Who may act on a session: claims, renewals, zombies and nudges, on the real database."""

import asyncio
import threading
from datetime import timedelta
from uuid import UUID

import pytest

from orchestration import leases
from orchestration.database import DatabaseUnavailable, now
from orchestration.leases import Lease, LeaseLost
from orchestration.lookout import Lookout
from orchestration.models import Session
from orchestration.resources import Resources
from orchestration.states import Phase
from tests.integration.engine.house import House
from tests.system.waits import until


async def claim(house: House, show: UUID, owner: str = "worker-1") -> Lease | None:
    return await leases.claim(house.db, Session, show, owner=owner, seconds=60)


async def claimed(house: House, show: UUID, owner: str = "worker-1") -> Lease:
    lease = await claim(house, show, owner)
    assert lease is not None
    return lease


async def give_back(house: House, lease: Lease, *, again_in: float | None) -> None:
    async with house.db.begin() as tx:
        moment = await now(tx)
        again_at = None if again_in is None else moment + timedelta(seconds=again_in)
        leases.give_back(await leases.locked(tx, lease), lease, moment, again_at=again_at)


def test_no_two_who_claim_have_one_name(house: House) -> None:
    """Containers share process ids, and the names of their machines may be long; it is stored."""
    opened = {name: value for name, value in vars(house.resources).items() if name != "owner"}

    names = {Resources(**opened).owner for _ in range(20)}

    assert len(names) == 20
    assert max(map(len, names)) <= 64


async def test_of_two_that_claim_one_wins(house: House) -> None:
    """Twenty at the same moment; whoever does not win touches nothing."""
    show = await house.create()

    claims = await asyncio.gather(*(claim(house, show, f"w{n}") for n in range(20)))

    won = [lease for lease in claims if lease is not None]
    assert len(won) == 1
    session = await house.session(show)
    assert (session.lease_owner, session.epoch, session.attempts) == (won[0].owner, 1, 1)


async def test_what_is_not_due_cannot_be_claimed(house: House) -> None:
    """Not before its time, and not when nothing is to be done at all."""
    show = await house.create()
    await give_back(house, await claimed(house, show), again_in=10)

    assert await claim(house, show) is None
    await house.clock.advance(10)
    lease = await claimed(house, show)
    await give_back(house, lease, again_in=None)
    await house.clock.advance(1_000_000)
    assert await claim(house, show) is None


async def test_a_silent_owner_is_succeeded(house: House) -> None:
    """When its lease is over, not before; every claim that does not come back is counted."""
    show = await house.create()
    first = await claimed(house, show)

    await house.clock.advance(59)
    assert await claim(house, show, "worker-2") is None
    await house.clock.advance(2)
    second = await claimed(house, show, "worker-2")

    assert (second.epoch, second.attempts) == (first.epoch + 1, 2)


async def test_an_orderly_return_sets_the_attempts_back(house: House) -> None:
    """Only what kills its worker adds up."""
    show = await house.create()
    for _ in range(10):
        await give_back(house, await claimed(house, show), again_in=0)

    assert (await claimed(house, show)).attempts == 1


@pytest.mark.parametrize("successor", ["worker-2", "worker-1"])
async def test_a_zombie_changes_nothing(house: House, successor: str) -> None:
    """Also when its successor is another look of the same process, and so has the same name."""
    show = await house.create()
    await house.go_live(show)
    zombie = Lookout(house.resources).ledger(await claimed(house, show))
    await house.clock.advance(61)
    lease = await claimed(house, show, successor)
    before = (await house.session(show)).model_dump()

    for write in (
        lambda: zombie.become(Phase.PROVISIONING),
        lambda: zombie.learn(event="media.arrived", source="somebody"),
        lambda: zombie.reserve_take(source="somebody", reason="first"),
        zombie.open_playback,
        zombie.open_recording,
        zombie.finish_recording,
        zombie.close_playback,
        lambda: zombie.reach(Phase.PROVISIONING, version=99),
        lambda: zombie.stumble({"slug": "x", "detail": "x"}, again_in=lambda _: 1.0),
        lambda: zombie.abandon("room", "why"),
        lambda: zombie.done(again_at=None),
        zombie.quarantine,
    ):
        with pytest.raises(LeaseLost):
            await write()

    assert (await house.session(show)).model_dump() == before
    assert await house.takes(show) == []
    await give_back(house, lease, again_in=5)


async def test_a_zombie_changes_nothing_after_its_successor_is_done(house: House) -> None:
    """The row is free again, and still not the zombie's."""
    show = await house.create()
    zombie = Lookout(house.resources).ledger(await claimed(house, show))
    await house.clock.advance(61)
    await give_back(house, await claimed(house, show), again_in=5)

    with pytest.raises(LeaseLost):
        await zombie.done(again_at=None)


async def test_a_claim_is_renewed_while_work_goes_on(house: House) -> None:
    """Work may last longer than a lease; nobody else can claim it meanwhile."""
    show = await house.create()
    lease = await leases.claim(house.db, Session, show, owner="worker-1", seconds=0.2)
    assert lease is not None

    async with leases.kept(house.db, lease, seconds=0.2, ending=house.resources.ending):
        for _ in range(3):
            await house.clock.advance(0.15)
            reaches = house.clock.now() + timedelta(seconds=0.19)

            async def is_renewed(reaches: object = reaches) -> bool:
                until_at = (await house.session(show)).lease_until
                assert until_at is not None
                return until_at >= reaches

            await until(is_renewed, what="the renewal")
            assert await claim(house, show, "worker-2") is None


async def test_work_stops_when_its_claim_is_lost(house: House) -> None:
    """A worker that slept through its lease learns of it at the next renewal, and stops."""
    show = await house.create()
    lease = await leases.claim(house.db, Session, show, owner="worker-1", seconds=0.1)
    assert lease is not None
    await house.clock.advance(1)
    assert await claim(house, show, "worker-2") is not None

    with pytest.raises(LeaseLost):
        async with leases.kept(house.db, lease, seconds=0.1, ending=house.resources.ending):
            await asyncio.Event().wait()


async def test_a_cancelled_look_is_cancelled_and_not_lost(house: House) -> None:
    """Shutting down is not losing a lease."""
    show = await house.create()
    lease = await claimed(house, show)
    inside = asyncio.Event()

    async def work() -> None:
        async with leases.kept(house.db, lease, seconds=60, ending=house.resources.ending):
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await inside.wait()
    working.cancel()

    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_hint_during_a_look_is_not_lost(house: House) -> None:
    """What came meanwhile makes the row due at once, whatever the look meant to wait for."""
    show = await house.create()
    lease = await claimed(house, show)

    await house.hint(show)
    await give_back(house, lease, again_in=None)

    session = await house.session(show)
    assert session.look_at == house.clock.now()
    assert await claim(house, show) is not None


async def test_a_wish_during_a_look_is_not_lost(house: House) -> None:
    """A host says end while a look goes on that wants to sleep for a minute."""
    show = await house.create()
    await house.calm()
    await house.hint(show)
    lease = await claimed(house, show)

    await house.end(show)
    await give_back(house, lease, again_in=60)

    await house.calm()
    assert (await house.session(show)).phase is Phase.ENDED


async def test_many_hints_during_many_looks_are_never_lost(house: House) -> None:
    """Two at the same moment: a row that was hinted at after its last look is due."""
    show = await house.create()
    await house.calm()
    looked = 0

    async def hints() -> None:
        for _ in range(30):
            await house.hint(show)

    async def looks() -> None:
        nonlocal looked
        for _ in range(30):
            lease = await claim(house, show)
            if lease is not None:
                looked += 1
                await give_back(house, lease, again_in=None)

    await asyncio.gather(hints(), looks())

    session = await house.session(show)
    assert looked
    assert session.nudges == 30
    lease = await claim(house, show)
    if lease is None:
        assert session.look_at is None  # the last look came after the last hint
    else:
        await give_back(house, lease, again_in=None)
        assert await claim(house, show) is None


@pytest.mark.parametrize("ends", [True, False], ids=["its process ends", "it hung"])
async def test_only_what_is_cut_by_an_end_in_order_was_not_killed(
    house: House, *, ends: bool
) -> None:
    """The row is free at once, and due; what is cut by its time limit counts as a kill."""
    show = await house.create()
    lease = await claimed(house, show)
    inside = asyncio.Event()
    worker = house.worker("worker-1")
    worker.ending = threading.Event()

    async def work() -> None:
        async with leases.kept(house.db, lease, seconds=60, ending=worker.ending):
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await inside.wait()
    if ends:
        worker.ending.set()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    session = await house.session(show)
    if ends:
        assert (session.lease_owner, session.attempts) == (None, 0)
        assert await claim(house, show, "worker-2") is not None
    else:
        assert (session.lease_owner, session.attempts) == ("worker-1", 1)
        assert await claim(house, show, "worker-2") is None


async def test_a_database_that_fails_in_mid_look_kills_nobody(house: House) -> None:
    """Claims succeed and other writes fail, again and again: no show is quarantined for it."""
    show = await house.create()
    for number in range(house.settings.attempts_max + 2):
        lease = await claimed(house, show, f"worker-{number}")
        with pytest.raises(DatabaseUnavailable):
            async with leases.kept(house.db, lease, seconds=60, ending=house.resources.ending):
                raise DatabaseUnavailable("40P01")

    session = await house.session(show)
    assert (session.lease_owner, session.attempts) == (None, 0)


async def test_a_wish_that_comes_before_the_database_fails_leaves_no_debt(house: House) -> None:
    """It begins the count of kills anew; undoing the claim takes nothing from that."""
    show = await house.create()
    lease = await claimed(house, show)

    async def wished_for_and_failed() -> None:
        async with leases.kept(house.db, lease, seconds=60, ending=house.resources.ending):
            await house.go_live(show)
            raise DatabaseUnavailable("40P01")

    with pytest.raises(DatabaseUnavailable):
        await wished_for_and_failed()

    assert (await house.session(show)).attempts == 0

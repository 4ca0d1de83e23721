"""What is due, on the real database: longest first, each table to its limit, nobody's twice."""

from datetime import timedelta
from uuid import UUID

from orchestration import leases
from orchestration.due import due
from orchestration.models import Playback, Session
from tests.integration.engine.house import House


async def write(house: House, show: UUID, *, session_since: float, playback_since: float) -> None:
    """Let a show's session and its playback be due for so many seconds."""
    async with house.db.begin() as tx:
        session = await tx.get_one(Session, show)
        session.look_at = house.clock.at - timedelta(seconds=session_since)
        tx.add(
            Playback(
                session_id=show,
                look_at=house.clock.at - timedelta(seconds=playback_since),
            )
        )


async def test_what_is_due_longest_comes_first_from_whichever_table(house: House) -> None:
    """Nothing is due that lies ahead."""
    first = await house.create()
    second = await house.create(room=await house.new_room())
    await write(house, first, session_since=1, playback_since=40)
    await write(house, second, session_since=20, playback_since=-5)

    found = [(row.table, row.id) for row in await due(house.db)]

    assert found == [("playbacks", first), ("sessions", second), ("sessions", first)]


async def test_a_table_that_has_much_to_do_leaves_room_for_the_others(house: House) -> None:
    """The limit is for each."""
    shows = [await house.create(room=await house.new_room()) for _ in range(3)]
    for number, show in enumerate(shows):
        await write(house, show, session_since=100 + number, playback_since=1 + number)

    found = [(row.table, row.id) for row in await due(house.db, limit=1)]

    assert found == [("sessions", shows[2]), ("playbacks", shows[2])]


async def test_what_somebody_looks_at_is_not_due(house: House) -> None:
    """Until the lease is over."""
    show = await house.create()
    await write(house, show, session_since=1, playback_since=1)
    await leases.claim(house.db, Session, show, owner="worker-1", seconds=60)

    assert [row.table for row in await due(house.db)] == ["playbacks"]

    await house.clock.advance(61)
    assert {row.table for row in await due(house.db)} == {"playbacks", "sessions"}

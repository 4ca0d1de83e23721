"""Many callers at the same moment: one room, one ingress of each kind, one answer."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.caller import Answer, Caller
from tests.acceptance.product import Product
from tests.acceptance.show import announce

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _lasting(live: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ between two answers: a token's own id, and what time changes."""
    session = {**live["session"]}
    for running in ("duration", "updated_at", "viewers"):
        session.pop(running)
    session["playback"] = session["playback"]["state"]
    return {**live, "session": session, "livekit_token": None}


async def test_twenty_go_lives_at_once_open_one_show(brisk: Product):
    """From two clients, with one key, with keys of their own, and without any."""
    host = await brisk.host()
    api_key = await brisk.token("api-key")
    machine = Caller(brisk.http, brisk.url, api_key=api_key)
    show = await announce(host, until_keyed=True)
    keys = ["the same"] * 7 + [f"key {number}" for number in range(7)] + [None] * 6
    before = len(await brisk.livekit.calls())

    async def go_live(number: int, key: str | None) -> Answer:
        caller = host if number % 2 else machine
        return await caller.ask("POST", f"/sessions/{show.id}/go_live", key=key, prefer="wait=60")

    answers = await asyncio.gather(*(go_live(number, key) for number, key in enumerate(keys)))

    lives = [_lasting(answer.expect(200).data) for answer in answers]
    for live in lives:
        assert live == lives[0]
    made = await brisk.livekit.made(show.room)
    assert len(made["rooms"]) == 1
    assert sorted(one["input_type"] for one in made["ingresses"]) == ["RTMP_INPUT", "WHIP_INPUT"]
    calls = Counter((await brisk.livekit.calls())[before:])
    # The RTMP ingress is there since the announcement.
    assert calls["CreateIngress"] == 1
    assert (await show.kinds()).count("session.wanted") == 1
    await show.end()
    await brisk.livekit.forgets(show.room)


async def test_of_two_shows_in_one_room_one_goes_live(brisk: Product):
    """The other is told which rule it met, and nothing was made for it."""
    host = await brisk.host()
    first = await announce(host)
    room = first.created["session"]["room_id"]
    second = await announce(host, room=room)

    answers = await asyncio.gather(
        *(show.ask("go_live", prefer="wait=60") for show in (first, second))
    )

    assert sorted(answer.status for answer in answers) == [200, 409]
    (refused,) = (answer for answer in answers if answer.status == 409)
    assert refused.slug == "room-already-live"
    winner, loser = (first, second) if answers[0].status == 200 else (second, first)
    assert (await winner.session())["status"] == "live"
    assert (await loser.session())["status"] == "scheduled"
    assert (await brisk.livekit.made(loser.room))["rooms"] == []
    await winner.end()
    await loser.end()
    for show in (winner, loser):
        await brisk.livekit.forgets(show.room)


@pytest.mark.parametrize("first", ["go_live", "end"])
async def test_of_go_live_and_end_at_once_the_end_holds(brisk: Product, first: str):
    """An end is for good: whoever came first, the show is over and nothing is left."""
    host = await brisk.host()
    shows = [await announce(host) for _ in range(3)]

    async def both(number: int) -> tuple[Answer, Answer]:
        show, later = shows[number], 0.03 * number
        return await asyncio.gather(
            _after(later if first == "end" else 0, show.ask("go_live", prefer="wait=60")),
            _after(later if first == "go_live" else 0, show.ask("end", prefer="wait=60")),
        )

    for live, ended in await asyncio.gather(*(both(number) for number in range(len(shows)))):
        ended.expect(200)
        if live.status != 200:
            assert live.slug in {"job-superseded", "session-ended"}
    for show in shows:
        assert (await show.session())["phase"] == "ended"
        await brisk.livekit.forgets(show.room)
        again = await show.ask("go_live")
        assert (again.status, again.slug) == (409, "session-ended")


async def _after(seconds: float, asked: Any) -> Answer:
    await asyncio.sleep(seconds)
    answer: Answer = await asked
    return answer

"""Before a go_live is accepted: refused only when egress or ingress themselves say so."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select

from orchestration import admission
from orchestration.models import Job
from orchestration.states import Wanted
from tests.fakes import workers as addresses
from tests.fakes.workers import SILENT, Workers
from tests.integration.api.client import People
from tests.integration.api.conftest import Running
from tests.integration.api.sessions.conftest import Shows, at


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for every answer: the silence that is played here is a cut connection."""
    monkeypatch.setattr(admission, "ASK_SECONDS", 20)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """Play egress and ingress."""
    async with addresses.running() as playing:
        yield playing


# fmt: off
#: What the addresses say, of which mode the show is, and why go_live is refused, if it is.
CASES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "all is well":           ({},                                  "rtmp",   None),
    "no room":               ({"has_room": False},                 "rtmp",   "egress-full"),
    "no room for a browser": ({"has_room": False},                 "webcam", "egress-full"),
    "leaving":               ({"is_leaving": True},                "rtmp",   "egress-absent"),
    "nobody there":          ({"egress": 503, "has_room": None},   "rtmp",   "egress-absent"),
    "nobody behind a proxy": ({"egress": 502, "has_room": None},   "rtmp",   "egress-absent"),
    "no ingress":            ({"ingress": 503},                    "rtmp",   "ingress-absent"),
    "no ingress needed":     ({"ingress": 503},                    "webcam", None),
    "silence":               ({"egress": SILENT, "ingress": SILENT, "has_room": None},
                                                                   "rtmp",   None),
    "wrong addresses":       ({"egress": 404, "ingress": 401, "has_room": None}, "rtmp", None),
    "its metrics are right": ({"egress": 503},                     "rtmp",   None),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
async def test_only_what_was_said_is_a_reason(
    running: Running, people: People, workers: Workers, case: str
) -> None:
    """503 with the cause and when to come again; silence is no reason."""
    said, mode, expected = CASES[case]
    for name, value in said.items():
        setattr(workers, name, value)

    async with running(**workers.settings) as api:
        shows = at(api, people)
        show = await shows.announce(mode=mode)
        got = await shows.post(show, "go_live")

    if expected is None:
        assert got.status == 200
    else:
        assert got.problem == (503, expected)
        assert int(got.headers["Retry-After"]) >= 1


async def test_a_refused_go_live_leaves_nothing_behind(
    running: Running, people: People, workers: Workers
) -> None:
    """No job, no wish, no event; and the same request, with the same key, goes through later."""
    workers.has_room = False
    key = {"Idempotency-Key": "once"}
    async with running(**workers.settings) as api:
        shows = at(api, people)
        show = await shows.announce()
        await shows.bell.rest()
        before = await shows.row(show)

        refused = await shows.post(show, "go_live", headers=key)
        after = await shows.row(show)
        async with api.resources.db.read() as tx:
            jobs = (await tx.execute(select(func.count()).select_from(Job))).scalar_one()
        workers.has_room = True
        accepted = await shows.post(show, "go_live", headers=key)

    assert refused.problem == (503, "egress-full")
    assert (after.wanted, after.event_seq, jobs) == (Wanted.PREPARED, before.event_seq, 0)
    assert accepted.status == 200


async def test_a_show_that_is_live_is_not_asked_about(
    running: Running, people: People, workers: Workers
) -> None:
    """Its own egress may be the one that fills the house."""
    async with running(**workers.settings) as api:
        shows = at(api, people)
        show = await shows.live()
        workers.has_room = False
        asked = workers.asked

        again = await shows.post(show, "go_live")
        await shows.post(show, "end")
        over = await shows.post(show, "go_live")

    assert again.status == 200
    assert over.problem == (409, "session-ended")
    assert workers.asked == asked


async def test_what_cannot_be_for_good_is_said_first(
    running: Running, people: People, workers: Workers
) -> None:
    """A room that is live already is not worth coming back for."""
    async with running(**workers.settings) as api:
        shows = at(api, people)
        room = await shows.room()
        await shows.live(room=room)
        workers.has_room = False
        other = await shows.announce(room=room)

        got = await shows.post(other, "go_live")

    assert got.problem == (409, "room-already-live")


async def test_an_ingress_without_room_says_so_at_its_own_path(
    running: Running, people: People, workers: Workers
) -> None:
    """LiveKit's ingress answers 503 at /availability when it is there and full."""
    workers.ingress = 503
    where = {"ingress_health_url": (f"{workers.url}/ingress/availability",)}
    async with running(**where) as api:
        shows = at(api, people)
        got = await shows.post(await shows.announce(), "go_live")

    assert got.problem == (503, "ingress-full")


async def test_nobody_learns_from_it_whose_show_it_is(
    running: Running, people: People, workers: Workers
) -> None:
    """Access comes before admission."""
    workers.has_room = False
    async with running(**workers.settings) as api:
        shows = at(api, people)
        show = await shows.announce()

        foreign = await shows.post(show, "go_live", by=people.stranger)
        colleague = await shows.post(show, "go_live", by=people.colleague)

    assert foreign.problem == (404, "session-not-found")
    assert colleague.problem == (403, "insufficient-scope")


async def test_without_addresses_nobody_is_asked(shows: Shows) -> None:
    """As it was before."""
    assert (await shows.post(await shows.announce(), "go_live")).status == 200

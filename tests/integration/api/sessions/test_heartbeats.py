"""Heartbeats: a signed mark is a viewer; nothing else is."""

import uuid

import pytest

from api import heartbeats
from orchestration.resources import Resources
from tests.integration.api.client import Api
from tests.integration.api.sessions.conftest import Shows

HEADER = "X-Greenroom-Viewer"


@pytest.fixture(autouse=True)
def unflushed(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the marks in the process, where they can be counted."""

    async def flush() -> None:
        pass

    monkeypatch.setattr(resources.marks, "flush", flush)


async def beat(api: Api, show: str, mark: str | None = None, **headers: str):
    sent = {**headers, **({HEADER: mark} if mark is not None else {})}
    return await api("POST", f"/sessions/{show}/heartbeat", headers=sent)


async def test_the_first_beat_is_given_its_mark(shows: Shows) -> None:
    """204 both times, and both are the same viewer."""
    show = await shows.live()
    marks = shows.api.resources.marks

    first = await beat(shows.api, show)
    mark = first.headers[HEADER]
    second = await beat(shows.api, show, mark)

    assert (first.status, second.status) == (204, 204)
    assert first.raw == second.raw == b""
    assert HEADER not in second.headers
    assert len(marks._pending[uuid.UUID(show)]) == 1


async def test_viewers_are_told_apart(shows: Shows) -> None:
    """Each first beat is another viewer; a joined one brings its mark along."""
    show = await shows.live()
    joined = (await shows.post(show, "join", by=shows.people.viewer)).data["viewer_mark"]

    marks = {(await beat(shows.api, show)).headers[HEADER] for _ in range(3)}

    assert len(marks) == 3
    assert (await beat(shows.api, show, joined)).status == 204
    assert len(shows.api.resources.marks._pending[uuid.UUID(show)]) == 4


@pytest.mark.parametrize("mark", ["x", "A" * 43, "\u00e9" * 43, "A" * 5000, "...."])
async def test_a_made_up_mark_counts_nobody(shows: Shows, mark: str) -> None:
    """403 says to come without one."""
    show = await shows.live()

    got = await beat(shows.api, show, mark)

    assert got.problem == (403, "mark-invalid")
    assert not shows.api.resources.marks._pending.get(uuid.UUID(show))


async def test_a_mark_belongs_to_one_show(shows: Shows) -> None:
    """It cannot be used to fill another one."""
    one, other = await shows.live(), await shows.live()
    mark = (await beat(shows.api, one)).headers[HEADER]

    assert (await beat(shows.api, other, mark)).problem == (403, "mark-invalid")


async def test_a_show_that_is_not_there_has_no_viewers(api: Api) -> None:
    """Unknown: 404; no UUID: 400."""
    assert (await beat(api, str(uuid.uuid4()))).problem == (404, "session-not-found")
    assert (await beat(api, "x")).problem == (400, "invalid-id")


async def test_one_address_gets_so_many_new_marks(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 beyond it, whatever the caller says about its address; known marks still count."""
    monkeypatch.setattr(heartbeats, "NEW_MARKS_BURST", 3)
    monkeypatch.setattr(heartbeats, "NEW_MARKS_PER_SECOND", 0.01)
    show = await shows.live()

    answers = [
        await beat(shows.api, show, **{"X-Forwarded-For": f"10.0.0.{number}"})
        for number in range(5)
    ]
    known = await beat(shows.api, show, answers[0].headers[HEADER])

    assert [got.status for got in answers] == [204, 204, 204, 429, 429]
    assert answers[3].problem == (429, "rate-limited")
    assert answers[3].headers["Retry-After"]
    assert known.status == 204


async def test_any_origins_page_may_beat(shows: Shows) -> None:
    """A player may be built into another site: it may send and read the mark."""
    show = await shows.live()
    origin = {"Origin": "https://elsewhere.example"}
    asks = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": HEADER.lower(),
    }

    preflight = await shows.api("OPTIONS", f"/sessions/{show}/heartbeat", headers=asks)
    got = await beat(shows.api, show, **origin)

    assert preflight.status == 204
    assert HEADER in preflight.headers["Access-Control-Allow-Headers"]
    assert got.headers["Access-Control-Allow-Origin"] == "*"
    assert HEADER in got.headers["Access-Control-Expose-Headers"]

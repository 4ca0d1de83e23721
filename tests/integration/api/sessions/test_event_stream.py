"""Server-sent events: what happened, then what happens; who may hear it, and for how long."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from api import event_stream, feeds
from api.feeds import STREAMS_PER_CALLER
from api.shapes.streams import StateResponse
from observability import http
from orchestration.models import Organization
from orchestration.plane import Unavailable
from tests.integration.api.client import People
from tests.integration.api.conftest import Running
from tests.integration.api.sessions.conftest import Shows, at
from tests.integration.api.sessions.listener import listening
from tests.integration.api.sessions.plane import KEY
from tests.system.waits import until

ROUTE = "/sessions/{id}/events/stream"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look ten times as often as in production."""
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(feeds, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(event_stream, "GLANCE_SECONDS", 0.2)


@dataclass
class Clock:
    """The time that streams go by: it runs, and leaps when a test says so."""

    ahead_seconds: float = 0.0

    def leap(self, seconds: float) -> None:
        self.ahead_seconds += seconds

    def __call__(self) -> float:
        return monotonic() + self.ahead_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let streams, and what counts their requests, go by a clock that can leap."""
    clock = Clock()
    monkeypatch.setattr(event_stream, "monotonic", clock)
    monkeypatch.setattr(http, "monotonic", clock)
    return clock


async def test_what_happened_is_told_then_what_happens(shows: Shows) -> None:
    """The whole timeline, by its numbers and without a gap; the state whenever it changes."""
    show = await shows.announce()
    async with listening(shows, show) as listener:
        await listener.hears("state", phase="scheduled")
        assert listener.retry_ms > 0

        await shows.post(show, "go_live")
        state = (await listener.hears("state", phase="waiting_for_media")).data
        await shows.post(show, "end")
        await listener.hears("state", status="ended")

    timeline = (await shows.get(show, "events?limit=500")).data["events"]
    told = [one.data for one in listener.events if one.name == "timeline"]
    assert told == timeline[: len(told)]
    assert listener.numbers == list(range(1, len(told) + 1))
    assert len(told) >= 5
    StateResponse.model_validate(state)
    assert state["health"]["health"] == "waiting"
    assert state["session"]["hls_url"]
    assert not [one for one in listener.events if KEY in str(one.data)]


@pytest.mark.parametrize("way", ["header", "query", "both"])
async def test_a_reader_goes_on_where_it_was(shows: Shows, way: str) -> None:
    """Last-Event-ID, as browsers send it, goes before `after`."""
    show = await shows.over()
    newest = (await shows.get(show, "events")).data["newest"]
    query = {"header": "", "query": f"?after={newest - 2}", "both": "?after=0"}[way]
    headers = {} if way == "query" else {"Last-Event-ID": str(newest - 2)}

    async with listening(shows, show, query, headers=headers) as listener:
        await listener.hears("state")
        if not listener.numbers:
            await listener.hears("timeline")

    assert listener.numbers[0] == newest - 1


async def test_a_stream_of_no_seconds_tells_what_there_is(shows: Shows) -> None:
    """For those who only want to look."""
    show = await shows.over()

    async with listening(shows, show, "?seconds=0") as listener:
        await listener.ends()

    assert listener.events[-1].name == "state"
    assert listener.numbers == list(range(1, len(listener.numbers) + 1))
    assert listener.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert listener.response.headers["Cache-Control"] == "no-store"
    assert listener.response.headers["X-Request-ID"]


async def test_a_stream_lasts_no_longer_than_a_token(
    running: Running, people: People, clock: Clock
) -> None:
    """Whoever comes back shows a new one."""
    async with running(access_token_seconds=300) as api:
        shows = at(api, people)
        show = await shows.announce()

        async with listening(shows, show) as listener:
            await listener.hears("state")
            clock.leap(300)
            await listener.ends()


async def test_silence_is_broken(shows: Shows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment, which readers ignore, keeps proxies from cutting the connection."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.3)
    show = await shows.announce()

    async with listening(shows, show) as listener:
        reading = asyncio.create_task(listener.ends())
        await until(lambda: len(listener.comments) >= 2, what="two comments")
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


async def test_one_bad_look_does_not_silence_the_streams(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug costs the moment it strikes in; it is logged, and the next look tells the show."""
    show = await shows.announce()
    real, strikes = feeds.read_backstage, [True]

    async def read_backstage(*arguments: Any) -> Any:
        if strikes:
            strikes.pop()
            raise RuntimeError("a bug")
        return await real(*arguments)

    async with listening(shows, show) as listener:
        await listener.hears("state", phase="scheduled")
        monkeypatch.setattr(feeds, "read_backstage", read_backstage)
        await shows.post(show, "end")
        await listener.hears("state", status="ended")

    assert not strikes


async def test_a_quiet_show_is_told_once(shows: Shows, clock: Clock) -> None:
    """Nothing changes, nothing is said: its duration is for readers to count."""
    show = await shows.live()
    await shows.bell.rest()

    async with listening(shows, show, "?seconds=600") as listener:
        while not (await listener.hears("state")).data["health"]["ingress"]:
            pass
        await asyncio.sleep(1)
        clock.leap(600)
        await listener.ends()

    states = [one.data for one in listener.events if one.name == "state"]
    # The second one says what LiveKit answered meanwhile.
    assert 1 <= len(states) <= 2
    assert states[-1]["health"]["ingress"]


async def test_what_arrives_is_seen_without_an_event(shows: Shows) -> None:
    """LiveKit is asked now and then while somebody watches over an open show, and only then."""
    show = await shows.live()
    await shows.bell.rest()
    asked = shows.plane.calls["list_ingress"]
    await asyncio.sleep(1)
    assert shows.plane.calls["list_ingress"] == asked

    async with listening(shows, show) as listener:
        await listener.hears("state")
        shows.plane.fails["list_ingress"] = Unavailable("ListIngress", "unreachable")
        while (await listener.hears("state")).data["health"]["health"] != "unknown":
            pass


async def test_helpers_may_listen_and_see_less(shows: Shows) -> None:
    """A moderator sees neither e-mails nor ids of ingresses."""
    show = await shows.live()
    viewer = shows.people.viewer
    await shows.post(show, "participants", json={"user_id": str(viewer.id), "role": "moderator"})

    async with listening(shows, show, by=viewer) as listener:
        while not (state := (await listener.hears("state")).data)["health"]["ingress"]:
            pass

    assert not any(one["ingress_id"] for one in state["health"]["ingress"])
    assert state["session"]["room"]["host"]["email"] is None


async def test_who_may_not_look_any_more_is_cut_off(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next heartbeat after the role was taken away."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.3)
    show, viewer = await shows.announce(), shows.people.viewer
    given = await shows.post(show, "participants", json={"user_id": str(viewer.id)})

    async with listening(shows, show, by=viewer) as listener:
        await listener.hears("state")
        participant = given.data["participant"]["id"]
        await shows.api("DELETE", f"/sessions/{show}/participants/{participant}", by=shows.host)

        await listener.ends()


@pytest.mark.parametrize("heard", ["x", "-1", "1.5", "9" * 30, "٣"])
async def test_a_number_that_is_none_is_refused(shows: Shows, heard: str) -> None:
    """400."""
    show = await shows.announce()

    got = await shows.api(
        "GET",
        f"/sessions/{show}/events/stream",
        by=shows.host,
        headers={"Last-Event-ID": heard},
    )

    assert got.problem == (400, "invalid-query")


@pytest.mark.parametrize(
    "query", ["after=-1", "seconds=x", "seconds=3601", "limit=1", "after=1&after=2"]
)
async def test_a_bad_question_is_refused(shows: Shows, query: str) -> None:
    """400."""
    show = await shows.announce()

    assert (await shows.get(show, f"events/stream?{query}")).problem == (400, "invalid-query")


async def test_a_process_keeps_so_many_open(
    running: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it says so, and when to come again; whoever leaves makes room, with nothing to tell."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 600)
    async with running(event_streams_max=1) as api:
        shows = at(api, people)
        show = await shows.announce()
        async with listening(shows, show) as listener:
            await listener.hears("state")
            refused = await shows.get(show, "events/stream?seconds=0")

        assert refused.problem == (503, "too-many-streams")
        assert int(refused.headers["Retry-After"]) >= 1
        await until(lambda: is_free(shows, show), what="room for another stream")


async def test_a_caller_keeps_so_many_open(shows: Shows) -> None:
    """A page gone wrong does not keep others out."""
    show = await shows.announce()
    streams = [listening(shows, show) for _ in range(STREAMS_PER_CALLER)]
    listeners = [await stream.__aenter__() for stream in streams]
    for listener in listeners:
        await listener.hears("state")

    mine = await shows.get(show, "events/stream?seconds=0")
    # Another caller, who may look, too.
    given = {"user_id": str(shows.people.viewer.id)}
    await shows.post(show, "participants", json=given)
    other = await shows.get(show, "events/stream?seconds=0", by=shows.people.viewer)
    for stream in streams:
        await stream.__aexit__(None, None, None)

    assert mine.problem == (429, "rate-limited")
    assert other.status == 200


async def test_a_process_that_stops_lets_its_readers_go(running: Running, people: People) -> None:
    """They come back to another one; nobody waits for a stream that never ends."""
    async with AsyncExitStack() as reading:
        async with running() as api:
            # The test's own connection must outlive the API, to hear it hang up.
            api.http = await reading.enter_async_context(aiohttp.ClientSession())
            shows = at(api, people)
            stream = listening(shows, await shows.announce())
            listener = await reading.enter_async_context(stream)
            await listener.hears("state")

        await listener.ends()


async def test_pages_of_listed_origins_may_listen(running: Running, people: People) -> None:
    """The answer says so before it begins."""
    async with running(cors_origins=("https://studio.example",)) as api:
        shows = at(api, people)
        show = await shows.announce()
        headers = {"Origin": "https://studio.example"}
        async with listening(shows, show, "?seconds=0", headers=headers) as listener:
            await listener.ends()

        allowed = listener.response.headers["Access-Control-Allow-Origin"]
        assert allowed == "https://studio.example"


async def test_a_suspended_organization_may_still_look(shows: Shows) -> None:
    """It may read, and change nothing."""
    show = await shows.announce()
    async with shows.api.resources.db.begin() as tx:
        (await tx.get_one(Organization, shows.people.organization.id)).is_suspended = True

    async with listening(shows, show, "?seconds=0") as listener:
        await listener.ends()

    assert listener.events


async def test_how_long_a_stream_lasts_is_not_how_fast_we_answer(
    shows: Shows, clock: Clock
) -> None:
    """Its time is counted until it begins, or every percentile would be of studio pages."""
    show = await shows.announce()
    before = seconds_counted()

    async with listening(shows, show, "?seconds=600") as listener:
        await listener.hears("state")
        clock.leap(600)
        await listener.ends()

    await until(lambda: seconds_counted() > before, what="the request to be counted")
    assert seconds_counted() - before < 600


def seconds_counted() -> float:
    value: Any = REGISTRY.get_sample_value("greenroom_http_request_seconds_sum", {"route": ROUTE})
    return value or 0.0


async def is_free(shows: Shows, show: str) -> bool:
    return (await shows.get(show, "events/stream?seconds=0")).status == 200

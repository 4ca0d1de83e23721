"""Public reads are answered from memory for a second, and say when nothing changed."""

import asyncio

import pytest

from api import cache
from observability.metrics import CACHE_HITS, CACHE_MISSES
from orchestration.database import Database
from tests.integration.api.client import Api, People


def hits() -> tuple[float, float]:
    return CACHE_HITS._value.get(), CACHE_MISSES._value.get()


async def room(api: Api, people: People, title: str = "Launches") -> str:
    got = await api("POST", "/rooms", by=people.host, json={"title": title})
    return f"/rooms/{got.data['room']['id']}"


async def test_the_ledger_is_asked_once_a_second(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, together or one after the other; then it is asked again."""
    path = await room(api, people)
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    before = hits()

    found = await asyncio.gather(*(api("GET", path) for _ in range(20)))
    found.append(await api("GET", path))

    assert {got.raw for got in found} == {found[0].raw}
    assert len({got.headers["X-Request-ID"] for got in found}) == len(found)
    after = hits()
    assert (after[0] - before[0], after[1] - before[1]) == (20, 1)


async def test_it_is_never_older_than_a_second(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "KEPT_SECONDS", 0.1)
    path = await room(api, people)
    await api("GET", path)
    await api("PATCH", path, by=people.host, json={"title": "Renamed"})

    await asyncio.sleep(0.15)

    assert (await api("GET", path)).data["title"] == "Renamed"


async def test_who_shows_credentials_is_answered_from_the_ledger(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And sees what only it may see, while the kept answer stays the public one."""
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    path = await room(api, people)

    public = await api("GET", path)
    mine = await api("GET", path, by=people.host)
    again = await api("GET", path)

    assert mine.data["host"]["email"]
    assert public.raw == again.raw
    assert mine.headers["Cache-Control"].startswith("private")
    await api("PATCH", path, by=people.host, json={"title": "Renamed"})
    assert (await api("GET", path, by=people.host)).data["title"] == "Renamed"


async def test_not_modified_costs_no_bytes(api: Api, people: People) -> None:
    """From memory and from the ledger; the weak form of a tag is the same tag."""
    path = await room(api, people)
    etag = (await api("GET", path)).headers["ETag"]

    for by in (None, people.viewer):
        tag = (await api("GET", path, by=by)).headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            got = await api("GET", path, by=by, headers={"If-None-Match": known})
            assert (got.status, got.raw) == (304, b"")
            assert got.headers["ETag"] == tag
        other = await api("GET", path, by=by, headers={"If-None-Match": '"1-abc"'})
        assert other.status == 200
    assert etag.startswith('"1-')


async def test_readers_who_have_it_already_ask_the_ledger_once(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that waits for a show sends the tag it has, as browsers do: all of them together."""
    path = await room(api, people)
    monkeypatch.setattr(cache, "KEPT_SECONDS", 0)
    tag = (await api("GET", path)).headers["ETag"]
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    before = hits()

    found = await asyncio.gather(
        *(api("GET", path, headers={"If-None-Match": tag}) for _ in range(20))
    )

    assert {(got.status, got.raw, got.headers["ETag"]) for got in found} == {(304, b"", tag)}
    after = hits()
    assert (after[0] - before[0], after[1] - before[1]) == (19, 1)


async def test_a_refusal_is_not_kept(api: Api, people: People) -> None:
    """What was not there a moment ago may be there now."""
    path = await room(api, people)
    missing = path[:-1] + ("0" if path[-1] != "0" else "1")
    before = hits()

    for _ in range(2):
        assert (await api("GET", missing)).problem == (404, "room-not-found")
        assert (await api("GET", "/rooms?limit=0")).problem == (400, "invalid-query")

    after = hits()
    assert (after[0] - before[0], after[1] - before[1]) == (0, 4)


async def test_memory_is_bounded(api: Api, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old answers make place: a path of somebody's own making costs nothing for long."""
    monkeypatch.setattr(cache, "ANSWERS_MAX", 2)
    before = hits()

    for limit in (1, 2, 3, 1):
        await api("GET", f"/rooms?limit={limit}")

    after = hits()
    assert (after[0] - before[0], after[1] - before[1]) == (0, 4)


async def test_head_is_get_without_the_body(api: Api, people: People) -> None:
    path = await room(api, people)
    read = await api("GET", path)

    got = await api("HEAD", path)

    assert (got.status, got.raw) == (200, b"")
    assert got.headers["ETag"] == read.headers["ETag"]
    assert got.headers["Content-Length"] == str(len(read.raw))


async def test_a_kept_answer_needs_no_ledger(
    api: Api, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hot path is one look-up: no SQL, no validation."""
    monkeypatch.setattr(cache, "KEPT_SECONDS", 60)
    path = await room(api, people)
    first = await api("GET", path)
    monkeypatch.setattr(Database, "read", None)

    assert (await api("GET", path)).raw == first.raw

"""The timeline and the end report of a show."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestration.models import Playback, Recording, Take
from orchestration.states import PlaybackState, TakeState, Verdict
from tests.integration.api.sessions.conftest import Shows
from tests.integration.api.sessions.plane import KEY


async def test_the_timeline_has_no_gaps(shows: Shows) -> None:
    """Read in pages, it is the same as read at once; numbers go up by one."""
    show = await shows.over()

    every = (await shows.get(show, "events?limit=500")).data
    paged, after = [], 0
    while page := (await shows.get(show, f"events?after={after}&limit=2")).data["events"]:
        paged += page
        after = page[-1]["seq"]

    assert paged == every["events"]
    assert [one["seq"] for one in paged] == list(range(1, every["newest"] + 1))
    kinds = [one["kind"] for one in paged]
    assert kinds[0] == "session.created"
    assert "session.wanted" in kinds
    assert KEY not in str(every)
    empty = (await shows.get(show, f"events?after={every['newest']}")).data
    assert empty == {"events": [], "newest": every["newest"], "next_after": every["newest"]}


async def test_events_name_the_request_that_asked(shows: Shows) -> None:
    """So that log, job and timeline can be read together."""
    show = await shows.announce()
    got = await shows.post(show, "go_live", headers={"X-Request-ID": "ask-me-later"})

    events = (await shows.get(show, "events")).data["events"]

    assert got.headers["X-Request-ID"] == "ask-me-later"
    asked = [one for one in events if one["kind"] == "session.wanted"]
    assert [one["request_id"] for one in asked] == ["ask-me-later"]


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=501", "after=1&after=2", "since=1"]
)
async def test_a_bad_page_is_refused(shows: Shows, query: str) -> None:
    """400."""
    show = await shows.announce()

    assert (await shows.get(show, f"events?{query}")).problem == (400, "invalid-query")


async def test_the_report_tells_how_long_what_took(shows: Shows) -> None:
    """From the accepted go_live; with takes, recording, and what was abandoned."""
    show = await shows.over()
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    await shows.write(
        show,
        go_live_at=begun,
        started_at=begun + timedelta(seconds=0.25),
        media_at=begun + timedelta(seconds=5),
        ended_at=begun + timedelta(seconds=65.25),
        max_viewers=17,
        abandoned=["broadcast: no answer"],
    )
    row = await shows.row(show)
    async with shows.api.resources.db.begin() as tx:
        playback = await tx.get(Playback, row.id) or Playback(session_id=row.id)
        playback.state, playback.segments, playback.stalls = PlaybackState.ENDED, 30, 1
        playback.ready_at = begun + timedelta(seconds=9.5)
        tx.add(playback)
        take = {"source": f"{row.host_id}#rtmp", "reason": "first", "outcome": "complete"}
        tx.add(Take(session_id=row.id, number=1, state=TakeState.ENDED, **take))
        recording = {"name": "Spring launch", "status": "completed", "storage_type": "local"}
        tx.add(
            Recording(
                organization_id=row.organization_id,
                session_id=row.id,
                verdict=Verdict.PARTIAL,
                verdict_reason="gap",
                **recording,
            )
        )

    got = await shows.get(show, "report")

    report = got.data
    assert (report["status"], report["end_reason"]) == ("ended", "requested")
    assert (report["duration"], report["max_viewers"]) == (65, 17)
    assert report["seconds_to_live"] == 0.25
    assert report["seconds_to_media"] == 5
    assert report["seconds_to_playback"] == 9.5
    assert report["seconds_from_media_to_playback"] == 4.5
    assert (report["segments"], report["stalls"]) == (30, 1)
    assert [one["outcome"] for one in report["takes"]] == ["complete"]
    assert report["recording"]["verdict"] == "partial"
    assert report["abandoned"] == ["broadcast: no answer"]


async def test_a_show_that_never_was_has_a_report_too(shows: Shows) -> None:
    """With nothing in it."""
    show = await shows.announce()

    report = (await shows.get(show, "report")).data

    assert (report["duration"], report["takes"], report["recording"]) == (0, [], None)
    assert report["seconds_to_live"] is None

"""Joining: each role is given just the LiveKit grants that it has."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from orchestration.models import User
from tests.integration.api.client import Got
from tests.integration.api.sessions import contract
from tests.integration.api.sessions.conftest import Shows

SOURCES = "canPublishSources"


def grants(got: Got) -> dict:
    """Read what the answer's LiveKit token allows."""
    claims = jwt.decode(got.data["livekit_token"], options={"verify_signature": False})
    return {"identity": claims["sub"], **claims["video"]}


async def give(shows: Shows, show: str, user: User, role: str) -> None:
    body = {"user_id": str(user.id), "role": role}
    got = await shows.post(show, "participants", json=body)
    assert got.status == 201, got.json


async def test_a_viewer_may_only_watch(shows: Shows) -> None:
    """One room, subscribe only, and a mark for the heartbeat."""
    show = await shows.live()

    got = await shows.post(show, "join", by=shows.people.viewer)

    contract.check(got.data, contract.JOIN)
    assert got.data["room_name"] == shows.livekit_room(show)
    allowed = grants(got)
    assert allowed["identity"] == str(shows.people.viewer.id)
    assert allowed["room"] == shows.livekit_room(show)
    assert (allowed["roomJoin"], allowed["canSubscribe"]) == (True, True)
    assert (allowed["canPublish"], allowed["canPublishData"]) == (False, False)
    assert not allowed.get("roomAdmin")
    assert shows.api.resources.marks.seen((await shows.row(show)).id, got.data["viewer_mark"])


async def test_each_role_gets_its_grants(shows: Shows) -> None:
    """The preset decides what host and co-hosts may publish."""
    people = shows.people
    preset = await shows.preset(host_screen_share=False, onstage_camera_enabled=False)
    show = await shows.live(preset=preset)
    await give(shows, show, people.colleague, "co_host")
    await give(shows, show, people.viewer, "moderator")

    host = grants(await shows.post(show, "join"))
    co_host = grants(await shows.post(show, "join", by=people.colleague))
    moderator = grants(await shows.post(show, "join", by=people.viewer))
    stranger = grants(await shows.post(show, "join", by=people.stranger))

    assert host[SOURCES] == ["camera", "microphone"]
    assert set(co_host[SOURCES]) == {"microphone", "screen_share", "screen_share_audio"}
    assert (moderator["canPublish"], moderator["canPublishData"]) == (False, True)
    assert (stranger["canPublish"], stranger["canPublishData"]) == (False, False)
    assert host["identity"] == str(people.host.id)


async def test_the_stage_comes_in_before_the_audience(shows: Shows) -> None:
    """Host and co-hosts from `start` on; the audience when the show is live; nobody afterwards."""
    people = shows.people
    when = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    show = await shows.announce(scheduled_start_time=when.isoformat())
    await give(shows, show, people.colleague, "co_host")
    everybody = (people.host, people.colleague, people.viewer)

    closed = [await shows.post(show, "join", by=user) for user in everybody]
    await shows.post(show, "start")
    early = [await shows.post(show, "join", by=user) for user in everybody]
    await shows.post(show, "go_live")
    live = [await shows.post(show, "join", by=user) for user in everybody]
    await shows.post(show, "end")
    over = [await shows.post(show, "join", by=user) for user in everybody]

    assert {got.problem for got in closed} == {(409, "session-not-live")}
    assert when.isoformat() in closed[2].json["detail"]
    assert [got.status for got in early] == [200, 200, 409]
    assert [got.status for got in live] == [200, 200, 200]
    assert {got.problem for got in over} == {(409, "session-ended")}


async def test_a_monitor_is_not_seen(shows: Shows) -> None:
    """Hidden, subscribe-only, under a name of its own so that it evicts nobody."""
    show = await shows.live()
    await give(shows, show, shows.people.viewer, "moderator")

    host = grants(await shows.get(show, "monitor"))
    moderator = grants(await shows.get(show, "monitor", by=shows.people.viewer))

    for allowed in (host, moderator):
        assert allowed["hidden"] is True
        assert allowed["canPublish"] is False
        assert allowed["room"] == shows.livekit_room(show)
    assert host["identity"] == f"{shows.host.id}#monitor"
    assert (await shows.get(show, "monitor", by=shows.people.colleague)).status == 403
    assert (await shows.get(show, "monitor", by=shows.people.stranger)).status == 404


@pytest.mark.parametrize("before", ["announce", "over"])
async def test_nobody_monitors_what_is_not_there(shows: Shows, before: str) -> None:
    """409 before and after."""
    show = await getattr(shows, before)()

    assert (await shows.get(show, "monitor")).status == 409

"""Rooms over HTTP."""

import asyncio
import uuid

from orchestration.models import Room, Session
from orchestration.states import Phase, Status, Wanted
from tests.integration.api.client import Api, People


async def _room(api: Api, people: People, **members: object) -> dict:
    got = await api("POST", "/rooms", by=people.host, json={"title": "Launches", **members})
    assert got.status == 201
    return got.data["room"]


async def _session(api: Api, people: People, room_id: str, **columns: object) -> Session:
    session = Session(
        organization_id=people.host.organization_id,
        room_id=uuid.UUID(room_id),
        host_id=people.host.id,
        title="Show",
        mode="rtmp",
        **columns,
    )
    async with api.resources.db.begin() as tx:
        tx.add(session)
    return session


async def test_a_room_can_be_made_read_changed_and_deleted(api: Api, people: People) -> None:
    """One room's life."""
    analytics = {"google_tag_manager": {"container_id": "GTM-ABC123", "enabled": True}}

    room = await _room(api, people, description="All of them", analytics=analytics)
    path = f"/rooms/{room['id']}"

    assert room["host"]["email"] == people.host.email
    assert room["analytics"] == analytics
    assert room["active_session_id"] is None
    changed = await api("PATCH", path, by=people.host, json={"description": None})
    assert changed.data["description"] is None
    assert changed.data["title"] == "Launches"
    assert (await api("DELETE", path, by=people.host)).data is None
    assert (await api("GET", path, by=people.host)).problem == (404, "room-not-found")
    assert (await api("DELETE", path, by=people.host)).problem == (404, "room-not-found")


async def test_public_reads_show_no_email(api: Api, people: People) -> None:
    """Strangers, and hosts of other organizations, see the host's name only."""
    room = await _room(api, people)

    for reader in (None, people.stranger):
        one = await api("GET", f"/rooms/{room['id']}", by=reader)
        many = await api("GET", "/rooms", by=reader)
        assert one.data["host"]["email"] is None
        assert many.data["rooms"][0]["host"]["email"] is None
        assert people.host.email.encode() not in one.raw + many.raw
    assert (await api("GET", f"/rooms/{room['id']}", by=people.viewer)).data["host"]["email"]


async def test_rooms_are_listed_in_pages(api: Api, people: People) -> None:
    """The newest first, so many at a time, and the total."""
    for number in range(3):
        await _room(api, people, title=f"Room {number}")

    first = (await api("GET", "/rooms?limit=2")).data
    second = (await api("GET", "/rooms?limit=2&page=2")).data
    mine = (await api("GET", "/rooms/my", by=people.host)).data
    theirs = (await api("GET", "/rooms/my", by=people.stranger)).data

    assert [room["title"] for room in first["rooms"]] == ["Room 2", "Room 1"]
    assert [room["title"] for room in second["rooms"]] == ["Room 0"]
    assert (first["total"], first["page"], first["limit"]) == (3, 1, 2)
    assert mine["total"] == 3
    assert theirs == {"rooms": [], "total": 0, "page": 1, "limit": 10}


async def test_only_its_host_changes_a_room(api: Api, people: People) -> None:
    """Another organization finds nothing, a colleague and a viewer may not."""
    room = await _room(api, people)
    path, change = f"/rooms/{room['id']}", {"title": "Mine now"}

    foreign = await api("PATCH", path, by=people.stranger, json=change)
    unknown = await api("PATCH", f"/rooms/{uuid.uuid4()}", by=people.stranger, json=change)

    assert foreign.problem == unknown.problem == (404, "room-not-found")
    without_name = [{**got.json, "instance": "", "timestamp": 0} for got in (foreign, unknown)]
    assert without_name[0] == without_name[1]
    for other in (people.colleague, people.viewer):
        assert (await api("PATCH", path, by=other, json=change)).status == 403
        assert (await api("DELETE", path, by=other)).status == 403
    assert (await api("DELETE", path, by=people.stranger)).problem == (404, "room-not-found")
    assert (await api("GET", path)).data["title"] == "Launches"


async def test_a_stale_version_is_refused(api: Api, people: People) -> None:
    """Two editors: the second one is told that the first one was there."""
    room = await _room(api, people)
    path = f"/rooms/{room['id']}"
    read = await api("GET", path, by=people.host)
    etag = {"If-Match": read.headers["ETag"]}
    again = await api("GET", path, by=people.host, headers={"If-None-Match": read.headers["ETag"]})
    assert again.status == 304

    first = await api("PATCH", path, by=people.host, headers=etag, json={"title": "First"})
    second = await api("PATCH", path, by=people.host, headers=etag, json={"title": "Second"})
    gone = await api("DELETE", path, by=people.host, headers=etag)

    assert first.status == 200
    assert second.problem == gone.problem == (412, "version-mismatch")
    newest = {"If-Match": first.headers["ETag"]}
    assert (await api("DELETE", path, by=people.host, headers=newest)).status == 200


async def test_of_two_changes_to_one_version_one_is_made(api: Api, people: People) -> None:
    """Together, too: whoever comes second is told to read it again."""
    for number in range(10):
        path = f"/rooms/{(await _room(api, people, title=f'Room {number}'))['id']}"
        tag = {"If-Match": (await api("GET", path, by=people.host)).headers["ETag"]}

        both = await asyncio.gather(
            *(
                api("PATCH", path, by=people.host, headers=tag, json={"title": f"Title {one}"})
                for one in range(2)
            )
        )

        assert sorted(got.status for got in both) == [200, 412]


async def test_a_room_that_is_live_stays(api: Api, people: People) -> None:
    """It says which session is live, and cannot be deleted."""
    room = await _room(api, people)
    live = await _session(
        api, people, room["id"], wanted=Wanted.LIVE, phase=Phase.LIVE, status=Status.LIVE
    )
    path = f"/rooms/{room['id']}"

    assert (await api("GET", path)).data["active_session_id"] == str(live.id)
    assert (await api("DELETE", path, by=people.host)).problem == (409, "room-live")
    assert (await api("GET", path)).status == 200


async def test_deleting_a_room_lets_its_sessions_go(api: Api, people: People) -> None:
    """A session that was announced is wanted no more, so that its ingress is removed."""
    room = await _room(api, people)
    announced = await _session(api, people, room["id"])

    assert (await api("DELETE", f"/rooms/{room['id']}", by=people.host)).status == 200

    async with api.resources.db.read() as tx:
        session = await tx.get_one(Session, announced.id)
        assert session.wanted is Wanted.ENDED
        assert (await tx.get_one(Room, session.room_id)).deleted_at is not None

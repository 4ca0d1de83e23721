"""Co-hosts and moderators over HTTP."""

import uuid

import pytest

from tests.integration.api.sessions import contract
from tests.integration.api.sessions.conftest import Shows


async def add(shows: Shows, show: str, user: object, role: str = "co_host", **options: object):
    body = {"user_id": str(user.id), "role": role}
    return await shows.post(show, "participants", json=body, **options)


async def test_a_role_is_given_listed_and_taken_away(shows: Shows) -> None:
    """A removed one keeps its row, and can be given the role again."""
    show, people = await shows.announce(), shows.people

    added = await add(shows, show, people.colleague)
    listed = await shows.get(show, "participants", by=people.colleague)
    one = added.data["participant"]
    path = f"/sessions/{show}/participants/{one['id']}"
    removed = await shows.api("DELETE", path, by=people.host)
    after = (await shows.get(show, "participants")).data
    again = await add(shows, show, people.colleague)

    contract.check(one, contract.PARTICIPANT)
    contract.check(one["user"], contract.USER)
    contract.check(one["assigned_by_user"], contract.USER)
    contract.check(listed.data, contract.PARTICIPANTS)
    assert (one["role"], one["is_active"], one["assigned_by"]) == (
        "co_host",
        True,
        str(shows.host.id),
    )
    assert listed.data["total"] == 1
    assert listed.data["participants"][0]["user"]["email"] is None
    assert removed.data is None
    assert after["participants"][0]["is_active"] is False
    assert after["participants"][0]["removed_at"] is not None
    assert again.data["participant"]["id"] == one["id"]
    assert again.data["participant"]["removed_at"] is None


async def test_only_user_id_must_be_said(shows: Shows) -> None:
    """The contract's body makes a co-host."""
    show = await shows.announce()

    got = await shows.post(show, "participants", json={"user_id": str(shows.people.viewer.id)})

    assert got.data["participant"]["role"] == "co_host"


async def test_whose_role_is_taken_is_shown_the_door(shows: Shows) -> None:
    """Who is in the LiveKit room is disconnected; a LiveKit that is away keeps nobody's role."""
    show = await shows.live()
    one = (await add(shows, show, shows.people.colleague)).data["participant"]

    await shows.api("DELETE", f"/sessions/{show}/participants/{one['id']}", by=shows.host)
    again = await shows.api("DELETE", f"/sessions/{show}/participants/{one['id']}", by=shows.host)

    assert shows.plane.removed == [(shows.livekit_room(show), str(shows.people.colleague.id))]
    assert again.status == 200
    assert (await shows.get(show, "monitor", by=shows.people.colleague)).status == 403


async def test_moderators_and_co_hosts_may_set_but_not_end(shows: Shows) -> None:
    """Settings, timeline and health are theirs; the show is the host's."""
    show, people = await shows.live(), shows.people
    await add(shows, show, people.colleague, "co_host")
    await add(shows, show, people.viewer, "moderator")

    for user in (people.colleague, people.viewer):
        settings = {"chat_enabled": False}
        set_ = await shows.api("PATCH", f"/sessions/{show}/settings", by=user, json=settings)
        assert set_.status == 200
        for what in ("events", "stream_health", "participants", "monitor"):
            assert (await shows.get(show, what, by=user)).status == 200
        assert (await shows.post(show, "end", by=user)).problem == (403, "insufficient-scope")


async def test_the_stage_holds_so_many(shows: Shows) -> None:
    """max_join_limit counts the people on stage, the host included; moderators are not on it."""
    show, people = await shows.announce(preset=await shows.preset(max_join_limit=2)), shows.people

    first = await add(shows, show, people.colleague)
    same = await add(shows, show, people.colleague)
    second = await add(shows, show, people.viewer)
    moderator = await add(shows, show, people.viewer, "moderator")

    assert (first.status, same.status, moderator.status) == (201, 201, 201)
    assert second.problem == (409, "stage-full")


async def test_a_preset_can_forbid_co_hosts(shows: Shows) -> None:
    """host_add_co_host."""
    show = await shows.announce(preset=await shows.preset(host_add_co_host=False))

    assert (await add(shows, show, shows.people.viewer)).problem == (403, "insufficient-scope")
    assert (await add(shows, show, shows.people.viewer, "moderator")).status == 201


async def test_only_ones_own_people_are_given_roles(shows: Shows) -> None:
    """A stranger, nobody at all, and the host itself are not."""
    show, people = await shows.announce(), shows.people
    nobody = people.host.model_copy(update={"id": uuid.uuid4()})

    assert (await add(shows, show, people.stranger)).problem == (404, "user-not-found")
    assert (await add(shows, show, nobody)).problem == (404, "user-not-found")
    assert (await add(shows, show, people.host)).problem == (409, "conflict")
    assert (await shows.get(show, "participants")).data["total"] == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"user_id": "x"}, {"user_id": 1}, {"user_id": None}, {"role": "co_host"}],
    ids=str,
)
async def test_a_bad_role_is_refused(shows: Shows, body: dict) -> None:
    """422, and nobody has it."""
    show = await shows.announce()

    assert (await shows.post(show, "participants", json=body)).problem == (422, "validation-error")


async def test_another_shows_participant_is_not_there(shows: Shows) -> None:
    """Each role belongs to one show."""
    one, other = await shows.announce(), await shows.announce()
    given = (await add(shows, one, shows.people.viewer)).data["participant"]

    path = f"/sessions/{other}/participants/{given['id']}"

    assert (await shows.api("DELETE", path, by=shows.host)).problem == (
        404,
        "participant-not-found",
    )

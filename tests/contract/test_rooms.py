"""What LiveKit does with rooms."""

import pytest
from livekit import api

from tests.contract.conftest import Server
from tests.contract.control import Control
from tests.system.waits import until


async def test_create_is_create_or_get(client: api.LiveKitAPI, room_name: str) -> None:
    """A second creation gives the same room and ignores the new settings."""
    first = await client.room.create_room(
        api.CreateRoomRequest(name=room_name, empty_timeout=500, metadata="one")
    )

    second = await client.room.create_room(
        api.CreateRoomRequest(name=room_name, empty_timeout=900, metadata="two")
    )

    assert second.sid == first.sid
    assert (second.empty_timeout, second.metadata) == (500, "one")


async def test_time_outs_have_defaults(client: api.LiveKitAPI, room_name: str) -> None:
    """0 is not a time-out but the server's default: 300 s before, 20 s after."""
    room = await client.room.create_room(api.CreateRoomRequest(name=room_name))

    assert (room.empty_timeout, room.departure_timeout) == (300, 20)
    assert room.sid.startswith("RM_")
    assert room.creation_time_ms // 1000 == room.creation_time


async def test_list_gives_those_that_are_there(client: api.LiveKitAPI, room_name: str) -> None:
    """A name that is not there is just absent."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name, "never-was-here"]))

    assert [room.name for room in listed.rooms] == [room_name]


async def test_delete_of_an_unknown_room_is_not_found(client: api.LiveKitAPI) -> None:
    """Not found, in the words of LiveKit's bus."""
    with pytest.raises(api.TwirpError) as refused:
        await client.room.delete_room(api.DeleteRoomRequest(room="never-was-here"))

    assert (refused.value.status, refused.value.code) == (404, "not_found")
    assert "requested room does not exist" in refused.value.message


async def test_a_deleted_room_is_gone(client: api.LiveKitAPI, room_name: str) -> None:
    """Its name can be used again, for another room."""
    first = await client.room.create_room(api.CreateRoomRequest(name=room_name))

    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))
    second = await client.room.create_room(api.CreateRoomRequest(name=room_name))

    assert second.sid != first.sid


async def test_metadata_can_be_changed(client: api.LiveKitAPI, room_name: str) -> None:
    """The answer is the room with the new metadata."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    room = await client.room.update_room_metadata(
        api.UpdateRoomMetadataRequest(room=room_name, metadata="new")
    )

    assert room.metadata == "new"


async def test_a_name_can_be_too_long(client: api.LiveKitAPI) -> None:
    """256 characters is the limit."""
    with pytest.raises(api.TwirpError) as refused:
        await client.room.create_room(api.CreateRoomRequest(name="x" * 257))

    assert refused.value.code == "invalid_argument"
    assert "room name length exceeds limits" in refused.value.message


async def test_a_room_nobody_joins_closes(client: api.LiveKitAPI, room_name: str) -> None:
    """After its empty time-out."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name, empty_timeout=1))

    async def is_gone() -> bool:
        listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
        return not listed.rooms

    await until(is_gone, what="the room to close")


async def test_a_room_all_left_closes(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """After its departure time-out, which the last to leave sets going."""
    await client.room.create_room(
        api.CreateRoomRequest(name=room_name, empty_timeout=600, departure_timeout=1)
    )
    await standin.join(room_name, "viewer")

    await standin.leave(room_name, "viewer")

    async def is_gone() -> bool:
        listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
        return not listed.rooms

    await until(is_gone, what="the room to close")


async def test_counting_leaves_out_recorders_and_agents(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """EGRESS and AGENT do not count; INGRESS and hidden people do."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    await standin.join(room_name, "viewer")
    await standin.join(room_name, "ghost", hidden=True)
    await standin.join(room_name, "encoder", kind="INGRESS", tracks=["camera", "microphone"])
    await standin.join(room_name, "EG_x", kind="EGRESS", hidden=True)
    await standin.join(room_name, "agent", kind="AGENT")

    listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
    assert listed.rooms[0].num_participants == 3
    assert listed.rooms[0].num_publishers == 1
    there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    assert {one.identity for one in there.participants} == {
        "viewer",
        "ghost",
        "encoder",
        "EG_x",
        "agent",
    }


async def test_data_needs_a_room(client: api.LiveKitAPI) -> None:
    """Sending into a room that is not there is not found."""
    with pytest.raises(api.TwirpError) as refused:
        await client.room.send_data(api.SendDataRequest(room="never-was-here", data=b"x"))

    assert refused.value.code in {"not_found", "unavailable"}


async def test_whip_and_joining_say_that_they_are_not_here(
    livekit: Server, standin: Control
) -> None:
    """The stand-in does not pretend: 501, in words."""
    session = standin._session
    for path in ("/w/some-key", "/rtc", "/rtc/validate"):
        async with session.post(livekit.url + path) as answer:
            assert answer.status == 501
            assert "stand-in" in await answer.text()

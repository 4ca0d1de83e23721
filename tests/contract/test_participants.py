"""What LiveKit does with participants."""

import asyncio

import pytest
from livekit import api
from livekit.protocol.models import ParticipantInfo, ParticipantPermission

from tests.contract.control import Control


async def test_an_unknown_room_has_nobody_in_it(client: api.LiveKitAPI) -> None:
    """Listing it is no error."""
    listed = await client.room.list_participants(api.ListParticipantsRequest(room="never-was-here"))

    assert list(listed.participants) == []


async def test_an_unknown_participant_is_not_found(client: api.LiveKitAPI, room_name: str) -> None:
    """For reading and for removing."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    who = api.RoomParticipantIdentity(room=room_name, identity="nobody")

    for call in (client.room.get_participant, client.room.remove_participant):
        with pytest.raises(api.TwirpError) as refused:
            await call(who)
        assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_a_participant_is_what_a_real_one_is(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """Active, of its kind, with its tracks."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "host", name="The Host", tracks=["camera", "microphone"])

    who = await client.room.get_participant(
        api.RoomParticipantIdentity(room=room_name, identity="host")
    )

    assert who.sid.startswith("PA_")
    assert (who.state, who.kind) == (ParticipantInfo.State.ACTIVE, ParticipantInfo.Kind.STANDARD)
    assert (who.name, who.is_publisher, len(who.tracks)) == ("The Host", True, 2)


async def test_the_same_identity_puts_the_older_one_out(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """One identity is in a room once."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    first = await standin.join(room_name, "viewer")

    second = await standin.join(room_name, "viewer")

    there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    assert [one.sid for one in there.participants] == [second["sid"]]
    assert first["sid"] != second["sid"]


async def test_a_removed_participant_is_gone(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """And counts no more."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "viewer")

    await client.room.remove_participant(
        api.RoomParticipantIdentity(room=room_name, identity="viewer")
    )

    listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
    assert listed.rooms[0].num_participants == 0


async def test_a_track_can_be_muted_but_not_unmuted(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """Unmuting from afar is off by default."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    joined = await standin.join(room_name, "guest", tracks=["microphone"])
    track = joined["tracks"][0]["sid"]

    muted = await client.room.mute_published_track(
        api.MuteRoomTrackRequest(room=room_name, identity="guest", track_sid=track, muted=True)
    )

    assert muted.track.muted
    with pytest.raises(api.TwirpError) as refused:
        await client.room.mute_published_track(
            api.MuteRoomTrackRequest(room=room_name, identity="guest", track_sid=track)
        )
    assert refused.value.code == "failed_precondition"


async def test_a_track_that_is_not_there_is_muted_without_a_word(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """The answer is no error, and names no track."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "guest")

    muted = await client.room.mute_published_track(
        api.MuteRoomTrackRequest(room=room_name, identity="guest", track_sid="TR_x", muted=True)
    )

    assert muted.track.sid == ""


async def test_nobody_answers_for_who_is_not_there(client: api.LiveKitAPI, room_name: str) -> None:
    """Muting, subscribing and sending data ask the participant or room itself, for 3 s."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    calls = [
        client.room.mute_published_track(
            api.MuteRoomTrackRequest(room=room_name, identity="no", track_sid="TR_x", muted=True)
        ),
        client.room.update_subscriptions(
            api.UpdateSubscriptionsRequest(room=room_name, identity="no", track_sids=["TR_x"])
        ),
        client.room.send_data(api.SendDataRequest(room="never-was-here", data=b"x")),
    ]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [(one.status, one.code) for one in answers if isinstance(one, api.TwirpError)] == [
        (503, "unavailable")
    ] * 3


async def test_a_participant_can_be_changed(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """Metadata, name, permission and attributes; what is not given stays."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "guest", name="Guest")

    changed = await client.room.update_participant(
        api.UpdateParticipantRequest(
            room=room_name,
            identity="guest",
            metadata="m",
            permission=ParticipantPermission(can_subscribe=True, can_publish=True),
            attributes={"role": "co_host"},
        )
    )

    assert (changed.metadata, changed.name) == ("m", "Guest")
    assert changed.permission.can_publish
    assert dict(changed.attributes) == {"role": "co_host"}


async def test_data_reaches_the_room(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """With its topic."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    await client.room.send_data(api.SendDataRequest(room=room_name, data=b"hello", topic="chat"))

    (room,) = [one for one in (await standin.state())["rooms"] if one["name"] == room_name]
    assert [(sent["topic"], sent["text"]) for sent in room["data"]] == [("chat", "hello")]

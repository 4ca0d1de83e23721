"""What LiveKit does with an encoder: states, participant, tracks, and who wins."""

import asyncio
from contextlib import suppress

import pytest
from livekit import api
from livekit.protocol.ingress import IngressState
from livekit.protocol.models import ParticipantInfo, TrackSource, TrackType

from tests.contract.encoders import Encoders, fate
from tests.contract.requests import address, ingress_of, make_ingress
from tests.system.waits import until

pytestmark = pytest.mark.media

Status = IngressState.Status


async def reaches(
    client: api.LiveKitAPI, ingress_id: str, status: IngressState.Status, *, video: bool = False
) -> api.IngressInfo:
    """Wait until an ingress is in a state (and shows a picture's format)."""

    async def look() -> api.IngressInfo | None:
        seen = await ingress_of(client, ingress_id)
        there = seen.state.status == status and (not video or seen.state.video.width > 0)
        return seen if there else None

    return await until(look, what=f"the ingress to be {Status.Name(status)}")


async def participants(client: api.LiveKitAPI, room: str) -> list[ParticipantInfo]:
    listed = await client.room.list_participants(api.ListParticipantsRequest(room=room))
    return list(listed.participants)


async def published(client: api.LiveKitAPI, room: str, *, tracks: int = 2) -> ParticipantInfo:
    """Wait for the encoder's participant with its tracks: they come a little later."""

    async def look() -> ParticipantInfo | None:
        there = await participants(client, room)
        return there[0] if [len(who.tracks) for who in there] == [tracks] else None

    return await until(look, what="the encoder's tracks")


async def empties(client: api.LiveKitAPI, room: str) -> None:
    """Wait until nobody is in a room: an ingress tells of its end before it has left."""

    async def is_empty() -> bool:
        return not await participants(client, room)

    await until(is_empty, what="the room to be empty")


async def test_an_encoder_publishes_and_leaves(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """INACTIVE, PUBLISHING with formats and a participant, INACTIVE again."""
    room = await client.room.create_room(api.CreateRoomRequest(name=room_name))
    made = await make_ingress(client, room_name)

    encoder = await encoders.push(address(made))

    who = await published(client, room_name)

    async def both_heard_of() -> api.IngressInfo:
        seen = await ingress_of(client, made.ingress_id)
        assert seen.state.video.width, seen.state
        assert seen.state.audio.channels, seen.state
        return seen

    # Each track tells of itself when it is decoded.
    seen = await until(both_heard_of, what="the ingress to tell of both tracks")
    assert seen.state.status == Status.ENDPOINT_PUBLISHING
    assert (seen.state.video.width, seen.state.video.height) == (320, 180)
    assert seen.state.video.mime_type == "video/H264"
    assert seen.state.video.framerate == 25
    assert seen.state.audio.mime_type == "audio/aac"
    assert seen.state.audio.sample_rate == 44100
    # The last update may have left before the ingress had joined: no other one follows.
    assert seen.state.room_id in ("", room.sid)
    assert seen.state.resource_id.startswith("RT_")
    assert seen.state.started_at > 0
    assert (who.identity, who.kind) == ("host", ParticipantInfo.Kind.INGRESS)
    assert who.attributes["ingress.ingressID"] == made.ingress_id
    assert who.is_publisher
    assert {(track.type, track.source) for track in who.tracks} == {
        (TrackType.AUDIO, TrackSource.MICROPHONE),
        (TrackType.VIDEO, TrackSource.CAMERA),
    }

    await encoders.stop(encoder)

    left = await reaches(client, made.ingress_id, Status.ENDPOINT_INACTIVE)
    assert left.state.ended_at >= left.state.started_at
    await empties(client, room_name)


async def test_several_encoders_share_one_port(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """Each has its own key and its own room."""
    first = await make_ingress(client, room_name)
    second = await make_ingress(client, f"{room_name}-b", identity="other")

    await encoders.push(address(first))
    await encoders.push(address(second), sound=False)

    await reaches(client, first.ingress_id, Status.ENDPOINT_PUBLISHING, video=True)
    await reaches(client, second.ingress_id, Status.ENDPOINT_PUBLISHING, video=True)
    assert (await published(client, room_name)).identity == "host"
    other = await published(client, f"{room_name}-b", tracks=1)
    assert [track.type for track in other.tracks] == [TrackType.VIDEO]


async def test_a_wrong_key_is_turned_away(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """The encoder gets an error, and nothing happens."""
    made = await make_ingress(client, room_name)

    encoder = await encoders.push(f"{made.url}/no-such-key")

    code, _ = await fate(encoder)
    assert code != 0
    assert (await ingress_of(client, made.ingress_id)).state.status == Status.ENDPOINT_INACTIVE


async def test_a_disabled_ingress_turns_encoders_away(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """And is in ERROR; enabling it makes it INACTIVE, and then it works."""
    made = await make_ingress(client, room_name, enabled=False)

    encoder = await encoders.push(address(made))

    code, _ = await fate(encoder)
    assert code != 0
    seen = await reaches(client, made.ingress_id, Status.ENDPOINT_ERROR)
    assert "disabled" in seen.state.error
    enabled = await client.ingress.update_ingress(
        api.UpdateIngressRequest(ingress_id=made.ingress_id, enabled=True)
    )
    assert enabled.state.status == Status.ENDPOINT_INACTIVE
    await encoders.push(address(made))
    await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)


async def test_disabling_cuts_the_encoder_off(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """The state becomes ERROR a moment later, and the participant is gone."""
    made = await make_ingress(client, room_name)
    encoder = await encoders.push(address(made))
    await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)

    await client.ingress.update_ingress(
        api.UpdateIngressRequest(ingress_id=made.ingress_id, enabled=False)
    )

    code, _ = await fate(encoder)
    assert code != 0
    await reaches(client, made.ingress_id, Status.ENDPOINT_ERROR)
    await empties(client, room_name)


async def test_deleting_cuts_the_encoder_off(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """The participant is gone with it; the key is good for nothing any more."""
    made = await make_ingress(client, room_name)
    encoder = await encoders.push(address(made))
    await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)

    await client.ingress.delete_ingress(api.DeleteIngressRequest(ingress_id=made.ingress_id))

    code, _ = await fate(encoder)
    assert code != 0
    await empties(client, room_name)
    code, _ = await fate(await encoders.push(address(made)))
    assert code != 0


async def test_the_newest_encoder_of_a_key_wins(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """The older one loses its connection; the ingress goes on publishing."""
    made = await make_ingress(client, room_name)
    first = await encoders.push(address(made))
    before = await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)

    second = await encoders.push(address(made))

    code, _ = await fate(first)
    assert code != 0

    async def is_newer() -> bool:
        seen = await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)
        return seen.state.resource_id != before.state.resource_id

    await until(is_newer, what="the newer encoder to publish")
    assert [who.identity for who in await participants(client, room_name)] == ["host"]
    assert second.returncode is None


async def test_an_encoder_that_connects_again_brings_a_deleted_room_back(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """It was cut off; the room has default settings: so an ingress is closed before its room."""
    first = await client.room.create_room(
        api.CreateRoomRequest(name=room_name, departure_timeout=77)
    )
    made = await make_ingress(client, room_name)
    encoder = await encoders.push(address(made))
    await published(client, room_name)

    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))

    code, _ = await fate(encoder)
    assert code != 0
    cut_off = await reaches(client, made.ingress_id, Status.ENDPOINT_ERROR)
    assert cut_off.state.error == "room disconnected"
    await encoders.push(address(made))

    async def is_back() -> list[api.Room]:
        listed = await client.room.list_rooms(api.ListRoomsRequest(names=[room_name]))
        return [room for room in listed.rooms if room.num_publishers]

    (second,) = await until(is_back, what="the room to come back")
    assert second.sid != first.sid
    assert second.departure_timeout == 20


async def test_a_removed_encoder_is_cut_off(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """Removing its participant ends the session in ERROR."""
    made = await make_ingress(client, room_name)
    encoder = await encoders.push(address(made))
    await published(client, room_name)

    await client.room.remove_participant(
        api.RoomParticipantIdentity(room=room_name, identity="host")
    )

    code, _ = await fate(encoder)
    assert code != 0
    seen = await reaches(client, made.ingress_id, Status.ENDPOINT_ERROR)
    assert seen.state.error == "room disconnected"


async def test_strangers_on_the_port_do_no_harm(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str
) -> None:
    """Garbage and silence are hung up on; encoders go on."""
    made = await make_ingress(client, room_name)
    host, port = made.url.removeprefix("rtmp://").split("/")[0].split(":")

    async def shout(words: bytes) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        with suppress(OSError):  # it may hang up before all is said
            writer.write(words)
            writer.write_eof()
            await reader.read()
        writer.close()

    await asyncio.gather(shout(b"GET / HTTP/1.1\r\n\r\n"), shout(b"\x03" + b"\xff" * 4000))

    await encoders.push(address(made))
    await reaches(client, made.ingress_id, Status.ENDPOINT_PUBLISHING)

"""What LiveKit does with egresses while there is nothing to see."""

from pathlib import Path

import pytest
from livekit import api
from livekit.protocol import egress as egress_pb
from livekit.protocol.egress import EgressStatus

from tests.contract.requests import egress_of, media_egress, participant_egress, stop
from tests.system.waits import until


async def test_a_room_is_needed(client: api.LiveKitAPI, out: Path) -> None:
    """An egress of a room that is not there is not found."""
    for start in (
        client.egress.start_egress(media_egress("never-was-here", out)),
        client.egress.start_participant_egress(participant_egress("never-was-here", out)),
    ):
        with pytest.raises(api.TwirpError) as refused:
            await start
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        assert "requested room does not exist" in refused.value.message


async def test_an_output_is_needed(client: api.LiveKitAPI, room_name: str, out: Path) -> None:
    """A request that writes nothing is refused."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    request = media_egress(room_name, out)
    del request.outputs[:]

    with pytest.raises(api.TwirpError) as refused:
        await client.egress.start_egress(request)

    assert (refused.value.status, refused.value.code) == (400, "invalid_argument")


async def test_live_playlist_lies_beside_the_other(
    client: api.LiveKitAPI, room_name: str, out: Path
) -> None:
    """In the same directory, under another name."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    for live in (f"{out}/elsewhere/live.m3u8", f"{out}/vod.m3u8"):
        request = media_egress(room_name, out)
        request.outputs[0].segments.live_playlist_name = live
        with pytest.raises(api.TwirpError) as refused:
            await client.egress.start_egress(request)
        assert refused.value.code == "invalid_argument"
        assert "live_playlist_name" in refused.value.message


async def test_unknown_ids_are_not_found(client: api.LiveKitAPI) -> None:
    """For listing, stopping and changing."""
    egress = client.egress
    calls = [
        egress.list_egress(api.ListEgressRequest(egress_id="EG_never")),
        egress.stop_egress(api.StopEgressRequest(egress_id="EG_never")),
        egress.update_stream(api.UpdateStreamRequest(egress_id="EG_never")),
    ]

    for call in calls:
        with pytest.raises(api.TwirpError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_an_egress_starts_before_there_is_anything_to_see(
    client: api.LiveKitAPI, room_name: str, out: Path
) -> None:
    """The answer is STARTING, with the names of what will be; the recorder is in the room."""
    room = await client.room.create_room(api.CreateRoomRequest(name=room_name))

    started = await client.egress.start_egress(media_egress(room_name, out))

    assert started.egress_id.startswith("EG_")
    assert started.status == EgressStatus.EGRESS_STARTING
    assert (started.room_id, started.room_name) == (room.sid, room_name)
    assert started.segment_results[0].playlist_name == f"{out}/vod.m3u8"
    assert started.file_results[0].filename == f"{out}/rec.mp4"
    assert started.image_results[0].filename_prefix == f"{out}/thumb"

    async def recorder() -> list[object]:
        there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
        return [one for one in there.participants if one.identity == started.egress_id]

    (who,) = await until(recorder, what="the recorder to join")
    assert who.permission.hidden
    assert who.permission.recorder
    active = await client.egress.list_egress(
        api.ListEgressRequest(room_name=room_name, active=True)
    )
    assert [one.egress_id for one in active.items] == [started.egress_id]
    await stop(client, started.egress_id)


async def test_nobody_to_see_is_a_failure(
    client: api.LiveKitAPI, room_name: str, out: Path
) -> None:
    """After its patience (30 s with the real one) it fails with 404."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    started = await client.egress.start_egress(media_egress(room_name, out))

    async def failed() -> egress_pb.EgressInfo | None:
        seen = await egress_of(client, started.egress_id)
        return seen if seen.status == EgressStatus.EGRESS_FAILED else None

    ended = await until(failed, what="the egress to fail")
    assert (ended.error, ended.error_code) == ("participant host not found", 404)
    assert ended.ended_at > ended.started_at > 0


async def test_stopped_before_it_began_is_aborted(
    client: api.LiveKitAPI, room_name: str, out: Path
) -> None:
    """ABORTED with 412; and what has ended cannot be stopped again."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    started = await client.egress.start_egress(media_egress(room_name, out))

    await stop(client, started.egress_id)

    async def ended() -> egress_pb.EgressInfo | None:
        seen = await egress_of(client, started.egress_id)
        return seen if seen.status >= EgressStatus.EGRESS_COMPLETE else None

    aborted = await until(ended, what="the egress to end")
    assert aborted.status == EgressStatus.EGRESS_ABORTED
    assert aborted.error_code == 412
    with pytest.raises(api.TwirpError) as refused:
        await client.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
    assert (refused.value.status, refused.value.code) == (412, "failed_precondition")
    active = await client.egress.list_egress(
        api.ListEgressRequest(room_name=room_name, active=True)
    )
    assert list(active.items) == []


async def test_secrets_of_a_bucket_do_not_come_back(
    client: api.LiveKitAPI, room_name: str, out: Path
) -> None:
    """They are written over by their names."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    storage = egress_pb.StorageConfig(
        s3=egress_pb.S3Upload(
            access_key="AKIAPLANTED", secret="planted-secret", bucket="b", region="us-east-1"
        )
    )

    started = await client.egress.start_egress(media_egress(room_name, out, storage=storage))

    seen = await egress_of(client, started.egress_id)
    assert seen.egress.storage.s3.access_key == "{access_key}"
    assert seen.egress.storage.s3.secret == "{secret}"
    assert b"planted" not in seen.SerializeToString().lower()
    await stop(client, started.egress_id)

"""What an egress writes while somebody publishes, and how it ends."""

import asyncio
from pathlib import Path

import av
import m3u8
import pytest
from livekit import api
from livekit.protocol import egress as egress_pb
from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressState

from tests.contract.encoders import Encoders
from tests.contract.requests import (
    address,
    egress_of,
    ingress_of,
    make_ingress,
    media_egress,
    participant_egress,
    stop,
)
from tests.system.waits import until

pytestmark = pytest.mark.media


async def publish(
    client: api.LiveKitAPI, encoders: Encoders, room: str, *, sound: bool = True
) -> tuple[api.IngressInfo, asyncio.subprocess.Process]:
    """Make room and ingress, and push until it publishes."""
    await client.room.create_room(
        api.CreateRoomRequest(name=room, empty_timeout=600, departure_timeout=600)
    )
    made = await make_ingress(client, room)
    encoder = await encoders.push(address(made), sound=sound)

    async def publishing() -> bool:
        seen = await ingress_of(client, made.ingress_id)
        return seen.state.status == IngressState.Status.ENDPOINT_PUBLISHING

    await until(publishing, what="the encoder to publish")
    return made, encoder


async def ended(client: api.LiveKitAPI, egress_id: str) -> egress_pb.EgressInfo:
    """Wait until an egress has ended."""

    async def look() -> egress_pb.EgressInfo | None:
        seen = await egress_of(client, egress_id)
        return seen if seen.status >= EgressStatus.EGRESS_COMPLETE else None

    return await until(look, what="the egress to end")


def playlist(path: Path) -> m3u8.M3U8:
    return m3u8.loads(path.read_text())


async def has_segments(path: Path, count: int) -> m3u8.M3U8:
    """Wait until a playlist names so many segments."""

    def look() -> m3u8.M3U8 | None:
        read = playlist(path) if path.exists() else None
        return read if read is not None and len(read.segments) >= count else None

    return await until(look, what=f"{count} segments in {path.name}")


async def resumes(path: Path, live_path: Path) -> m3u8.M3U8:
    """Wait until a playlist goes on after a break, and the live one with it.

    They are written one after the other, and not atomically.
    """

    def look() -> m3u8.M3U8 | None:
        read, live = playlist(path), playlist(live_path)
        goes_on = any(segment.discontinuity for segment in read.segments)
        return read if goes_on and live.segments[-1].uri == read.segments[-1].uri else None

    return await until(look, what=f"{path.name} and {live_path.name} to go on")


def streams(path: Path) -> dict[str, tuple[str, float]]:
    """Decode a file whole; gives codec and decoded seconds by kind of stream."""
    found: dict[str, tuple[str, float]] = {}
    with av.open(str(path)) as container:
        seconds = dict.fromkeys(("video", "audio"), 0.0)
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                seconds["video"] += 1 / 25
            else:
                seconds["audio"] += frame.samples / frame.sample_rate
        for stream in container.streams:
            found[stream.type] = (stream.codec_context.name, seconds[stream.type])
    return found


def thumbnails(out: Path) -> list[Path]:
    return sorted(out.glob("thumb_*.jpeg"))


async def test_one_egress_writes_hls_recording_and_thumbnails(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """H264 and AAC in segments of two seconds; the mp4 only at the end; then COMPLETE."""
    await publish(client, encoders, room_name)

    started = await client.egress.start_egress(media_egress(room_name, out))
    growing = await has_segments(out / "vod.m3u8", 3)

    assert growing.playlist_type == "event"
    assert not growing.is_endlist
    assert growing.target_duration == 2
    assert growing.version == 4
    assert [segment.uri for segment in growing.segments][:3] == [
        "seg_00000.ts",
        "seg_00001.ts",
        "seg_00002.ts",
    ]
    assert all(segment.program_date_time for segment in growing.segments)
    assert all(round(segment.duration) == 2 for segment in growing.segments)
    assert streams(out / "seg_00001.ts").keys() == {"video", "audio"}
    assert not (out / "rec.mp4").exists()
    assert thumbnails(out)
    active = await egress_of(client, started.egress_id)
    assert active.status == EgressStatus.EGRESS_ACTIVE
    # What is listed is what was told when it became active: it does not count along.
    assert active.segment_results[0].segment_count == 0
    assert active.segment_results[0].started_at > 0

    stopping = await stop(client, started.egress_id)
    complete = await ended(client, started.egress_id)

    if stopping is not None:  # else it was over before it could answer
        assert stopping.status == EgressStatus.EGRESS_ENDING
        assert stopping.segment_results[0].segment_count >= 3
        assert stopping.segment_results[0].playlist_location == f"{out}/vod.m3u8"
    assert complete.segment_results[0].segment_count >= 3
    assert complete.segment_results[0].playlist_location == f"{out}/vod.m3u8"
    assert complete.status == EgressStatus.EGRESS_COMPLETE
    assert complete.details == "End reason: StopEgress API"
    assert complete.error == ""
    whole = playlist(out / "vod.m3u8")
    assert whole.is_endlist
    assert len(whole.segments) == complete.segment_results[0].segment_count
    assert all((out / segment.uri).exists() for segment in whole.segments)
    live = playlist(out / "live.m3u8")
    assert live.is_endlist
    assert len(live.segments) == min(5, len(whole.segments))
    recording = streams(out / "rec.mp4")
    assert {kind: codec for kind, (codec, _) in recording.items()} == {
        "video": "h264",
        "audio": "aac",
    }
    seconds = sum(segment.duration for segment in whole.segments)
    assert recording["video"][1] == pytest.approx(seconds, abs=0.5)
    assert recording["audio"][1] == pytest.approx(seconds, abs=0.5)
    (file,) = complete.file_results
    assert file.location == f"{out}/rec.mp4"
    assert file.size == (out / "rec.mp4").stat().st_size
    assert complete.image_results[0].image_count == len(thumbnails(out))
    assert complete.manifest_location == f"{out}/{started.egress_id}.json"
    there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    assert started.egress_id not in {who.identity for who in there.participants}


async def test_a_media_egress_outlives_a_drop(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """It stays ACTIVE without its source and goes on when the encoder is back."""
    made, encoder = await publish(client, encoders, room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await encoders.stop(encoder)
    await asyncio.sleep(3)  # long enough that the pause is one
    paused = await egress_of(client, started.egress_id)
    before = len(playlist(out / "vod.m3u8").segments)
    await encoders.push(address(made))
    resumed = await has_segments(out / "vod.m3u8", before + 2)

    assert paused.status == EgressStatus.EGRESS_ACTIVE
    assert not resumed.is_endlist
    names = [segment.uri for segment in resumed.segments]
    assert names == [f"seg_{index:05d}.ts" for index in range(len(names))]
    await stop(client, started.egress_id)
    complete = await ended(client, started.egress_id)
    assert complete.status == EgressStatus.EGRESS_COMPLETE
    assert {codec for codec, _ in streams(out / "rec.mp4").values()} == {"h264", "aac"}


async def test_a_pause_is_told_to_players(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path, standin: object
) -> None:
    """The stand-in pauses and says so with EXT-X-DISCONTINUITY; the real one freezes."""
    made, encoder = await publish(client, encoders, room_name)
    await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)
    await encoders.stop(encoder)

    # A second encoder of another size must not change the picture's size.
    await encoders.push(address(made), size="480x270")
    resumed = await resumes(out / "vod.m3u8", out / "live.m3u8")

    breaks = [segment.discontinuity for segment in resumed.segments]
    assert breaks.count(True) == 1
    assert breaks[0] is False
    with av.open(str(out / resumed.segments[-1].uri)) as container:
        assert container.streams.video[0].codec_context.width == 320


async def test_a_participant_egress_ends_with_its_participant(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """COMPLETE, because its source closed."""
    _, encoder = await publish(client, encoders, room_name)
    started = await client.egress.start_participant_egress(participant_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await encoders.stop(encoder)

    complete = await ended(client, started.egress_id)
    assert complete.status == EgressStatus.EGRESS_COMPLETE
    assert complete.details == "End reason: Source closed"
    assert playlist(out / "vod.m3u8").is_endlist
    assert complete.segments.playlist_location == f"{out}/vod.m3u8"


async def test_an_egress_ends_with_its_room(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """Ingress first, then room: COMPLETE, everything finished."""
    made, _ = await publish(client, encoders, room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await client.ingress.delete_ingress(api.DeleteIngressRequest(ingress_id=made.ingress_id))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))

    complete = await ended(client, started.egress_id)
    assert complete.status == EgressStatus.EGRESS_COMPLETE
    assert complete.details == "End reason: Source closed"
    assert playlist(out / "vod.m3u8").is_endlist
    assert (out / "rec.mp4").exists()


async def test_a_silent_source_gets_silence(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """So that every segment has both tracks, whoever publishes."""
    await publish(client, encoders, room_name, sound=False)

    await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 2)

    found = streams(out / "seg_00001.ts")
    assert found.keys() == {"video", "audio"}
    assert found["audio"][1] == pytest.approx(2, abs=0.3)


async def test_two_egresses_of_one_room_write_both(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, out: Path
) -> None:
    """One encoder may feed several."""
    await publish(client, encoders, room_name)

    one = await client.egress.start_egress(media_egress(room_name, out / "a"))
    two = await client.egress.start_egress(media_egress(room_name, out / "b"))

    await has_segments(out / "a" / "vod.m3u8", 1)
    await has_segments(out / "b" / "vod.m3u8", 1)
    listed = await client.egress.list_egress(
        api.ListEgressRequest(room_name=room_name, active=True)
    )
    assert {e.egress_id for e in listed.items} == {one.egress_id, two.egress_id}

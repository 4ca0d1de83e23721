"""What an egress does with a bucket: a real S3-speaking server gets everything it writes."""

from pathlib import PurePosixPath

import m3u8
import obstore
import pytest
from livekit import api
from livekit.protocol import egress as egress_pb
from livekit.protocol.egress import EgressStatus
from obstore.store import S3Store

from tests.contract.control import Control
from tests.contract.encoders import Encoders
from tests.contract.requests import advanced, media_egress, segments, stop
from tests.contract.test_broadcast import ended, publish
from tests.system.s3 import S3Server
from tests.system.waits import until

pytestmark = pytest.mark.media


def upload(server: S3Server, bucket: str) -> egress_pb.S3Upload:
    return egress_pb.S3Upload(
        access_key=server.access_key,
        secret=server.secret_key,
        region=server.region,
        endpoint=server.endpoint_url,
        bucket=bucket,
        force_path_style=True,
    )


def bucket_of(server: S3Server, bucket: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=server.endpoint_url,
        region=server.region,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )


async def keys(store: S3Store) -> set[str]:
    found = await obstore.list(store).collect_async()
    return {entry["path"] for entry in found}


async def text(store: S3Store, key: str) -> str:
    answer = await store.get_async(key)
    return bytes(await answer.bytes_async()).decode()


async def test_everything_goes_into_the_bucket(
    client: api.LiveKitAPI,
    encoders: Encoders,
    standin: Control,
    room_name: str,
    s3_server: S3Server,
) -> None:
    """Segments before the playlists that name them, then recording, thumbnails, manifest."""
    bucket = s3_server.make_bucket()
    store = bucket_of(s3_server, bucket)
    await publish(client, encoders, room_name)
    storage = egress_pb.StorageConfig(s3=upload(s3_server, bucket))

    started = await client.egress.start_egress(
        media_egress(room_name, PurePosixPath("hls/show"), storage=storage)
    )

    async def two_segments() -> m3u8.M3U8 | None:
        playlist = m3u8.loads(await text(store, "hls/show/live.m3u8"))
        named = {f"hls/show/{segment.uri}" for segment in playlist.segments}
        assert named <= await keys(store)
        return playlist if len(playlist.segments) >= 2 else None

    await until(two_segments, what="two segments in the bucket")
    await stop(client, started.egress_id)
    complete = await ended(client, started.egress_id)
    assert complete.status == EgressStatus.EGRESS_COMPLETE
    there = await keys(store)
    assert {"hls/show/vod.m3u8", "hls/show/rec.mp4", "hls/show/seg_00000.ts"} <= there
    assert f"hls/show/{started.egress_id}.json" in there
    assert any(key.startswith("hls/show/thumb_") for key in there)
    assert complete.file_results[0].location.endswith(f"/{bucket}/hls/show/rec.mp4")
    state = await standin.state()
    assert s3_server.secret_key not in str(state["egresses"])


async def test_an_outputs_own_bucket_comes_first(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, s3_server: S3Server
) -> None:
    """Also in the older request, where each output names its own."""
    bucket = s3_server.make_bucket()
    store = bucket_of(s3_server, bucket)
    await publish(client, encoders, room_name)
    output = segments(PurePosixPath("old"))
    output.s3.CopyFrom(upload(s3_server, bucket))

    await client.egress.start_participant_egress(
        api.ParticipantEgressRequest(
            room_name=room_name,
            identity="host",
            advanced=advanced(),
            segment_outputs=[output],
        )
    )

    async def arrived() -> bool:
        return {"old/seg_00000.ts", "old/vod.m3u8"} <= await keys(store)

    await until(arrived, what="the first segment in the bucket")


async def test_a_bucket_that_is_not_there_fails_the_egress(
    client: api.LiveKitAPI, encoders: Encoders, room_name: str, s3_server: S3Server
) -> None:
    """A segment that cannot be stored is the end."""
    await publish(client, encoders, room_name)
    storage = egress_pb.StorageConfig(s3=upload(s3_server, "no-such-bucket"))

    started = await client.egress.start_egress(
        media_egress(room_name, PurePosixPath("x"), storage=storage)
    )

    failed = await ended(client, started.egress_id)
    assert failed.status == EgressStatus.EGRESS_FAILED
    assert "NoSuchBucket" in failed.error or "404" in failed.error

"""The requests that most cases begin with."""

from pathlib import Path

from livekit import api
from livekit.protocol import egress as egress_pb
from livekit.protocol.ingress import (
    IngressAudioEncodingPreset,
    IngressAudioOptions,
    IngressVideoEncodingPreset,
    IngressVideoOptions,
)
from livekit.protocol.models import TrackSource


async def make_ingress(
    client: api.LiveKitAPI, room: str, identity: str = "host", **terms: object
) -> api.IngressInfo:
    """Make an RTMP ingress whose tracks are camera and microphone."""
    return await client.ingress.create_ingress(
        api.CreateIngressRequest(
            input_type=api.IngressInput.RTMP_INPUT,
            name="i",
            room_name=room,
            participant_identity=identity,
            audio=IngressAudioOptions(
                source=TrackSource.MICROPHONE,
                preset=IngressAudioEncodingPreset.OPUS_STEREO_96KBPS,
            ),
            video=IngressVideoOptions(
                source=TrackSource.CAMERA,
                preset=IngressVideoEncodingPreset.H264_540P_25FPS_2_LAYERS,
            ),
            **terms,
        )
    )


async def stop(client: api.LiveKitAPI, egress_id: str) -> api.EgressInfo | None:
    """Stop an egress; give its answer, None when it was over before that.

    On a busy machine it may obey and be gone before its answer has left; LiveKit then says that
    what is over cannot be stopped (412).
    """
    try:
        return await client.egress.stop_egress(api.StopEgressRequest(egress_id=egress_id))
    except api.TwirpError as refusal:
        if refusal.code != "failed_precondition":
            raise
    return None


def address(ingress: api.IngressInfo) -> str:
    """Give what an operator types into an encoder."""
    return f"{ingress.url}/{ingress.stream_key}"


def segments(out: Path) -> egress_pb.SegmentedFileOutput:
    return egress_pb.SegmentedFileOutput(
        filename_prefix=f"{out}/seg",
        playlist_name=f"{out}/vod.m3u8",
        live_playlist_name=f"{out}/live.m3u8",
        segment_duration=2,
    )


def advanced() -> egress_pb.EncodingOptions:
    return egress_pb.EncodingOptions(
        width=320, height=180, framerate=25, video_bitrate=400, audio_bitrate=96
    )


def media_egress(
    room: str, out: Path, *, identity: str = "host", storage: egress_pb.StorageConfig | None = None
) -> egress_pb.StartEgressRequest:
    """Ask for segments, recording and thumbnails of one participant, by the second version."""
    return egress_pb.StartEgressRequest(
        room_name=room,
        media=egress_pb.MediaSource(
            participant_video=egress_pb.ParticipantVideo(identity=identity),
            audio=egress_pb.AudioConfig(capture_all=True),
        ),
        advanced=advanced(),
        outputs=[
            egress_pb.Output(segments=segments(out)),
            egress_pb.Output(
                file=egress_pb.FileOutput(
                    file_type=egress_pb.EncodedFileType.MP4, filepath=f"{out}/rec.mp4"
                )
            ),
            egress_pb.Output(
                images=egress_pb.ImageOutput(
                    capture_interval=2,
                    width=160,
                    height=90,
                    filename_prefix=f"{out}/thumb",
                    filename_suffix=egress_pb.ImageFileSuffix.IMAGE_SUFFIX_TIMESTAMP,
                )
            ),
        ],
        storage=storage,
    )


def participant_egress(room: str, out: Path) -> egress_pb.ParticipantEgressRequest:
    """Ask for segments of one participant, by the older way."""
    return egress_pb.ParticipantEgressRequest(
        room_name=room,
        identity="host",
        advanced=advanced(),
        segment_outputs=[segments(out)],
    )


async def egress_of(client: api.LiveKitAPI, egress_id: str) -> api.EgressInfo:
    listed = await client.egress.list_egress(api.ListEgressRequest(egress_id=egress_id))
    return listed.items[0]


async def ingress_of(client: api.LiveKitAPI, ingress_id: str) -> api.IngressInfo:
    listed = await client.ingress.list_ingress(api.ListIngressRequest(ingress_id=ingress_id))
    return listed.items[0]

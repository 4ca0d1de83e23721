"""How LiveKit's egress names its files: playlists, segments, recording, images, templates."""

from pathlib import PurePosixPath

import pytest
from livekit.protocol import egress as egress_pb
from livekit.protocol.egress import ImageFileSuffix, SegmentedFileSuffix

from deploy.standin.errors import TwirpError
from deploy.standin.outputs import (
    Names,
    plan_file,
    plan_images,
    plan_of,
    plan_segments,
    redact,
)
from deploy.standin.playlists import Playlist, Segment
from deploy.standin.storage import LocalStorage
from tests.contract.requests import media_egress

NAMES = Names(room_name="room", room_id="RM_x", identity="host")
WHERE = LocalStorage()


@pytest.mark.parametrize(
    ("playlist", "prefix", "directory", "written", "segment"),
    [
        ("/o/vod.m3u8", "/o/seg", "/o", "vod.m3u8", "seg_00000.ts"),
        ("/o/vod", "/o/seg.ts", "/o", "vod.m3u8", "seg_00000.ts"),
        ("/o/vod.m3u8", "/o/in/seg", "/o", "vod.m3u8", "in/seg_00000.ts"),
        ("/o/vod.m3u8", "", "/o", "vod.m3u8", "vod_00000.ts"),
        ("", "/o/seg", "/o", "seg.m3u8", "seg_00000.ts"),
        ("vod.m3u8", "o/seg", "o", "vod.m3u8", "seg_00000.ts"),
        ("{room_name}/vod", "{room_name}/{publisher_identity}", "room", "vod.m3u8",
         "host_00000.ts"),
        ("../../etc/vod", "../../etc/seg", "etc", "vod.m3u8", "seg_00000.ts"),
    ],
)  # fmt: skip
def test_playlist_and_prefix_are_worked_out_of_each_other(
    playlist: str, prefix: str, directory: str, written: str, segment: str
) -> None:
    """Extensions are put right; `..` climbs nowhere."""
    plan = plan_segments(
        egress_pb.SegmentedFileOutput(playlist_name=playlist, filename_prefix=prefix),
        WHERE,
        NAMES,
    )

    assert (plan.directory, plan.playlist) == (directory, written)
    assert plan.segment_name(0, 0.0) == segment
    assert plan.seconds == 4


def test_segments_can_be_named_by_time() -> None:
    """To the millisecond."""
    plan = plan_segments(
        egress_pb.SegmentedFileOutput(
            playlist_name="/o/vod", filename_suffix=SegmentedFileSuffix.TIMESTAMP
        ),
        WHERE,
        NAMES,
    )

    assert plan.segment_name(7, 1_700_000_000.123) == "vod_20231114221320123.ts"


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (ImageFileSuffix.IMAGE_SUFFIX_INDEX, "/o/t_00003.jpeg"),
        (ImageFileSuffix.IMAGE_SUFFIX_TIMESTAMP, "/o/t_20231114221320123.jpeg"),
        (ImageFileSuffix.IMAGE_SUFFIX_NONE_OVERWRITE, "/o/t.jpeg"),
    ],
)
def test_images_are_named_three_ways(suffix: ImageFileSuffix, name: str) -> None:
    """By number, by time, or always the same."""
    asked = egress_pb.ImageOutput(filename_prefix="/o/t", filename_suffix=suffix)

    assert plan_images(asked, WHERE, NAMES).path(3, 1_700_000_000.123) == name


@pytest.mark.parametrize(("path", "name"), [("/o/rec", "/o/rec.mp4"), ("/o/rec.mp4", "/o/rec.mp4")])
def test_a_recording_is_an_mp4(path: str, name: str) -> None:
    """Whether it says so or not."""
    assert plan_file(path, True, WHERE, NAMES).path == name


def test_a_directory_gets_a_name_in_it() -> None:
    """Made of who and when."""
    assert plan_file("/o/", True, WHERE, NAMES).path.startswith("/o/host-20")


def test_secrets_are_written_over_wherever_they_stand() -> None:
    """In the request's storage and in an output's own."""
    request = media_egress("r", PurePosixPath("x"))
    request.outputs[0].storage.s3.secret = "planted"
    request.storage.gcp.credentials = "planted"

    redact(request)

    assert request.outputs[0].storage.s3.secret == "{secret}"
    assert request.storage.gcp.credentials == "{credentials}"


@pytest.mark.parametrize("source", ["web", "none"])
def test_what_is_not_played_says_so(source: str) -> None:
    """No page, no nothing."""
    request = media_egress("r", PurePosixPath("x"))
    request.ClearField("media")
    if source == "web":
        request.web.url = "https://example.org"

    with pytest.raises(TwirpError) as refused:
        plan_of(request, room_id="RM_x")

    assert refused.value.code == ("unimplemented" if source == "web" else "invalid_argument")


def test_playlists_have_the_recorded_shape() -> None:
    """Tag by tag what the real egress wrote; the live one slides over five segments."""
    playlist = Playlist(2)
    for index in range(7):
        began_at = 1_700_000_000.8 + 2 * index
        playlist.segments.append(
            Segment(f"seg_{index:05d}.ts", 2.0, began_at, discontinuity=index == 1)
        )

    assert playlist.vod(ended=False).decode().splitlines()[:10] == [
        "#EXTM3U",
        "#EXT-X-VERSION:4",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-ALLOW-CACHE:NO",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.8Z",
        "#EXTINF:2.000,",
        "seg_00000.ts",
        "#EXT-X-DISCONTINUITY",
    ]
    assert playlist.live(ended=True).decode().splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:4",
        "#EXT-X-ALLOW-CACHE:NO",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:2",
        "#EXT-X-DISCONTINUITY-SEQUENCE:1",
        *(
            line
            for index in range(2, 7)
            for line in (
                f"#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:{20 + 2 * index}.8Z",
                "#EXTINF:2.000,",
                f"seg_{index:05d}.ts",
            )
        ),
        "#EXT-X-ENDLIST",
    ]

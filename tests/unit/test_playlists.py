"""A show's playlist, whatever its takes' playlists look like."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import m3u8
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.playlists import (
    SEGMENTS_KEPT,
    TARGET_DURATION_SECONDS,
    TARGETS_KEPT,
    Segment,
    UnreadablePlaylist,
    Window,
    extend,
    missing,
    read_take,
    render,
    render_full,
    total_seconds,
)

STARTED_AT = datetime(2026, 11, 24, 7, 0, 8, 937000, tzinfo=UTC)

# What the official egress wrote through an encoder drop: 2.863 s under a target of 2.
LIVE = """#EXTM3U
#EXT-X-VERSION:4
#EXT-X-ALLOW-CACHE:NO
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:6
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:00:20.938Z
#EXTINF:2.000,
seg_00006.ts
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:00:22.938Z
#EXTINF:2.863,
seg_00007.ts
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:00:25.8Z
#EXTINF:2.000,
seg_00008.ts
"""


def segment(take: int, sequence: int, seconds: float = 2.0, *, discontinuity: bool = False):
    return Segment(
        take=take,
        sequence=sequence,
        uri=f"seg_{sequence:05d}.ts",
        duration_seconds=seconds,
        program_date_time=STARTED_AT + timedelta(minutes=take, seconds=2 * sequence),
        discontinuity=discontinuity,
    )


def run(take: int, first: int, last: int) -> list[Segment]:
    return [segment(take, sequence) for sequence in range(first, last + 1)]


def places(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    return [(entry.take, entry.sequence) for entry in segments]


def test_read_take_numbers_by_media_sequence():
    """A sliding live playlist still tells each segment's own number, length and time."""
    segments = read_take(LIVE, 2)

    assert places(segments) == [(2, 6), (2, 7), (2, 8)]
    assert [entry.uri for entry in segments] == ["seg_00006.ts", "seg_00007.ts", "seg_00008.ts"]
    assert [entry.duration_seconds for entry in segments] == [2.0, 2.863, 2.0]
    assert segments[2].program_date_time == datetime(2026, 11, 24, 7, 0, 25, 800000, tzinfo=UTC)


def test_read_take_caught_at_any_byte():
    """The egress rewrites in place: every beginning of a playlist reads as its whole entries."""
    whole = read_take(LIVE, 1)

    for length in range(len(LIVE) + 1):
        begun = read_take(LIVE[:length], 1)

        assert begun == whole[: len(begun)]
    assert read_take(LIVE[:-1], 1) == whole[:2]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("seg_00000.ts", "seg_00000.ts"),
        ("/out/hls/x/1/seg_00000.ts", "seg_00000.ts"),
        ("https://bucket.example/hls/x/1/seg_00000.ts?signature=a/b", "seg_00000.ts"),
    ],
)
def test_read_take_keeps_the_file_name(address: str, name: str):
    """Absolute and relative addresses name the same file of the take."""
    text = f"#EXTM3U\n#EXTINF:2.0,\n{address}\n"

    assert [entry.uri for entry in read_take(text, 1)] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "<html>404</html>",
        "\0\0\0\0",
        "#EXTM3U\n#EXTINF:abc,\nseg_00000.ts\n",
        "#EXTM3U\n#EXTINF:nan,\nseg_00000.ts\n",
        "#EXTM3U\n#EXTINF:-1,\nseg_00000.ts\n",
        "#EXTM3U\n#EXTINF:86400,\nseg_00000.ts\n",
        "#EXTM3U\n#EXTINF:2.0,\n..\n",
        "#EXTM3U\n#EXTINF:2.0,\nhttps://example.org/\n",
        "#EXTM3U\n#EXTINF:2.0,\na b\n",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n#EXTINF:2.0,\nseg_00000.ts\n",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-3\n#EXTINF:2.0,\nseg_00000.ts\n",
        "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n#EXTINF:2.0,\nseg_00000.ts\n",
        "#EXTM3U\n#EXT-X-KEY:x\n#EXTINF:2.0,\nseg_00000.ts\n",
    ],
)
def test_read_take_refuses_garbage(text: str):
    """What is not a playlist says so instead of becoming a wrong show."""
    with pytest.raises(UnreadablePlaylist):
        read_take(text, 1)


@settings(deadline=None)  # busy machines are slow, not wrong
@given(st.text(max_size=200) | st.text(max_size=200).map(lambda tail: f"#EXTM3U\n{tail}\n"))
def test_read_take_survives_any_text(text: str):
    """Whatever lies in the file, the answer is segments or UnreadablePlaylist."""
    try:
        segments = read_take(text, 1)
    except UnreadablePlaylist:
        return

    assert all(entry.take == 1 for entry in segments)


def test_extend_appends_only_what_is_new():
    """Overlapping readings of the same take name every segment once."""
    window = extend(Window(), run(1, 0, 4), None)

    window = extend(window, run(1, 2, 6), None)

    assert places(window.segments) == [(1, sequence) for sequence in range(7)]
    assert not any(entry.discontinuity for entry in window.segments)


def test_extend_marks_take_boundary_and_hole():
    """A new take, a hole in the numbers and the take's own word are discontinuities."""
    own = [segment(2, 0), segment(2, 1, discontinuity=True)]

    window = extend(Window(), [*run(1, 0, 1), segment(1, 4), *own], None)

    assert [entry.discontinuity for entry in window.segments] == [False, False, True, True, True]


def test_extend_never_goes_back_to_an_earlier_take():
    """A late reading of an ended take changes nothing once the next one is on air."""
    window = extend(Window(), [*run(1, 0, 3), *run(2, 0, 1)], None)

    assert extend(window, run(1, 0, 9), None) == window


def test_extend_slides():
    """The window holds what it was asked to hold, and the numbers tell what went."""
    window = extend(Window(), [*run(1, 0, 9), *run(2, 0, 29)], 60)

    assert window.media_sequence == 10
    assert window.discontinuity_sequence == 0
    assert window.segments[0].discontinuity
    window = extend(window, run(2, 0, 30), 60)
    assert (window.media_sequence, window.discontinuity_sequence) == (11, 1)


@pytest.mark.parametrize(
    ("there", "read", "expected"),
    [
        ([], [], range(0)),
        ([], run(1, 3, 7), range(3)),
        (run(1, 0, 4), run(1, 2, 6), range(0)),
        (run(1, 0, 4), run(1, 5, 9), range(0)),
        (run(1, 0, 4), run(1, 9, 13), range(5, 9)),
        (run(1, 0, 4), run(2, 2, 4), range(2)),
        (run(2, 0, 4), run(1, 9, 13), range(0)),
    ],
)
def test_missing(there: list[Segment], read: list[Segment], expected: range):
    """A publisher that was away longer than five segments learns which ones it has to find."""
    assert list(missing(extend(Window(), there, None), read)) == list(expected)


def test_render_is_what_players_read():
    """The written text, as a whole, once."""
    window = extend(Window(), [*run(1, 0, 29), segment(2, 0, 2.863)], 60)

    lines = render(window, ended=True).splitlines()

    assert lines[:8] == [
        "#EXTM3U",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-VERSION:6",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:01:10.937+00:00",
        "#EXTINF:2.000,",
        "1/seg_00001.ts",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:01:12.937+00:00",
    ]
    assert lines[-5:] == [
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:02:08.937+00:00",
        "#EXTINF:2.863,",
        "2/seg_00000.ts",
        "#EXT-X-ENDLIST",
    ]


def test_target_duration_never_shrinks():
    """A segment longer than planned raises it, and it stays after that segment has gone."""
    window = extend(Window(), [segment(1, 0, 6.6), *run(1, 1, 40)], 60)

    assert window.segments[0].sequence > 0
    assert m3u8.loads(render(window, ended=False)).target_duration == 7
    kept = Window.from_json(json.loads(json.dumps(window.to_json())))
    assert m3u8.loads(render(kept, ended=False)).target_duration == 7


def test_render_full_joins_takes():
    """The whole show is one VOD playlist with a discontinuity between takes."""
    playlist = m3u8.loads(render_full([run(1, 0, 2), run(2, 0, 1)]))

    assert playlist.playlist_type == "vod"
    assert playlist.is_endlist
    assert [entry.uri for entry in playlist.segments] == [
        "1/seg_00000.ts",
        "1/seg_00001.ts",
        "1/seg_00002.ts",
        "2/seg_00000.ts",
        "2/seg_00001.ts",
    ]
    assert [entry.discontinuity for entry in playlist.segments] == [False] * 3 + [True, False]


seconds = st.integers(min_value=100, max_value=8000).map(lambda milliseconds: milliseconds / 1000)


@st.composite
def shows(draw: st.DrawFn) -> list[list[Segment]]:
    """Draw readings as a publisher makes them: overlapping, with holes, take after take."""
    readings = []
    for take in range(1, draw(st.integers(1, 4)) + 1):
        length = draw(st.integers(0, 25))
        every = [
            segment(take, sequence, draw(seconds), discontinuity=draw(st.integers(0, 9)) == 0)
            for sequence in range(length)
        ]
        edge = 0
        while edge < length:
            edge += draw(st.integers(1, 9))
            readings.append(every[max(0, edge - 5) : edge])
    return readings


@settings(deadline=None)
@given(shows(), st.sampled_from([None, 0, 1, 12, 20, 60]))
def test_every_window_of_a_show_is_right(
    readings: list[list[Segment]], window_seconds: float | None
):
    """Numbers never go back, each segment is named once, and the text says what the window does."""
    window, named = Window(), {}
    whole = extend(Window(), [entry for reading in readings for entry in reading], None)

    for reading in readings:
        before, window = window, extend(window, reading, window_seconds)

        # Numbers go forward only, and everything keeps the number it was first published with.
        assert window.media_sequence >= before.media_sequence
        assert window.discontinuity_sequence >= before.discontinuity_sequence
        for number, entry in enumerate(window.segments, window.media_sequence):
            assert named.setdefault(number, entry) == entry

        # Long enough for players and for RFC 8216 6.2.2, and no longer than asked.
        total = total_seconds(window.segments)
        if window_seconds and window.media_sequence:
            bound = max(window_seconds, TARGETS_KEPT * TARGET_DURATION_SECONDS)
            assert total >= bound
            assert (
                total - window.segments[0].duration_seconds < bound
                or len(window.segments) == SEGMENTS_KEPT
            )
        if not window_seconds:
            assert window.media_sequence == 0

        # What is written reads as the same again.
        playlist = m3u8.loads(render(window, ended=False))
        assert (playlist.media_sequence or 0) == window.media_sequence
        assert (playlist.discontinuity_sequence or 0) == window.discontinuity_sequence
        assert [
            Segment(
                take=int(entry.uri.split("/")[0]),
                sequence=original.sequence,
                uri=entry.uri.split("/")[1],
                duration_seconds=entry.duration,
                program_date_time=entry.program_date_time,
                discontinuity=entry.discontinuity,
            )
            for entry, original in zip(playlist.segments, window.segments, strict=True)
        ] == list(window.segments)
        assert all(
            int(entry.duration + 0.5) <= playlist.target_duration for entry in playlist.segments
        )
        assert Window.from_json(json.loads(json.dumps(window.to_json()))) == window

    # A number always means the same segment, also when a burst took some past the window unnamed.
    assert all(whole.segments[number] == entry for number, entry in named.items())
    assert len({(entry.take, entry.uri) for entry in whole.segments}) == len(whole.segments)
    # RFC 8216 6.2.2: a segment's discontinuity sequence is the same in every window.
    gone = whole.segments[: window.media_sequence]
    assert window.discontinuity_sequence == sum(entry.discontinuity for entry in gone)

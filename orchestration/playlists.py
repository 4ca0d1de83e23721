"""Playlists of a show: HLS text of single takes in, HLS text of the whole show out, no I/O."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

import m3u8

#: Segments last 2 s; twice that leaves room for the long one an encoder drop makes (2.863 s was
#: seen). It may not change during a show (RFC 8216 6.2.1).
TARGET_DURATION_SECONDS = 4

#: RFC 8216 6.2.2: what is left after removing a segment lasts three target durations or more.
TARGETS_KEPT = 3

#: Fewer than three segments and players cannot keep their distance to the edge (RFC 8216 6.3.3).
SEGMENTS_KEPT = 3

#: Version 6 is the newest that every player in use reads; floating point EXTINF needs only 3.
VERSION = 6

#: Nothing that is asked for segments of 2 s makes one of a minute: such a number is garbage, and
#: believing it would spoil the show's target duration for good.
SEGMENT_SECONDS_MAX = 60.0

#: File names that we ask the egress for, and nothing that could leave the take's directory.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")

_HEADER = "#EXTM3U"


class UnreadablePlaylist(ValueError):
    """This text is not a media playlist, not even the beginning of one."""


@dataclass(frozen=True)
class Segment:
    """One segment of one take."""

    take: int
    #: The take's own number of it (its EXT-X-MEDIA-SEQUENCE plus its position).
    sequence: int
    #: File name inside the take's directory.
    uri: str
    #: To the millisecond, so that writing and reading it again gives the same.
    duration_seconds: float
    #: When its first sample was made, aware UTC, to the millisecond.
    program_date_time: datetime | None = None
    #: Timestamps or encoding do not continue those of the segment before.
    discontinuity: bool = False


@dataclass(frozen=True)
class Window:
    """What a show's playlist names at the moment; the ledger's form of `index.m3u8`."""

    media_sequence: int = 0
    discontinuity_sequence: int = 0
    segments: tuple[Segment, ...] = ()
    #: The longest segment this show ever had: the target duration follows it and never shrinks.
    longest_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:  # Any: what JSON can hold
        """Segments are rows `[take, sequence, uri, seconds, ISO time or null, 0 or 1]`."""
        return {
            "media_sequence": self.media_sequence,
            "discontinuity_sequence": self.discontinuity_sequence,
            "longest_seconds": self.longest_seconds,
            "segments": [
                [
                    segment.take,
                    segment.sequence,
                    segment.uri,
                    segment.duration_seconds,
                    segment.program_date_time and segment.program_date_time.isoformat(),
                    int(segment.discontinuity),
                ]
                for segment in self.segments
            ],
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any] | None) -> Self:  # Any: what JSON can hold
        """Read what `to_json` wrote; nothing kept is the window of a show without segments."""
        if not kept:
            return cls()
        return cls(
            media_sequence=kept["media_sequence"],
            discontinuity_sequence=kept["discontinuity_sequence"],
            longest_seconds=kept["longest_seconds"],
            segments=tuple(
                Segment(
                    take=take,
                    sequence=sequence,
                    uri=uri,
                    duration_seconds=seconds,
                    program_date_time=datetime.fromisoformat(at) if at else None,
                    discontinuity=bool(discontinuity),
                )
                for take, sequence, uri, seconds, at, discontinuity in kept["segments"]
            ),
        )


def read_take(text: str, take: int) -> tuple[Segment, ...]:
    """Read a take's own playlist, also one that was caught while it was being written.

    The egress rewrites its playlists in place, so a reader may meet only the beginning of one: the
    last line counts only when its newline is there. Raises UnreadablePlaylist for anything else.
    """
    written = text[: text.rfind("\n") + 1]
    if not text.startswith(_HEADER):
        if _HEADER.startswith(text):
            return ()
        raise UnreadablePlaylist("it does not begin with #EXTM3U")
    try:
        playlist = m3u8.loads(written)
        first = playlist.media_sequence or 0
        return tuple(
            _segment_of(entry, take, first + position)
            for position, entry in enumerate(playlist.segments)
            if entry.uri  # a half-written last entry has none
        )
    except UnreadablePlaylist:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise UnreadablePlaylist(f"not a media playlist: {error}") from error


def extend(window: Window, new_segments: Iterable[Segment], window_seconds: float | None) -> Window:
    """Append what is new, drop what has become too old.

    New is what comes after the newest segment by take and number; a show never goes back to an
    earlier take. `window_seconds` of 0 or None keeps the whole show.
    """
    grown = list(window.segments)
    longest_seconds = window.longest_seconds
    for segment in sorted(new_segments, key=_place):
        newest = grown[-1] if grown else None
        if newest is not None and _place(segment) <= _place(newest):
            continue
        if newest is None or segment.discontinuity:
            grown.append(segment)
        else:
            follows = (segment.take, segment.sequence) == (newest.take, newest.sequence + 1)
            grown.append(replace(segment, discontinuity=not follows))
        longest_seconds = max(longest_seconds, segment.duration_seconds)
    dropped = _too_old(grown, window_seconds) if window_seconds else 0
    return Window(
        media_sequence=window.media_sequence + dropped,
        # A tag in front of a segment goes when that segment goes, not before (RFC 8216 6.2.2).
        discontinuity_sequence=window.discontinuity_sequence
        + sum(segment.discontinuity for segment in grown[:dropped]),
        segments=tuple(grown[dropped:]),
        longest_seconds=longest_seconds,
    )


def missing(window: Window, segments: Sequence[Segment]) -> range:
    """Name the numbers between the window's end and these segments of one take.

    Not empty when the publisher was away longer than the take's live playlist reaches back: its
    full playlist, or the storage's listing, may still know them.
    """
    if not segments:
        return range(0)
    first = min(segments, key=_place)
    newest = window.segments[-1] if window.segments else None
    if newest is None or newest.take < first.take:
        return range(first.sequence)
    if newest.take > first.take:
        return range(0)
    return range(newest.sequence + 1, first.sequence)


def render(
    window: Window, *, target_duration_seconds: int = TARGET_DURATION_SECONDS, ended: bool
) -> str:
    """Write `index.m3u8`; addresses are relative to the show's directory."""
    return _text_of(window, target_duration_seconds, ended=ended, playlist_type=None)


def render_full(
    takes: Sequence[Sequence[Segment]], *, target_duration_seconds: int = TARGET_DURATION_SECONDS
) -> str:
    """Write `full.m3u8`, the whole show that is over."""
    whole = extend(Window(), (segment for take in takes for segment in take), None)
    return _text_of(whole, target_duration_seconds, ended=True, playlist_type="vod")


def total_seconds(segments: Iterable[Segment]) -> float:
    return math.fsum(segment.duration_seconds for segment in segments)


def _segment_of(entry: Any, take: int, sequence: int) -> Segment:  # Any: m3u8 ships no types
    seconds = round(float(entry.duration), 3)
    if not 0 <= seconds <= SEGMENT_SECONDS_MAX:  # also false for NaN
        raise UnreadablePlaylist(f"a segment of {entry.duration} s")
    name = urlsplit(entry.uri).path.rsplit("/", 1)[-1]
    if not _FILE_NAME.fullmatch(name) or sequence < 0:
        raise UnreadablePlaylist(f"segment {sequence} is called {name[:80]!r}")
    return Segment(
        take=take,
        sequence=sequence,
        uri=name,
        duration_seconds=seconds,
        program_date_time=_to_the_millisecond(entry.program_date_time),
        discontinuity=bool(entry.discontinuity),
    )


def _to_the_millisecond(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


def _place(segment: Segment) -> tuple[int, int]:
    return (segment.take, segment.sequence)


def _too_old(segments: Sequence[Segment], window_seconds: float) -> int:
    """How many from the front can go while the rest still holds what it must."""
    kept_seconds = max(window_seconds, TARGETS_KEPT * TARGET_DURATION_SECONDS)
    total = total_seconds(segments)
    dropped = 0
    while (
        len(segments) - dropped > SEGMENTS_KEPT
        and total - segments[dropped].duration_seconds >= kept_seconds
    ):
        total -= segments[dropped].duration_seconds
        dropped += 1
    return dropped


def _text_of(
    window: Window, target_duration_seconds: int, *, ended: bool, playlist_type: str | None
) -> str:
    playlist = m3u8.M3U8()
    playlist.version = VERSION
    playlist.playlist_type = playlist_type
    playlist.target_duration = max(target_duration_seconds, _rounded(window.longest_seconds))
    playlist.media_sequence = window.media_sequence
    playlist.discontinuity_sequence = window.discontinuity_sequence
    playlist.is_endlist = ended
    for segment in window.segments:
        playlist.add_segment(
            m3u8.Segment(
                uri=f"{segment.take}/{segment.uri}",
                duration=segment.duration_seconds,
                program_date_time=segment.program_date_time,
                discontinuity=segment.discontinuity,
            )
        )
    return str(playlist.dumps(timespec="milliseconds", infspec="milliseconds"))


def _rounded(duration_seconds: float) -> int:
    """Round as RFC 8216 4.3.3.1 does before it compares with the target duration."""
    return math.floor(duration_seconds + 0.5)

"""The two HLS playlists of an egress: the whole show, and the last five segments."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

#: The real egress keeps this many segments in its live playlist.
LIVE_SEGMENTS = 5

VERSION = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """One closed segment; `began_at` is the wall clock of its first frame, Unix seconds."""

    name: str
    seconds: float
    began_at: float
    discontinuity: bool = False

    def lines(self) -> list[str]:
        return [
            *(["#EXT-X-DISCONTINUITY"] if self.discontinuity else []),
            f"#EXT-X-PROGRAM-DATE-TIME:{program_date_time(self.began_at)}",
            f"#EXTINF:{self.seconds:.3f},",
            self.name,
        ]


@dataclass(slots=True)
class Playlist:
    """The segments so far, and how to write them."""

    target_seconds: int
    segments: list[Segment] = field(default_factory=list)

    def vod(self, *, ended: bool) -> bytes:
        """Write the playlist of everything: type EVENT, growing until ENDLIST."""
        return self._write(self.segments, kind="EVENT", ended=ended)

    def live(self, *, ended: bool) -> bytes:
        """Write the sliding window."""
        return self._write(self.segments[-LIVE_SEGMENTS:], kind=None, ended=ended)

    def _write(self, segments: list[Segment], *, kind: str | None, ended: bool) -> bytes:
        first = len(self.segments) - len(segments)
        # A player that only ever saw the window must still count the breaks before it.
        breaks = sum(1 for segment in self.segments[:first] if segment.discontinuity)
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{VERSION}",
            *([f"#EXT-X-PLAYLIST-TYPE:{kind}"] if kind else []),
            "#EXT-X-ALLOW-CACHE:NO",
            f"#EXT-X-TARGETDURATION:{self.target_seconds}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            *([f"#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}"] if breaks else []),
        ]
        for segment in segments:
            lines += segment.lines()
        if ended:
            lines.append("#EXT-X-ENDLIST")
        return ("\n".join(lines) + "\n").encode()


def program_date_time(seconds: float) -> str:
    """Write a wall clock time as the real egress does: milliseconds without trailing zeros."""
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    millis = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{text}.{millis}Z" if millis else f"{text}Z"

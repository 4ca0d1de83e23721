"""What was found of a show: its takes, their segments, their own files."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestration.playlists import Segment
from orchestration.recordings.probe import Probe

#: EXTINF and packets agree to a few frames; a tenth of a segment missing is more than that.
SHORT_SECONDS = 0.1

#: Without sound a picture that stood still ends with its last packet, long before its EXTINF.
SHORT_SECONDS_SILENT = 1.0

_NUMBERED = re.compile(r".*?(\d{1,9})\.ts")


@dataclass(frozen=True)
class Gap:
    """Numbers of a take's segments that are not there, both ends included."""

    take: int
    first: int
    last: int

    @property
    def text(self) -> str:
        if self.first == self.last:
            return f"take {self.take}: {self.first}"
        return f"take {self.take}: {self.first}-{self.last}"


@dataclass(frozen=True)
class Piece:
    """One segment of a take: promised by a playlist, or there, or both."""

    take: int
    sequence: int
    uri: str
    #: None: no playlist names it; the egress died between writing it and saying so.
    named_seconds: float | None
    discontinuity: bool
    #: None: not there.
    size_bytes: int | None
    #: None: not there, not looked at, or nothing in it can be played.
    probe: Probe | None = None

    @property
    def is_there(self) -> bool:
        return bool(self.size_bytes)

    @property
    def is_named(self) -> bool:
        return self.named_seconds is not None

    @property
    def is_damaged(self) -> bool:
        """It is there, and it is not what the playlist promised."""
        if not self.is_there or self.named_seconds is None:
            return False
        if self.probe is None or self.probe.cut:
            return True
        allowed = SHORT_SECONDS if self.probe.audio else SHORT_SECONDS_SILENT
        return self.named_seconds - self.probe.duration_seconds > allowed


@dataclass(frozen=True)
class TakeFound:
    """One take, as far as anything is left of it."""

    number: int
    pieces: tuple[Piece, ...] = ()
    #: The egress' own mp4; None: not there, or nothing in it can be played.
    file: Probe | None = None

    @property
    def usable(self) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.pieces if piece.probe is not None)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        known = {
            piece.sequence
            for piece in self.pieces
            if piece.probe is not None or (piece.is_named and piece.is_there)
        }
        promised = known | {piece.sequence for piece in self.pieces if piece.is_named}
        absent = sorted(set(range(max(promised, default=-1) + 1)) - known)
        return tuple(_runs(self.number, absent))

    @property
    def seconds(self) -> float:
        """How long the take was, by what its playlists promised and what else is there."""
        return math.fsum(
            piece.named_seconds
            if piece.named_seconds is not None
            else (piece.probe.duration_seconds if piece.probe else 0.0)
            for piece in self.pieces
        )

    @property
    def unnamed_gap_seconds(self) -> float:
        """How long those numbers may have been that no playlist names and no file has."""
        there = {piece.sequence for piece in self.pieces}
        longest = max((piece.named_seconds or 0.0 for piece in self.pieces), default=0.0)
        return longest * sum(
            number not in there for gap in self.gaps for number in range(gap.first, gap.last + 1)
        )


def lay_out(take: int, named: Iterable[Segment], files: Mapping[str, int]) -> tuple[Piece, ...]:
    """Bring together what a take's playlists promise and what lies in its directory.

    `named` are the segments of all its playlists, the better one first; `files` gives sizes by
    file name. Names that carry no number are not segments.
    """
    pieces: dict[int, Piece] = {}
    for segment in named:
        if segment.sequence not in pieces:
            pieces[segment.sequence] = Piece(
                take=take,
                sequence=segment.sequence,
                uri=segment.uri,
                named_seconds=segment.duration_seconds,
                discontinuity=segment.discontinuity,
                size_bytes=files.get(segment.uri),
            )
    promised = {piece.uri for piece in pieces.values()}
    for name, size in files.items():
        number = _NUMBERED.fullmatch(name)
        if number and name not in promised and size:
            sequence = int(number[1])
            pieces.setdefault(
                sequence,
                Piece(take, sequence, name, None, discontinuity=False, size_bytes=size),
            )
    return tuple(pieces[sequence] for sequence in sorted(pieces))


def _runs(take: int, numbers: Sequence[int]) -> Iterable[Gap]:
    first = last = None
    for number in numbers:
        if last is not None and first is not None and number != last + 1:
            yield Gap(take, first, last)
            first = number
        first, last = (number if first is None else first), number
    if first is not None and last is not None:
        yield Gap(take, first, last)

"""What a recording is worth, and from what it is made: one table of reasons, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from orchestration.recordings.evidence import Gap, Piece, TakeFound
from orchestration.recordings.probe import Probe, Track, codecs_fit
from orchestration.states import Verdict

#: A file begins and ends up to a segment earlier or later than the segments beside it; a short
#: file by less, or an almost empty one would do for it.
FILE_TOLERANCE_SECONDS = 4.0
FILE_TOLERANCE_SHARE = 0.1

#: Segments whose timestamps are further apart than this do not continue each other.
JUMP_SECONDS = 1.0

#: A joined file may lose or gain this much for every run: codecs' delays at its ends.
RUN_TOLERANCE_SECONDS = 0.5

#: So many names of segments in a sentence; the rest is a number.
NAMES_MAX = 5


class Reason(StrEnum):
    """Why a recording got its verdict."""

    FILE_WHOLE = "file_whole"  #: the egress' own file, and it agrees with the segments
    SEGMENTS_JOINED = "segments_joined"  #: no own file to take, but every segment was there
    SEGMENTS_MISSING = "segments_missing"  #: numbers without a segment
    SEGMENT_TRUNCATED = "segment_truncated"  #: a segment is not what its playlist promised
    SEGMENTS_UNCHECKED = "segments_unchecked"  #: segments, but no playlist to check them against
    FILE_UNCHECKED = "file_unchecked"  #: an own file, but no segments to check it against
    CODECS_DIFFER = "codecs_differ"  #: joining would need encoding again
    JOINED_DIFFERS = "joined_differs"  #: the joined file is not as long as its segments
    CANNOT_JOIN = "cannot_join"  #: the segments are there, and no file could be made of them
    NOTHING_READABLE = "nothing_readable"  #: files, and none that can be played
    NO_MEDIA = "no_media"  #: no take left anything


_CODECS_DIFFER = (
    "The takes are encoded differently and cannot be joined as they are: the file is the longest "
    "part, the whole show is in its playlist."
)

# fmt: off
#: Each reason's verdict, and the sentence the host reads.
REASONS: Final[dict[Reason, tuple[Verdict, str]]] = {
    Reason.FILE_WHOLE:         (Verdict.VERIFIED, "The file is whole; its segments say the same."),
    Reason.SEGMENTS_JOINED:    (Verdict.VERIFIED, "Joined from all segments; none is missing."),
    Reason.SEGMENTS_MISSING:   (Verdict.PARTIAL,  "Segments are missing"),
    Reason.SEGMENT_TRUNCATED:  (Verdict.PARTIAL,  "Segments are damaged"),
    Reason.SEGMENTS_UNCHECKED: (Verdict.PARTIAL,  "Joined; no playlist says how many there were."),
    Reason.FILE_UNCHECKED:     (Verdict.PARTIAL,  "The file plays; no segment is left to compare."),
    Reason.CODECS_DIFFER:      (Verdict.PARTIAL,  _CODECS_DIFFER),
    Reason.JOINED_DIFFERS:     (Verdict.PARTIAL,  "The joined file differs from its segments."),
    Reason.CANNOT_JOIN:        (Verdict.LOST,     "No file could be made of the segments."),
    Reason.NOTHING_READABLE:   (Verdict.LOST,     "Nothing that was recorded can be played."),
    Reason.NO_MEDIA:           (Verdict.LOST,     "Nothing was recorded: no media ever arrived."),
}

#: The contract's `status` of a recording by its verdict; None while it is not finished.
STATUS: Final[dict[Verdict | None, str]] = {
    None:             "recording",
    Verdict.VERIFIED: "completed",
    Verdict.PARTIAL:  "completed",
    Verdict.LOST:     "failed",
}
# fmt: on


@dataclass(frozen=True)
class TakeFile:
    """The recording is this take's own file, as it lies there."""

    take: int


@dataclass(frozen=True)
class JoinSegments:
    """The recording is joined from these, run after run: in a run timestamps go on."""

    runs: tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True)
class Nothing:
    """There is nothing to make a recording from."""


Plan = TakeFile | JoinSegments | Nothing


@dataclass(frozen=True)
class Decision:
    """What to make, and what it will be worth if that works."""

    plan: Plan
    reason: Reason
    reason_text: str
    gaps: tuple[Gap, ...] = ()
    #: `take/file` of each segment that is not what was promised.
    damaged: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return REASONS[self.reason][0]

    @property
    def salvaged(self) -> bool:
        """The file had to be made from segments."""
        return isinstance(self.plan, JoinSegments)


def decide(takes: Sequence[TakeFound]) -> Decision:
    """Choose the best recording that can be had without encoding again."""
    found = [take for take in takes if take.pieces or take.file]
    usable = [piece for take in found for piece in take.usable]
    flaws = _flaws_of(found)
    if not usable:
        return _without_segments(found, flaws)
    if len(found) == 1 and file_fits(found[0]):
        return _judged(TakeFile(found[0].number), Reason.FILE_WHOLE, flaws)
    if not codecs_fit(_probes(usable)):
        return _decision(_longest(found), Reason.CODECS_DIFFER, flaws)
    return _judged(JoinSegments(runs_of(usable)), Reason.SEGMENTS_JOINED, flaws)


def file_fits(take: TakeFound) -> bool:
    """Say whether the take's own file is as long as the take was.

    Where numbers are missing it may be longer by what these may have held.
    """
    if take.file is None or take.file.cut:
        return False
    more = take.file.duration_seconds - take.seconds
    allowed = min(FILE_TOLERANCE_SECONDS, 0.5 + FILE_TOLERANCE_SHARE * take.seconds)
    return -allowed <= more <= allowed + take.unnamed_gap_seconds


def check_joined(decision: Decision, joined: Probe) -> Decision:
    """Lower the verdict when the joined file is not as long as what went into it."""
    assert isinstance(decision.plan, JoinSegments)
    expected = sum(_run_seconds(run) for run in decision.plan.runs)
    allowed = RUN_TOLERANCE_SECONDS * (1 + len(decision.plan.runs))
    if abs(joined.duration_seconds - expected) <= allowed and not joined.cut:
        return decision
    if decision.verdict is not Verdict.VERIFIED:
        return decision
    text = f"The joined file lasts {joined.duration_seconds:.1f} s, its segments {expected:.1f} s."
    return replace(decision, reason=Reason.JOINED_DIFFERS, reason_text=text)


def cannot_join(decision: Decision, cause: str) -> Decision:
    """Say that joining did not work although every segment could be read."""
    text = f"{REASONS[Reason.CANNOT_JOIN][1]} ({cause})"
    return replace(decision, plan=Nothing(), reason=Reason.CANNOT_JOIN, reason_text=text)


def runs_of(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """Cut where timestamps or numbers do not go on."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        if runs and _continues(runs[-1][-1], piece):
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return tuple(tuple(run) for run in runs)


@dataclass(frozen=True)
class _Flaws:
    gaps: tuple[Gap, ...]
    damaged: tuple[str, ...]
    unnamed: bool  #: there are segments, and no playlist names any


def _flaws_of(takes: Sequence[TakeFound]) -> _Flaws:
    return _Flaws(
        gaps=tuple(gap for take in takes for gap in take.gaps),
        damaged=tuple(
            f"{piece.take}/{piece.uri}"
            for take in takes
            for piece in take.pieces
            if piece.is_damaged
        ),
        unnamed=any(
            take.usable and not any(piece.is_named for piece in take.pieces) for take in takes
        ),
    )


def _without_segments(takes: Sequence[TakeFound], flaws: _Flaws) -> Decision:
    files = [take for take in takes if take.file is not None and not take.file.cut]
    if files:
        longest = max(files, key=lambda take: take.file.duration_seconds if take.file else 0.0)
        return _decision(TakeFile(longest.number), Reason.FILE_UNCHECKED, flaws)
    anything = any(piece.is_there for take in takes for piece in take.pieces) or any(
        take.file for take in takes
    )
    promised = any(take.pieces for take in takes)
    reason = Reason.NOTHING_READABLE if anything or promised else Reason.NO_MEDIA
    return _decision(Nothing(), reason, flaws)


def _judged(plan: Plan, whole: Reason, flaws: _Flaws) -> Decision:
    """Give the reason for which nothing is wrong, unless something is."""
    but = "; the file itself is whole, the replay is not." if isinstance(plan, TakeFile) else "."
    if flaws.gaps:
        names = _listed([gap.text for gap in flaws.gaps])
        text = f"{REASONS[Reason.SEGMENTS_MISSING][1]} ({names}){but}"
        return _decision(plan, Reason.SEGMENTS_MISSING, flaws, text)
    if flaws.damaged:
        text = f"{REASONS[Reason.SEGMENT_TRUNCATED][1]} ({_listed(flaws.damaged)}){but}"
        return _decision(plan, Reason.SEGMENT_TRUNCATED, flaws, text)
    if flaws.unnamed and isinstance(plan, JoinSegments):
        return _decision(plan, Reason.SEGMENTS_UNCHECKED, flaws)
    return _decision(plan, whole, flaws)


def _decision(plan: Plan, reason: Reason, flaws: _Flaws, text: str | None = None) -> Decision:
    return Decision(plan, reason, text or REASONS[reason][1], flaws.gaps, flaws.damaged)


def _longest(takes: Sequence[TakeFound]) -> Plan:
    """Choose the longest file that can be had: a take's own, or neighbours that fit."""
    choices: list[tuple[float, Plan]] = [
        (take.file.duration_seconds, TakeFile(take.number))
        for take in takes
        if take.file is not None and file_fits(take)
    ]
    for stretch in _stretches([piece for take in takes for piece in take.usable]):
        runs = runs_of(stretch)
        choices.append((sum(_run_seconds(run) for run in runs), JoinSegments(runs)))
    # An own file that is as long as its segments is the better one: it needs no work.
    return max(choices, key=lambda choice: (round(choice[0]), isinstance(choice[1], TakeFile)))[1]


def _stretches(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Cut where the encoding changes; a track that a segment lacks changes nothing."""
    stretches: list[list[Piece]] = []
    video: Track | None = None
    audio: Track | None = None
    for piece in pieces:
        assert piece.probe is not None
        if not stretches or _differ(video, piece.probe.video) or _differ(audio, piece.probe.audio):
            stretches.append([])
            video = audio = None
        video, audio = video or piece.probe.video, audio or piece.probe.audio
        stretches[-1].append(piece)
    return stretches


def _differ(one: Track | None, other: Track | None) -> bool:
    return one is not None and other is not None and one.fingerprint != other.fingerprint


def _continues(before: Piece, piece: Piece) -> bool:
    assert before.probe is not None
    assert piece.probe is not None
    return (
        (piece.take, piece.sequence) == (before.take, before.sequence + 1)
        and not piece.discontinuity
        and abs(piece.probe.starts_at_seconds - before.probe.ends_at_seconds) <= JUMP_SECONDS
    )


def _run_seconds(run: Sequence[Piece]) -> float:
    """Measure a run by its ends: neighbours overlap by some of the sound's frames."""
    probes = _probes(run)
    return probes[-1].ends_at_seconds - probes[0].starts_at_seconds


def _probes(pieces: Sequence[Piece]) -> list[Probe]:
    return [piece.probe for piece in pieces if piece.probe is not None]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")

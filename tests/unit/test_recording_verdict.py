"""What a recording is made from and what it is worth, for everything that may be left of it."""

from dataclasses import dataclass, replace

import pytest

from orchestration.playlists import Segment
from orchestration.recordings.evidence import Gap, Piece, TakeFound, lay_out
from orchestration.recordings.probe import Probe, Track
from orchestration.recordings.verdict import (
    REASONS,
    STATUS,
    Decision,
    JoinSegments,
    Nothing,
    Plan,
    Reason,
    TakeFile,
    cannot_join,
    check_joined,
    decide,
)
from orchestration.states import Verdict

H264 = Track("h264", "640x360", "picture")
OTHER = Track("h264", "1280x720", "another picture")
AAC = Track("aac", "48000 Hz, stereo", "sound")


def probe(seconds: float, starts_at: float = 0.0, *, video=H264, audio=AAC, cut=False) -> Probe:
    return Probe(188_000, seconds, starts_at, video, audio, cut)


def piece(take: int, sequence: int, *, holds: float = 2.0, video=H264, audio=AAC, cut=False):
    return Piece(
        take=take,
        sequence=sequence,
        uri=f"seg_{sequence:05d}.ts",
        named_seconds=2.0,
        discontinuity=False,
        size_bytes=188_000,
        probe=probe(holds, 1.4 + 2 * sequence, video=video, audio=audio, cut=cut),
    )


def pieces(take: int, count: int, **kwargs) -> tuple[Piece, ...]:
    return tuple(piece(take, sequence, **kwargs) for sequence in range(count))


def gone(one: Piece) -> Piece:
    return replace(one, size_bytes=None, probe=None)


def unreadable(one: Piece) -> Piece:
    return replace(one, probe=None)


def unnamed(one: Piece) -> Piece:
    return replace(one, named_seconds=None)


def without(found: tuple[Piece, ...], sequence: int) -> tuple[Piece, ...]:
    return tuple(each for each in found if each.sequence != sequence)


def swapped(found: tuple[Piece, ...], sequence: int, by: Piece) -> tuple[Piece, ...]:
    return tuple(by if each.sequence == sequence else each for each in found)


TEN = pieces(1, 10)


@dataclass(frozen=True)
class Case:
    """What was found, and what has to come of it."""

    name: str
    takes: tuple[TakeFound, ...]
    reason: Reason
    plan: type[Plan]
    gaps: tuple[Gap, ...] = ()
    damaged: tuple[str, ...] = ()


CASES = [
    Case("own file fits", (TakeFound(1, TEN, probe(20.3)),), Reason.FILE_WHOLE, TakeFile),
    Case("no own file", (TakeFound(1, TEN),), Reason.SEGMENTS_JOINED, JoinSegments),
    Case(
        "own file too short", (TakeFound(1, TEN, probe(12)),), Reason.SEGMENTS_JOINED, JoinSegments
    ),
    Case(
        "own file too long", (TakeFound(1, TEN, probe(900)),), Reason.SEGMENTS_JOINED, JoinSegments
    ),
    Case(
        "own file cut",
        (TakeFound(1, TEN, probe(20, cut=True)),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "almost empty own file of a short show",
        (TakeFound(1, pieces(1, 1), probe(0.1)),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "two takes",
        (TakeFound(1, TEN, probe(20)), TakeFound(2, pieces(2, 3), probe(6))),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "a second take that left nothing",
        (TakeFound(1, TEN, probe(20)), TakeFound(2)),
        Reason.FILE_WHOLE,
        TakeFile,
    ),
    Case(
        "a named segment is not there",
        (TakeFound(1, swapped(TEN, 4, gone(piece(1, 4)))),),
        Reason.SEGMENTS_MISSING,
        JoinSegments,
        gaps=(Gap(1, 4, 4),),
    ),
    Case(
        "numbers that nobody names, also the first",
        (TakeFound(1, without(without(without(TEN, 0), 4), 5)),),
        Reason.SEGMENTS_MISSING,
        JoinSegments,
        gaps=(Gap(1, 0, 0), Gap(1, 4, 5)),
    ),
    Case(
        "a hole beside an own file that has it all",
        (TakeFound(1, without(TEN, 4), probe(20)),),
        Reason.SEGMENTS_MISSING,
        TakeFile,
        gaps=(Gap(1, 4, 4),),
    ),
    Case(
        "a truncated segment",
        (TakeFound(1, swapped(TEN, 3, piece(1, 3, holds=1.0))),),
        Reason.SEGMENT_TRUNCATED,
        JoinSegments,
        damaged=("1/seg_00003.ts",),
    ),
    Case(
        "a segment that ends inside a packet",
        (TakeFound(1, swapped(TEN, 3, piece(1, 3, cut=True))),),
        Reason.SEGMENT_TRUNCATED,
        JoinSegments,
        damaged=("1/seg_00003.ts",),
    ),
    Case(
        "a truncated segment beside an own file",
        (TakeFound(1, swapped(TEN, 3, piece(1, 3, holds=1.0)), probe(20)),),
        Reason.SEGMENT_TRUNCATED,
        TakeFile,
        damaged=("1/seg_00003.ts",),
    ),
    Case(
        "a segment that cannot be played",
        (TakeFound(1, swapped(TEN, 3, unreadable(piece(1, 3)))),),
        Reason.SEGMENT_TRUNCATED,
        JoinSegments,
        damaged=("1/seg_00003.ts",),
    ),
    Case(
        "a still picture without sound ends early",
        (TakeFound(1, pieces(1, 3, holds=1.4, audio=None)),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "the egress died before it named the last one",
        (TakeFound(1, swapped(TEN, 9, unnamed(piece(1, 9)))),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "the egress died while it wrote the last one",
        (TakeFound(1, swapped(TEN, 9, unnamed(unreadable(piece(1, 9))))),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "no playlist at all",
        (TakeFound(1, tuple(unnamed(each) for each in TEN)),),
        Reason.SEGMENTS_UNCHECKED,
        JoinSegments,
    ),
    Case(
        "encoded differently",
        (TakeFound(1, pieces(1, 2)), TakeFound(2, pieces(2, 5, video=OTHER), probe(10))),
        Reason.CODECS_DIFFER,
        TakeFile,
    ),
    Case(
        "encoded differently, no own file",
        (TakeFound(1, pieces(1, 2)), TakeFound(2, pieces(2, 5, video=OTHER))),
        Reason.CODECS_DIFFER,
        JoinSegments,
    ),
    Case(
        "sound that comes later is no other encoding",
        (TakeFound(1, swapped(TEN, 0, piece(1, 0, audio=None))),),
        Reason.SEGMENTS_JOINED,
        JoinSegments,
    ),
    Case(
        "only the own file is left",
        (TakeFound(1, tuple(gone(each) for each in TEN), probe(20)),),
        Reason.FILE_UNCHECKED,
        TakeFile,
        gaps=(Gap(1, 0, 9),),
    ),
    Case(
        "nothing of it can be played",
        (TakeFound(1, tuple(unreadable(each) for each in pieces(1, 1))),),
        Reason.NOTHING_READABLE,
        Nothing,
        damaged=("1/seg_00000.ts",),
    ),
    Case(
        "all that was promised is gone",
        (TakeFound(1, tuple(gone(each) for each in pieces(1, 2))),),
        Reason.NOTHING_READABLE,
        Nothing,
        gaps=(Gap(1, 0, 1),),
    ),
    Case("a take without media", (TakeFound(1),), Reason.NO_MEDIA, Nothing),
    Case("no take", (), Reason.NO_MEDIA, Nothing),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decide(case: Case):
    """Every state of what is left has one plan, one reason and one sentence."""
    decision = decide(case.takes)

    assert decision.reason is case.reason
    assert isinstance(decision.plan, case.plan)
    assert decision.gaps == case.gaps
    assert decision.damaged == case.damaged
    assert decision.salvaged == (case.plan is JoinSegments)
    assert decision.reason_text.endswith(".")


def test_every_reason_is_met():
    """The table holds no reason that nothing leads to."""
    met = {case.reason for case in CASES} | {Reason.JOINED_DIFFERS, Reason.CANNOT_JOIN}

    assert met == set(Reason) == set(REASONS)


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (None, "recording"),
        (Verdict.VERIFIED, "completed"),
        (Verdict.PARTIAL, "completed"),
        (Verdict.LOST, "failed"),
    ],
)
def test_status_of_the_contract(verdict: Verdict | None, status: str):
    """Each verdict has its word in the contract."""
    assert STATUS[verdict] == status


def test_what_is_wrong_is_named():
    """The sentence tells which segments, and no more than a reader wants to know."""
    truncated = tuple(piece(1, sequence, holds=1.0) for sequence in range(8))

    decision = decide((TakeFound(1, truncated),))

    assert decision.reason_text == (
        "Segments are damaged (1/seg_00000.ts, 1/seg_00001.ts, 1/seg_00002.ts, 1/seg_00003.ts, "
        "1/seg_00004.ts and 3 more)."
    )
    assert (
        decide((TakeFound(1, without(without(TEN, 4), 5)),)).reason_text
        == "Segments are missing (take 1: 4-5)."
    )


def test_longest_part_is_taken_when_encodings_differ():
    """The longest stretch wins, across takes, cut where the encoding changes."""
    takes = (
        TakeFound(1, pieces(1, 3)),
        TakeFound(2, pieces(2, 4)),
        TakeFound(3, pieces(3, 6, video=OTHER)),
    )

    plan = decide(takes).plan

    assert isinstance(plan, JoinSegments)
    assert [[each.take for each in run] for run in plan.runs] == [[1] * 3, [2] * 4]


def test_runs_are_cut_where_timestamps_start_anew():
    """A new take, a hole, a discontinuity of the playlist and a jump begin a run."""
    jumped = replace(piece(1, 8), probe=probe(2.0, 500.0))
    found = without(TEN, 2)
    found = swapped(found, 5, replace(piece(1, 5), discontinuity=True))
    found = swapped(found, 8, jumped)

    plan = decide((TakeFound(1, found), TakeFound(2, pieces(2, 2)))).plan

    assert isinstance(plan, JoinSegments)
    assert [(run[0].take, run[0].sequence, len(run)) for run in plan.runs] == [
        (1, 0, 2),
        (1, 3, 2),
        (1, 5, 3),
        (1, 8, 1),
        (1, 9, 1),
        (2, 0, 2),
    ]


def test_joined_file_is_checked():
    """A joined file that is not as long as its segments is not verified."""
    decision = decide((TakeFound(1, TEN), TakeFound(2, TEN)))

    assert check_joined(decision, probe(40.4)) == decision
    for found in (probe(30), probe(50), probe(40, cut=True)):
        lowered = check_joined(decision, found)
        assert (lowered.verdict, lowered.reason) == (Verdict.PARTIAL, Reason.JOINED_DIFFERS)
        assert lowered.plan == decision.plan


def test_segments_that_no_file_comes_of():
    """What cannot be joined after all is lost as a file, and the cause is told."""
    decision = cannot_join(decide((TakeFound(1, TEN),)), "no sound")

    assert isinstance(decision, Decision)
    assert (decision.verdict, decision.plan) == (Verdict.LOST, Nothing())
    assert "no sound" in decision.reason_text


def test_lay_out_brings_promise_and_directory_together():
    """The better playlist wins, sizes come from the directory, and what nobody names is found."""
    full = [Segment(1, 0, "seg_00000.ts", 2.0), Segment(1, 1, "seg_00001.ts", 2.0)]
    live = [
        Segment(1, 1, "seg_00001.ts", 1.0),
        Segment(1, 2, "seg_00002.ts", 2.0, discontinuity=True),
    ]
    files = {
        "vod.m3u8": 500,
        "EG_x.json": 10,
        "seg_00000.ts": 188,
        "seg_00002.ts": 0,
        "seg_00003.ts": 376,
        "seg_00004.ts": 0,
    }

    found = lay_out(1, [*full, *live], files)

    assert [
        (each.sequence, each.named_seconds, each.size_bytes, each.discontinuity) for each in found
    ] == [
        (0, 2.0, 188, False),
        (1, 2.0, None, False),
        (2, 2.0, 0, True),
        (3, None, 376, False),
    ]
    assert [each.is_there for each in found] == [True, False, False, True]

"""What a show's health is called, and what is the matter with it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration.health import Arriving, Health, Judgement, Note, Output, Program, judge
from orchestration.models import Session
from orchestration.plane import IngressSeen, Input, ParticipantSeen, TrackSeen
from orchestration.playlists import Segment
from orchestration.states import Phase

HOST = uuid.uuid4()
BROWSER, RTMP = str(HOST), f"{HOST}#rtmp"
NOW = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
CAMERA = TrackSeen("TR_v", "video", "camera", muted=False, width=1280, height=720)
MICROPHONE = TrackSeen("TR_a", "audio", "microphone", muted=False)
SCREEN = TrackSeen("TR_s", "video", "screen_share", muted=False, width=1920, height=1080)
OFF_CAMERA = TrackSeen("TR_v", "video", "camera", muted=True)
OFF_MICROPHONE = TrackSeen("TR_a", "audio", "microphone", muted=True)
SEGMENT = Segment(take=1, sequence=7, uri="seg_00007.ts", duration_seconds=2.0)


def person(identity: str, *tracks: TrackSeen) -> ParticipantSeen:
    return ParticipantSeen(identity, "standard", tracks=tracks)


def ingress(status: str = "publishing", **facts: Any) -> IngressSeen:
    return IngressSeen(
        "IN_1", Input.RTMP, "x", "x", RTMP, "rtmp://x", "key", status=status, **facts
    )


def judged(
    *people: ParticipantSeen,
    phase: Phase = Phase.LIVE,
    age_seconds: float | None = 1.0,
    ingresses: tuple[IngressSeen, ...] = (),
    error: str | None = None,
    size: int | None = 250_000,
    **columns: Any,
) -> Judgement:
    facts = {
        "mode": "rtmp",
        "phase": phase,
        "media_at": NOW - timedelta(minutes=5),
        "started_at": NOW - timedelta(minutes=5),
        **columns,
    }
    session = Session(
        organization_id=uuid.uuid4(), room_id=uuid.uuid4(), host_id=HOST, title="Show", **facts
    )
    return judge(
        session,
        Arriving(ingresses, people, error),
        None if age_seconds is None else SEGMENT,
        newest_at=None if age_seconds is None else NOW - timedelta(seconds=age_seconds),
        newest_bytes=size,
        target_seconds=4,
        now=NOW,
    )


def test_an_encoder_that_sends_is_good_and_its_numbers_are_told():
    """From the ingress' state; the output's rate from the newest segment."""
    told = judged(
        person(RTMP, CAMERA, MICROPHONE),
        ingresses=(
            ingress(
                width=1920,
                height=1080,
                frames_per_second=29.97,
                video_bits_per_second=4_000_000,
                audio_bits_per_second=128_000,
            ),
        ),
    )

    assert (told.health, told.notes) == (Health.GOOD, ())
    assert told.program == Program(RTMP, "rtmp", 1920, 1080, 29.97, 4_000_000, 128_000)
    assert told.output == Output(NOW - timedelta(seconds=1), 1.0, 1_000_000)


def test_a_browser_tells_less():
    """LiveKit knows the size of its picture; what it does not know is not 0 but unknown."""
    told = judged(person(BROWSER, CAMERA, MICROPHONE))

    assert told.health is Health.GOOD
    assert told.program == Program(BROWSER, "browser", 1280, 720)


def test_a_shared_screen_is_the_program():
    """It is what viewers get, so that its size is told, not the camera's."""
    told = judged(person(BROWSER, CAMERA, SCREEN, MICROPHONE))

    assert told.health is Health.GOOD
    assert told.program == Program(BROWSER, "browser", 1920, 1080)


def test_a_browser_with_its_camera_off_shows_its_screen():
    told = judged(person(BROWSER, OFF_CAMERA, SCREEN, MICROPHONE))

    assert (told.program.width, told.notes) == (1920, ())


BOTH = (CAMERA, MICROPHONE)
NEVER = {"media_at": None}
LATE = (Note.SEGMENTS_LATE,)
BROKEN = (ingress("error", error="unsupported codec"),)
JUST_BACK = {"source_since": NOW - timedelta(seconds=3)}
# fmt: off
#: Who sends what, what else is known, and what that is called.
CASES: dict[str, tuple[tuple[ParticipantSeen, ...], dict[str, Any], Health, tuple[Note, ...]]] = {
    "nobody yet":      ((), NEVER, Health.WAITING, ()),
    "only a guest":    ((person("guest", CAMERA),), NEVER, Health.WAITING, ()),
    "only sound":      ((person(BROWSER, MICROPHONE),), NEVER, Health.WAITING, (Note.SOUND_ONLY,)),
    "buffering":       ((), {**NEVER, "ingresses": (ingress("buffering"),)}, Health.WAITING,
                        (Note.CONNECTING,)),
    "refused":         ((), {**NEVER, "ingresses": BROKEN}, Health.WAITING, (Note.INGRESS_ERROR,)),
    "gone":            ((), {}, Health.LOST, ()),
    "no sound":        ((person(RTMP, CAMERA),), {}, Health.POOR, (Note.NO_SOUND,)),
    "muted":           ((person(RTMP, CAMERA, OFF_MICROPHONE),), {}, Health.GOOD,
                        (Note.SOUND_OFF,)),
    "camera off":      ((person(RTMP, OFF_CAMERA, MICROPHONE),), {"source": RTMP}, Health.GOOD,
                        (Note.PICTURE_OFF,)),
    "a slide show":    ((person(RTMP, *BOTH),), {"ingresses": (ingress(frames_per_second=6.0),)},
                        Health.POOR, (Note.LOW_FRAME_RATE,)),
    "old segments":    ((person(RTMP, *BOTH),), {"age_seconds": 13.0}, Health.STALLED, LATE),
    "no segments":     ((person(RTMP, *BOTH),), {"age_seconds": None}, Health.STALLED, LATE),
    "just back":       ((person(RTMP, *BOTH),), {"age_seconds": 13.0, **JUST_BACK}, Health.GOOD,
                        ()),
    "in green room":   ((person(RTMP, *BOTH),), {"age_seconds": None, "phase": Phase.OPEN},
                        Health.GOOD, ()),
    "over":            ((), {"phase": Phase.ENDED}, Health.OFF, ()),
    "announced":       ((), {"phase": Phase.SCHEDULED}, Health.OFF, ()),
    "LiveKit is away": ((), {"error": "unreachable"}, Health.UNKNOWN, ()),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_what_is_the_matter_has_a_name(case: str):
    """One word for all, and one for each thing."""
    people, facts, health, notes = CASES[case]

    told = judged(*people, **facts)

    assert (told.health, told.notes) == (health, notes)


def test_without_livekit_the_ledger_is_believed():
    """Whose picture it was; and that nobody knows more."""
    told = judged(error="no_answer", source=RTMP)

    assert (told.health, told.program.identity) == (Health.UNKNOWN, RTMP)


def test_a_size_that_cannot_be_seen_makes_no_rate():
    assert judged(person(RTMP, CAMERA), size=None).output.bits_per_second is None

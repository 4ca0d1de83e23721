"""Judge what arrives of a show and what leaves it: a picture, its numbers, what is the matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestration.models import Session
from orchestration.names import host_identities, is_screen, sender_of
from orchestration.parts.broadcast import program_source
from orchestration.plane import IngressSeen, ParticipantSeen, TrackSeen
from orchestration.playlists import Segment
from orchestration.publish import STALLED_TARGETS
from orchestration.states import ON_AIR, OVER, Phase

#: Below this a picture is a row of stills.
FRAMES_PER_SECOND_MIN: Final = 12.0


class Health(StrEnum):
    """How a show's picture is, in one word."""

    OFF = "off"  #: nothing is open, so nothing is expected
    WAITING = "waiting"  #: open, and nobody has sent a picture yet
    GOOD = "good"  #: a picture arrives, and while on air segments follow it
    POOR = "poor"  #: a picture arrives, and something is wrong with it
    LOST = "lost"  #: the picture was there and is gone
    STALLED = "stalled"  #: a picture arrives, and no new segments come of it
    UNKNOWN = "unknown"  #: LiveKit does not say what arrives


class Note(StrEnum):
    """One thing that is the matter."""

    SOUND_ONLY = "sound-only"  #: the host sends sound and no picture
    PICTURE_OFF = "picture-off"  #: the host's camera is switched off
    NO_SOUND = "no-sound"  #: a picture comes without any sound
    SOUND_OFF = "sound-off"  #: the host's microphone is switched off
    LOW_FRAME_RATE = "low-frame-rate"  #: fewer pictures a second than look like motion
    CONNECTING = "connecting"  #: an encoder is connected; its media is not understood yet
    INGRESS_ERROR = "ingress-error"  #: an ingress refused or lost its encoder; it says why
    SEGMENTS_LATE = "segments-late"  #: the newest segment is older than it should be


#: With one of these a picture is poor.
POOR: Final = frozenset({Note.NO_SOUND, Note.LOW_FRAME_RATE})


@dataclass(frozen=True)
class Arriving:
    """What LiveKit listed just now; `error` when it did not answer."""

    ingresses: Sequence[IngressSeen] = ()
    people: Sequence[ParticipantSeen] = ()
    error: str | None = None


@dataclass(frozen=True)
class Program:
    """The picture the show is made of, as well as LiveKit knows it."""

    identity: str | None = None
    via: str | None = None  #: browser | rtmp | whip
    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    video_bits_per_second: int | None = None
    audio_bits_per_second: int | None = None


@dataclass(frozen=True)
class Output:
    """What the audience is given of it."""

    newest_segment_at: datetime | None = None
    age_seconds: float | None = None
    bits_per_second: int | None = None


@dataclass(frozen=True)
class Judgement:
    """A show's health."""

    health: Health
    notes: tuple[Note, ...]
    program: Program
    output: Output


def judge(
    session: Session,
    arriving: Arriving,
    newest: Segment | None,
    *,
    newest_at: datetime | None,
    newest_bytes: int | None,
    target_seconds: int,
    now: datetime,
) -> Judgement:
    """Judge one show by its row, LiveKit's lists, and the newest published segment."""
    source = session.source
    if arriving.error is None:
        source = program_source(session, tuple(arriving.people))
    output = _output(newest, newest_at, newest_bytes, now)
    program = _program(source, arriving)
    notes = _notes(session, source, program, arriving)
    is_late = _is_late(session, output, target_seconds, now)
    if source is not None and is_late:
        notes.append(Note.SEGMENTS_LATE)
    health = _health(session, source, arriving, notes)
    return Judgement(health, tuple(notes), program, output)


def _health(session: Session, source: str | None, arriving: Arriving, notes: list[Note]) -> Health:
    if session.phase in OVER or session.phase in {Phase.SCHEDULED, Phase.ENDING}:
        return Health.OFF
    if arriving.error is not None:
        return Health.UNKNOWN
    if source is None:
        return Health.WAITING if session.media_at is None else Health.LOST
    if Note.SEGMENTS_LATE in notes:
        return Health.STALLED
    return Health.POOR if POOR & set(notes) else Health.GOOD


def _notes(
    session: Session, source: str | None, program: Program, arriving: Arriving
) -> list[Note]:
    notes = []
    hosts = host_identities(session.host_id)
    tracks = [t for person in arriving.people if person.identity in hosts for t in person.tracks]
    sounds = [track for track in tracks if track.kind == "audio"]
    pictures = [track for track in tracks if track.kind == "video"]
    if source is None and sounds and not pictures:
        notes.append(Note.SOUND_ONLY)
    if source is not None and not any(not track.muted for track in _videos(source, arriving)):
        notes.append(Note.PICTURE_OFF)
    if source is not None and not sounds:
        notes.append(Note.NO_SOUND)
    elif sounds and all(track.muted for track in sounds):
        notes.append(Note.SOUND_OFF)
    rate = program.frames_per_second
    if rate is not None and rate < FRAMES_PER_SECOND_MIN and Note.PICTURE_OFF not in notes:
        notes.append(Note.LOW_FRAME_RATE)
    if source is None and any(item.status == "buffering" for item in arriving.ingresses):
        notes.append(Note.CONNECTING)
    if any(item.status == "error" for item in arriving.ingresses):
        notes.append(Note.INGRESS_ERROR)
    # Without an answer nothing is known, so that nothing can be the matter.
    return notes if arriving.error is None else []


def _program(source: str | None, arriving: Arriving) -> Program:
    if source is None:
        return Program()
    identity = sender_of(source)
    via = identity.partition("#")[2] or "browser"
    videos = _videos(source, arriving)
    track = next((video for video in videos if not video.muted), videos[0] if videos else None)
    ingress = next((item for item in arriving.ingresses if item.identity == identity), None)
    if ingress is None or via == "browser":
        width, height = (track.width, track.height) if track else (0, 0)
        return Program(identity, via, width or None, height or None)
    return Program(
        identity=identity,
        via=via,
        width=ingress.width or (track.width if track else 0) or None,
        height=ingress.height or (track.height if track else 0) or None,
        frames_per_second=round(ingress.frames_per_second, 2) or None,
        video_bits_per_second=ingress.video_bits_per_second or None,
        audio_bits_per_second=ingress.audio_bits_per_second or None,
    )


def _videos(source: str, arriving: Arriving) -> list[TrackSeen]:
    """Give the source's pictures, what the show is made of first: its camera, or its screen."""
    tracks = [
        track
        for person in arriving.people
        if person.identity == sender_of(source)
        for track in person.tracks
        if track.kind == "video"
    ]
    return sorted(tracks, key=lambda track: track.is_screen is not is_screen(source))


def _output(
    newest: Segment | None, newest_at: datetime | None, size: int | None, now: datetime
) -> Output:
    if newest is None:
        return Output()
    age = None if newest_at is None else max(0.0, round((now - newest_at).total_seconds(), 1))
    bits = None
    if size and newest.duration_seconds > 0:
        bits = round(size * 8 / newest.duration_seconds)
    return Output(newest_at, age, bits)


def _is_late(session: Session, output: Output, target_seconds: int, now: datetime) -> bool:
    """Say whether there should be a newer segment; a source that has just come needs a moment."""
    if session.phase not in ON_AIR:
        return False
    moments = (output.newest_segment_at, session.source_since, session.started_at)
    since = max((at for at in moments if at is not None), default=now)
    return (now - since).total_seconds() > STALLED_TARGETS * target_seconds

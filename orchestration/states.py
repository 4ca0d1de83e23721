"""What a session may be, and what it may become: TRANSITIONS."""

from enum import StrEnum
from typing import Final, assert_never


class Wanted(StrEnum):
    """What somebody asked a session to be; only a command or the engine's clock changes it."""

    PREPARED = "prepared"  #: its keys exist, so that an encoder can be set up days before
    OPEN = "open"  #: the green room is open: the host can connect and check
    LIVE = "live"  #: on air
    ENDED = "ended"  #: over, for good


class Phase(StrEnum):
    """What a session is, as far as we know."""

    SCHEDULED = "scheduled"  #: announced; nothing is open
    PROVISIONING = "provisioning"  #: room and ingresses are being made
    OPEN = "open"  #: the green room is open; the audience sees nothing yet
    WAITING_FOR_MEDIA = "waiting_for_media"  #: on air, and nobody sends a picture yet
    LIVE = "live"  #: on air, media arrives
    RECONNECTING = "reconnecting"  #: on air; the encoder dropped and may come back
    ENDING = "ending"  #: everything is being closed
    ENDED = "ended"  #: over, closed, accounted for
    FAILED = "failed"  #: lost for good while on air; over
    EXPIRED = "expired"  #: its time passed and nobody ever started it


class Status(StrEnum):
    """The contract's coarser word for a phase."""

    SCHEDULED = "scheduled"  #: not on air yet
    LIVE = "live"  #: on air
    ENDED = "ended"  #: over
    EXPIRED = "expired"  #: never began


class EndReason(StrEnum):
    """Why a session is over."""

    REQUESTED = "requested"  #: the host said end
    RECONNECT_WINDOW_CLOSED = "reconnect_window_closed"  #: the encoder did not come back
    MAX_DURATION = "max_duration"  #: the longest show was reached
    NO_MEDIA = "no_media"  #: live, and nobody ever sent a picture
    NEVER_WENT_LIVE = "never_went_live"  #: the green room stayed unused
    EXPIRED = "expired"  #: its time passed and nobody started it
    LOST = "lost"  #: LiveKit refused what the show cannot do without
    DELETED = "deleted"  #: the host deleted the session


class PlaybackState(StrEnum):
    """What a player would find at `hls_url`."""

    PENDING = "pending"  #: nothing to play yet
    READY = "ready"  #: at least two segments can be read through the public address
    STALLED = "stalled"  #: the newest segment is older than three target durations
    ENDED = "ended"  #: the playlist has its ENDLIST


class TakeState(StrEnum):
    """One run of the egress."""

    RESERVED = "reserved"  #: its number is ours; LiveKit may or may not have been asked
    ACTIVE = "active"  #: LiveKit told us its egress id
    ENDED = "ended"  #: it will write nothing more


class JobKind(StrEnum):
    """What a caller asked for."""

    START = "start"  #: open the green room
    GO_LIVE = "go_live"  #: go on air
    END = "end"  #: end the show


class JobStatus(StrEnum):
    """How far a caller's wish has come."""

    PENDING = "pending"  #: somebody is on it
    DONE = "done"  #: the session got there
    FAILED = "failed"  #: it cannot get there; `problem` says why
    SUPERSEDED = "superseded"  #: a later wish overtook it


class Verdict(StrEnum):
    """What became of a recording."""

    VERIFIED = "verified"  #: whole, and checked
    PARTIAL = "partial"  #: playable, and something is missing
    LOST = "lost"  #: nothing playable is left


# fmt: off
#: From each phase, the phases it may become. Terminal phases lead nowhere.
TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.SCHEDULED:         frozenset({Phase.PROVISIONING, Phase.ENDING}),
    Phase.PROVISIONING:      frozenset({Phase.OPEN, Phase.WAITING_FOR_MEDIA, Phase.SCHEDULED,
                                        Phase.ENDING}),
    Phase.OPEN:              frozenset({Phase.WAITING_FOR_MEDIA, Phase.SCHEDULED, Phase.ENDING}),
    Phase.WAITING_FOR_MEDIA: frozenset({Phase.LIVE, Phase.ENDING}),
    Phase.LIVE:              frozenset({Phase.RECONNECTING, Phase.ENDING}),
    Phase.RECONNECTING:      frozenset({Phase.LIVE, Phase.ENDING}),
    Phase.ENDING:            frozenset({Phase.ENDED, Phase.FAILED, Phase.EXPIRED}),
    Phase.ENDED:             frozenset(),
    Phase.FAILED:            frozenset(),
    Phase.EXPIRED:           frozenset(),
}
# fmt: on

#: Phases in which the audience is entitled to a picture.
ON_AIR: Final = frozenset({Phase.WAITING_FOR_MEDIA, Phase.LIVE, Phase.RECONNECTING})
#: Phases that nothing leaves.
OVER: Final = frozenset(phase for phase, nexts in TRANSITIONS.items() if not nexts)


def status_of(phase: Phase, *, was_on_air: bool) -> Status:
    """Say a phase in the contract's words; an ending show is what it was until it is over."""
    match phase:
        case Phase.SCHEDULED | Phase.PROVISIONING | Phase.OPEN:
            return Status.SCHEDULED
        case Phase.WAITING_FOR_MEDIA | Phase.LIVE | Phase.RECONNECTING:
            return Status.LIVE
        case Phase.ENDING:
            return Status.LIVE if was_on_air else Status.SCHEDULED
        case Phase.ENDED | Phase.FAILED:
            return Status.ENDED
        case Phase.EXPIRED:
            return Status.EXPIRED
        case _:
            assert_never(phase)


def last_phase(reason: EndReason | None) -> Phase:
    """Say in which terminal phase an ending for this reason arrives."""
    match reason:
        case EndReason.EXPIRED:
            return Phase.EXPIRED
        case EndReason.LOST:
            return Phase.FAILED
        case _:
            return Phase.ENDED


def may_become(before: Phase, after: Phase) -> bool:
    """Say whether the table allows the step; staying is always allowed."""
    return before is after or after in TRANSITIONS[before]

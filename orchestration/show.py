"""A show as one look sees it: frozen facts from the ledger, and nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, Protocol
from uuid import UUID

from orchestration import names
from orchestration.models import Session, Take
from orchestration.plane import Input
from orchestration.settings import Settings
from orchestration.states import EndReason, Phase, TakeState, Wanted

#: In which order wishes go: a later one includes the earlier ones, but `ended` undoes them all.
RANK: Final = {Wanted.PREPARED: 0, Wanted.OPEN: 1, Wanted.LIVE: 2, Wanted.ENDED: 3}


class Directed(Protocol):
    """What decides whose picture it is: a Show, or a session's row."""

    @property
    def host_id(self) -> UUID: ...
    @property
    def mode(self) -> str: ...
    @property
    def source(self) -> str | None: ...


@dataclass(frozen=True)
class TakeFacts:
    """One run of the egress, as written down."""

    number: int
    state: TakeState
    source: str
    egress_id: str | None
    asked_at: datetime | None
    started_at: datetime | None
    stopping_at: datetime | None
    ended_at: datetime | None
    newest_sequence: int | None
    newest_segment_at: datetime | None
    reason: str  #: why it was needed
    error: str | None  #: LiveKit's word for why it ended

    @property
    def is_current(self) -> bool:
        """Whether this is the take that should be running."""
        return self.state is not TakeState.ENDED and self.stopping_at is None

    @property
    def is_stopping(self) -> bool:
        return self.state is not TakeState.ENDED and self.stopping_at is not None


@dataclass(frozen=True)
class Show:
    """A session row and its takes at one moment of the database's clock."""

    id: UUID
    now: datetime
    room: str  #: the LiveKit room's name
    host_id: UUID
    title: str
    mode: str
    recording_enabled: bool
    wanted: Wanted
    wanted_version: int
    wanted_at: datetime | None
    reached_version: int
    end_reason: EndReason | None
    phase: Phase
    ingress_ids: dict[Input, str | None]
    key_number: int  #: of the newest stream keys
    scheduled_start_time: datetime | None
    go_live_at: datetime | None
    opened_at: datetime | None
    started_at: datetime | None
    media_at: datetime | None
    source: str | None
    source_since: datetime | None
    source_lost_at: datetime | None
    observed_at: datetime | None
    ending_at: datetime | None
    failures: int
    reconnect_window_seconds: int
    no_media_seconds: int
    max_duration_seconds: int
    has_playback: bool
    has_recording: bool
    takes: tuple[TakeFacts, ...]

    @property
    def is_reached(self) -> bool:
        """Whether the newest wish has been answered."""
        return self.reached_version >= self.wanted_version

    @property
    def take(self) -> TakeFacts | None:
        """The take that should be running."""
        return next((take for take in reversed(self.takes) if take.is_current), None)

    @property
    def barren_takes(self) -> tuple[TakeFacts, ...]:
        """Takes that ended without one segment, since the newest segment there is; newest first."""
        since = takewhile(lambda take: take.newest_sequence is None, reversed(self.takes))
        return tuple(take for take in since if take.state is TakeState.ENDED)

    def wants(self, least: Wanted) -> bool:
        """Whether the wish includes this one."""
        return self.wanted is not Wanted.ENDED and RANK[self.wanted] >= RANK[least]

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)


def show_of(
    session: Session,
    takes: list[Take],
    *,
    has_playback: bool,
    has_recording: bool,
    moment: datetime,
    settings: Settings,
) -> Show:
    """Freeze the rows of one session."""
    return Show(
        id=session.id,
        now=moment,
        room=names.room_name(settings.livekit_prefix, session.id),
        host_id=session.host_id,
        title=session.title,
        mode=session.mode,
        recording_enabled=session.recording_enabled,
        wanted=session.wanted,
        wanted_version=session.wanted_version,
        wanted_at=session.wanted_at,
        reached_version=session.reached_version,
        end_reason=session.end_reason,
        phase=session.phase,
        ingress_ids={Input.RTMP: session.rtmp_ingress_id, Input.WHIP: session.whip_ingress_id},
        key_number=session.key_number,
        scheduled_start_time=session.scheduled_start_time,
        go_live_at=session.go_live_at,
        opened_at=session.opened_at,
        started_at=session.started_at,
        media_at=session.media_at,
        source=session.source,
        source_since=session.source_since,
        source_lost_at=session.source_lost_at,
        observed_at=session.observed_at,
        ending_at=session.ending_at,
        failures=session.failures,
        reconnect_window_seconds=session.reconnect_window_seconds,
        no_media_seconds=session.no_media_seconds,
        max_duration_seconds=session.max_duration_seconds,
        has_playback=has_playback,
        has_recording=has_recording,
        takes=tuple(_facts_of(take) for take in sorted(takes, key=lambda take: take.number)),
    )


def _facts_of(take: Take) -> TakeFacts:
    return TakeFacts(
        number=take.number,
        state=take.state,
        source=take.source,
        egress_id=take.egress_id,
        asked_at=take.asked_at,
        started_at=take.started_at,
        stopping_at=take.stopping_at,
        ended_at=take.ended_at,
        newest_sequence=take.newest_sequence,
        newest_segment_at=take.newest_segment_at,
        reason=take.reason,
        error=take.error,
    )

"""Publish a show's one stable playlist from what its takes have written."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import aiohttp
import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration import events, leases, names, segments
from orchestration.database import now
from orchestration.models import Playback, Session, Take
from orchestration.playlists import (
    Segment,
    Window,
    extend,
    missing,
    render,
    render_full,
)
from orchestration.resources import Resources
from orchestration.states import PlaybackState, TakeState
from orchestration.storage import StorageUnavailable

log = structlog.get_logger(__name__)

#: A publishing takes milliseconds, and renews its lease when it takes longer: after an hour's
#: outage there are two thousand segments to look for. One that died is taken over soon.
LEASE_SECONDS: Final = 15
#: How soon the takes are read again: often while viewers wait for the first picture.
AGAIN_SECONDS: Final = {
    PlaybackState.PENDING: 0.3,
    PlaybackState.READY: 1.0,
    PlaybackState.STALLED: 0.5,
}
#: How soon after storage failed it is asked again: before a player has played what it has.
STUMBLED_SECONDS: Final = 1.0
#: A player can play from here on.
READY_SEGMENTS: Final = 2
#: No segment for so many target durations is a stall.
STALLED_TARGETS: Final = 3
#: Playlists change every segment; a viewer's cache may keep one for about a second.
PLAYLIST_CACHE: Final = "public, max-age=1"
PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"


@dataclass(frozen=True)
class _Found:
    """The rows as they were when the takes were read."""

    window: Window
    state: PlaybackState
    closing: bool
    newest_segment_at: datetime | None
    takes: tuple[tuple[int, bool], ...]  #: number, whether it may still write
    target_seconds: int


async def publish(session_id: UUID, resources: Resources) -> bool:
    """Bring one playlist up to date, if it is due; whether it is closed for good.

    Storage that does not answer is asked again in a moment: viewers have a few segments left.
    Raises DatabaseUnavailable: the row stays due.
    """
    lease = await leases.claim(
        resources.db, Playback, session_id, owner=resources.owner, seconds=LEASE_SECONDS
    )
    if lease is None:
        return False
    with structlog.contextvars.bound_contextvars(session_id=str(session_id)):
        try:
            async with leases.kept(
                resources.db, lease, seconds=LEASE_SECONDS, ending=resources.ending
            ):
                found = await _load(session_id, resources)
                try:
                    return await _publish(session_id, lease, found, resources)
                except StorageUnavailable as error:
                    log.warning("publishing_stumbled", error=str(error))
                    await _stumble(lease, found, resources)
                    return False
        except leases.LeaseLost:
            return False


async def _publish(
    session_id: UUID, lease: leases.Lease, found: _Found, resources: Resources
) -> bool:
    storage = resources.storage
    fresh: list[Segment] = []
    whole: list[tuple[Segment, ...]] = []
    for number, may_grow in found.takes:
        if found.closing:
            every = await segments.all_named(storage, session_id, number)
            # What was published once is known by its window, also when the egress died with it.
            every = _joined(every, found.window, number)
            whole.append(await segments.all_readable(storage, session_id, number, every))
            fresh += whole[-1]
        elif may_grow or number >= _newest_take(found.window):
            fresh += await _fresh(session_id, number, found.window, resources)
    window = extend(found.window, fresh, resources.settings.window_seconds)
    grew = _newest(window) != _newest(found.window)
    if found.closing:
        await storage.write(
            names.full_playlist_key(session_id),
            render_full(whole, target_duration_seconds=found.target_seconds).encode(),
            content_type=PLAYLIST_TYPE,
            cache_control=PLAYLIST_CACHE,
        )
    # An earlier claim that died may have saved its window without writing the file.
    if grew or found.closing or lease.attempts > 1:
        await _write(session_id, window, found, resources)
    playable = found.state is not PlaybackState.PENDING or await _is_playable(
        session_id, window, resources
    )
    return await _save(lease, window, found, resources, grew=grew, playable=playable)


async def _load(session_id: UUID, resources: Resources) -> _Found:
    columns: Any = Take  # SQLModel types columns as values
    async with resources.db.read() as tx:
        playback = await tx.get(Playback, session_id)
        assert playback is not None, "Bug: a claimed row exists"
        takes = (
            (
                await tx.execute(
                    select(Take).where(columns.session_id == session_id).order_by(columns.number)
                )
            )
            .scalars()
            .all()
        )
    return _Found(
        window=Window.from_json(playback.window),
        state=playback.state,
        closing=playback.closing,
        newest_segment_at=playback.newest_segment_at,
        takes=tuple((take.number, take.state is not TakeState.ENDED) for take in takes),
        target_seconds=resources.settings.target_seconds,
    )


async def _fresh(
    session_id: UUID, take: int, window: Window, resources: Resources
) -> tuple[Segment, ...]:
    """Read what a take has added; after a pause of ours, fill the hole from its full playlist."""
    listed = await segments.newest(resources.storage, session_id, take)
    if missing(window, listed):
        listed = await segments.all_named(resources.storage, session_id, take)
    known = _newest(window)
    new = tuple(s for s in listed if known is None or (s.take, s.sequence) > known)
    return await segments.readable(resources.storage, session_id, take, new)


async def _write(session_id: UUID, window: Window, found: _Found, resources: Resources) -> None:
    if not window.segments and not found.closing:
        return
    text = render(window, target_duration_seconds=found.target_seconds, ended=found.closing)
    await resources.storage.write(
        names.playlist_key(session_id),
        text.encode(),
        content_type=PLAYLIST_TYPE,
        cache_control=PLAYLIST_CACHE,
    )


async def _is_playable(session_id: UUID, window: Window, resources: Resources) -> bool:
    """Read the playlist and two segments as a player would, through the public address."""
    if len(window.segments) < READY_SEGMENTS:
        return False
    base = f"{resources.settings.hls_base}/{session_id}"
    addresses = [f"{base}/index.m3u8"] + [
        f"{base}/{segment.take}/{segment.uri}" for segment in window.segments[-READY_SEGMENTS:]
    ]
    try:
        for address in addresses:
            async with resources.http.get(address, headers={"Range": "bytes=0-1"}) as answer:
                if answer.status not in {200, 206}:
                    log.warning("playback_unreadable", address=address, status=answer.status)
                    return False
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("playback_unreadable", address=base, error=type(error).__name__)
        return False
    return True


async def _save(
    lease: leases.Lease,
    window: Window,
    found: _Found,
    resources: Resources,
    *,
    grew: bool,
    playable: bool,
) -> bool:
    """Write down what was published, and what a player finds now."""
    async with resources.db.begin() as tx:
        moment = await now(tx)
        playback, session = await leases.locked_with_session(tx, lease)
        if grew:
            playback.window = window.to_json()
            playback.newest_segment_at = moment
            playback.segments = window.media_sequence + len(window.segments)
            await _note_progress(tx, lease.id, window, moment)
        state = _next_state(playback, moment, found, playable=playable)
        await _become(tx, state, playback, session, moment)
        if grew:
            session.version += 1
        if found.closing:
            playback.closed_at = moment
            leases.give_back(playback, lease, moment, again_at=None)
            return True
        writing = any(may_grow for _, may_grow in found.takes)
        again = AGAIN_SECONDS[playback.state]
        busy = writing or playback.state is not PlaybackState.STALLED
        again_at = moment + timedelta(seconds=again) if found.takes and busy else None
        leases.give_back(playback, lease, moment, again_at=again_at)
    return False


async def _stumble(lease: leases.Lease, found: _Found, resources: Resources) -> None:
    """Give the row back in order, and say so when viewers have nothing left to play."""
    async with resources.db.begin() as tx:
        moment = await now(tx)
        playback, session = await leases.locked_with_session(tx, lease)
        if playback.state is PlaybackState.READY and _is_stale(playback, moment, found):
            await _become(tx, PlaybackState.STALLED, playback, session, moment)
        leases.give_back(
            playback, lease, moment, again_at=moment + timedelta(seconds=STUMBLED_SECONDS)
        )


async def _become(
    tx: AsyncSession,
    state: PlaybackState,
    playback: Playback,
    session: Session,
    moment: datetime,
) -> None:
    """Write down a change of state, count it, and let somebody look at a stall."""
    if state is playback.state:
        return
    playback.state, playback.since = state, moment
    await events.record(tx, session, f"playback.{state.value}", segments=playback.segments)
    _count(session, playback, moment)
    if state is PlaybackState.STALLED:
        # No progress may mean a dead egress: let somebody look.
        leases.nudge(session, moment)


def _next_state(
    playback: Playback, moment: datetime, found: _Found, *, playable: bool
) -> PlaybackState:
    if found.closing:
        return PlaybackState.ENDED
    if not playable:
        return PlaybackState.PENDING
    if _is_stale(playback, moment, found):
        return PlaybackState.STALLED
    return PlaybackState.READY


def _is_stale(playback: Playback, moment: datetime, found: _Found) -> bool:
    newest = playback.newest_segment_at
    limit = timedelta(seconds=STALLED_TARGETS * found.target_seconds)
    return newest is not None and moment - newest > limit


def _count(session: Session, playback: Playback, moment: datetime) -> None:
    match playback.state:
        case PlaybackState.READY if playback.ready_at is None:
            playback.ready_at = moment
            if session.go_live_at:
                seconds = (moment - session.go_live_at).total_seconds()
                metrics.TIME_TO_PLAYBACK.labels("go_live").observe(seconds)
                metrics.GO_LIVE_SECONDS.labels("playable").observe(seconds)
            if session.media_at:
                metrics.TIME_TO_PLAYBACK.labels("media").observe(
                    (moment - session.media_at).total_seconds()
                )
        case PlaybackState.STALLED:
            playback.stalls += 1
            metrics.PLAYBACK_STALLS.inc()
        case _:
            pass


async def _note_progress(tx: Any, session_id: UUID, window: Window, moment: datetime) -> None:
    """Write down per take that it lives: its newest segment, and when it was seen."""
    columns: Any = Take
    newest: dict[int, int] = {}
    for segment in window.segments:
        newest[segment.take] = max(segment.sequence, newest.get(segment.take, -1))
    takes = await tx.execute(
        select(Take).where(columns.session_id == session_id, columns.number.in_(newest))
    )
    for take in takes.scalars():
        if take.newest_sequence is None or newest[take.number] > take.newest_sequence:
            take.newest_sequence = newest[take.number]
            take.newest_segment_at = moment


def _joined(every: tuple[Segment, ...], window: Window, take: int) -> tuple[Segment, ...]:
    known = {segment.sequence: segment for segment in window.segments if segment.take == take}
    known |= {segment.sequence: segment for segment in every}
    return tuple(known[sequence] for sequence in sorted(known))


def _newest(window: Window) -> tuple[int, int] | None:
    last = window.segments[-1] if window.segments else None
    return None if last is None else (last.take, last.sequence)


def _newest_take(window: Window) -> int:
    return window.segments[-1].take if window.segments else 0

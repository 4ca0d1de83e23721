"""Compare what LiveKit lists with the ledger: three calls for all shows, a nudge per difference."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration import commands, names
from orchestration.database import now
from orchestration.models import Session, Take
from orchestration.parts import ingress as ingresses
from orchestration.parts.part import Glimpse
from orchestration.plane import EgressSeen, IngressSeen, PlaneError, RoomSeen
from orchestration.resources import Resources
from orchestration.states import OVER, Phase, TakeState, Wanted

log = structlog.get_logger(__name__)

#: What was just made or removed may be listed wrongly for a moment.
GRACE_SECONDS: Final = 10
#: Orphans must not hold up the comparison for long.
ORPHANS_MAX: Final = 20
#: One that does not go is tried again after this, then after twice as long, and so on: the status
#: of an egress whose worker died is ACTIVE for ever.
ORPHAN_SECONDS_FIRST: Final = 5
ORPHAN_SECONDS_MAX: Final = 300


@dataclass(frozen=True)
class Listed:
    """One snapshot of LiveKit; a hint like a webhook, never a proof."""

    rooms: dict[str, RoomSeen]
    ingresses: dict[str, list[IngressSeen]]  #: by room
    egresses: dict[str, list[EgressSeen]]  #: active ones, by room


@dataclass(frozen=True)
class _TakeRow:
    """What the ledger says of one take that is not over, or whose egress was asked to stop."""

    number: int
    egress_id: str | None
    is_running: bool


@dataclass(frozen=True)
class _Row:
    """What the ledger says of one session."""

    id: UUID
    room: str
    wanted: Wanted
    phase: Phase
    is_reached: bool
    is_over: bool
    settled: bool  #: nothing happened to it for a moment
    source: str | None
    ingress_ids: frozenset[str]
    takes: tuple[_TakeRow, ...]

    @property
    def egress_id(self) -> str | None:
        """The egress that should be running."""
        return next((take.egress_id for take in self.takes if take.is_running), None)


@dataclass
class World:
    """Remembers between two comparisons who was in which room, and which orphan did not go."""

    _inside: dict[str, int] = field(default_factory=dict)
    #: By room: since when, and until when it is left alone.
    _resting: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    async def compare(self, resources: Resources) -> Counter[str]:
        """Nudge the sessions that differ, remove what belongs to nobody any more.

        Raises PlaneError when a list could not be had: then nothing is concluded.
        """
        listed = await _listed(resources)
        rows, moment = await _rows(resources)
        drift: Counter[str] = Counter()
        nudged = []
        for row in rows:
            differs = list(self._differences(row, listed))
            drift.update(kind for kind in differs if kind in metrics.DRIFTS)
            if differs:
                nudged.append(row.id)
        self._inside = {name: room.participants for name, room in listed.rooms.items()}
        await _nudge(nudged, resources)
        drift += await self._orphans(rows, listed, moment, resources)
        metrics.measured(metrics.DRIFT, dict(drift))
        return drift

    def _differences(self, row: _Row, listed: Listed) -> list[str]:
        """Name what differs: kinds of drift, and reasons to look that are none."""
        if row.is_over or not row.settled:
            return []
        found = []
        there = {item.ingress_id: item for item in listed.ingresses.get(row.room, [])}
        if missing := row.ingress_ids - set(there):
            found += ["missing_ingress"] * len(missing)
        if set(there) - row.ingress_ids:
            found.append("surplus_ingress")
        if row.wanted is Wanted.PREPARED and row.room in listed.rooms:
            found.append("surplus_room")
        if row.wanted not in {Wanted.OPEN, Wanted.LIVE} or not row.is_reached:
            return found
        room = listed.rooms.get(row.room)
        if room is None:
            found.append("missing_room")
            if not there:
                found.append("ghost_session")
        elif room.participants != self._inside.get(row.room, room.participants):
            found.append("people_changed")
        found += _egresses_differ(row, listed.egresses.get(row.room, []))
        return found + self._media_differs(row, list(there.values()))

    def _media_differs(self, row: _Row, there: list[IngressSeen]) -> list[str]:
        """Say whether encoders came or went without a hint."""
        publishing = {item.identity for item in there if item.status == "publishing"}
        if row.phase in {Phase.WAITING_FOR_MEDIA, Phase.RECONNECTING} and publishing:
            return ["media_arrived"]
        encoders = {item.identity for item in there}
        if row.phase is Phase.LIVE and row.source in encoders - publishing:
            return ["media_lost"]
        return []

    async def _orphans(
        self, rows: list[_Row], listed: Listed, moment: datetime, resources: Resources
    ) -> Counter[str]:
        """Remove what shows that are over left at LiveKit; what no row knows is only counted.

        Another ledger may use the same prefix by mistake: its shows are not ours to end.
        """
        over = {row.room: row for row in rows if row.is_over and row.settled}
        known = {row.room for row in rows}
        drift: Counter[str] = Counter()
        prefix = resources.settings.livekit_prefix
        candidates = {
            *listed.rooms,
            *(name for name in listed.ingresses if name.startswith(prefix)),
            *(name for name in listed.egresses if name.startswith(prefix)),
        }
        removable = []
        for name in sorted(candidates):
            if name in known and name not in over:
                continue
            drift["orphan_room"] += name in listed.rooms
            drift["orphan_ingress"] += len(listed.ingresses.get(name, []))
            drift["orphan_egress"] += len(listed.egresses.get(name, []))
            if name in over and self._may_try(name, moment):
                removable.append(over[name])
        self._resting = {name: self._resting[name] for name in candidates & set(self._resting)}
        for row in removable[:ORPHANS_MAX]:
            self._rest(row.room, moment)
            await _remove(row, resources)
        return drift

    def _may_try(self, room: str, moment: datetime) -> bool:
        return room not in self._resting or moment >= self._resting[room][1]

    def _rest(self, room: str, moment: datetime) -> None:
        """Leave a room alone as long again as it has resisted."""
        since, _ = self._resting.get(room, (moment, moment))
        resisted = (moment - since).total_seconds()
        pause = min(max(resisted, ORPHAN_SECONDS_FIRST), ORPHAN_SECONDS_MAX)
        self._resting[room] = (since, moment + timedelta(seconds=pause))


def _egresses_differ(row: _Row, running: list[EgressSeen]) -> list[str]:
    """Say whether the one that should run does, and whether another one does."""
    found = []
    if row.egress_id is not None and all(item.egress_id != row.egress_id for item in running):
        found.append("missing_egress")
    if any(_is_surplus(row, item) for item in running):
        found.append("surplus_egress")
    return found


def _is_surplus(row: _Row, egress: EgressSeen) -> bool:
    """Whether an egress writes for a show that does not know it: a start that was obeyed late."""
    number = names.take_of_prefix(row.id, egress.prefix)
    if number is None or egress.status == "ending":
        return False
    take = next((take for take in row.takes if take.number == number), None)
    return take is None or take.egress_id not in {None, egress.egress_id}


async def _listed(resources: Resources) -> Listed:
    plane = resources.plane
    rooms, ingresses, egresses = await asyncio.gather(
        plane.list_rooms(), plane.list_ingress(), plane.list_egress(active=True)
    )
    prefix = resources.settings.livekit_prefix
    listed = Listed(
        rooms={room.name: room for room in rooms if room.name.startswith(prefix)},
        ingresses={},
        egresses={},
    )
    for ingress in ingresses:
        listed.ingresses.setdefault(ingress.room, []).append(ingress)
    for egress in egresses:
        listed.egresses.setdefault(egress.room, []).append(egress)
    return listed


async def _rows(resources: Resources) -> tuple[list[_Row], datetime]:
    session: Any = Session  # SQLModel types columns as values
    prefix = resources.settings.livekit_prefix
    async with resources.db.read() as tx:
        moment = await now(tx)
        over_since = moment - timedelta(days=1)
        sessions = (
            (
                await tx.execute(
                    select(Session).where(
                        session.ended_at.is_(None) | (session.ended_at > over_since)
                    )
                )
            )
            .scalars()
            .all()
        )
        takes = await _takes(tx)
    found = [
        _Row(
            id=row.id,
            room=names.room_name(prefix, row.id),
            wanted=row.wanted,
            phase=row.phase,
            is_reached=row.reached_version >= row.wanted_version,
            is_over=row.phase in OVER,
            settled=_is_settled(row, moment),
            source=row.source,
            ingress_ids=frozenset(
                item for item in (row.rtmp_ingress_id, row.whip_ingress_id) if item
            ),
            takes=tuple(takes.get(row.id, ())),
        )
        for row in sessions
    ]
    return found, moment


async def _takes(tx: AsyncSession) -> dict[UUID, list[_TakeRow]]:
    """Read what may have an egress at LiveKit, by show."""
    session: Any = Session  # SQLModel types columns as values
    take: Any = Take
    found: dict[UUID, list[_TakeRow]] = {}
    for row in await tx.execute(
        select(take.session_id, take.number, take.egress_id, take.state, take.stopping_at)
        .join(Session, session.id == take.session_id)
        .where(
            session.ended_at.is_(None),
            (take.state != TakeState.ENDED) | take.stopping_at.is_not(None),
        )
    ):
        is_running = row.state is TakeState.ACTIVE and row.stopping_at is None
        found.setdefault(row.session_id, []).append(_TakeRow(row.number, row.egress_id, is_running))
    return found


def _is_settled(row: Session, moment: datetime) -> bool:
    """Whether nobody is at it, and what its last change did has had the time to be listed."""
    if row.lease_owner is not None:
        return False
    since = row.phase_since or moment
    return row.phase not in OVER or moment - since > timedelta(seconds=GRACE_SECONDS)


async def _nudge(session_ids: list[UUID], resources: Resources) -> None:
    for session_id in session_ids:
        async with resources.db.begin() as tx:
            changed = await commands.nudge(tx, session_id)
        if changed:
            await resources.bell.ring("sessions", session_id)


async def _remove(row: _Row, resources: Resources) -> None:
    """Ask for this one thing again, and remove it: ingress before room."""
    plane = resources.plane
    seen = Glimpse(plane, row.room)
    steps: list[Callable[[], Awaitable[None]]] = [
        partial(plane.stop_egress, egress.egress_id)
        for egress in await seen.egresses()
        if not egress.is_over and names.take_of_prefix(row.id, egress.prefix) is not None
    ]
    steps += [partial(ingresses.close, item, plane) for item in await seen.ingresses()]
    if await plane.list_rooms([row.room]):
        steps.append(partial(plane.delete_room, row.room))
    for step in steps:
        try:
            await step()
        except PlaneError as error:
            log.warning("orphan_left", session_id=str(row.id), verb=error.verb, code=error.code)
    log.warning("orphan_removed", session_id=str(row.id))

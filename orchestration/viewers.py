"""Count who watches: LiveKit viewers from its lists, HLS viewers from their marks."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import case, select, update

from observability import metrics
from orchestration import names
from orchestration.database import now
from orchestration.models import Session
from orchestration.plane import ParticipantSeen
from orchestration.resources import Resources
from orchestration.states import Status

#: A room's people are asked for again after this, also when their number did not change.
PEOPLE_SECONDS: Final = 20


@dataclass(frozen=True)
class Audience:
    """Who watches one show now."""

    livekit: int
    hls: int


def livekit_viewers(host_id: UUID, people: Iterable[ParticipantSeen]) -> int:
    """Count the audience in a LiveKit room.

    Encoders, egresses, agents, monitors (hidden), recorders, the host and who is on stage are not.
    """
    hosts = names.host_identities(host_id)
    return sum(
        person.kind == "standard"
        and person.is_active
        and not person.is_hidden
        and not person.is_recorder
        and not person.is_publisher
        and person.identity not in hosts
        for person in people
    )


class Counting:
    """Counts all shows on air; remembers between two counts how many were in which room."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[int, int, float]] = {}  # participants, viewers, asked at

    async def count(self, resources: Resources) -> None:
        """Write down who watches which show now.

        Raises PlaneError when LiveKit does not list its rooms: the counts then become stale.
        """
        shows = await self._on_air(resources)
        if not shows:
            self._rooms.clear()
            metrics.measured(metrics.VIEWERS, {"livekit": 0, "hls": 0})
            return
        hls = await resources.marks.counts(show.id for show in shows)
        if hls is None:
            return
        rooms = {room.name: room.participants for room in await resources.plane.list_rooms()}
        audiences = {}
        for show in shows:
            name = names.room_name(resources.settings.livekit_prefix, show.id)
            inside = await self._inside(name, rooms.get(name, 0), show.host_id, resources)
            audiences[show.id] = Audience(livekit=inside, hls=hls[show.id])
        await self._write(audiences, resources)
        metrics.measured(
            metrics.VIEWERS,
            {
                "livekit": sum(audience.livekit for audience in audiences.values()),
                "hls": sum(audience.hls for audience in audiences.values()),
            },
        )

    async def _on_air(self, resources: Resources) -> list[Any]:
        columns: Any = Session
        async with resources.db.read() as tx:
            rows = await tx.execute(
                select(columns.id, columns.host_id).where(columns.status == Status.LIVE)
            )
            return list(rows)

    async def _inside(
        self, room: str, participants: int, host_id: UUID, resources: Resources
    ) -> int:
        """Ask for a room's people only when their number changed, or it was long ago."""
        known = self._rooms.get(room)
        moment = time.monotonic()
        if participants == 0:
            self._rooms.pop(room, None)
            return 0
        if known and known[0] == participants and moment - known[2] < PEOPLE_SECONDS:
            return known[1]
        people = await resources.plane.list_participants(room)
        viewers = livekit_viewers(host_id, people)
        self._rooms[room] = (participants, viewers, moment)
        return viewers

    async def _write(self, audiences: dict[UUID, Audience], resources: Resources) -> None:
        columns: Any = Session
        async with resources.db.begin() as tx:
            moment: datetime = await now(tx)
            for session_id in sorted(audiences):  # rows are locked in one order
                audience = audiences[session_id]
                total = audience.livekit + audience.hls
                changed = (columns.viewer_count != total) | (columns.viewers_hls != audience.hls)
                refreshed = moment - timedelta(seconds=10)
                await tx.execute(
                    update(Session)
                    .where(
                        columns.id == session_id,
                        columns.status == Status.LIVE,
                        # nothing changed and the freshness is known: no write
                        changed
                        | columns.viewers_as_of.is_(None)
                        | (columns.viewers_as_of < refreshed),
                    )
                    .values(
                        viewer_count=total,
                        viewers_livekit=audience.livekit,
                        viewers_hls=audience.hls,
                        max_viewers=_greatest(columns.max_viewers, total),
                        viewers_as_of=moment,
                        version=columns.version + 1,
                    )
                    .execution_options(synchronize_session=False)
                )


def _greatest(column: Any, value: int) -> Any:
    return case((column < value, value), else_=column)

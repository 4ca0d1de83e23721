"""Look at every show that somebody watches over from this process, all together, once a second."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from api import stream_health
from api.backstage import Backstage, read_backstage
from api.problems import Problem
from orchestration.database import DatabaseUnavailable
from orchestration.health import Arriving
from orchestration.models import Session
from orchestration.playlists import Segment
from orchestration.resources import Resources
from orchestration.states import ON_AIR, Phase

log = structlog.get_logger(__name__)

#: How far a stream may trail the ledger; one query a second, however many streams there are.
POLL_SECONDS: Final = 1.0
#: LiveKit is asked about a watched show this often, and only while it is open.
ASK_SECONDS: Final = 3.0
#: Shows that LiveKit is asked about at the same moment.
ASKED_AT_ONCE: Final = 8
#: Several pages on several screens; more are a loop gone wrong.
STREAMS_PER_CALLER: Final = 16
#: How soon a page that was turned away may come again.
RETRY_SECONDS: Final = 5
#: While these last, something can arrive at LiveKit.
OPEN: Final = ON_AIR | {Phase.OPEN}


@dataclass(eq=False)
class Watched:
    """One show that at least one stream is about, as it was a moment ago."""

    session_id: UUID
    streams: int = 0
    #: None until it was read for the first time, and when it is not there any more.
    backstage: Backstage | None = None
    version: int = -1
    seq: int = 0
    arriving: Arriving = field(default_factory=Arriving)
    #: The newest segment whose size is known, and the size.
    weighed: tuple[Segment | None, int | None] = (None, None)
    asked_at: float = -ASK_SECONDS
    asking: asyncio.Task[None] | None = None


class Feeds:
    """One per application: begins with its first stream; without streams it asks nobody."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._watched: dict[UUID, Watched] = {}
        self._callers: Counter[UUID] = Counter()
        self._polling: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._looked = asyncio.Event()
        self._asked = asyncio.Semaphore(ASKED_AT_ONCE)
        self.is_closed = False

    @asynccontextmanager
    async def watching(self, session_id: UUID, user_id: UUID) -> AsyncIterator[Watched]:
        """Watch a show while the block runs. Raises Problem too-many-streams, rate-limited."""
        with self._counted(user_id):
            watched = self._watched.setdefault(session_id, Watched(session_id))
            watched.streams += 1
            if self._polling is None or self._polling.done():
                self._polling = asyncio.create_task(self._poll(), name="feeds")
            self._hurry.set()
            try:
                yield watched
            finally:
                watched.streams -= 1
                if watched.streams == 0 and self._watched.get(session_id) is watched:
                    del self._watched[session_id]
                    if watched.asking is not None:
                        watched.asking.cancel()

    async def look(self, *, seconds: float) -> bool:
        """Wait until the shows were looked at again, at most so long; whether they were."""
        looked = self._looked
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await looked.wait()
        return False

    async def close(self, _: web.Application | None = None) -> None:
        """Let every stream end: their readers come back to another process."""
        self.is_closed = True
        self._tell()
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
            self._polling = None

    @contextmanager
    def _counted(self, user_id: UUID) -> Iterator[None]:
        if self.is_closed or self._callers.total() >= self._resources.settings.event_streams_max:
            raise Problem("too-many-streams", retry_after=RETRY_SECONDS)
        if self._callers[user_id] >= STREAMS_PER_CALLER:
            detail = f"You have {STREAMS_PER_CALLER} event streams open already; close one."
            raise Problem("rate-limited", detail, retry_after=RETRY_SECONDS)
        self._callers[user_id] += 1
        try:
            yield
        finally:
            self._callers[user_id] -= 1
            if not self._callers[user_id]:
                del self._callers[user_id]

    async def _poll(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._hurry.wait()
            self._hurry.clear()
            if not self._watched:
                continue
            try:
                await self._read()
            except DatabaseUnavailable:
                # The streams stay open and silent: their readers see the show when it is back.
                log.warning("feeds_without_database")
                continue
            except Exception:
                # One bad look must not silence every stream for good.
                log.exception("feeds_failed")
                continue
            for watched in list(self._watched.values()):
                self._ask(watched)
            self._tell()

    def _tell(self) -> None:
        """Wake every stream."""
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    async def _read(self) -> None:
        """Read what changed: one query to see that, and a few more for those that did."""
        watched = dict(self._watched)
        async with self._resources.db.read() as tx:
            rows = await tx.execute(
                select(col(Session.id), col(Session.version)).where(col(Session.id).in_(watched))
            )
            versions = {row.id: row.version for row in rows}
            changed = [one for one in watched if versions.get(one) != watched[one].version]
            found = await read_backstage(tx, changed) if changed else {}
        for session_id in changed:
            one, backstage = watched[session_id], found.get(session_id)
            one.backstage = backstage
            one.version = -1 if backstage is None else backstage.row.session.version
            one.seq = one.seq if backstage is None else backstage.row.session.event_seq

    def _ask(self, watched: Watched) -> None:
        """Ask LiveKit about an open show now and then, without holding up anybody."""
        backstage = watched.backstage
        if backstage is None or backstage.row.session.phase not in OPEN:
            watched.arriving = Arriving()
            return
        is_asking = watched.asking is not None and not watched.asking.done()
        if is_asking or monotonic() - watched.asked_at < ASK_SECONDS:
            return
        watched.asked_at = monotonic()
        watched.asking = asyncio.create_task(self._ask_now(watched), name="feeds-ask")

    async def _ask_now(self, watched: Watched) -> None:
        async with self._asked:
            watched.arriving = await stream_health.ask(watched.session_id, self._resources)
            backstage = watched.backstage
            newest = stream_health.newest_of(backstage.row.playback) if backstage else None
            if newest != watched.weighed[0]:
                storage = self._resources.storage
                size = await stream_health.size_of(watched.session_id, newest, storage)
                watched.weighed = (newest, size)
        self._hurry.set()


FEEDS: Final = web.AppKey("feeds", Feeds)

"""Viewers' marks: a signed mark per HLS viewer, collected here and counted in Redis."""

import asyncio
import base64
import hashlib
import hmac
import secrets as chance
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from observability import metrics
from orchestration.secrets import Secrets
from orchestration.settings import Settings

log = structlog.get_logger(__name__)

#: Marks are collected in the process and written together: one pipeline a second.
FLUSH_SECONDS: Final = 1.0
#: A viewer beats every 10 s; three missed beats are a viewer who left.
MARK_SECONDS: Final = 35
#: A set nobody beats into any more goes by itself.
SET_SECONDS: Final = 300
#: Viewers of all shows between two flushes; beyond it new ones wait for the next beat.
PENDING_MAX: Final = 200_000
#: Redis answers in a millisecond, or the marks wait for the next flush.
REDIS_SECONDS: Final = 2.0
_SIGNATURE_BYTES: Final = 16
_ID_BYTES: Final = 16


class Marks:
    """Viewers' marks: who beats is known by a signed mark, and counted for 35 s.

    `new` and `seen` are called for every heartbeat: no I/O, about two microseconds.
    """

    def __init__(self, client: "redis.asyncio.Redis", key: bytes) -> None:
        self._client = client
        self._key = key
        self._pending: dict[UUID, dict[bytes, float]] = defaultdict(dict)
        self._count = 0

    def new(self, session_id: UUID) -> str:
        """Make a mark for a viewer of this session."""
        viewer = chance.token_bytes(_ID_BYTES)
        signed = viewer + self._signature(session_id, viewer)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def seen(self, session_id: UUID, mark: str) -> bool:
        """Note that this viewer watches now; False for a mark that is not ours."""
        viewer = self._viewer_of(session_id, mark)
        if viewer is None:
            return False
        waiting = self._pending[session_id]
        if viewer not in waiting:
            if self._count >= PENDING_MAX:
                return True
            self._count += 1
        waiting[viewer] = time.time()
        return True

    async def flush(self) -> None:
        """Write what was collected; what Redis does not take is lost until the next beats."""
        if not self._pending:
            return
        collected, self._pending, self._count = self._pending, defaultdict(dict), 0
        try:
            ahead = await self._now() - time.time()
            async with self._client.pipeline(transaction=False) as pipe:
                for session_id, viewers in collected.items():
                    key = marks_key(session_id)
                    pipe.zadd(key, {viewer: at + ahead for viewer, at in viewers.items()})
                    pipe.expire(key, SET_SECONDS)
                await pipe.execute()
        except (redis.RedisError, OSError, TimeoutError) as error:
            lost = sum(len(viewers) for viewers in collected.values())
            metrics.MARKS_LOST.inc(lost)
            metrics.REDIS_UP.labels("marks").set(0)
            log.warning("marks_lost", marks=lost, error=type(error).__name__)

    async def counts(self, session_ids: Iterable[UUID]) -> dict[UUID, int] | None:
        """Count each session's HLS viewers; None when Redis does not answer."""
        ids = list(session_ids)
        if not ids:
            return {}
        try:
            oldest = await self._now() - MARK_SECONDS
            async with self._client.pipeline(transaction=False) as pipe:
                for session_id in ids:
                    pipe.zremrangebyscore(marks_key(session_id), "-inf", oldest)
                    pipe.zcard(marks_key(session_id))
                answers = await pipe.execute()
        except (redis.RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_UP.labels("marks").set(0)
            log.warning("marks_unread", error=type(error).__name__)
            return None
        metrics.REDIS_UP.labels("marks").set(1)
        return dict(zip(ids, answers[1::2], strict=True))

    async def _now(self) -> float:
        """Ask Redis for the time: those who write marks and those who count have other clocks."""
        seconds, microseconds = await self._client.time()
        return float(seconds) + float(microseconds) / 1e6

    def _viewer_of(self, session_id: UUID, mark: str) -> bytes | None:
        try:
            signed = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
        except ValueError:
            return None
        viewer, signature = signed[:_ID_BYTES], signed[_ID_BYTES:]
        if not hmac.compare_digest(signature, self._signature(session_id, viewer)):
            return None
        return viewer

    def _signature(self, session_id: UUID, viewer: bytes) -> bytes:
        signed = hashlib.blake2b(session_id.bytes, key=self._key, digest_size=_SIGNATURE_BYTES)
        signed.update(viewer)
        return signed.digest()


@asynccontextmanager
async def open_marks(
    settings: Settings, secrets: Secrets, *, flushes: bool
) -> AsyncIterator[Marks]:
    """Open the whiteboard; a process that takes heartbeats flushes them once a second."""
    client = redis.asyncio.Redis.from_pool(pool_of(settings.redis_url))
    marks = Marks(client, secrets.mark_key)

    async def keep_flushing() -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await marks.flush()

    flushing = asyncio.create_task(keep_flushing()) if flushes else None
    try:
        yield marks
    finally:
        if flushing is not None:
            flushing.cancel()
            with suppress(asyncio.CancelledError):
                await flushing
            await marks.flush()
        await client.aclose()


def pool_of(redis_url: str) -> redis.asyncio.ConnectionPool:
    """Connect to the database after the queue's: the queue's maintenance must not meet marks."""
    pool = redis.asyncio.ConnectionPool.from_url(
        redis_url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    pool.connection_kwargs["db"] = int(pool.connection_kwargs.get("db") or 0) + 1
    return pool


def marks_key(session_id: UUID) -> str:
    """Key of a sorted set: 16 bytes of chance per viewer -> when last seen, in Unix time."""
    return f"greenroom:viewers:{session_id}"

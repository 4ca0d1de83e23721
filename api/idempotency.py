"""Recognise a repeated POST by its Idempotency-Key, and give it the first one's answer."""

import hashlib
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
from aiohttp import web
from sqlalchemy import CursorResult, delete, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.answers import encode
from api.problems import Problem
from api.routes import Answer, Caller, Replay, Route
from orchestration.database import Database
from orchestration.models import IdempotencyKey

#: A client that gave up a day ago does not come back for its answer.
KEPT: Final = timedelta(hours=24)
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class Replayed(Exception):  # not an error: the answer is there already
    """The request was carried out before; this is what it was answered."""

    def __init__(self, status: int, data: Any, location: str | None) -> None:
        super().__init__(status)
        self.status = status
        self.data = data
        self.location = location


@dataclass(slots=True)
class Claim:
    """One request's key (or none), from its claim to what is kept under it.

    The key's row is written in the transaction that carries the request out, so that both happen or
    neither: there is no key without its effect and no effect without its key.
    """

    db: Database
    replay: Replay
    scope: str
    #: None when the request sent no key: then nothing is looked up or kept.
    key: str | None
    fingerprint: str
    #: Keys this process is carrying out, shared by all requests.
    in_flight: set[tuple[str, str]]
    kept: dict[str, Any] | None = None
    kept_job: uuid.UUID | None = None
    _is_kept: bool = field(default=False)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open the request's transaction. Raises Replayed, or Problem for a key used otherwise."""
        if self.key is None or self.replay in {Replay.NONE, Replay.HARMLESS}:
            async with self.db.begin() as tx:
                yield tx
            return
        mine = (self.scope, self.key)
        # A job is attached to while it is in flight; every other request is waited for by its
        # sender, not by us.
        if self.replay is not Replay.JOB:
            if mine in self.in_flight:
                raise Problem("idempotency-in-progress", retry_after=1)
            self.in_flight.add(mine)
        try:
            async with self.db.begin() as tx:
                await self._claim(tx, self.key)
                yield tx
                assert self._is_kept, "Bug: a request with a key kept nothing under it"
        finally:
            if self.replay is not Replay.JOB:
                self.in_flight.discard(mine)

    async def keep(self, tx: AsyncSession, answer: Answer) -> None:
        """Keep an answer; of one with a secret only that it was given."""
        if self.replay is Replay.STORE:
            body = {
                "data": orjson.loads(encode(answer.data)),
                "location": answer.headers.get("Location"),
            }
            await self._write(tx, body=body, status=answer.status)
        else:
            await self._write(tx, status=answer.status)

    async def keep_ids(self, tx: AsyncSession, ids: dict[str, Any]) -> None:
        """Keep what the answer can be built from again."""
        await self._write(tx, body={name: str(value) for name, value in ids.items()})

    async def keep_job(self, tx: AsyncSession, job_id: uuid.UUID) -> None:
        """Keep the job that a repetition is given, too."""
        await self._write(tx, job_id=job_id)

    async def _claim(self, tx: AsyncSession, key: str) -> None:
        """Write the key's row, or read what the first request wrote."""
        now = datetime.now(UTC)
        if not self.db.is_sqlite and self.replay is not Replay.JOB:
            # Another process may be carrying it out: its transaction holds this lock.
            number = int.from_bytes(
                hashlib.blake2b(f"{self.scope} {key}".encode(), digest_size=8).digest(),
                signed=True,
            )
            lock = text("SELECT pg_try_advisory_xact_lock(:number)").bindparams(number=number)
            if not (await tx.execute(lock)).scalar_one():
                raise Problem("idempotency-in-progress", retry_after=1)
        here = (col(IdempotencyKey.scope) == self.scope, col(IdempotencyKey.key) == key)
        await tx.execute(delete(IdempotencyKey).where(*here, col(IdempotencyKey.expires_at) < now))
        first = await self._insert(tx, key, now)
        if first:
            return
        row = (await tx.execute(select(IdempotencyKey).where(*here))).scalar_one()
        if row.fingerprint != self.fingerprint:
            raise Problem("idempotency-key-reused")
        self._is_kept = True
        match self.replay:
            case Replay.STORE:
                assert row.body is not None, "Bug: an answer to be stored was not"
                # .get: rows of an older version have no location.
                raise Replayed(row.status or 200, row.body["data"], row.body.get("location"))
            case Replay.REBUILD:
                self.kept = row.body
            case Replay.JOB:
                self.kept_job = row.job_id
            case _:
                raise Problem("idempotency-answer-not-kept")

    async def _insert(self, tx: AsyncSession, key: str, now: datetime) -> bool:
        """Say whether the key is new. On PostgreSQL this waits for a transaction that has it."""
        values = {
            "scope": self.scope,
            "key": key,
            "fingerprint": self.fingerprint,
            "created_at": now,
            "expires_at": now + KEPT,
        }
        dialect = sqlite if self.db.is_sqlite else postgresql
        statement = cast("Any", dialect).insert(IdempotencyKey).values(values)
        done = await tx.execute(statement.on_conflict_do_nothing())
        return bool(cast("CursorResult[Any]", done).rowcount)

    async def _write(self, tx: AsyncSession, **columns: Any) -> None:
        self._is_kept = True
        if self.key is None:
            return
        await tx.execute(
            update(IdempotencyKey)
            .where(col(IdempotencyKey.scope) == self.scope, col(IdempotencyKey.key) == self.key)
            .values(done_at=datetime.now(UTC), **columns)
        )


def key_of(request: web.Request) -> str | None:
    """Read the header. Raises Problem idempotency-key-invalid (400)."""
    given = request.headers.getall("Idempotency-Key", None)
    if given is None:
        return None
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise Problem("idempotency-key-invalid")
    return given[0]


def scope_of(caller: Caller | None, address: str) -> str:
    """Keep organizations' keys apart, and those of strangers at different addresses."""
    if caller is not None:
        return str(caller.organization_id)
    return f"public {hashlib.blake2b(address.encode(), digest_size=16).hexdigest()}"


def fingerprint_of(route: Route, path: str, caller: Caller | None, body: Any) -> str:
    """Name what was asked: method, path, caller and body, however the body was spelled."""
    who = str(caller.user.id) if caller is not None else ""
    said = json.dumps(body, sort_keys=True)
    return hashlib.sha256(f"{route.method}\n{path}\n{who}\n{said}".encode()).hexdigest()

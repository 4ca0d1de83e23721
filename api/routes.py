"""What a route is: Route, who may call it, what a repetition gets, and what a handler is given.

A resource module ends with its lines of the table:

    ROUTES = (
        Route("POST", "/rooms", create_room, Who.HOST, "Create a room", body=CreateRoomRequest,
              answer=CreatedRoom, status=201, replay=Replay.STORE, problems=("quota-exceeded",)),
        Route("GET", "/rooms/{id}", get_room, Who.PUBLIC, "Read a room", answer=RoomResponse,
              problems=("room-not-found",), is_cached=True),
    )

and a handler is `async def create_room(call: Call) -> Answer`. Everything a line says is done
before the handler runs: authentication, role, ids in the path, query, body; what every route can
answer (400, 401, 415, 422, 429 ...) need not be listed in `problems`.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from api.cors import NO_PAGES, Cors
from api.problems import Problem
from orchestration.models import User
from orchestration.resources import Resources


class Who(StrEnum):
    """Who may call a route; whose thing it is, the handler asks api/access.py."""

    STRANGER = "stranger"  #: everybody; credentials are not even looked at
    PUBLIC = "public"  #: everybody; credentials are looked at if they are sent
    ANY = "any"  #: every caller with valid credentials
    HOST = "host"  #: callers whose role is host


class Replay(StrEnum):
    """What a POST that repeats an Idempotency-Key gets."""

    NONE = "none"  #: not a POST: methods that are idempotent by themselves
    HARMLESS = "harmless"  #: carried out again, which changes nothing; the key is not kept
    STORE = "store"  #: the stored answer, with `Idempotency-Replayed: true`
    REBUILD = "rebuild"  #: the answer carries secrets: the handler builds it anew from kept ids
    ONCE = "once"  #: the answer carries a secret shown once: 409 says so
    JOB = "job"  #: the same job, also while it is in flight


class Speaks(StrEnum):
    """What a route answers in."""

    JSON = "json"  #: our envelope; strict about body and Accept
    RAW = "raw"  #: pages, media, webhooks: the handler returns a web.StreamResponse


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user whose credentials were verified."""

    user: User
    organization_id: uuid.UUID
    role: str
    #: A suspended organization may read, and change nothing: the door sees to that.
    is_suspended: bool = False

    @property
    def is_host(self) -> bool:
        return self.role == "host"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back; app.py puts it into the envelope.

    `data` is a dict, list, pydantic model or None. `version` is the row's version when the answer
    is one thing: then it gets an ETag, and If-None-Match is obeyed. `is_bare` sends no body (204).
    """

    data: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    version: int | None = None
    is_bare: bool = False


Handler = Callable[["Call"], Awaitable[Answer | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=False)
class Route:
    """One line of ROUTES; OpenAPI is made from it, and so is what is served."""

    method: str
    #: `/rooms/{id}`: parameters called `id` or `..._id` are UUIDs, others are words.
    path: str
    handler: Handler
    who: Who
    summary: str
    #: What the body must be; None takes no body.
    body: type[BaseModel] | None = None
    #: Whether a body may be left out although the route takes one.
    is_body_optional: bool = False
    #: The shape of `data`; None is an answer whose data is null.
    answer: Any = None
    status: int = 200
    #: Slugs this route can answer beyond what every route can.
    problems: tuple[str, ...] = ()
    replay: Replay = Replay.NONE
    #: Which query parameters there are; None takes none.
    query: type[BaseModel] | None = None
    speaks: Speaks = Speaks.JSON
    #: Answers to callers without credentials may be up to a second old.
    is_cached: bool = False
    #: Whether calls count against the rate limit (cached answers never do).
    is_limited: bool = True
    #: Whether pages of any origin may read the answer (never with credentials).
    is_open: bool = False
    #: Largest body in bytes; None is settings.body_bytes_max.
    body_bytes_max: int | None = None
    tag: str = ""
    description: str = ""
    #: Content type of a RAW answer, for OpenAPI.
    content_type: str = ""
    #: Whether the route is listed in OpenAPI.
    is_listed: bool = True
    #: Other statuses with which it can succeed: status -> shape of `data`, e.g. {202: JobAnswer}.
    also: Mapping[int, Any] = field(default_factory=dict)
    #: OpenAPI links beyond those that follow from the answer's shape (see openapi.py):
    #: name -> (operation id, {parameter: runtime expression}).
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The operation's id in OpenAPI and in links: the handler's name."""
        return str(getattr(self.handler, "__name__", "handler"))


class Key(Protocol):
    """The request's Idempotency-Key, if it sent one; api/idempotency.py has the real one."""

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]: ...

    #: Replay.REBUILD: what the first request kept, or None when this is the first.
    kept: dict[str, Any] | None
    #: Replay.JOB: the first request's job, or None when this is the first.
    kept_job: uuid.UUID | None

    async def keep(self, tx: AsyncSession, answer: Answer) -> None: ...
    async def keep_ids(self, tx: AsyncSession, ids: dict[str, Any]) -> None: ...
    async def keep_job(self, tx: AsyncSession, job_id: uuid.UUID) -> None: ...


@dataclass(slots=True)
class Call:
    """One request, read and checked.

    `ids` are the path's UUIDs by name, `words` its other parameters; `body` and `query` are objects
    of the route's models; `caller` is None only on PUBLIC routes. `prefer_wait` is the caller's
    patience in seconds (Prefer: wait=N, respond-async is 0), None when nothing was said.
    """

    resources: Resources
    request: web.Request
    route: Route
    request_id: str
    maybe_caller: Caller | None = None
    ids: dict[str, uuid.UUID] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: Any = None
    prefer_wait: float | None = None
    key: Key = field(default=None)  # type: ignore[assignment]  # set before any handler runs
    #: For answers that a handler begins itself: nobody can add to them afterwards.
    cors: Cors = NO_PAGES

    @property
    def caller(self) -> Caller:
        """The caller of a route that has one. On PUBLIC routes use `maybe_caller`."""
        assert self.maybe_caller is not None, "a PUBLIC route asked for its caller"
        return self.maybe_caller

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open the transaction that carries out a POST; its Idempotency-Key is claimed in it.

        Replay.STORE, ONCE: inside, build the answer and `return await call.keep(tx, answer)`; a
            repetition never gets here (the stored answer, or 409, is given instead).
        Replay.REBUILD: `if call.key.kept` is a dict, do nothing again, only build the answer from
            it; else do it, and `await call.key.keep_ids(tx, {"session_id": ...})`.
        Replay.JOB: `if call.key.kept_job` is set, take that job; else make the wish, and
            `await call.key.keep_job(tx, job.id)`.
        All of these do nothing when no key was sent. Ring after the block, not inside.
        """
        async with self.key.begin() as tx:
            yield tx

    async def keep(self, tx: AsyncSession, answer: Answer) -> Answer:
        """Store the answer under the request's key, in the transaction that made it true."""
        await self.key.keep(tx, answer)
        return answer

    def match(self, version: int) -> None:
        """Hold If-Match against the row's version. Raises Problem version-mismatch (412)."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return
        for tag in wanted.split(","):
            # `W/` is allowed: our tags name a version, not bytes.
            word = tag.strip().removeprefix("W/").strip('"')
            if word.partition("-")[0] == str(version):
                return
        raise Problem("version-mismatch")

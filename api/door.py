"""Take one request through everything its line of ROUTES says, and its answer back out."""

import re
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from multidict import istr
from pydantic import ValidationError

from api import bodies, problems
from api.answers import JSON, encode, envelope, etag_of, is_known
from api.auth import CHALLENGE, Doorkeeper
from api.cache import Cache, Kept, Serve, may_be_kept
from api.cors import Cors
from api.idempotency import Claim, Replayed, fingerprint_of, key_of, scope_of
from api.limits import Limit, address_of
from api.problems import Problem
from api.routes import Answer, Call, Caller, Route, Speaks, Who
from api.shapes.common import is_id
from observability import logs
from observability.http import REQUEST_ID, request_id_of
from orchestration.commands import Rejected
from orchestration.database import DatabaseUnavailable
from orchestration.resources import Resources

#: Nobody's HTTP client waits longer for one answer.
PREFER_WAIT_SECONDS_MAX: Final = 60
#: How soon to ask again when the database did not answer.
DATABASE_RETRY_SECONDS: Final = 2
#: Methods that change nothing.
_READS: Final = frozenset({"GET", "HEAD"})
_ACCEPT: Final = istr("Accept")
_IF_NONE_MATCH: Final = istr("If-None-Match")
_WAIT: Final = re.compile(r"wait=\"?([0-9]{1,5})\"?", re.ASCII)
#: Answers after which the rest of the request is not worth reading.
_CLOSING: Final = frozenset({"payload-too-large", "request-timeout", "bad-request"})


@dataclass(slots=True)
class Door:
    """What all requests of a process share on their way in."""

    resources: Resources
    doorkeeper: Doorkeeper
    limit: Limit
    cors: Cors
    #: Idempotency keys being carried out.
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    base_path: str = ""
    #: Public answers of the last second, by path and query.
    kept: OrderedDict[str, Kept] = field(default_factory=OrderedDict)

    def serve(self, route: Route) -> Serve:
        """Make the aiohttp handler of a route."""

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                response = await self._enter(route, request)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                response = self.refuse(request, problem)
            self.cors.open(request, response, is_open=route.is_open)
            return response

        return Cache(serve, self.kept).answer if route.is_cached else serve

    def refuse(self, request: web.BaseRequest, problem: Problem) -> web.Response:
        """Say a problem; the connection ends with it when the request was not read whole."""
        logs.bind(problem=problem.slug)
        response = problems.response(problem, id_of(request), self.base_path)
        if problem.slug in _CLOSING:
            response.force_close()
        return response

    async def _enter(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Check what the line says, top to bottom; then let the handler answer."""
        is_json = route.speaks is Speaks.JSON
        if is_json:
            _check_accept(request)
        caller = await self._admit(route, request)
        call = Call(
            resources=self.resources,
            request=request,
            route=route,
            request_id=id_of(request),
            maybe_caller=caller,
            cors=self.cors,
        )
        _read_path(call)
        _read_query(call)
        said = await self._read_body(call) if is_json else None
        if is_json and route.method == "POST":
            call.prefer_wait = _patience_of(request)
        call.key = self._claim(call, said)
        try:
            answer = await route.handler(call)
        except Replayed as replayed:
            headers = {"Idempotency-Replayed": "true"}
            if replayed.location is not None:
                headers["Location"] = replayed.location
            answer = Answer(replayed.data, status=replayed.status, headers=headers)
        if isinstance(answer, web.StreamResponse):
            return answer
        return _respond(call, answer)

    async def _admit(self, route: Route, request: web.Request) -> Caller | None:
        """Say who asks, and whether they may. Raises Problem 401, 403 or 429."""
        address = address_of(request, self.resources.settings)
        is_raw = route.speaks is Speaks.RAW and route.who is Who.PUBLIC
        if is_raw or route.who is Who.STRANGER:
            if route.is_limited:
                self.limit.take(address)
            return None
        try:
            caller = await self.doorkeeper.caller_of(request)
        except Problem:
            self.limit.take(address)
            raise
        if caller is not None:
            # Who was let in, and who was refused what: the request's line tells.
            logs.bind(user_id=str(caller.user.id), organization_id=str(caller.organization_id))
        if route.is_limited:
            self.limit.take(str(caller.user.id) if caller is not None else address)
        if caller is None:
            if route.who is not Who.PUBLIC:
                raise Problem("unauthenticated", headers={"WWW-Authenticate": CHALLENGE})
            return None
        if route.who is Who.HOST and not caller.is_host:
            raise Problem("insufficient-scope", "Only hosts may do this.")
        if caller.is_suspended and route.method not in _READS:
            raise Problem("tenant-suspended")
        return caller

    async def _read_body(self, call: Call) -> Any:
        """Read the body into `call.body`; give what it said, for the Idempotency-Key."""
        route, request = call.route, call.request
        if route.method in _READS:
            return None
        bytes_max = route.body_bytes_max or self.resources.settings.body_bytes_max
        if route.body is None or (route.is_body_optional and not request.can_read_body):
            await bodies.read_nothing(request, bytes_max=bytes_max)
            return None
        said = await bodies.read_json(request, bytes_max=bytes_max)
        call.body = bodies.validated(route.body, said)
        return said

    def _claim(self, call: Call, said: Any) -> Claim:
        route, request, caller = call.route, call.request, call.maybe_caller
        key = key_of(request) if route.method == "POST" else None
        if key is None:
            return Claim(self.resources.db, route.replay, "", None, "", self.in_flight)
        address = address_of(request, self.resources.settings)
        return Claim(
            db=self.resources.db,
            replay=route.replay,
            scope=scope_of(caller, address),
            key=key,
            fingerprint=fingerprint_of(route, request.path, caller, said),
            in_flight=self.in_flight,
        )


def problem_of(error: Exception) -> Problem | None:
    """Say an error as a problem; None when it is one that nobody expected."""
    match error:
        case Problem():
            return error
        case Rejected():
            return Problem(error.slug, error.detail, **error.facts)
        case DatabaseUnavailable():
            return Problem("service-unavailable", retry_after=DATABASE_RETRY_SECONDS)
        case web.HTTPException():
            return problems.of_status(error)
        case _:
            return None


def id_of(request: web.BaseRequest) -> str:
    """Give the request's id; its middleware has made one, unless the request was unreadable."""
    if isinstance(request, web.Request) and REQUEST_ID not in request:
        request[REQUEST_ID] = request_id_of(request)
    return request[REQUEST_ID] if isinstance(request, web.Request) else ""


def _respond(call: Call, answer: Answer) -> web.Response:
    route, request = call.route, call.request
    status = answer.status if answer.status is not None else route.status
    headers: dict[str, str] = {"X-Content-Type-Options": "nosniff"}
    if route.method in _READS:
        headers["Cache-Control"] = "no-cache" if call.maybe_caller is None else "private, no-cache"
        headers["Vary"] = "Authorization, X-API-Key"
    else:
        headers["Cache-Control"] = "no-store"
    headers.update(answer.headers)
    if answer.is_bare:
        return web.Response(status=status, headers=headers)
    data = encode(answer.data)
    if answer.version is not None:
        etag = headers["ETag"] = etag_of(answer.version, data)
        # What is kept for everybody is kept whole: cache.py says who has it already.
        is_kept = route.is_cached and may_be_kept(request.headers)
        known = None if is_kept else request.headers.get(_IF_NONE_MATCH)
        if route.method in _READS and is_known(etag, known):
            return web.Response(status=304, headers=headers)
    headers["Content-Type"] = JSON
    return web.Response(body=envelope(data), status=status, headers=headers)


def _check_accept(request: web.Request) -> None:
    """Raise Problem not-acceptable when the caller takes no JSON at all."""
    accept = request.headers.get(_ACCEPT)
    if accept is None or "*/*" in accept or not accept.strip():
        return
    for each in accept.split(","):
        kind, _, parameters = each.partition(";")
        is_refused = re.search(r"q=0(\.0*)?\s*(;|$)", parameters.strip()) is not None
        if kind.strip().lower() in _ACCEPTABLE and not is_refused:
            return
    raise Problem("not-acceptable")


_ACCEPTABLE: Final = frozenset({JSON, "application/*", problems.MEDIA_TYPE})


def _read_path(call: Call) -> None:
    """Sort the path's parameters into UUIDs and words. Raises Problem invalid-id."""
    for name, text in call.request.match_info.items():
        if name == "id" or name.endswith("_id"):
            if not is_id(text):
                raise Problem("invalid-id", f"`{name}` in the path is not a UUID.")
            call.ids[name] = uuid.UUID(text)
        else:
            call.words[name] = text


def _read_query(call: Call) -> None:
    """Make the route's object of the query. Raises Problem invalid-query."""
    route, query = call.route, call.request.query
    if route.query is None:
        if query and route.speaks is Speaks.JSON:
            raise Problem("invalid-query", "This route takes no query parameters.")
        return
    given: dict[str, str] = {}
    for name, value in query.items():
        if name in given:
            raise Problem("invalid-query", "A query parameter was given twice.")
        given[name] = value
    try:
        call.query = route.query.model_validate(given)
    except ValidationError as error:
        errors = bodies.errors_of(error)
        wrong = ", ".join(sorted({each["pointer"].lstrip("/") for each in errors}))
        raise Problem("invalid-query", f"Wrong or unknown: {wrong}.", errors=errors) from error


def _patience_of(request: web.Request) -> float | None:
    """Read Prefer (RFC 7240); what cannot be understood is, as it says, ignored."""
    said = ",".join(request.headers.getall("Prefer", [])).lower()
    if not said:
        return None
    if match := _WAIT.search(said):
        return float(min(int(match[1]), PREFER_WAIT_SECONDS_MAX))
    return 0.0 if "respond-async" in said else None

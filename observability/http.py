"""One log line, one name and the metrics for every request: an aiohttp middleware."""

import random
import re
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import istr

from observability import logs, metrics
from observability.redaction import redact_text

HEADER = "X-Request-ID"
#: The same, quickly compared with a request's headers.
NAME = istr(HEADER)
#: What a caller may name its request; anything else is replaced, so that no text of a stranger's
#: choosing gets into other systems' logs.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII)
#: Random bits of a name: unique among all requests that one can still find in logs.
_ID_BITS = 64
#: The route of a path that no route has, so that probing for paths makes no new series.
UNMATCHED = "unmatched"
#: Nginx's status for a client that went away before it was answered.
CLIENT_GONE = 499

#: Where the request's id is kept for handlers: `request[REQUEST_ID]`.
REQUEST_ID = web.RequestKey("request_id", str)
#: Set by a handler whose answer goes on for as long as its reader wants: after how many seconds it
#: began. That is what is counted as the time of the answer.
ANSWERED_AFTER = web.RequestKey("answered_after", float)


@web.middleware
async def requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, answer it, then write its line and count it. The outermost middleware.

    The line holds the route's template; the path, the query and the headers may hold secrets.
    """
    begun = monotonic()
    # A kept connection answers many requests in one task: forget the last one's ids.
    logs.clear()
    request[REQUEST_ID] = request_id = request_id_of(request)
    logs.bind(request_id=request_id)
    status, size, error = web.HTTPInternalServerError.status_code, None, None
    try:
        response = await handler(request)
        if not response.prepared:
            await name_response(request, response)
        status, size = response.status, _size_of(response)
    except web.HTTPException as answer:
        answer.headers[HEADER] = request_id
        status, size = answer.status, _size_of(answer)
        raise
    except Exception as unexpected:
        error = unexpected
        raise
    except BaseException:
        status = CLIENT_GONE
        raise
    else:
        return response
    finally:
        _done(request, status, monotonic() - begun, size, error)


def answered(
    name: str,
    method: str,
    route: str,
    status: int,
    seconds: float,
    *,
    size: int,
    is_offered: bool,
) -> None:
    """Write the line of a request that was answered without the middleware, and count it.

    Of all members only a name that was offered may be of a stranger's choosing.
    """
    metrics.request_done(method, route, status, seconds)
    logs.plain(
        "request_done",
        request_id=redact_text(name) if is_offered else name,
        method=method,
        route=route,
        status=status,
        seconds=round(seconds, 6),
        bytes=size,
    )


def request_id_of(request: web.Request) -> str:
    """Take the caller's name for the request if it is a sane one, else make one."""
    return name_of(request.headers.get(NAME))


def name_of(offered: str | None) -> str:
    """Take an offered name if it is a sane one, else make one: it is no secret."""
    if offered is not None and _SANE.fullmatch(offered):
        return offered
    return f"{random.getrandbits(_ID_BITS):016x}"


async def name_response(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the caller what we call its request.

    Also for the application's `on_response_prepare`: answers that a handler starts itself (files,
    events) have sent their headers before they come back to us.
    """
    if REQUEST_ID in request:
        response.headers[HEADER] = request[REQUEST_ID]


def route_of(request: web.Request) -> str:
    """Give the template of the route that matched: `/sessions/{id}`, never the path itself."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNMATCHED


def _size_of(response: web.StreamResponse) -> int | None:
    if response.prepared:
        return response.body_length
    return response.content_length


def _done(
    request: web.Request, status: int, seconds: float, size: int | None, error: Exception | None
) -> None:
    route = route_of(request)
    metrics.request_done(request.method, route, status, request.get(ANSWERED_AFTER, seconds))
    told = {
        "method": request.method,
        "route": route,
        "status": status,
        "seconds": round(seconds, 6),
        "bytes": size,
    }
    if error is not None:
        logs.log.error("request_done", **told, exc_info=error)
    else:
        logs.log.info("request_done", **told)

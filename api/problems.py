"""Every error a caller can meet: the CATALOGUE, and Problem, which names one of its lines."""

from time import time
from typing import Any, Final, NamedTuple

from aiohttp import web

from api.answers import encode

#: RFC 9457.
MEDIA_TYPE: Final = "application/problem+json"


class Kind(NamedTuple):
    """One line of the catalogue; `/problems/<slug>` shows it as a page."""

    status: int
    title: str
    #: Whether the very same request may succeed later.
    is_retryable: bool
    meaning: str
    remedy: str


class Problem(Exception):
    """A request gets this answer instead of what it asked for.

    `slug` names a line of CATALOGUE; `detail` is for the caller and holds no secret and nothing of
    our insides. `headers` are added to the answer; `errors` are `{pointer, code, message}` of a
    body that is not what the route takes; `retry_after` is in whole seconds. Further keyword
    arguments become extension members of the problem document.
    """

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.kind = CATALOGUE[slug]
        self.detail = detail or self.kind.meaning
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        self.errors = errors
        self.extra = extra


_FIX: Final = "Correct the request; repeating it unchanged gives the same answer."
_LATER: Final = "Send the same request again after the seconds in Retry-After."
_LOOK: Final = (
    "Check the id. Things of another organization look exactly like things that are not there."
)

#: From a slug to status, title, retryable, what it means, what to do.
CATALOGUE: Final[dict[str, Kind]] = {
    # The request cannot be read
    "bad-request": Kind(400, "Bad request", False, "The request is not well-formed HTTP.", _FIX),
    "malformed-json": Kind(
        400, "Malformed JSON", False, "The body is not JSON as RFC 8259 has it.", _FIX
    ),
    "json-too-deep": Kind(
        400, "JSON too deep", False, "The body nests deeper than anything this API takes.", _FIX
    ),
    "number-out-of-range": Kind(
        400,
        "Number out of range",
        False,
        "The body holds a number with more digits than this API takes.",
        _FIX,
    ),
    "invalid-encoding": Kind(400, "Invalid encoding", False, "The body is not UTF-8.", _FIX),
    "duplicate-key": Kind(
        400, "Duplicate key", False, "An object in the body names a member twice.", _FIX
    ),
    "malformed-encoding": Kind(
        400, "Malformed content encoding", False, "The body cannot be decompressed.", _FIX
    ),
    "invalid-id": Kind(400, "Invalid id", False, "An id in the path is not a UUID.", _FIX),
    "invalid-query": Kind(
        400,
        "Invalid query",
        False,
        "A query parameter is unknown, repeated or not in its range.",
        _FIX,
    ),
    "idempotency-key-invalid": Kind(
        400,
        "Invalid Idempotency-Key",
        False,
        "Idempotency-Key is 1 to 255 printable ASCII characters, sent once.",
        _FIX,
    ),
    "uri-too-long": Kind(414, "URI too long", False, "The request line is longer than 8 KB.", _FIX),
    "headers-too-large": Kind(
        431,
        "Headers too large",
        False,
        "A header is longer than 8 KB, or there are more than 128.",
        _FIX,
    ),
    "unsupported-media-type": Kind(
        415, "Unsupported media type", False, "This route takes application/json.", _FIX
    ),
    "unsupported-charset": Kind(415, "Unsupported charset", False, "JSON is UTF-8.", _FIX),
    "unsupported-encoding": Kind(
        415, "Unsupported content encoding", False, "Bodies are taken uncompressed.", _FIX
    ),
    "payload-too-large": Kind(
        413, "Payload too large", False, "The body is larger than this API takes.", _FIX
    ),
    "request-timeout": Kind(
        408, "Request timeout", True, "The body did not arrive in time.", "Send it again, faster."
    ),
    "expectation-failed": Kind(
        417, "Expectation failed", False, "The Expect header asks for something unknown.", _FIX
    ),
    "not-acceptable": Kind(
        406,
        "Not acceptable",
        False,
        "The Accept header excludes application/json.",
        "Accept application/json.",
    ),
    "method-not-allowed": Kind(
        405,
        "Method not allowed",
        False,
        "This path exists, but not with this method.",
        "Use one of the methods in Allow.",
    ),
    "method-unknown": Kind(
        501, "Unknown method", False, "This server does not know the method.", _FIX
    ),
    "not-found": Kind(
        404,
        "Not found",
        False,
        "There is nothing at this path.",
        "Look at /docs for the paths; none ends in a slash.",
    ),
    # The request can be read, and is not what the route takes
    "validation-error": Kind(
        422,
        "Validation error",
        False,
        "Members of the body are missing, unknown or not in their range.",
        "Correct the members that `errors` points at.",
    ),
    "invalid-string": Kind(
        422,
        "Invalid string",
        False,
        "A string holds a NUL or half of a surrogate pair.",
        "Correct the members that `errors` points at.",
    ),
    "invalid-name": Kind(
        422,
        "Invalid name",
        False,
        "The name cannot be the name of a file.",
        "Use letters, digits, spaces and dashes; no slashes, no final dot.",
    ),
    "cors-denied": Kind(
        403,
        "Origin not allowed",
        False,
        "Pages of this origin may not call the API.",
        "Add the origin to GREENROOM_CORS_ORIGINS.",
    ),
    # Who asks
    "unauthenticated": Kind(
        401,
        "Unauthenticated",
        False,
        "The request carries no credentials, or wrong ones.",
        "Send `Authorization: Bearer <token>` or `X-API-Key: <key>`.",
    ),
    "invalid-token": Kind(
        401, "Invalid token", False, "The token was not made for this API.", "Log in again."
    ),
    "token-expired": Kind(
        401,
        "Token expired",
        False,
        "The token's time is over.",
        "Exchange the refresh token at /auth/refresh, or log in again.",
    ),
    "token-reused": Kind(
        401,
        "Refresh token reused",
        False,
        "A refresh token was used a second time; every token of that login is revoked.",
        "Log in again. If it was not you, somebody else holds your token: change the password.",
    ),
    "invalid-credentials": Kind(
        401, "Invalid credentials", False, "E-mail and password do not belong together.", _FIX
    ),
    "invalid-code": Kind(
        401, "Invalid code", False, "The code is unknown, used or too old.", "Ask for a new code."
    ),
    "insufficient-scope": Kind(
        403,
        "Insufficient scope",
        False,
        "The caller's role does not allow this.",
        "Ask a host of the organization.",
    ),
    "tenant-suspended": Kind(
        403,
        "Organization suspended",
        False,
        "The organization may read, and change nothing.",
        "Ask the operator of this installation.",
    ),
    "rate-limited": Kind(
        429,
        "Rate limited",
        True,
        "The caller sends more requests than this installation allows.",
        _LATER,
    ),
    "too-many-streams": Kind(
        503,
        "Too many event streams",
        True,
        "This process tells as many readers as it can what happens in their shows.",
        "Come again after the seconds in Retry-After, or read `/sessions/{id}/events` now and "
        "then.",
    ),
    "quota-exceeded": Kind(
        429,
        "Quota exceeded",
        True,
        "The organization has as much of this as it may have.",
        "Give back some of it, or ask the operator.",
    ),
    # What is asked for is not there
    "user-not-found": Kind(404, "User not found", False, "There is no such user here.", _LOOK),
    "room-not-found": Kind(404, "Room not found", False, "There is no such room here.", _LOOK),
    "preset-not-found": Kind(
        404, "Preset not found", False, "There is no such preset here.", _LOOK
    ),
    "session-not-found": Kind(
        404, "Session not found", False, "There is no such session here.", _LOOK
    ),
    "recording-not-found": Kind(
        404, "Recording not found", False, "There is no such recording here.", _LOOK
    ),
    "participant-not-found": Kind(
        404, "Participant not found", False, "There is no such participant in this session.", _LOOK
    ),
    "job-not-found": Kind(404, "Job not found", False, "There is no such job here.", _LOOK),
    "api-key-not-found": Kind(
        404, "API key not found", False, "There is no such API key of this caller.", _LOOK
    ),
    "media-not-found": Kind(
        404,
        "Media not found",
        False,
        "There is no such file yet, or any more.",
        "Ask the session for its playback state.",
    ),
    "playback-not-ready": Kind(
        404,
        "Playback not ready",
        True,
        "The show has nothing to play yet.",
        "Ask again every few seconds, or read the session until its playback is `ready`.",
    ),
    # It does not fit what is
    "idempotency-key-reused": Kind(
        422,
        "Idempotency-Key reused",
        False,
        "The key was used before for another request.",
        "Use a new key for a new request.",
    ),
    "idempotency-in-progress": Kind(
        409,
        "Request in progress",
        True,
        "The first request with this key is still being carried out.",
        _LATER,
    ),
    "idempotency-answer-not-kept": Kind(
        409,
        "Answer not kept",
        False,
        "The request with this key was carried out; its answer carried secrets, shown once.",
        "Do not repeat it; if the answer is lost, revoke what it gave and ask anew with a new key.",
    ),
    "version-mismatch": Kind(
        412,
        "Version mismatch",
        False,
        "It was changed since the version in If-Match.",
        "Read it again, decide again.",
    ),
    "conflict": Kind(
        409, "Conflict", False, "Something like it is there already.", "Read what is there."
    ),
    "room-live": Kind(
        409, "Room is live", False, "A session of this room is live.", "End the session first."
    ),
    "room-already-live": Kind(
        409,
        "Room already live",
        False,
        "Another session of this room is live.",
        "End that session first.",
    ),
    "session-live": Kind(
        409,
        "Session is live",
        False,
        "That cannot be done while the session is live.",
        "End the session first.",
    ),
    "session-not-live": Kind(
        409,
        "Session not live",
        False,
        "That can be done only while the session is live.",
        "Go live first.",
    ),
    "session-started": Kind(
        409,
        "Session already started",
        False,
        "That can be done only before the session starts.",
        "Create another session.",
    ),
    "session-ended": Kind(
        409, "Session ended", False, "The session is over, for good.", "Create another session."
    ),
    "session-expired": Kind(
        409,
        "Session expired",
        False,
        "The session's time passed and nobody started it.",
        "Create another session.",
    ),
    "session-quarantined": Kind(
        409,
        "Session quarantined",
        False,
        "Working on this session killed its worker too often; nobody touches it any more.",
        "Ask the operator to look at the worker's log.",
    ),
    "recording-not-ready": Kind(
        409,
        "Recording not ready",
        True,
        "The recording is not finished yet.",
        "Ask again when its status is `completed`.",
    ),
    "recording-lost": Kind(
        409,
        "Recording lost",
        False,
        "Nothing playable is left of this recording.",
        "Read `error_message` of the recording.",
    ),
    "job-superseded": Kind(
        409, "Superseded", False, "A later wish overtook this one.", "Read the session."
    ),
    "link-expired": Kind(
        410, "Link expired", False, "The link's time is over.", "Ask for a new one."
    ),
    "range-not-satisfiable": Kind(
        416, "Range not satisfiable", False, "The file has no such bytes.", _FIX
    ),
    "webhook-signature": Kind(
        401,
        "Webhook signature",
        False,
        "The webhook is not signed by the LiveKit this installation knows.",
        "Give LiveKit the same API key and secret as Greenroom.",
    ),
    "mark-invalid": Kind(
        403,
        "Invalid mark",
        False,
        "The viewer's mark was not issued here.",
        "Send the heartbeat without a mark to be given a new one.",
    ),
    "no-host-track": Kind(
        409,
        "Host sends nothing of the kind",
        True,
        "The host publishes no track that could be switched.",
        "Let the host connect, or start the encoder, first.",
    ),
    "stage-full": Kind(
        409,
        "Stage is full",
        False,
        "The session's `max_join_limit` of people is on stage.",
        "Take a role away, or raise the limit in the session's settings.",
    ),
    # The media plane says no
    "livekit-key-refused": Kind(
        502,
        "LiveKit refused the key",
        False,
        "LiveKit does not know the API key, or its secret is another one.",
        "Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to LiveKit's own; ask `greenroom doctor`.",
    ),
    "livekit-refused": Kind(
        502,
        "LiveKit refused",
        False,
        "LiveKit will not do what the session needs, however often it is asked.",
        "Read `detail`; run `greenroom doctor`.",
    ),
    "livekit-unreachable": Kind(
        503,
        "LiveKit unreachable",
        True,
        "Nothing answers at LIVEKIT_URL.",
        "Start LiveKit, or correct LIVEKIT_URL; then send the same request again.",
    ),
    "livekit-no-answer": Kind(
        503,
        "No answer from LiveKit",
        True,
        "LiveKit did not answer in time; it may still have done what was asked.",
        "Send the same request again: what is there already is found, not made twice.",
    ),
    "livekit-unavailable": Kind(
        503,
        "LiveKit unavailable",
        True,
        "LiveKit answers that it cannot do it now.",
        _LATER,
    ),
    "egress-unavailable": Kind(
        503,
        "Egress unavailable",
        True,
        "No LiveKit egress worker took the take, so there is nothing to play and to record.",
        "Start a LiveKit egress, or give it more CPU; Greenroom goes on asking.",
    ),
    "egress-failed": Kind(
        502,
        "Egress failed",
        True,
        "LiveKit's egress started and ended before there was anything to play or to record.",
        "Its own log says why: most often it may not write to storage, or its disk is full. "
        "Greenroom starts another, at longer and longer intervals.",
    ),
    "no-picture": Kind(
        409,
        "No picture",
        False,
        "Sound arrives and no picture does, so there is nothing to show.",
        "Switch the camera on, or let the encoder send its picture as H264.",
    ),
    "encoder-refused": Kind(
        409,
        "Encoder refused",
        False,
        "LiveKit's ingress hung up on the encoder: it cannot read what it was sent.",
        "Let the encoder send H264 and AAC; read `detail`.",
    ),
    "egress-absent": Kind(
        503,
        "No egress",
        True,
        "The egress' own addresses say that none is there, or that it is being shut down.",
        "Start a LiveKit egress, or correct GREENROOM_EGRESS_HEALTH_URL; then go live again.",
    ),
    "egress-full": Kind(
        503,
        "Egress full",
        True,
        "The egress' own metrics say that it can take no show more.",
        "End a show, or give LiveKit another egress; then go live again.",
    ),
    "ingress-absent": Kind(
        503,
        "No ingress",
        True,
        "The ingress' own address says that none is there, and this show is an encoder's.",
        "Start a LiveKit ingress, or correct GREENROOM_INGRESS_HEALTH_URL; then go live again.",
    ),
    "ingress-full": Kind(
        503,
        "Ingress full",
        True,
        "The ingress' own address says that it can take no encoder more.",
        "End a show, or give LiveKit another ingress; then go live again.",
    ),
    # We are at fault
    "service-unavailable": Kind(
        503,
        "Service unavailable",
        True,
        "The database does not answer, or the server is shutting down.",
        _LATER,
    ),
    "internal-error": Kind(
        500,
        "Internal error",
        True,
        "Something is wrong on our side; it was logged with the id in `instance`.",
        "Tell the operator that id.",
    ),
}

#: From a status that aiohttp itself raises to our name for it.
_OF_STATUS: Final = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    414: "uri-too-long",
    416: "range-not-satisfiable",
    417: "expectation-failed",
    431: "headers-too-large",
}


def document(problem: Problem, request_id: str, base_path: str = "") -> dict[str, Any]:
    """Say a problem as RFC 9457 and the contract's ErrorResponse at once."""
    kind = problem.kind
    said: dict[str, Any] = {
        **problem.extra,
        "success": False,
        "error": problem.slug,
        "message": problem.detail,
        "timestamp": int(time()),
        "type": f"{base_path}/problems/{problem.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": request_id,
    }
    if problem.errors is not None:
        said["errors"] = problem.errors
    return said


def response(problem: Problem, request_id: str, base_path: str = "") -> web.Response:
    """Answer with a problem."""
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **problem.headers,
    }
    body = encode(document(problem, request_id, base_path))
    return web.Response(body=body, status=problem.kind.status, headers=headers)


def of_status(error: web.HTTPException) -> Problem | None:
    """Say what aiohttp raised by itself; None for what is no error of the caller."""
    slug = _OF_STATUS.get(error.status)
    if slug is None and isinstance(error, web.HTTPClientError):
        slug = "bad-request"
    if slug is None:
        return None
    kept = {
        name: error.headers[name] for name in ("Allow", "Content-Range") if name in error.headers
    }
    return Problem(slug, headers=kept)

"""What a Twirp call can answer instead of a result."""

import asyncio

#: livekit-server asks on its bus for this long before it gives up.
BUS_SECONDS = 3.0

#: HTTP status by Twirp code, as in the Twirp specification.
STATUS: dict[str, int] = {
    "canceled": 408,
    "unknown": 500,
    "invalid_argument": 400,
    "malformed": 400,
    "deadline_exceeded": 408,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "failed_precondition": 412,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "dataloss": 500,
    "unavailable": 503,
}

#: livekit-server wraps errors of its own bus once more on the way out.
BUS_PREFIX = "twirp error unknown: "


class TwirpError(Exception):
    """A Twirp error: `code`, `msg`, `meta`, and the HTTP status that goes with the code."""

    def __init__(
        self,
        code: str,
        msg: str,
        *,
        meta: dict[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.meta = meta or {}
        self.status = status if status is not None else STATUS.get(code, 500)

    def body(self) -> dict[str, object]:
        """Give the JSON body; `meta` is absent when there is none."""
        body: dict[str, object] = {"code": self.code, "msg": self.msg}
        if self.meta:
            body["meta"] = self.meta
        return body


def bus_error(code: str, msg: str) -> TwirpError:
    """Make an error as it looks after it crossed livekit-server's bus."""
    return TwirpError(code, BUS_PREFIX + msg)


async def no_answer() -> TwirpError:
    """Wait as livekit-server does for somebody who is not on its bus, and make its error."""
    await asyncio.sleep(BUS_SECONDS)
    return bus_error("unavailable", "no response from servers")


def not_found(what: str) -> TwirpError:
    return bus_error("not_found", what)


def invalid(what: str) -> TwirpError:
    return bus_error("invalid_argument", what)


def missing_field(field: str) -> TwirpError:
    """Make the egress' complaint about a request."""
    return bus_error("invalid_argument", f"request has missing or invalid field: {field}")

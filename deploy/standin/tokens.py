"""Who is calling: LiveKit's access tokens and what they allow."""

from dataclasses import dataclass, field
from typing import Any

import jwt

#: LiveKit forgives clocks that differ by a minute.
LEEWAY_SECONDS = 60

BEARER = "Bearer "


class BadTokenError(Exception):
    """A token that the middleware turns away with a plain-text 401."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The `video` claim of a token; empty when the call carried no token."""

    video: dict[str, Any] = field(default_factory=dict)  # JSON of the caller's making

    def allows(self, grant: str) -> bool:
        return self.video.get(grant) is True

    def is_admin_of(self, room: str) -> bool:
        return self.allows("roomAdmin") and self.video.get("room", "") == room


def read_grants(
    authorization: str | None, query_token: str | None, *, keys: dict[str, str]
) -> Grants:
    """Verify the token of a call, from its header or from `?access_token=`.

    Raises BadTokenError with the text of the answer.
    """
    if authorization:
        if not authorization.startswith(BEARER):
            raise BadTokenError("invalid authorization header. Must start with " + BEARER)
        token = authorization[len(BEARER) :]
    else:
        token = query_token or ""
    if not token:
        return Grants()
    try:
        unverified = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise BadTokenError("invalid authorization token") from error
    issuer = unverified.get("iss", "")
    secret = keys.get(issuer) if isinstance(issuer, str) else None
    if secret is None:
        raise BadTokenError(f"invalid API key: {issuer}")
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            leeway=LEEWAY_SECONDS,
            # LiveKit checks neither of these two.
            options={"verify_aud": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError as error:
        raise BadTokenError(f"invalid token: {token}, error: {error}") from error
    video = claims.get("video")
    return Grants(video if isinstance(video, dict) else {})

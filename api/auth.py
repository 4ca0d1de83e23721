"""Say who asks: verify a bearer token or an API key, and find the user it speaks for."""

import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from aiohttp import web
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from api.jwks import ALGORITHMS, Jwks
from api.problems import Problem
from api.routes import Caller
from orchestration.database import Database
from orchestration.models import ApiKey, Organization, User
from orchestration.secrets import Secrets, new_secret, sha256_of
from orchestration.settings import Settings

#: What every answer 401 asks for.
CHALLENGE: Final = 'Bearer realm="greenroom", ApiKey realm="greenroom"'
#: `type` of the tokens that open this API; a LiveKit token has none, a refresh token is no JWT.
ACCESS: Final = "access"
#: What a token must say of itself.
_REQUIRED: Final = ["exp", "iss", "aud", "sub"]
#: Members of a token's header that we minted ourselves; one with more is not ours.
_OUR_HEADER: Final = frozenset({"alg", "typ"})
#: Members that would have us fetch or trust a key of the token's own choosing.
_FORBIDDEN_HEADER: Final = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64"})
#: The year 2500: a token's end beyond it is a trick.
_EXP_MAX: Final = 16_725_225_600
#: Longer than any token of an issuer, shorter than a header may be.
_TOKEN_CHARACTERS_MAX: Final = 8_000
_API_KEY: Final = re.compile(r"grk_([A-Za-z0-9]{12})_[A-Za-z0-9_-]{43}")
#: Where an issuer's users live whose tokens name no organization.
_ISSUER_NAMESPACE: Final = uuid.UUID("9c1f6a52-6d0e-5b1e-9d0b-5a2f3f0f8c11")


@dataclass(slots=True)
class Doorkeeper:
    """Verifies credentials; one per process, because it keeps the issuer's keys."""

    db: Database
    settings: Settings
    secrets: Secrets
    jwks: Jwks | None

    async def caller_of(self, request: web.Request) -> Caller | None:
        """Say who asks; None without credentials.

        Raises Problem unauthenticated, invalid-token or token-expired (401).
        """
        headers = request.headers
        bearers = headers.getall("Authorization", [])
        keys = headers.getall("X-API-Key", [])
        if not bearers and not keys:
            return None
        if len(bearers) > 1 or len(keys) > 1:
            raise denied("Send one credential.")
        if bearers:
            scheme, _, token = bearers[0].partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise denied("Authorization must be `Bearer <token>`.")
            return await self._bearer(token.strip())
        return await self._api_key(keys[0].strip())

    async def _bearer(self, token: str) -> Caller:
        header = _header_of(token)
        algorithm = header.get("alg")
        if algorithm == "HS256" and header.keys() <= _OUR_HEADER:
            claims = _claims_of(
                token,
                self.secrets.jwt_key,
                ["HS256"],
                issuer=self.settings.jwt_issuer,
                audience=self.settings.jwt_audience,
            )
            if claims.get("type") != ACCESS:
                raise invalid_token()
            user_id = _uuid_of(claims["sub"])
            if user_id is None:
                raise invalid_token()
            return await self._user(user_id)
        if self.jwks is not None and algorithm in ALGORITHMS:
            return await self._issuers_user(token, header, self.jwks)
        raise invalid_token()

    async def _user(self, user_id: uuid.UUID) -> Caller:
        async with self.db.read() as tx:
            row = (
                await tx.execute(
                    select(User, col(Organization.is_suspended))
                    .join(Organization, col(Organization.id) == col(User.organization_id))
                    .where(col(User.id) == user_id)
                )
            ).one_or_none()
        if row is None:
            raise invalid_token()
        return caller(*row)

    async def _api_key(self, key: str) -> Caller:
        match = _API_KEY.fullmatch(key)
        if match is None:
            raise denied("That is not an API key of this installation.")
        async with self.db.read() as tx:
            row = (
                await tx.execute(
                    select(ApiKey, User, col(Organization.is_suspended))
                    .join(User, col(User.id) == col(ApiKey.user_id))
                    .join(Organization, col(Organization.id) == col(User.organization_id))
                    .where(col(ApiKey.prefix) == match[1])
                )
            ).one_or_none()
        # An unknown prefix is compared, too: it must not answer faster than a wrong secret.
        known = row[0].key_hash if row is not None else "0" * 64
        is_right = hmac.compare_digest(known, sha256_of(key))
        if row is None or not is_right or row[0].revoked_at is not None:
            raise denied("That is not an API key of this installation.")
        return caller(row[1], row[2])

    async def _issuers_user(self, token: str, header: dict[str, Any], jwks: Jwks) -> Caller:
        """Find the issuer's user, or make it: it exists from its first valid token on.

        `sub` names the user within `iss`; `email`, `name` (or `preferred_username`),
        `organization_id` (a UUID) and `organization` (a name) are taken from its first token;
        `role` (host, else viewer) from each, because there the issuer is the authority.
        """
        key_id = header.get("kid")
        if not isinstance(key_id, str) or _FORBIDDEN_HEADER & header.keys():
            raise invalid_token()
        key = await jwks.key(key_id)
        if key is None or key.algorithm_name != header["alg"]:
            raise invalid_token()
        issuer = self.settings.jwks_issuer
        audience = self.settings.jwks_audience
        claims = _claims_of(token, key.key, [header["alg"]], issuer=issuer, audience=audience)
        subject = f"{claims['iss']}|{claims['sub']}"
        if len(subject) > _SUBJECT_CHARACTERS_MAX:
            raise invalid_token()
        try:
            return await self._known(subject, claims)
        except IntegrityError:
            # Another request with the same new user was faster: now it is known.
            return await self._known(subject, claims)

    async def _known(self, subject: str, claims: dict[str, Any]) -> Caller:
        role = "host" if claims.get("role") == "host" else "viewer"
        async with self.db.read() as tx:
            row = (
                await tx.execute(
                    select(User, col(Organization.is_suspended))
                    .join(Organization, col(Organization.id) == col(User.organization_id))
                    .where(col(User.subject) == subject)
                )
            ).one_or_none()
        if row is not None and row[0].role == role:
            return caller(*row)
        async with self.db.begin() as tx:
            if row is not None:
                user = await tx.get_one(User, row[0].id)
                user.role = role
                user.updated_at = datetime.now(UTC)
                return caller(user, row[1])
            organization = await _organization_of(tx, claims)
            user = User(
                organization_id=organization.id,
                email=_text_of(claims.get("email"), 320, lower=True),
                username=_text_of(claims.get("name"), 255)
                or _text_of(claims.get("preferred_username"), 255)
                or str(claims["sub"])[:255],
                role=role,
                subject=subject,
            )
            external = _uuid_of(claims["sub"])
            if external is not None:
                user.external_user_id = external
            tx.add(user)
            await tx.flush()
            return caller(user, organization.is_suspended)


#: As wide as the column.
_SUBJECT_CHARACTERS_MAX: Final = 512


def caller(user: User, is_suspended: bool) -> Caller:  # noqa: FBT001  # unpacked from a row
    """Make a caller of an active user. Raises Problem unauthenticated for an inactive one."""
    if not user.is_active:
        raise denied("The user is not active.")
    return Caller(user, user.organization_id, user.role, is_suspended=is_suspended)


def denied(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": CHALLENGE})


def invalid_token() -> Problem:
    challenge = f'{CHALLENGE}, Bearer error="invalid_token"'
    return Problem("invalid-token", headers={"WWW-Authenticate": challenge})


def mint_access_token(
    settings: Settings, secrets: Secrets, user: User, *, seconds: int | None = None
) -> str:
    """Mint the token that opens this API for a user: HS256, `type` access."""
    now = datetime.now(UTC)
    lifetime = timedelta(seconds=seconds or settings.access_token_seconds)
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": str(user.id),
        "type": ACCESS,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, secrets.jwt_key, algorithm="HS256")


def new_api_key() -> tuple[str, str]:
    """Make an API key; give the key, to be shown once, and its prefix, to be looked up by."""
    prefix = re.sub(r"[^A-Za-z0-9]", "", new_secret("") + new_secret(""))[:12]
    return new_secret(f"grk_{prefix}_"), prefix


def _header_of(token: str) -> dict[str, Any]:
    if len(token) > _TOKEN_CHARACTERS_MAX:
        raise invalid_token()
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        # ValueError: bytes that are no UTF-8, which PyJWT encodes before it looks.
        raise invalid_token() from error
    return header


def _claims_of(
    token: str, key: Any, algorithms: list[str], *, issuer: str | None, audience: str | None
) -> dict[str, Any]:
    """Verify a token. Raises Problem token-expired or invalid-token."""
    options: Any = {"require": _REQUIRED, "verify_aud": audience is not None}
    try:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=algorithms, audience=audience, issuer=issuer, options=options
        )
    except jwt.ExpiredSignatureError as error:
        challenge = f'{CHALLENGE}, Bearer error="invalid_token"'
        raise Problem("token-expired", headers={"WWW-Authenticate": challenge}) from error
    except (jwt.PyJWTError, ValueError, OverflowError, TypeError) as error:
        raise invalid_token() from error
    # PyJWT takes what int() takes; a text or a fraction is no NumericDate of ours.
    if type(claims["exp"]) is not int or claims["exp"] > _EXP_MAX:
        raise invalid_token()
    return claims


async def _organization_of(tx: Any, claims: dict[str, Any]) -> Organization:
    """Find the organization a token names, or make it; without a name the issuer is one."""
    name = _text_of(claims.get("organization"), 255)
    given = claims.get("organization_id")
    issuer = str(claims["iss"])
    wanted = _uuid_of(given) or uuid.uuid5(_ISSUER_NAMESPACE, f"{issuer}|{given or name or ''}")
    found: Organization | None = await tx.get(Organization, wanted)
    if found is not None:
        return found
    label = name or f"{issuer} {given or ''}".strip()[:255]
    taken = (
        await tx.execute(select(col(Organization.id)).where(col(Organization.name) == label))
    ).one_or_none()
    # Two issuers may use the same name; the id keeps them apart.
    organization = Organization(
        id=wanted, name=label if taken is None else f"{label[:200]} {wanted}"
    )
    tx.add(organization)
    await tx.flush()
    return organization


def _uuid_of(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text_of(value: Any, characters_max: int, *, lower: bool = False) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip().replace("\x00", "")[:characters_max]
    return text.lower() if lower else text

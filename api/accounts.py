"""Log in, stay logged in, log out; and how viewers get in without an account."""

import secrets as chance
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from aiohttp import web
from sqlalchemy import CursorResult, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.access import visible_session
from api.auth import CHALLENGE, mint_access_token
from api.limits import Limit, address_of
from api.passwords import Passwords
from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.shapes.accounts import (
    AuthResponse,
    DeviceLoginRequest,
    ExchangeAuthCodeRequest,
    ExchangeAuthCodeResponse,
    GenerateAuthCodeRequest,
    GenerateAuthCodeResponse,
    LoginRequest,
    LogoutRequest,
    RefreshTokenRequest,
    ViewerRegisterRequest,
    ViewerRegisterResponse,
)
from api.shapes.common import is_id
from api.shapes.users import user_document
from observability.logs import log
from orchestration.models import AuthCode, DeviceToken, Organization, RefreshToken, Session, User
from orchestration.secrets import new_secret, sha256_of

PASSWORDS: Final = web.AppKey("passwords", Passwords)
#: Guesses at passwords and codes: so many a minute from one address.
GUESSES: Final = web.AppKey("guesses", Limit)
GUESSES_A_MINUTE: Final = 30
#: Whom viewers belong to who only gave a name: an organization without hosts.
AUDIENCE: Final = "(audience)"
AUDIENCE_ID: Final = uuid.UUID("0d0b2f64-3f3f-5c56-8a51-3f2f7c9a4e01")
#: Long enough to type it on another device.
CODE_SECONDS: Final = 120
#: No 0 or O, 1 or I or L: a person types it.
_CODE_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
#: 31^12 is 59 bits: within two minutes and the limits nobody guesses one.
_CODE_LENGTH: Final = 12


async def login(call: Call) -> Answer:
    """Exchange e-mail and password for tokens."""
    asked: LoginRequest = call.body
    _count_guess(call)
    async with call.resources.db.read() as tx:
        found = (
            await tx.execute(
                select(User, col(Organization.is_suspended))
                .join(Organization, col(Organization.id) == col(User.organization_id))
                .where(col(User.email) == asked.email.lower())
                .order_by(col(User.created_at))
            )
        ).all()
    passwords = call.request.app[PASSWORDS]
    user: User | None = None
    if not found:
        # Nobody has this address; that must not be known from a faster answer.
        await passwords.is_right(asked.password, None)
    for each, is_suspended in found:
        # The same person may be known to several organizations; the password says which is meant.
        is_right = await passwords.is_right(asked.password, each.password_hash)
        if is_right and user is None and each.is_active:
            if is_suspended:
                raise Problem("tenant-suspended")
            user = each
    if user is None:
        log.warning("login_refused", request_id=call.request_id)
        raise _refused("invalid-credentials")
    fresh = None
    if user.password_hash is not None and passwords.is_stale(user.password_hash):
        fresh = await passwords.hash(asked.password)
    async with call.begin() as tx:
        if fresh is not None:
            await tx.execute(
                update(User).where(col(User.id) == user.id).values(password_hash=fresh)
            )
        tokens = await _tokens(tx, call, user, family_id=uuid.uuid4())
        answer = await call.keep(tx, Answer(tokens))
    log.info("logged_in", user_id=str(user.id), by="password")
    return answer


async def refresh(call: Call) -> Answer:
    """Exchange a refresh token for new tokens; the old one is used up."""
    asked: RefreshTokenRequest = call.body
    now = datetime.now(UTC)
    async with call.begin() as tx:
        row = await _refresh_row(tx, asked.refresh_token)
        if row is None or row[0].revoked_at is not None or row[0].expires_at <= now:
            raise _refused("invalid-token")
        token, user = row
        if not user.is_active:
            raise _refused("unauthenticated")
        used = await tx.execute(
            update(RefreshToken)
            .where(col(RefreshToken.id) == token.id, col(RefreshToken.used_at).is_(None))
            .values(used_at=now, updated_at=now)
        )
        is_first_use = cast("CursorResult[Any]", used).rowcount == 1
        if is_first_use:
            data = await _tokens(tx, call, user, family_id=token.family_id)
            answer = await call.keep(tx, Answer(data))
        else:
            # Thief or owner, one of them was here before: neither may stay.
            await _revoke_family(tx, token.family_id, now)
            answer = await call.keep(tx, Answer(status=401))
    if not is_first_use:
        log.warning("refresh_token_reused", user_id=str(user.id))
        raise _refused("token-reused")
    return answer


async def logout(call: Call) -> Answer:
    """End a login: none of its refresh tokens is good any more. An unknown token is, too, ended."""
    asked: LogoutRequest = call.body
    async with call.begin() as tx:
        row = await _refresh_row(tx, asked.refresh_token)
        if row is not None:
            await _revoke_family(tx, row[0].family_id, datetime.now(UTC))
        return await call.keep(tx, Answer())


async def register_viewer(call: Call) -> Answer:
    """Let a viewer in who only gives a name."""
    asked: ViewerRegisterRequest = call.body
    await _make_audience(call)
    device = new_secret("grd_")
    async with call.begin() as tx:
        user = User(organization_id=AUDIENCE_ID, username=asked.display_name, role="viewer")
        tx.add(user)
        await tx.flush()
        tx.add(DeviceToken(user_id=user.id, token_hash=sha256_of(device)))
        tokens = await _tokens(tx, call, user, family_id=uuid.uuid4())
        return await call.keep(tx, Answer({**tokens, "device_token": device}, 201))


async def device_login(call: Call) -> Answer:
    """Let a viewer's device in again."""
    asked: DeviceLoginRequest = call.body
    async with call.begin() as tx:
        user = (
            await tx.scalars(
                select(User)
                .join(DeviceToken, col(DeviceToken.user_id) == col(User.id))
                .where(
                    col(DeviceToken.token_hash) == sha256_of(asked.device_token),
                    col(DeviceToken.revoked_at).is_(None),
                )
            )
        ).one_or_none()
        if user is None or not user.is_active:
            raise _refused("invalid-token")
        tokens = await _tokens(tx, call, user, family_id=uuid.uuid4())
        return await call.keep(tx, Answer(tokens))


async def generate_code(call: Call) -> Answer:
    """Make a code that carries the caller's login to another device."""
    asked: GenerateAuthCodeRequest = call.body
    if not is_id(asked.session_id):
        errors = [{"pointer": "/session_id", "code": "uuid", "message": "An id is a UUID."}]
        raise Problem("validation-error", errors=errors)
    session_id = uuid.UUID(asked.session_id)
    code = "".join(chance.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
    async with call.begin() as tx:
        found = await tx.scalar(
            select(col(Session.id)).where(col(Session.id) == session_id, visible_session())
        )
        if found is None:
            raise Problem("session-not-found")
        tx.add(
            AuthCode(
                user_id=call.caller.user.id,
                session_id=session_id,
                code_hash=sha256_of(code),
                expires_at=datetime.now(UTC) + timedelta(seconds=CODE_SECONDS),
            )
        )
        return await call.keep(tx, Answer({"code": code, "expires_in": CODE_SECONDS}))


async def exchange_code(call: Call) -> Answer:
    """Exchange a code, once, for the login it carries."""
    asked: ExchangeAuthCodeRequest = call.body
    _count_guess(call)
    now = datetime.now(UTC)
    hashed = sha256_of(asked.code.strip().upper().replace("-", ""))
    async with call.begin() as tx:
        used = await tx.execute(
            update(AuthCode)
            .where(
                col(AuthCode.code_hash) == hashed,
                col(AuthCode.used_at).is_(None),
                col(AuthCode.expires_at) > now,
            )
            .values(used_at=now, updated_at=now)
        )
        if cast("CursorResult[Any]", used).rowcount != 1:
            raise _refused("invalid-code")
        code, user = (
            await tx.execute(
                select(AuthCode, User)
                .join(User, col(User.id) == col(AuthCode.user_id))
                .where(col(AuthCode.code_hash) == hashed)
            )
        ).one()
        if not user.is_active:
            raise _refused("unauthenticated")
        tokens = await _tokens(tx, call, user, family_id=uuid.uuid4())
        answer = Answer({**tokens, "session_id": str(code.session_id)})
        return await call.keep(tx, answer)


async def _tokens(
    tx: AsyncSession, call: Call, user: User, *, family_id: uuid.UUID
) -> dict[str, Any]:
    """Say an AuthResponse, with a new refresh token of the family."""
    settings = call.resources.settings
    token = new_secret("grr_")
    tx.add(
        RefreshToken(
            user_id=user.id,
            family_id=family_id,
            token_hash=sha256_of(token),
            expires_at=datetime.now(UTC) + timedelta(seconds=settings.refresh_token_seconds),
        )
    )
    await tx.flush()
    return {
        "user": user_document(user, shows_email=True),
        "access_token": mint_access_token(settings, call.resources.secrets, user),
        "refresh_token": token,
    }


async def _refresh_row(tx: AsyncSession, token: str) -> tuple[RefreshToken, User] | None:
    row = (
        await tx.execute(
            select(RefreshToken, User)
            .join(User, col(User.id) == col(RefreshToken.user_id))
            .where(col(RefreshToken.token_hash) == sha256_of(token))
        )
    ).one_or_none()
    return (row[0], row[1]) if row is not None else None


async def _revoke_family(tx: AsyncSession, family_id: uuid.UUID, now: datetime) -> None:
    await tx.execute(
        update(RefreshToken)
        .where(col(RefreshToken.family_id) == family_id, col(RefreshToken.revoked_at).is_(None))
        .values(revoked_at=now, updated_at=now)
    )


async def _make_audience(call: Call) -> None:
    """Make the viewers' organization when it is not there yet."""
    async with call.resources.db.read() as tx:
        if await tx.get(Organization, AUDIENCE_ID) is not None:
            return
    try:
        async with call.resources.db.begin() as tx:
            tx.add(Organization(id=AUDIENCE_ID, name=AUDIENCE))
    except IntegrityError:
        # Another first viewer was faster.
        return


def _count_guess(call: Call) -> None:
    """Bound guessing. Raises Problem rate-limited."""
    call.request.app[GUESSES].take(address_of(call.request, call.resources.settings))


def _refused(slug: str) -> Problem:
    return Problem(slug, headers={"WWW-Authenticate": CHALLENGE})


_ONCE: Final = ("idempotency-answer-not-kept",)

ROUTES: Final = (
    Route(
        "POST",
        "/auth/login",
        login,
        Who.STRANGER,
        "Log in",
        body=LoginRequest,
        answer=AuthResponse,
        replay=Replay.ONCE,
        problems=("invalid-credentials", "tenant-suspended", *_ONCE),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/refresh",
        refresh,
        Who.STRANGER,
        "Stay logged in",
        body=RefreshTokenRequest,
        answer=AuthResponse,
        replay=Replay.ONCE,
        problems=("invalid-token", "token-reused", *_ONCE),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/logout",
        logout,
        Who.STRANGER,
        "Log out",
        body=LogoutRequest,
        replay=Replay.STORE,
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/viewer/register",
        register_viewer,
        Who.STRANGER,
        "Get in as a viewer",
        body=ViewerRegisterRequest,
        answer=ViewerRegisterResponse,
        status=201,
        replay=Replay.ONCE,
        problems=_ONCE,
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/viewer/device-login",
        device_login,
        Who.STRANGER,
        "Get in again from the same device",
        body=DeviceLoginRequest,
        answer=AuthResponse,
        replay=Replay.ONCE,
        problems=("invalid-token", *_ONCE),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/code",
        generate_code,
        Who.ANY,
        "Make a code for another device",
        body=GenerateAuthCodeRequest,
        answer=GenerateAuthCodeResponse,
        replay=Replay.ONCE,
        problems=("session-not-found", *_ONCE),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/code/exchange",
        exchange_code,
        Who.STRANGER,
        "Get in with a code",
        body=ExchangeAuthCodeRequest,
        answer=ExchangeAuthCodeResponse,
        replay=Replay.ONCE,
        problems=("invalid-code", *_ONCE),
        tag="auth",
    ),
)

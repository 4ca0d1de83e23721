"""API keys: what machines of a host show instead of logging in."""

import uuid
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.auth import new_api_key
from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.shapes.common import Page
from api.shapes.keys import (
    ApiKeyAnswer,
    ApiKeyListResponse,
    ApiKeyResponse,
    CreateApiKeyRequest,
    UpdateApiKeyRequest,
    key_document,
)
from observability.logs import log, remember_secret
from orchestration.models import ApiKey
from orchestration.secrets import sha256_of

#: Nobody's machines need more; without a bound a stolen token could fill the table.
KEYS_MAX: Final = 100


async def list_api_keys(call: Call) -> Answer:
    """List the caller's keys, newest first."""
    page: Page = call.query
    mine = _valid(call.caller.user.id)
    async with call.resources.db.read() as tx:
        total = await tx.scalar(select(func.count()).select_from(ApiKey).where(*mine))
        rows = await tx.scalars(
            select(ApiKey)
            .where(*mine)
            .order_by(col(ApiKey.created_at).desc(), col(ApiKey.id))
            .offset(page.offset)
            .limit(page.limit)
        )
        keys = [key_document(key) for key in rows]
    return Answer({"api_keys": keys, "total": total, "page": page.page, "limit": page.limit})


async def create_api_key(call: Call) -> Answer:
    """Make a key and show it, this once."""
    asked: CreateApiKeyRequest = call.body
    user = call.caller.user
    async with call.begin() as tx:
        valid = await tx.scalar(select(func.count()).select_from(ApiKey).where(*_valid(user.id)))
        if (valid or 0) >= KEYS_MAX:
            raise Problem("quota-exceeded", f"A user may have {KEYS_MAX} keys.", retry_after=3600)
        secret, prefix = new_api_key()
        remember_secret(secret)
        key = ApiKey(user_id=user.id, name=asked.name, prefix=prefix, key_hash=sha256_of(secret))
        tx.add(key)
        await tx.flush()
        location = {"Location": f"{call.resources.settings.base_path}/api-keys/{key.id}"}
        data = {"api_key": key_document(key), "key": secret}
        answer = await call.keep(tx, Answer(data, 201, headers=location))
    log.info("api_key_created", api_key_id=str(key.id), user_id=str(user.id))
    return answer


async def get_api_key(call: Call) -> Answer:
    async with call.resources.db.read() as tx:
        key = await _own(tx, call)
    return Answer(key_document(key))


async def update_api_key(call: Call) -> Answer:
    asked: UpdateApiKeyRequest = call.body
    async with call.begin() as tx:
        key = await _own(tx, call)
        key.name = asked.name
        key.updated_at = datetime.now(UTC)
    return Answer(key_document(key))


async def revoke_api_key(call: Call) -> Answer:
    """Revoke a key: from now on nobody gets in with it, and it is not there any more."""
    async with call.begin() as tx:
        key = await _own(tx, call)
        key.revoked_at = datetime.now(UTC)
    log.info("api_key_revoked", api_key_id=str(key.id), user_id=str(key.user_id))
    return Answer()


def _valid(user_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return (col(ApiKey.user_id) == user_id, col(ApiKey.revoked_at).is_(None))


async def _own(tx: AsyncSession, call: Call) -> ApiKey:
    key = await tx.get(ApiKey, call.ids["id"])
    if key is None or key.user_id != call.caller.user.id or key.revoked_at is not None:
        raise Problem("api-key-not-found")
    return key


ROUTES: Final = (
    Route(
        "GET",
        "/api-keys",
        list_api_keys,
        Who.HOST,
        "List my API keys",
        query=Page,
        answer=ApiKeyListResponse,
        tag="api-keys",
    ),
    Route(
        "POST",
        "/api-keys",
        create_api_key,
        Who.HOST,
        "Create an API key",
        body=CreateApiKeyRequest,
        answer=ApiKeyAnswer,
        status=201,
        replay=Replay.ONCE,
        problems=("quota-exceeded", "idempotency-answer-not-kept"),
        tag="api-keys",
    ),
    Route(
        "GET",
        "/api-keys/{id}",
        get_api_key,
        Who.HOST,
        "Read an API key",
        answer=ApiKeyResponse,
        problems=("api-key-not-found",),
        tag="api-keys",
    ),
    Route(
        "PATCH",
        "/api-keys/{id}",
        update_api_key,
        Who.HOST,
        "Rename an API key",
        body=UpdateApiKeyRequest,
        answer=ApiKeyResponse,
        problems=("api-key-not-found",),
        tag="api-keys",
    ),
    Route(
        "DELETE",
        "/api-keys/{id}",
        revoke_api_key,
        Who.HOST,
        "Revoke an API key",
        problems=("api-key-not-found",),
        tag="api-keys",
    ),
)

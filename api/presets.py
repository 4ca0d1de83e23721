"""Presets: a host's templates for shows."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.access import colleagues_preset, own_preset
from api.routes import Answer, Call, Replay, Route, Who
from api.shapes.common import Page
from api.shapes.presets import (
    DEFAULTS,
    CreatePresetRequest,
    PresetAnswer,
    PresetListResponse,
    PresetResponse,
    UpdatePresetRequest,
    preset_document,
    terms_of,
)
from orchestration.models import Preset, User


async def list_presets(call: Call) -> Answer:
    """List the caller's presets, the default first, then newest first."""
    page: Page = call.query
    mine = _mine(call.caller.user.id)
    async with call.resources.db.read() as tx:
        total = await tx.scalar(select(func.count()).select_from(Preset).where(*mine))
        rows = await tx.scalars(
            select(Preset)
            .where(*mine)
            .order_by(col(Preset.is_default).desc(), col(Preset.created_at).desc(), col(Preset.id))
            .offset(page.offset)
            .limit(page.limit)
        )
        presets = [preset_document(preset) for preset in rows]
    return Answer({"presets": presets, "total": total, "page": page.page, "limit": page.limit})


async def create_preset(call: Call) -> Answer:
    """Make a preset; the first one of a user is the default."""
    asked: CreatePresetRequest = call.body
    user = call.caller.user
    async with call.begin() as tx:
        await _lock(tx, user.id)
        is_first = not await tx.scalar(
            select(func.count()).select_from(Preset).where(*_mine(user.id))
        )
        if asked.is_default:
            await _unset_default(tx, user.id)
        preset = Preset(
            organization_id=user.organization_id,
            user_id=user.id,
            name=asked.name,
            type=asked.type,
            is_default=asked.is_default or is_first,
            terms={**DEFAULTS, **terms_of(asked)},
        )
        tx.add(preset)
        await tx.flush()
        location = {"Location": f"{call.resources.settings.base_path}/presets/{preset.id}"}
        answer = Answer({"preset": preset_document(preset)}, 201, headers=location)
        return await call.keep(tx, answer)


async def get_preset(call: Call) -> Answer:
    """Read a preset of the caller's organization."""
    async with call.resources.db.read() as tx:
        preset = await colleagues_preset(tx, call.ids["id"], call.caller)
    return Answer(preset_document(preset), version=preset.version)


async def update_preset(call: Call) -> Answer:
    """Change a preset; shows that were announced with it keep what it was."""
    asked: UpdatePresetRequest = call.body
    user = call.caller.user
    async with call.begin() as tx:
        await _lock(tx, user.id)
        preset = await own_preset(tx, call.ids["id"], call.caller)
        call.match(preset.version)
        said = asked.model_fields_set
        before = preset_document(preset)
        if "name" in said:
            preset.name = asked.name
        if "type" in said:
            preset.type = asked.type
        if "is_default" in said:
            if asked.is_default:
                await _unset_default(tx, user.id, but=preset.id)
            preset.is_default = asked.is_default
        # A new dict: SQLAlchemy sees that a column was set, not that its value was changed.
        preset.terms = {**preset.terms, **terms_of(asked)}
        if preset_document(preset) != before:
            preset.version += 1
            preset.updated_at = datetime.now(UTC)
        await tx.flush()
    return Answer(preset_document(preset), version=preset.version)


async def delete_preset(call: Call) -> Answer:
    """Delete a preset; shows that were announced with it keep it."""
    async with call.begin() as tx:
        preset = await own_preset(tx, call.ids["id"], call.caller)
        call.match(preset.version)
        preset.deleted_at = datetime.now(UTC)
        preset.is_default = False
        preset.version += 1
    return Answer()


def _mine(user_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return (col(Preset.user_id) == user_id, col(Preset.deleted_at).is_(None))


async def _lock(tx: AsyncSession, user_id: uuid.UUID) -> None:
    """Let one request of a user at a time decide which preset is the default."""
    await tx.execute(select(col(User.id)).where(col(User.id) == user_id).with_for_update())


async def _unset_default(
    tx: AsyncSession, user_id: uuid.UUID, *, but: uuid.UUID | None = None
) -> None:
    where = [*_mine(user_id), col(Preset.is_default)]
    if but is not None:
        where.append(col(Preset.id) != but)
    changes: dict[Any, Any] = {
        "is_default": False,
        "version": col(Preset.version) + 1,
        "updated_at": datetime.now(UTC),
    }
    await tx.execute(update(Preset).where(*where).values(changes))


ROUTES: Final = (
    Route(
        "GET",
        "/presets",
        list_presets,
        Who.HOST,
        "List my presets",
        query=Page,
        answer=PresetListResponse,
        tag="presets",
    ),
    Route(
        "POST",
        "/presets",
        create_preset,
        Who.HOST,
        "Create a preset",
        body=CreatePresetRequest,
        answer=PresetAnswer,
        status=201,
        replay=Replay.STORE,
        tag="presets",
    ),
    Route(
        "GET",
        "/presets/{id}",
        get_preset,
        Who.HOST,
        "Read a preset",
        answer=PresetResponse,
        problems=("preset-not-found",),
        tag="presets",
    ),
    Route(
        "PATCH",
        "/presets/{id}",
        update_preset,
        Who.HOST,
        "Change a preset",
        body=UpdatePresetRequest,
        answer=PresetResponse,
        problems=("preset-not-found", "version-mismatch"),
        tag="presets",
    ),
    Route(
        "DELETE",
        "/presets/{id}",
        delete_preset,
        Who.HOST,
        "Delete a preset",
        problems=("preset-not-found", "version-mismatch"),
        tag="presets",
    ),
)

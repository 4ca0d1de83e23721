"""Say whose a thing is: another organization's is not there, a colleague's is 403."""

import uuid
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.problems import Problem
from api.routes import Caller
from orchestration.models import Participant, Preset, Recording, Room, Session, User

#: Roles that a session's host gives.
CO_HOST: Final = "co_host"
MODERATOR: Final = "moderator"
_NOT_YOURS: Final = "Only its host may do this."


async def own_room(
    tx: AsyncSession, room_id: uuid.UUID, caller: Caller, *, locks: bool = False
) -> Room:
    """Give the caller's own room; locked, to be changed or for what must not outlive it.

    Raises Problem room-not-found, insufficient-scope.
    """
    room = await tx.get(Room, room_id, with_for_update=locks)
    if room is None or room.deleted_at is not None or _is_foreign(room, caller):
        raise Problem("room-not-found")
    if room.host_id != caller.user.id:
        raise Problem("insufficient-scope", _NOT_YOURS)
    return room


async def own_preset(tx: AsyncSession, preset_id: uuid.UUID, caller: Caller) -> Preset:
    """Give the caller's own preset. Raises Problem preset-not-found, insufficient-scope."""
    preset = await colleagues_preset(tx, preset_id, caller)
    if preset.user_id != caller.user.id:
        raise Problem("insufficient-scope", "Only its owner may do this.")
    return preset


async def colleagues_preset(tx: AsyncSession, preset_id: uuid.UUID, caller: Caller) -> Preset:
    """Give a preset of the caller's organization. Raises Problem preset-not-found."""
    preset = await tx.get(Preset, preset_id)
    if preset is None or preset.deleted_at is not None or _is_foreign(preset, caller):
        raise Problem("preset-not-found")
    return preset


async def own_session(tx: AsyncSession, session_id: uuid.UUID, caller: Caller) -> Session:
    """Give the caller's own session. Raises Problem session-not-found, insufficient-scope."""
    session = await _session(tx, session_id, caller)
    if session.host_id != caller.user.id:
        raise Problem("insufficient-scope", _NOT_YOURS)
    return session


async def staffed_session(
    tx: AsyncSession,
    session_id: uuid.UUID,
    caller: Caller,
    roles: Sequence[str] = (CO_HOST, MODERATOR),
) -> Session:
    """Give a session that the caller hosts, or has one of these roles in.

    A co-host or moderator may be of any organization: the role was given by the host.
    Raises Problem session-not-found to other organizations, insufficient-scope to colleagues.
    """
    session = await _session(tx, session_id, None)
    if session.host_id == caller.user.id:
        return session
    given = await roles_in(tx, session_id, caller.user)
    if not given.isdisjoint(roles):
        return session
    if _is_foreign(session, caller):
        raise Problem("session-not-found")
    raise Problem("insufficient-scope", "Only its host, co-hosts and moderators may do this.")


async def roles_in(tx: AsyncSession, session_id: uuid.UUID, user: User) -> frozenset[str]:
    """Say which roles the host gave a user in a session."""
    found = await tx.scalars(
        select(col(Participant.role)).where(
            col(Participant.session_id) == session_id,
            col(Participant.user_id) == user.id,
            col(Participant.is_active),
        )
    )
    return frozenset(found)


async def own_recording(
    tx: AsyncSession, recording_id: uuid.UUID, caller: Caller, *, locks: bool = False
) -> Recording:
    """Give a recording of a show the caller hosted; locked, to be changed.

    It outlives its room and session. Raises Problem recording-not-found, insufficient-scope.
    """
    query = (
        select(Recording, col(Session.host_id))
        .join(Session, col(Session.id) == col(Recording.session_id))
        .where(col(Recording.id) == recording_id)
    )
    if locks:
        query = query.with_for_update(of=Recording)
    row = (await tx.execute(query)).one_or_none()
    if row is None or row[0].deleted_at is not None or _is_foreign(row[0], caller):
        raise Problem("recording-not-found")
    if row[1] != caller.user.id:
        raise Problem("insufficient-scope", _NOT_YOURS)
    recording: Recording = row[0]
    return recording


def visible_session() -> ColumnElement[bool]:
    """Select sessions that are there for readers: neither they nor their room are deleted."""
    return and_(
        col(Session.deleted_at).is_(None),
        exists().where(col(Room.id) == col(Session.room_id), col(Room.deleted_at).is_(None)),
    )


async def _session(tx: AsyncSession, session_id: uuid.UUID, caller: Caller | None) -> Session:
    row = (
        await tx.execute(
            select(Session, col(Room.deleted_at))
            .join(Room, col(Room.id) == col(Session.room_id))
            .where(col(Session.id) == session_id)
        )
    ).one_or_none()
    if row is None or row[0].deleted_at is not None or row[1] is not None:
        raise Problem("session-not-found")
    session: Session = row[0]
    if caller is not None and _is_foreign(session, caller):
        raise Problem("session-not-found")
    return session


def _is_foreign(thing: Room | Preset | Session | Recording, caller: Caller) -> bool:
    return thing.organization_id != caller.organization_id

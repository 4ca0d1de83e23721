"""Rooms: a host's lasting places for shows."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.access import own_room
from api.problems import Problem
from api.routes import Answer, Call, Caller, Replay, Route, Who
from api.shapes.common import Page
from api.shapes.rooms import (
    CreateRoomRequest,
    RoomAnswer,
    RoomListResponse,
    RoomResponse,
    UpdateRoomRequest,
    room_document,
)
from orchestration import commands
from orchestration.models import Room, Session, User
from orchestration.states import OVER, Status, Wanted


async def list_rooms(call: Call) -> Answer:
    """List everybody's rooms, newest first."""
    return await _list(call)


async def list_my_rooms(call: Call) -> Answer:
    """List the caller's own rooms, newest first."""
    return await _list(call, col(Room.host_id) == call.caller.user.id)


async def create_room(call: Call) -> Answer:
    asked: CreateRoomRequest = call.body
    host = call.caller.user
    async with call.begin() as tx:
        room = Room(
            organization_id=host.organization_id,
            host_id=host.id,
            title=asked.title,
            description=asked.description,
            analytics=_analytics(asked),
        )
        tx.add(room)
        await tx.flush()
        document = room_document(room, host, None, shows_email=True)
        location = {"Location": f"{call.resources.settings.base_path}/rooms/{room.id}"}
        return await call.keep(tx, Answer({"room": document}, 201, headers=location))


async def get_room(call: Call) -> Answer:
    async with call.resources.db.read() as tx:
        return await _answer(tx, call.ids["id"], call.maybe_caller)


async def update_room(call: Call) -> Answer:
    asked: UpdateRoomRequest = call.body
    async with call.begin() as tx:
        room = await own_room(tx, call.ids["id"], call.caller, locks=True)
        call.match(room.version)
        said = asked.model_fields_set
        changes: dict[str, Any] = {}
        if "title" in said:
            changes["title"] = asked.title
        if "description" in said:
            changes["description"] = asked.description
        if "analytics" in said:
            changes["analytics"] = _analytics(asked)
        if any(getattr(room, name) != value for name, value in changes.items()):
            for name, value in changes.items():
                setattr(room, name, value)
            room.version += 1
            room.updated_at = datetime.now(UTC)
            await tx.flush()
        return await _answer(tx, room.id, call.caller)


async def delete_room(call: Call) -> Answer:
    """Hide a room and its sessions; what they have at LiveKit is let go. Recordings stay."""
    async with call.begin() as tx:
        room = await own_room(tx, call.ids["id"], call.caller, locks=True)
        call.match(room.version)
        sessions = await _unfinished(tx, room.id)
        if any(each.wanted is Wanted.LIVE or each.status is Status.LIVE for each in sessions):
            raise Problem("room-live")
        for session in sessions:
            await commands.delete_session(tx, session)
        room.deleted_at = datetime.now(UTC)
        room.version += 1
    for session in sessions:
        await call.resources.bell.ring("sessions", session.id)
    return Answer()


async def _list(call: Call, *where: ColumnElement[bool]) -> Answer:
    page: Page = call.query
    async with call.resources.db.read() as tx:
        shown = (col(Room.deleted_at).is_(None), *where)
        total = await tx.scalar(select(func.count()).select_from(Room).where(*shown))
        rows = await tx.execute(
            _rows()
            .where(*shown)
            .order_by(col(Room.created_at).desc(), col(Room.id))
            .offset(page.offset)
            .limit(page.limit)
        )
        rooms = [_document(row, call.maybe_caller) for row in rows]
    return Answer({"rooms": rooms, "total": total, "page": page.page, "limit": page.limit})


async def _answer(tx: AsyncSession, room_id: uuid.UUID, reader: Caller | None) -> Answer:
    """Read a room with its host and live session. Raises Problem room-not-found."""
    query = _rows().where(col(Room.id) == room_id, col(Room.deleted_at).is_(None))
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise Problem("room-not-found")
    return Answer(_document(row, reader), version=row[0].version)


def _rows() -> Select[Room, User, uuid.UUID]:
    active_id = (
        select(col(Session.id))
        .where(col(Session.room_id) == col(Room.id), col(Session.wanted) == Wanted.LIVE)
        .limit(1)
        .correlate(Room)
        .scalar_subquery()
    )
    return select(Room, User, active_id).join(User, col(User.id) == col(Room.host_id))


def _document(row: Any, reader: Caller | None) -> dict[str, Any]:
    room, host, active_id = row
    is_colleague = reader is not None and reader.organization_id == room.organization_id
    return room_document(room, host, active_id, shows_email=is_colleague)


async def _unfinished(tx: AsyncSession, room_id: uuid.UUID) -> Sequence[Session]:
    query = (
        select(Session)
        .where(
            col(Session.room_id) == room_id,
            col(Session.deleted_at).is_(None),
            col(Session.phase).not_in(OVER),
        )
        .order_by(col(Session.id))  # rows are locked in one order
        .with_for_update()
    )
    return (await tx.scalars(query)).all()


def _analytics(asked: CreateRoomRequest | UpdateRoomRequest) -> dict[str, Any] | None:
    return asked.analytics.model_dump() if asked.analytics is not None else None


ROUTES: Final = (
    Route(
        "GET",
        "/rooms",
        list_rooms,
        Who.PUBLIC,
        "List rooms",
        query=Page,
        answer=RoomListResponse,
        is_cached=True,
        is_open=True,
        tag="rooms",
    ),
    Route(
        "POST",
        "/rooms",
        create_room,
        Who.HOST,
        "Create a room",
        body=CreateRoomRequest,
        answer=RoomAnswer,
        status=201,
        replay=Replay.STORE,
        tag="rooms",
    ),
    Route(
        "GET",
        "/rooms/my",
        list_my_rooms,
        Who.ANY,
        "List my rooms",
        query=Page,
        answer=RoomListResponse,
        tag="rooms",
    ),
    Route(
        "GET",
        "/rooms/{id}",
        get_room,
        Who.PUBLIC,
        "Read a room",
        answer=RoomResponse,
        problems=("room-not-found",),
        is_cached=True,
        is_open=True,
        tag="rooms",
    ),
    Route(
        "PATCH",
        "/rooms/{id}",
        update_room,
        Who.HOST,
        "Change a room",
        body=UpdateRoomRequest,
        answer=RoomResponse,
        problems=("room-not-found", "version-mismatch"),
        tag="rooms",
    ),
    Route(
        "DELETE",
        "/rooms/{id}",
        delete_room,
        Who.HOST,
        "Delete a room",
        problems=("room-not-found", "room-live", "version-mismatch"),
        tag="rooms",
    ),
)

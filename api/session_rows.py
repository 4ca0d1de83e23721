"""Read sessions with their room, host and playback: one query, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from orchestration.models import Playback, Room, Session, User
from orchestration.states import Wanted


@dataclass(frozen=True)
class SessionRow:
    """A session and what is told with it."""

    session: Session
    room: Room
    host: User
    #: None until the show has something to play.
    playback: Playback | None
    #: The room's live session, this one or another.
    active_session_id: UUID | None


async def read_session(tx: AsyncSession, session_id: UUID) -> SessionRow | None:
    """Read one session; None when it is not there, or hidden with its room."""
    row = (await tx.execute(_rows().where(col(Session.id) == session_id))).first()
    return None if row is None else SessionRow(*row)


async def read_these_sessions(tx: AsyncSession, ids: Sequence[UUID]) -> list[SessionRow]:
    """Read sessions by their ids; those that are not there, or hidden, are left out."""
    found = await tx.execute(_rows().where(col(Session.id).in_(ids)))
    return [SessionRow(*row) for row in found]


async def read_sessions(
    tx: AsyncSession, *where: ColumnElement[bool], page: int, limit: int
) -> tuple[list[SessionRow], int]:
    """Read one page of sessions, newest first, and count them all."""
    found = await tx.execute(
        _rows()
        .where(*where)
        .order_by(col(Session.created_at).desc(), col(Session.id))
        .offset((page - 1) * limit)
        .limit(limit)
    )
    total = await tx.scalar(
        select(func.count())
        .select_from(Session)
        .join(Room, col(Room.id) == col(Session.room_id))
        .where(*_shown(), *where)
    )
    return [SessionRow(*row) for row in found], int(total or 0)


@cache
def _rows() -> Select[Session, Room, User, Playback, UUID]:
    """Build the query once: aliasing a table of sixty columns costs a millisecond."""
    active = aliased(Session)
    active_id = (
        select(col(active.id))
        .where(col(active.room_id) == col(Session.room_id))
        .where(col(active.wanted) == Wanted.LIVE)
        .limit(1)
        .correlate(Session)
        .scalar_subquery()
    )
    return (
        select(Session, Room, User, Playback, active_id)
        .join(Room, col(Room.id) == col(Session.room_id))
        .join(User, col(User.id) == col(Room.host_id))
        .outerjoin(Playback, col(Playback.session_id) == col(Session.id))
        .where(*_shown())
    )


def _shown() -> Sequence[ColumnElement[bool]]:
    return (
        col(Session.deleted_at).is_(None),
        col(Room.deleted_at).is_(None),
    )

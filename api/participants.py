"""Co-hosts and moderators: the host gives the roles, and takes them away."""

from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from api import access
from api.problems import Problem
from api.routes import Answer, Call, Caller, Replay, Route, Who
from api.shapes.participants import (
    AddParticipantRoleRequest,
    ParticipantAnswer,
    SessionParticipantsListResponse,
    participant_document,
)
from orchestration import commands, events
from orchestration.models import Participant, Session, User
from orchestration.names import room_name
from orchestration.plane import PlaneError
from orchestration.resources import Resources
from orchestration.states import OVER, Phase

log = structlog.get_logger(__name__)


async def list_participants(call: Call) -> Answer:
    """Tell who has a role in the show."""
    async with call.resources.db.read() as tx:
        session = await access.staffed_session(tx, call.ids["id"], call.caller)
        found = await tx.execute(
            _rows()
            .where(col(Participant.session_id) == session.id)
            .order_by(col(Participant.assigned_at), col(Participant.id))
        )
        shows_email = _is_host_of(call.caller, session)
        told = [participant_document(*row, shows_email=shows_email) for row in found]
    return Answer({"participants": told, "total": len(told)})


async def add_participant(call: Call) -> Answer:
    """Give a user of one's organization a role in the show."""
    asked: AddParticipantRoleRequest = call.body
    async with call.begin() as tx:
        await access.own_session(tx, call.ids["id"], call.caller)
        # Locked: of two requests at the same moment one sees what the other did.
        session = await commands.locked_session(tx, call.ids["id"])
        user = await _colleague(tx, asked, call.caller)
        await _check(tx, session, user, asked)
        participant = await _assign(tx, session, user, asked, call.caller)
        await events.record(tx, session, "participant.added", user_id=str(user.id), role=asked.role)
        document = participant_document(participant, user, call.caller.user, shows_email=True)
        return await call.keep(tx, Answer({"participant": document}, status=201))


async def remove_participant(call: Call) -> Answer:
    """Take a role away, and disconnect who had it."""
    async with call.begin() as tx:
        session = await access.own_session(tx, call.ids["id"], call.caller)
        participant = await tx.get(Participant, call.ids["participant_id"])
        if participant is None or participant.session_id != session.id:
            raise Problem("participant-not-found")
        was_active = participant.is_active
        if was_active:
            session = await commands.locked_session(tx, session.id)
            moment = datetime.now(UTC)
            participant.is_active = False
            participant.removed_at = participant.updated_at = moment
            await events.record(
                tx,
                session,
                "participant.removed",
                user_id=str(participant.user_id),
                role=participant.role,
            )
    if was_active and session.phase not in OVER and session.phase is not Phase.SCHEDULED:
        await _disconnect(call.resources, session, participant)
    return Answer()


async def _colleague(tx: AsyncSession, asked: AddParticipantRoleRequest, caller: Caller) -> User:
    user = await tx.get(User, asked.user_id)
    if user is None or not user.is_active or user.organization_id != caller.organization_id:
        raise Problem("user-not-found")
    return user


async def _check(
    tx: AsyncSession, session: Session, user: User, asked: AddParticipantRoleRequest
) -> None:
    if session.phase in OVER or session.phase is Phase.ENDING:
        raise Problem("session-ended")
    if user.id == session.host_id:
        raise Problem("conflict", "The host has every right already.")
    if asked.role != access.CO_HOST:
        return
    if not session.preset.get("host_add_co_host", True):
        raise Problem("insufficient-scope", "This show's preset allows no co-hosts.")
    limit = session.max_join_limit_override or session.preset["max_join_limit"]
    others = await tx.scalar(
        select(func.count())
        .select_from(Participant)
        .where(
            col(Participant.session_id) == session.id,
            col(Participant.role) == access.CO_HOST,
            col(Participant.is_active),
            col(Participant.user_id) != user.id,
        )
    )
    # The host is on stage, too.
    if 1 + int(others or 0) >= limit:
        raise Problem("stage-full", f"This show's stage holds {limit}, the host included.")


async def _assign(
    tx: AsyncSession,
    session: Session,
    user: User,
    asked: AddParticipantRoleRequest,
    caller: Caller,
) -> Participant:
    """Give the role, or give it again; who has it keeps it as it was given."""
    moment = datetime.now(UTC)
    participant = await tx.scalar(
        select(Participant).where(
            col(Participant.session_id) == session.id,
            col(Participant.user_id) == user.id,
            col(Participant.role) == asked.role,
        )
    )
    if participant is None:
        participant = Participant(
            session_id=session.id,
            user_id=user.id,
            role=asked.role,
            assigned_at=moment,
            assigned_by=caller.user.id,
        )
        tx.add(participant)
    elif not participant.is_active:
        participant.is_active = True
        participant.assigned_at = participant.updated_at = moment
        participant.assigned_by = caller.user.id
        participant.removed_at = participant.joined_at = participant.left_at = None
    await tx.flush()
    return participant


async def _disconnect(resources: Resources, session: Session, participant: Participant) -> None:
    """Show the door; the role is gone whether or not LiveKit answers."""
    room = room_name(resources.settings.livekit_prefix, session.id)
    try:
        await resources.plane.remove_participant(room, str(participant.user_id))
    except PlaneError as error:
        log.warning("participant_not_disconnected", code=error.code, session_id=str(session.id))


def _is_host_of(caller: Caller, session: Session) -> bool:
    return caller.user.id == session.host_id


def _rows() -> Select[Participant, User, User]:
    giver = aliased(User)
    return (
        select(Participant, User, giver)
        .join(User, col(User.id) == col(Participant.user_id))
        .join(giver, col(giver.id) == col(Participant.assigned_by))
    )


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/participants", list_participants, Who.ANY,
          "List a session's co-hosts and moderators", answer=SessionParticipantsListResponse,
          tag="participants", problems=("session-not-found", "insufficient-scope")),
    Route("POST", "/sessions/{id}/participants", add_participant, Who.HOST,
          "Make a user co-host or moderator", body=AddParticipantRoleRequest,
          answer=ParticipantAnswer, status=201, replay=Replay.STORE, tag="participants",
          problems=("session-not-found", "user-not-found", "insufficient-scope", "session-ended",
                    "stage-full", "conflict")),
    Route("DELETE", "/sessions/{id}/participants/{participant_id}", remove_participant, Who.HOST,
          "Take a role away", tag="participants",
          problems=("session-not-found", "participant-not-found", "insufficient-scope")),
)
# fmt: on

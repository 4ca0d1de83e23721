"""What is asked and told about a session's co-hosts and moderators."""

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.common import Asked, Id, Told
from api.shapes.users import UserResponse, user_document
from orchestration.models import Participant, User

ParticipantRole = Literal["co_host", "moderator"]


class AddParticipantRoleRequest(Asked):
    """Whom to give a role in this session."""

    user_id: Id
    role: ParticipantRole = Field(default="co_host")


class SessionParticipantResponse(Told):
    """A user with a role in one session."""

    id: uuid.UUID
    session_id: uuid.UUID
    user_id: uuid.UUID
    username: str
    user: UserResponse
    role: ParticipantRole
    is_active: bool
    assigned_at: datetime
    joined_at: datetime | None
    assigned_by: uuid.UUID
    assigned_by_user: UserResponse
    removed_at: datetime | None
    left_at: datetime | None


class SessionParticipantsListResponse(Told):
    """Everybody who has a role in the session, and who had one."""

    participants: list[SessionParticipantResponse]
    total: int


class ParticipantAnswer(Told):
    """The role that was given."""

    participant: SessionParticipantResponse


def participant_document(
    participant: Participant, user: User, assigned_by: User, *, shows_email: bool
) -> dict[str, Any]:
    """Say a participant as SessionParticipantResponse; `shows_email` only to the host."""
    return {
        "id": participant.id,
        "session_id": participant.session_id,
        "user_id": participant.user_id,
        "username": user.username,
        "user": user_document(user, shows_email=shows_email),
        "role": participant.role,
        "is_active": participant.is_active,
        "assigned_at": participant.assigned_at,
        "joined_at": participant.joined_at,
        "assigned_by": participant.assigned_by,
        "assigned_by_user": user_document(assigned_by, shows_email=shows_email),
        "removed_at": participant.removed_at,
        "left_at": participant.left_at,
    }

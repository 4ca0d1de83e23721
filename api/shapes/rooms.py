"""What is asked and told about rooms."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.shapes.common import Asked, Count, Text, Title, Told
from api.shapes.users import UserResponse, user_document
from orchestration.models import Room, User


class GoogleTagManager(Asked):
    """Which container counts this room's page."""

    container_id: Annotated[str, StringConstraints(pattern=r"^GTM-[A-Z0-9]{1,20}$", max_length=24)]
    enabled: bool


class RoomAnalytics(Asked):
    """Who else counts this room's viewers."""

    google_tag_manager: GoogleTagManager


class CreateRoomRequest(Asked):
    """A new room."""

    title: Title = Field(examples=["Product launches"])
    description: Text | None = None
    analytics: RoomAnalytics | None = None


class UpdateRoomRequest(Asked):
    """What to change about a room; what is left out stays."""

    title: Title = Field(default="")
    description: Text | None = None
    analytics: RoomAnalytics | None = None


class ToldGoogleTagManager(Told):
    """Which container counts this room's page."""

    container_id: str
    enabled: bool


class ToldRoomAnalytics(Told):
    """Who else counts this room's viewers."""

    google_tag_manager: ToldGoogleTagManager


class RoomResponse(Told):
    """A host's lasting place for shows."""

    id: uuid.UUID
    host_id: uuid.UUID
    host: UserResponse
    library_id: uuid.UUID
    title: str
    description: str | None
    analytics: ToldRoomAnalytics | None
    active_session_id: uuid.UUID | None = Field(description="The session that is live here.")
    created_at: datetime
    updated_at: datetime


class RoomListResponse(Told):
    """A page of rooms."""

    rooms: list[RoomResponse]
    total: Count
    page: int
    limit: int


class RoomAnswer(Told):
    """The room that was made."""

    room: RoomResponse


def room_document(
    room: Room, host: User, active_session_id: uuid.UUID | None, *, shows_email: bool
) -> dict[str, Any]:
    """Say a room as RoomResponse; `shows_email` only to callers of its organization."""
    return {
        "id": room.id,
        "host_id": room.host_id,
        "host": user_document(host, shows_email=shows_email),
        "library_id": room.library_id,
        "title": room.title,
        "description": room.description,
        "analytics": room.analytics,
        "active_session_id": active_session_id,
        "created_at": room.created_at,
        "updated_at": room.updated_at,
    }

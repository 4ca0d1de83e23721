"""How a user looks from outside."""

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.common import Told
from orchestration.models import User


class UserResponse(Told):
    """A host or a viewer."""

    id: uuid.UUID
    external_user_id: uuid.UUID
    organization_id: uuid.UUID
    email: str | None = Field(description="null in public reads, and for viewers without one.")
    username: str
    role: Literal["host", "viewer"]
    is_active: bool
    created_at: datetime


def user_document(user: User, *, shows_email: bool) -> dict[str, Any]:
    """Say a user as UserResponse; `shows_email` only to callers of its organization."""
    return {
        "id": user.id,
        "external_user_id": user.external_user_id,
        "organization_id": user.organization_id,
        "email": user.email if shows_email else None,
        "username": user.username,
        "role": user.role,
        "is_active": user.is_active,
        "created_at": user.created_at,
    }

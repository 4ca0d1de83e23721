"""What is asked and told about API keys."""

import uuid
from datetime import datetime
from typing import Any

from pydantic import Field

from api.shapes.common import Asked, Name, Told
from orchestration.models import ApiKey


class CreateApiKeyRequest(Asked):
    """A new API key."""

    name: Name = Field(examples=["Encoder in studio 2"])


class UpdateApiKeyRequest(Asked):
    """A new name for an API key."""

    name: Name


class ApiKeyResponse(Told):
    """An API key, without the key."""

    id: uuid.UUID
    user_id: uuid.UUID
    name: str
    prefix: str = Field(description="The part of the key that may be shown: grk_<prefix>_...")
    created_at: datetime
    updated_at: datetime


class ApiKeyAnswer(Told):
    """A new API key; `key` is never shown again."""

    api_key: ApiKeyResponse
    key: str


class ApiKeyListResponse(Told):
    """A page of API keys."""

    api_keys: list[ApiKeyResponse]
    total: int
    page: int
    limit: int


def key_document(key: ApiKey) -> dict[str, Any]:
    """Say an API key as ApiKeyResponse."""
    return {
        "id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "prefix": key.prefix,
        "created_at": key.created_at,
        "updated_at": key.updated_at,
    }

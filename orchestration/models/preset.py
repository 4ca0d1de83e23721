"""A preset: what a show of this kind may do; copied into a session when that is created."""

import uuid
from datetime import datetime
from typing import Any

from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, Named, new_id


class Preset(Named, table=True):
    """A host's template. Its terms are one JSON document, in the contract's names."""

    __tablename__ = "presets"

    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    library_id: uuid.UUID = Field(default_factory=new_id)
    name: str = Field(max_length=255)
    #: whip | rtmp
    type: str = Field(max_length=8)
    #: At most one default per user.
    is_default: bool = False
    #: All other members of PresetResponse (switches, colours, limits), each present.
    terms: dict[str, Any] = Field(default_factory=dict, sa_type=AnyJson)
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

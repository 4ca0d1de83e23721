"""An idempotency key: what a caller's repeated request is recognised by."""

import uuid
from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, utc_now


class IdempotencyKey(SQLModel, table=True):
    """One key of one caller. Of an answer that carries secrets only its having been is stored."""

    __tablename__ = "idempotency_keys"

    #: Organization id, or "public" for requests without a caller.
    scope: str = Field(primary_key=True, max_length=64)
    key: str = Field(primary_key=True, max_length=255)
    #: SHA-256 of method, path, caller and body.
    fingerprint: str = Field(max_length=64)
    #: go_live, start and end attach to their job and build the answer anew.
    job_id: uuid.UUID | None = Field(default=None)
    #: The stored answer; NULL while in flight, or when it carried secrets.
    status: int | None = None
    body: dict[str, Any] | None = Field(default=None, sa_type=AnyJson)
    #: Set once the request was carried out.
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)

"""A recording: what a show leaves behind, and what it was found to be worth."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import Duty, Named, Word
from orchestration.states import Verdict


class Recording(Named, Duty, table=True):
    """One per show; finished by its own repeatable job."""

    __tablename__ = "recordings"

    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    session_id: uuid.UUID = Field(foreign_key="sessions.id", unique=True)
    #: The newest take's egress.
    egress_id: str | None = Field(default=None, max_length=64)
    name: str = Field(max_length=255)
    #: Storage key of the finished file.
    file_path: str | None = Field(default=None, max_length=512)
    duration_seconds: int | None = None
    file_size: int | None = Field(default=None, sa_type=BigInteger)
    #: recording | completed | failed
    status: str = Field(default="recording", max_length=16, index=True)
    #: local | s3 | gcs | azure
    storage_type: str = Field(max_length=16)
    retry_count: int = 0
    error_message: str | None = Field(default=None, max_length=1024)
    verdict: Verdict | None = Field(default=None, sa_type=Word(Verdict))
    #: Slug of the reason, see verdict.py.
    verdict_reason: str | None = Field(default=None, max_length=64)
    sha256: str | None = Field(default=None, max_length=64)
    #: All takes are over: finishing may begin.
    finish_asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

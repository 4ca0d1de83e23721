"""A job: a caller's receipt for wanting a session to become something."""

import uuid
from datetime import datetime
from typing import Any

from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import AnyJson, Named, Word
from orchestration.states import JobKind, JobStatus


class Job(Named, table=True):
    """It holds no work: the session row does. It is done when the session got there."""

    __tablename__ = "jobs"

    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    session_id: uuid.UUID = Field(foreign_key="sessions.id", index=True)
    user_id: uuid.UUID = Field(foreign_key="users.id")
    kind: JobKind = Field(sa_type=Word(JobKind))
    status: JobStatus = Field(default=JobStatus.PENDING, sa_type=Word(JobStatus), index=True)
    #: The session's wanted_version that this job waits for.
    wanted_version: int
    #: Why it failed, as `{slug, detail}` of a problem.
    problem: dict[str, Any] | None = Field(default=None, sa_type=AnyJson)
    #: The request that asked, for the logs of API and worker.
    request_id: str | None = Field(default=None, max_length=128)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

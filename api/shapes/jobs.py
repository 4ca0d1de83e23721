"""A job: a caller's receipt for wanting a session to become something."""

import uuid
from datetime import datetime
from typing import Any

from pydantic import Field

from api.problems import CATALOGUE
from api.shapes.common import Told
from orchestration.models import Job
from orchestration.states import JobKind, JobStatus


class JobProblem(Told):
    """Why a job failed: a line of the catalogue of problems, and what it was here."""

    slug: str
    title: str
    detail: str


class JobResponse(Told):
    """How far a wish has come."""

    id: uuid.UUID
    session_id: uuid.UUID
    kind: JobKind
    status: JobStatus
    problem: JobProblem | None
    request_id: str | None = Field(description="The request that asked, as in the log.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class JobAnswer(Told):
    """What a 202 carries."""

    job: JobResponse


def job_document(job: Job) -> dict[str, Any]:
    """Say a job as JobResponse."""
    return {
        "id": job.id,
        "session_id": job.session_id,
        "kind": job.kind,
        "status": job.status,
        "problem": _problem(job),
        "request_id": job.request_id,
        "created_at": job.created_at,
        "updated_at": job.finished_at or job.updated_at,
        "finished_at": job.finished_at,
    }


def _problem(job: Job) -> dict[str, str] | None:
    if job.problem is None:
        return None
    slug = str(job.problem.get("slug", "internal-error"))
    kind = CATALOGUE.get(slug, CATALOGUE["internal-error"])
    return {
        "slug": slug,
        "title": kind.title,
        "detail": str(job.problem.get("detail") or kind.meaning),
    }

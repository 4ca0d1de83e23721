"""Wait for a job, at most as long as the caller wants to, and say how long that was."""

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.problems import CATALOGUE, Problem
from api.routes import Call
from orchestration.models import Job
from orchestration.resources import Resources
from orchestration.states import JobStatus

#: No connection is held longer: proxies cut them at about a minute.
WAIT_SECONDS_MAX: Final = 60.0
#: The doorbell may lose a word; the row never does.
POLL_SECONDS: Final = 0.5
#: What LiveKit would not do for minutes, it will not do in the next second.
RETRY_SECONDS: Final = 10


@dataclass(frozen=True)
class Patience:
    """How long to wait, and what to say about it in Preference-Applied."""

    seconds: float
    applied: str | None


def patience_of(call: Call) -> Patience:
    """Read the caller's patience; nothing said is the installation's default."""
    if call.prefer_wait is None:
        return Patience(call.resources.settings.wait_seconds, None)
    seconds = max(0.0, min(call.prefer_wait, WAIT_SECONDS_MAX))
    return Patience(seconds, f"wait={seconds:.0f}" if seconds else "respond-async")


async def wait_for(job_id: UUID, resources: Resources, seconds: float) -> Job:
    """Give the job as it is when it is finished, or when the time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        async with resources.db.read() as tx:
            job = await tx.get(Job, job_id)
        assert job is not None, f"Bug: job {job_id} was committed and is gone"
        left = until - loop.time()
        if job.status is not JobStatus.PENDING or left <= 0:
            return job
        await resources.bell.wait(job_id, min(POLL_SECONDS, left))


def raise_problem(job: Job) -> None:
    """Raise what the job failed with, as the problem of the request that asked for it."""
    if job.status is JobStatus.SUPERSEDED:
        raise Problem("job-superseded", job=str(job.id))
    if job.status is JobStatus.FAILED:
        problem = job.problem or {}
        slug = str(problem.get("slug", ""))
        if slug not in CATALOGUE:
            raise Problem("internal-error", "The job failed.", job=str(job.id))
        raise Problem(
            slug,
            str(problem.get("detail") or ""),
            retry_after=RETRY_SECONDS if CATALOGUE[slug].is_retryable else None,
            job=str(job.id),
        )

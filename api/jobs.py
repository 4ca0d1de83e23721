"""Jobs: how far a wish has come."""

from typing import Final

from api.problems import Problem
from api.routes import Answer, Call, Route, Who
from api.shapes.jobs import JobResponse, job_document
from api.waiting import POLL_SECONDS
from orchestration.models import Job
from orchestration.states import JobStatus

#: Whoever polls need not do it more often than we look ourselves.
RETRY_SECONDS: Final = max(1, round(POLL_SECONDS))


async def get_job(call: Call) -> Answer:
    """Read a job of one's organization."""
    async with call.resources.db.read() as tx:
        job = await tx.get(Job, call.ids["id"])
    if job is None or job.organization_id != call.caller.organization_id:
        raise Problem("job-not-found")
    is_pending = job.status is JobStatus.PENDING
    return Answer(
        job_document(job), headers={"Retry-After": str(RETRY_SECONDS)} if is_pending else {}
    )


# fmt: off
ROUTES: Final = (
    Route("GET", "/jobs/{id}", get_job, Who.HOST, "Read a job", answer=JobResponse, tag="lifecycle",
          problems=("job-not-found",),
          description="Where a 202 points to. When it is `done`, repeat the request that asked for "
                      "it: it answers with everything."),
)
# fmt: on

"""Finish a recording that is due: the ledger's side of recordings/finish.py."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration import events, leases
from orchestration.database import now
from orchestration.models import Recording, Session, Take
from orchestration.recordings.finish import Finished, TakesOfShow, finish
from orchestration.resources import Resources
from orchestration.states import Verdict
from orchestration.storage import StorageUnavailable

log = structlog.get_logger(__name__)

#: Longest pause between two tries while storage does not answer. There is no last one: what was
#: recorded lies there.
BACKOFF_SECONDS_MAX: Final = 300


async def finish_recording(recording_id: UUID, resources: Resources) -> None:
    """Check what a show left, make one file of it, and write down the verdict.

    Does nothing when the recording is not due or somebody else is at it. Storage that does not
    answer is asked again later.
    """
    settings = resources.settings
    lease = await leases.claim(
        resources.db,
        Recording,
        recording_id,
        owner=resources.owner,
        seconds=settings.lease_seconds,
    )
    if lease is None:
        return
    try:
        async with leases.kept(
            resources.db, lease, seconds=settings.lease_seconds, ending=resources.ending
        ):
            if lease.attempts > settings.attempts_max:
                detail = f"finishing it killed its worker {lease.attempts - 1} times"
                await _give_up(lease, detail, resources)
                return
            show = await _show_of(lease, resources)
            workdir = Path(settings.work_path)
            await asyncio.to_thread(workdir.mkdir, parents=True, exist_ok=True)
            try:
                finished = await finish(show, resources.storage, workdir)
            except (StorageUnavailable, OSError) as error:
                await _stumble(lease, str(error), resources)
                return
            await _write(lease, finished, resources)
    except leases.LeaseLost:
        log.warning("lease_lost", recording_id=str(recording_id))


async def _show_of(lease: leases.Lease, resources: Resources) -> TakesOfShow:
    columns: Any = Take  # SQLModel types columns as values
    async with resources.db.read() as tx:
        recording = await tx.get(Recording, lease.id)
        assert recording is not None, "Bug: a claimed row exists"
        numbers = await tx.execute(
            select(columns.number)
            .where(columns.session_id == recording.session_id)
            .order_by(columns.number)
        )
        return TakesOfShow(recording.session_id, tuple(numbers.scalars()))


async def _write(lease: leases.Lease, finished: Finished, resources: Resources) -> None:
    async with resources.db.begin() as tx:
        moment = await now(tx)
        recording, session = await leases.locked_with_session(tx, lease)
        recording.file_path = finished.file_key
        recording.sha256 = finished.sha256
        recording.file_size = finished.size_bytes
        recording.duration_seconds = (
            None if finished.duration_seconds is None else round(finished.duration_seconds)
        )
        recording.error_message = (
            None if finished.verdict is Verdict.VERIFIED else finished.reason_text[:1024]
        )
        await _close(
            tx, lease, recording, session, moment, verdict=finished.verdict, reason=finished.reason
        )
        log.info(
            "recording_finished",
            verdict=finished.verdict.value,
            reason=finished.reason,
            salvaged=finished.salvaged,
        )


async def _give_up(lease: leases.Lease, detail: str, resources: Resources) -> None:
    async with resources.db.begin() as tx:
        moment = await now(tx)
        recording, session = await leases.locked_with_session(tx, lease)
        recording.quarantined_at = moment
        recording.error_message = detail[:1024]
        await _close(
            tx, lease, recording, session, moment, verdict=Verdict.LOST, reason="quarantined"
        )
        log.error("recording_given_up", detail=detail)


async def _stumble(lease: leases.Lease, detail: str, resources: Resources) -> None:
    async with resources.db.begin() as tx:
        moment = await now(tx)
        recording = await leases.locked(tx, lease)
        recording.failures += 1
        recording.retry_count += 1
        recording.error_message = detail[:1024]
        log.warning("recording_stumbled", detail=detail, failures=recording.failures)
        pause = leases.backoff_seconds(recording.failures, longest=BACKOFF_SECONDS_MAX)
        leases.give_back(recording, lease, moment, again_at=moment + timedelta(seconds=pause))


async def _close(
    tx: AsyncSession,
    lease: leases.Lease,
    recording: Recording,
    session: Session,
    moment: datetime,
    *,
    verdict: Verdict,
    reason: str,
) -> None:
    recording.verdict = verdict
    recording.verdict_reason = reason
    recording.status = "failed" if verdict is Verdict.LOST else "completed"
    recording.finished_at = recording.updated_at = moment
    recording.version += 1
    leases.give_back(recording, lease, moment, again_at=None)
    recording.look_at = None  # whatever nudged it meanwhile: it is finished
    await events.record(tx, session, "recording.finished", verdict=verdict.value, reason=reason)
    metrics.RECORDINGS.labels(verdict.value).inc()
    # A short recording is finished before the show's last part is closed: the end began with this.
    if recording.finish_asked_at is not None:
        seconds = (moment - recording.finish_asked_at).total_seconds()
        metrics.RECORDING_FINISH_SECONDS.observe(seconds)

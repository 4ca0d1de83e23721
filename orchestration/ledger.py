"""Every write of a look, each a short transaction fenced by the look's epoch."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from observability import metrics
from orchestration import events
from orchestration.database import Database, clock, keep_now, now
from orchestration.leases import Lease, give_back, locked, nudge
from orchestration.models import Job, Playback, Recording, Session, Take
from orchestration.secrets import Secrets
from orchestration.settings import Settings
from orchestration.show import Show, show_of
from orchestration.states import (
    OVER,
    EndReason,
    JobKind,
    JobStatus,
    Phase,
    TakeState,
    Wanted,
    may_become,
    status_of,
)


class SqlLedger:
    """The ledger of one claimed session. Every method raises LeaseLost when the claim is gone."""

    def __init__(
        self,
        db: Database,
        lease: Lease,
        *,
        settings: Settings,
        secrets: Secrets,
        storage_type: str,
        publish: Callable[[UUID], Awaitable[bool]],
        ring: Callable[[str, UUID], Awaitable[bool]],
    ) -> None:
        self._db = db
        self._lease = lease
        self._settings = settings
        self._secrets = secrets
        self._storage_type = storage_type
        self._publish = publish
        self._ring = ring
        self.finished_jobs: list[UUID] = []
        #: Takes, whether there is a playback, and a recording: as they were read last. Only this
        #: ledger makes them while its claim holds; their progress is read anew by `load`.
        self._rest: tuple[list[Take], bool, bool] | None = None

    async def load(self) -> Show:
        async with self._db.read() as tx:
            session, told, has_playback, has_recording = (
                await tx.execute(
                    select(Session, clock(tx), *self._rest_there()).where(
                        Session.id == self._lease.id  # type: ignore[arg-type]  # SQLModel types columns as values
                    )
                )
            ).one()
            keep_now(tx, told)
            self._rest = await self._takes(tx, session), has_playback, has_recording
            return await self._frozen(tx, session)

    async def learn(self, *, event: str | None = None, **columns: Any) -> Show:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            _write(session, columns)
            if event is not None:
                await events.record(tx, session, event, **_facts(columns))
            return await self._frozen(tx, session)

    async def become(self, phase: Phase, **columns: Any) -> Show:
        """Enter a phase (TRANSITIONS says which may follow which)."""
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            await self._enter(tx, session, phase)
            _write(session, columns)
            return await self._frozen(tx, session)

    async def reach(self, phase: Phase, *, version: int, **columns: Any) -> Show:
        """Enter the phase that answers this version of the wish; its jobs are done."""
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            await self._enter(tx, session, phase)
            _write(session, columns)
            if phase is not Phase.SCHEDULED:
                # A refused go_live leaves its cause for the host to read.
                session.trouble = None
            session.failures = 0
            session.reached_version = max(session.reached_version, version)
            await self._finish_jobs(tx, session, JobStatus.DONE, moment)
            return await self._frozen(tx, session)

    async def want(
        self,
        wanted: Wanted,
        *,
        version: int,
        reason: EndReason | None = None,
        problem: dict[str, Any] | None = None,
    ) -> Show:
        """Change this version of the wish, by the engine's own clock or by a refusal.

        A newer wish stands. Jobs that wait for the old one fail with `problem`, or are superseded.
        """
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            if session.wanted_version != version:
                return await self._frozen(tx, session)
            await self._finish_jobs(
                tx,
                session,
                JobStatus.FAILED if problem else JobStatus.SUPERSEDED,
                moment,
                problem=problem,
            )
            session.wanted = wanted
            session.wanted_at = moment
            session.wanted_version += 1
            session.trouble = problem
            if wanted is Wanted.ENDED and session.end_reason is None:
                session.end_reason = reason
            await events.record(
                tx, session, "session.wanted", wanted=wanted.value, reason=reason and reason.value
            )
            return await self._frozen(tx, session)

    async def reserve_take(self, *, source: str, reason: str, above: int = 0) -> Show:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            takes = await self._takes(tx, session)
            number = max((above, *(take.number for take in takes))) + 1
            tx.add(
                Take(
                    session_id=session.id,
                    number=number,
                    source=source,
                    reason=reason,
                    asked_at=moment,
                    with_file=session.recording_enabled,
                )
            )
            await events.record(
                tx, session, "take.reserved", take=number, source=source, reason=reason
            )
            await tx.flush()
            self._rest = None
            return await self._frozen(tx, session)

    async def learn_take(self, number: int, *, event: str | None = None, **columns: Any) -> Show:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            take = next(t for t in await self._takes(tx, session) if t.number == number)
            for name, value in columns.items():
                setattr(take, name, value)
            if event is not None:
                await events.record(tx, session, event, take=number, **_facts(columns))
            if event in {"take.started", "take.ended", "take.abandoned"}:
                await self._wake_publisher(tx, session, moment)
            if egress_id := columns.get("egress_id"):
                recording = await self._recording(tx, session)
                if recording is not None:
                    recording.egress_id = egress_id
            await tx.flush()
            self._rest = None
            return await self._frozen(tx, session)

    async def open_playback(self) -> Show:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            if await tx.get(Playback, session.id) is None:
                tx.add(Playback(session_id=session.id, since=moment))
                await tx.flush()
            self._rest = None
            return await self._frozen(tx, session)

    async def close_playback(self) -> bool:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            playback = await tx.get(Playback, session.id, with_for_update=True)
            if playback is None or playback.closed_at is not None:
                return True
            playback.closing = True
            nudge(playback, moment)
        return await self._publish(self._lease.id)

    async def open_recording(self) -> Show:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            if await self._recording(tx, session) is None:
                takes = await self._takes(tx, session)
                tx.add(
                    Recording(
                        organization_id=session.organization_id,
                        session_id=session.id,
                        name=session.title,
                        storage_type=self._storage_type,
                        egress_id=next((t.egress_id for t in reversed(takes) if t.egress_id), None),
                    )
                )
                await events.record(tx, session, "recording.started")
                await tx.flush()
            self._rest = None
            return await self._frozen(tx, session)

    async def finish_recording(self) -> None:
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            recording = await self._recording(tx, session)
            if recording is None or recording.finish_asked_at is not None:
                return
            recording.finish_asked_at = moment
            nudge(recording, moment)
        # The sweep would find it within a second; its host is waiting for the verdict.
        await self._ring("recordings", recording.id)

    def sealed(self, secret: str) -> str:
        return self._secrets.seal(secret)

    async def stumble(self, problem: dict[str, Any], *, again_in: Callable[[int], float]) -> None:
        """Give the claim back after a retryable failure; `again_in` is seconds per failure."""
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            session.failures += 1
            await self._tell_trouble(tx, session, problem)
            again_at = datetime.fromtimestamp(
                moment.timestamp() + again_in(session.failures), moment.tzinfo
            )
            give_back(session, self._lease, moment, again_at=again_at)

    async def abandon(self, part: str, why: str) -> None:
        """Write down what an end gave up waiting for; the comparison with LiveKit tidies up."""
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            session.abandoned = [*session.abandoned, f"{part}: {why}"]
            await events.record(tx, session, "part.abandoned", part=part, why=why)

    async def done(
        self,
        *,
        again_at: datetime | None,
        observed_at: datetime | None = None,
        trouble: dict[str, Any] | None = None,
        clear_trouble: bool = True,
    ) -> bool:
        """Give the claim back in order; whether the session is due again at once.

        `trouble` is what keeps the show from going on although every step was taken.
        """
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            session.failures = 0
            if observed_at is not None:
                session.observed_at = observed_at
            if trouble is not None:
                await self._tell_trouble(tx, session, trouble)
            elif (
                clear_trouble
                and session.trouble is not None
                and session.phase is not Phase.SCHEDULED
            ):
                session.trouble = None
                session.version += 1
            give_back(session, self._lease, moment, again_at=again_at)
            return session.look_at is not None and session.look_at <= moment

    async def _tell_trouble(
        self, tx: AsyncSession, session: Session, problem: dict[str, Any]
    ) -> None:
        if session.trouble != problem:
            session.trouble = problem
            await events.record(tx, session, "session.trouble", **problem)

    async def quarantine(self) -> None:
        """Look no more: this session killed its worker too often. A new wish lifts it."""
        async with self._db.begin() as tx:
            session: Session = await locked(tx, self._lease)
            moment = await now(tx)
            problem = {
                "slug": "session-quarantined",
                "detail": f"Working on it killed its worker {self._lease.attempts - 1} times",
            }
            session.quarantined_at = moment
            session.trouble = problem
            await events.record(tx, session, "session.quarantined")
            await self._finish_jobs(tx, session, JobStatus.FAILED, moment, problem=problem)
            session.lease_owner = session.lease_until = session.look_at = None

    async def _enter(self, tx: AsyncSession, session: Session, phase: Phase) -> None:
        if session.phase is phase:
            return
        assert may_become(session.phase, phase), f"Bug: {session.phase} may not become {phase}"
        moment = await now(tx)
        before, session.phase, session.phase_since = session.phase, phase, moment
        if phase is Phase.ENDING:
            session.ending_at = moment
        session.status = status_of(phase, was_on_air=session.started_at is not None)
        if phase is Phase.WAITING_FOR_MEDIA and session.started_at is None:
            session.started_at = moment
            session.status = status_of(phase, was_on_air=True)
        if phase in OVER:
            session.ended_at = moment
            session.viewer_count = session.viewers_livekit = session.viewers_hls = 0
            await self._write_off_takes(tx, session, moment)
        await events.record(
            tx,
            session,
            "session.phase",
            before=before.value,
            after=phase.value,
            status=session.status.value,
        )

    async def _finish_jobs(
        self,
        tx: AsyncSession,
        session: Session,
        status: JobStatus,
        moment: datetime,
        *,
        problem: dict[str, Any] | None = None,
    ) -> None:
        """Finish the jobs that wait for what was just reached, failed or overtaken."""
        upto = session.reached_version if status is JobStatus.DONE else session.wanted_version
        # What was changed so far is written once, with what follows; it concerns no job.
        with tx.no_autoflush:
            found = await tx.execute(
                select(Job).where(
                    Job.session_id == session.id,  # type: ignore[arg-type]
                    Job.status == JobStatus.PENDING,  # type: ignore[arg-type]
                    Job.wanted_version <= upto,  # type: ignore[arg-type]
                )
            )
        pending = found.scalars().all()
        for job in pending:
            finish_job(job, status, moment, problem=problem)
            self.finished_jobs.append(job.id)
            await events.record(
                tx,
                session,
                f"job.{status}",
                job=str(job.id),
                kind=job.kind.value,
                **(problem or {}),
            )
            if status is JobStatus.DONE and job.kind is JobKind.GO_LIVE:
                seconds = (moment - job.created_at).total_seconds()
                metrics.GO_LIVE_SECONDS.labels("answered").observe(seconds)

    async def _write_off_takes(self, tx: AsyncSession, session: Session, moment: datetime) -> None:
        """End the takes whose egress did not stop in time: a show that is over has none left."""
        self._rest = None
        for take in await self._takes(tx, session):
            if take.state is not TakeState.ENDED:
                take.state, take.ended_at = TakeState.ENDED, moment
                take.outcome, take.error = "abandoned", "it did not stop before the show was over"
                await events.record(tx, session, "take.abandoned", take=take.number)

    async def _wake_publisher(self, tx: AsyncSession, session: Session, moment: datetime) -> None:
        playback = await tx.get(Playback, session.id, with_for_update=True)
        if playback is not None and playback.closed_at is None:
            nudge(playback, moment)

    async def _recording(self, tx: AsyncSession, session: Session) -> Recording | None:
        return (
            await tx.execute(select(Recording).where(Recording.session_id == session.id))  # type: ignore[arg-type]
        ).scalar_one_or_none()

    async def _takes(self, tx: AsyncSession, session: Session) -> list[Take]:
        rows = await tx.execute(select(Take).where(Take.session_id == session.id))  # type: ignore[arg-type]
        return list(rows.scalars().all())

    async def _frozen(self, tx: AsyncSession, session: Session) -> Show:
        await tx.flush()
        if self._rest is None:
            self._rest = await self._read_rest(tx, session)
        takes, has_playback, has_recording = self._rest
        return show_of(
            session,
            takes,
            has_playback=has_playback,
            has_recording=has_recording,
            moment=await now(tx),
            settings=self._settings,
        )

    async def _read_rest(self, tx: AsyncSession, session: Session) -> tuple[list[Take], bool, bool]:
        has_playback, has_recording = (await tx.execute(select(*self._rest_there()))).one()
        return await self._takes(tx, session), has_playback, has_recording

    def _rest_there(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        playback: Any = Playback.session_id  # SQLModel types columns as values
        recording: Any = Recording.session_id
        return (
            exists().where(playback == self._lease.id),
            exists().where(recording == self._lease.id),
        )


def finish_job(
    job: Job, status: JobStatus, moment: datetime, *, problem: dict[str, Any] | None = None
) -> None:
    """Close a caller's receipt, and count it."""
    job.status = status
    job.problem = problem
    job.finished_at = job.updated_at = moment
    metrics.JOBS.labels(job.kind.value, status.value).inc()
    metrics.JOB_SECONDS.labels(job.kind.value).observe((moment - job.created_at).total_seconds())


def _write(session: Session, columns: dict[str, Any]) -> None:
    for name, value in columns.items():
        setattr(session, name, value)
    if columns:
        session.version += 1


def _facts(columns: dict[str, Any]) -> dict[str, Any]:
    """Keep of what was learned only what an event may tell: no secret, JSON only."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in columns.items()
        if not name.endswith("_sealed")
    }

"""Accept work: the transactions that say what is wanted. The caller rings after its commit."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from orchestration import events, leases
from orchestration.database import now
from orchestration.ledger import finish_job
from orchestration.models import Job, Preset, Room, Session, User
from orchestration.settings import Settings
from orchestration.show import RANK
from orchestration.states import OVER, EndReason, JobKind, JobStatus, Status, Wanted


class Rejected(Exception):
    """What was asked cannot be: `slug` stands in the API's problem catalogue."""

    def __init__(self, slug: str, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.facts = facts


#: What each kind of job wishes for.
WISHES: Final[dict[JobKind, Wanted]] = {
    JobKind.START: Wanted.OPEN,
    JobKind.GO_LIVE: Wanted.LIVE,
    JobKind.END: Wanted.ENDED,
}
#: Events of wishes, in the past tense.
ASKED: Final = "session.wanted"


async def wish(
    tx: AsyncSession,
    session_id: UUID,
    kind: JobKind,
    *,
    user_id: UUID,
    request_id: str | None = None,
) -> Job:
    """Say what a session shall become, and give the caller a receipt.

    The same wish again attaches to the job that is there, so that two callers at the same moment
    get the same answer. Raises Rejected (session-not-found, session-ended, session-expired,
    room-already-live).
    """
    moment = await now(tx)
    session = await locked_session(tx, session_id)
    wanted = WISHES[kind]
    if session.wanted is Wanted.ENDED and kind is not JobKind.END:
        expired = session.end_reason is EndReason.EXPIRED
        raise Rejected(
            "session-expired" if expired else "session-ended",
            "This show is over; create a new session to go live again.",
        )
    if RANK[session.wanted] >= RANK[wanted]:
        return await _attach(tx, session, kind, moment, user_id=user_id, request_id=request_id)
    session.wanted = wanted
    session.wanted_at = moment
    session.wanted_version += 1
    _lift_quarantine(session)
    session.trouble = None
    session.failures = 0
    if kind is JobKind.GO_LIVE:
        session.go_live_at = session.go_live_at or moment
    if kind is JobKind.END:
        session.end_reason = EndReason.REQUESTED
        await _supersede(tx, session, moment)
    leases.nudge(session, moment)
    job = _job(session, kind, user_id=user_id, request_id=request_id, moment=moment)
    tx.add(job)
    await events.record(tx, session, ASKED, wanted=wanted.value, job=str(job.id), by=str(user_id))
    try:
        await tx.flush()
    except IntegrityError as error:
        raise Rejected(
            "room-already-live",
            "Another session of this room is live: one room, one live show. End that one first.",
        ) from error
    return job


async def create_session(
    tx: AsyncSession,
    *,
    room: Room,
    host: User,
    preset: Preset,
    preset_document: dict[str, Any],
    title: str,
    description: str | None,
    mode: str | None,
    scheduled_start_time: datetime | None,
    settings: Settings,
) -> Session:
    """Announce a show; a worker then makes its RTMP ingress, so that its key exists."""
    moment = await now(tx)

    def limit(name: str, default: int) -> int:
        return default if (own := preset_document.get(name)) is None else int(own)

    session = Session(
        organization_id=room.organization_id,
        room_id=room.id,
        host_id=host.id,
        title=title,
        description=description,
        mode=mode or ("rtmp" if preset.type == "rtmp" else "webcam"),
        preset=preset_document,
        scheduled_start_time=scheduled_start_time,
        recording_enabled=bool(preset_document.get("recording_enabled", True)),
        reconnect_window_seconds=limit(
            "reconnect_window_seconds", settings.reconnect_window_seconds
        ),
        no_media_seconds=limit("no_media_seconds", settings.no_media_seconds),
        max_duration_seconds=limit("max_duration_seconds", settings.max_duration_seconds),
        wanted_at=moment,
        phase_since=moment,
        look_at=moment,
    )
    tx.add(session)
    await tx.flush()
    await events.record(tx, session, "session.created", title=title, mode=session.mode)
    return session


async def reschedule(tx: AsyncSession, session: Session, scheduled_start_time: datetime) -> None:
    """Move a show that has not begun. Raises Rejected (session-live, session-ended)."""
    if session.status is Status.LIVE:
        raise Rejected("session-live", "A show that is on air cannot be moved.")
    if session.wanted is Wanted.ENDED:
        raise Rejected("session-ended", "This show is over; create a new session.")
    session.scheduled_start_time = scheduled_start_time
    leases.nudge(session, await now(tx))
    await events.record(
        tx, session, "session.rescheduled", scheduled_start_time=scheduled_start_time.isoformat()
    )


async def replace_keys(tx: AsyncSession, session: Session) -> None:
    """Let a show have other stream keys: whoever has the old ones sends to nobody."""
    session.key_number += 1
    session.observed_at = None  # the next look sees to the ingresses, however fresh the last is
    _lift_quarantine(session)
    leases.nudge(session, await now(tx))
    await events.record(tx, session, "session.keys_replaced")


async def delete_session(tx: AsyncSession, session: Session) -> None:
    """Hide a show, and let what it has at LiveKit go. Raises Rejected (session-live)."""
    if session.status is Status.LIVE:
        raise Rejected("session-live", "A show that is on air cannot be deleted; end it first.")
    moment = await now(tx)
    if session.wanted is not Wanted.ENDED:
        session.wanted = Wanted.ENDED
        session.wanted_at = moment
        session.wanted_version += 1
        session.end_reason = EndReason.DELETED
        _lift_quarantine(session)
        await _supersede(tx, session, moment)
        leases.nudge(session, moment)
    session.deleted_at = moment
    await events.record(tx, session, "session.deleted")


async def nudge(tx: AsyncSession, session_id: UUID) -> bool:
    """Take a hint: let somebody look at this session now; whether there was one to look at."""
    session = (
        await tx.execute(select(Session).where(Session.id == session_id).with_for_update())  # type: ignore[arg-type]  # SQLModel types columns as values
    ).scalar_one_or_none()
    if session is None or session.phase in OVER or session.quarantined_at is not None:
        return False
    leases.nudge(session, await now(tx))
    # A hint about media is about something that was not there a moment ago.
    session.observed_at = None
    return True


async def locked_session(tx: AsyncSession, session_id: UUID) -> Session:
    """Load a session for writing. Raises Rejected (session-not-found)."""
    session = (
        await tx.execute(
            select(Session)
            .where(Session.id == session_id, Session.deleted_at.is_(None))  # type: ignore[arg-type, union-attr]
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if session is None:
        raise Rejected("session-not-found", "There is no such session.")
    return session


async def _attach(
    tx: AsyncSession,
    session: Session,
    kind: JobKind,
    moment: datetime,
    *,
    user_id: UUID,
    request_id: str | None,
) -> Job:
    """Find the job that this wish already has; make one when the clock was faster."""
    if session.quarantined_at is not None:
        _lift_quarantine(session)
        session.trouble = None
        leases.nudge(session, moment)
    known = (
        (
            await tx.execute(
                select(Job)
                .where(
                    Job.session_id == session.id,  # type: ignore[arg-type]
                    Job.kind == kind,  # type: ignore[arg-type]
                    Job.status.in_([JobStatus.PENDING, JobStatus.DONE]),  # type: ignore[attr-defined]
                )
                .order_by(Job.wanted_version.desc())  # type: ignore[attr-defined]
                .limit(1)
            )
        )
        .scalars()
        .first()
    )
    if known is not None and (
        known.status is JobStatus.PENDING or session.reached_version >= session.wanted_version
    ):
        return known
    job = _job(session, kind, user_id=user_id, request_id=request_id, moment=moment)
    if session.reached_version >= session.wanted_version:
        finish_job(job, JobStatus.DONE, moment)
    tx.add(job)
    await tx.flush()
    return job


def _job(
    session: Session, kind: JobKind, *, user_id: UUID, request_id: str | None, moment: datetime
) -> Job:
    return Job(
        organization_id=session.organization_id,
        session_id=session.id,
        user_id=user_id,
        kind=kind,
        wanted_version=session.wanted_version,
        request_id=request_id,
        created_at=moment,
        updated_at=moment,
    )


def _lift_quarantine(session: Session) -> None:
    """Let somebody look again: whoever wishes anew may have mended what killed the workers."""
    session.attempts = 0
    session.quarantined_at = None


async def _supersede(tx: AsyncSession, session: Session, moment: datetime) -> None:
    """Finish what a later wish overtook."""
    pending = await tx.execute(
        select(Job).where(Job.session_id == session.id, Job.status == JobStatus.PENDING)  # type: ignore[arg-type]
    )
    for job in pending.scalars():
        finish_job(job, JobStatus.SUPERSEDED, moment)

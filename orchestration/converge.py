"""Look at a session: see what is wanted and what is there, do the next thing, look again later."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Protocol
from uuid import UUID

import structlog

from observability import metrics
from orchestration import leases
from orchestration.ledger import SqlLedger
from orchestration.parts import ANSWERED_AT, PARTS, Part
from orchestration.parts.part import READY, Glimpse, Outcome, Ready, Tools, Waiting
from orchestration.plane import (
    MediaPlane,
    NotThere,
    PlaneError,
    Refused,
    TakeOutputs,
    Unavailable,
)
from orchestration.settings import Settings
from orchestration.show import Show
from orchestration.states import OVER, EndReason, Phase, Wanted, last_phase
from orchestration.troubles import trouble_of

log = structlog.get_logger(__name__)

# fmt: off
#: How long after a look in this phase the next one is due, in seconds, when nothing happens.
#: Hints, wishes and the comparison with LiveKit's lists make it earlier.
LOOK_AGAIN: Final[dict[Phase, float]] = {
    Phase.PROVISIONING:       2,
    Phase.OPEN:              60,
    Phase.WAITING_FOR_MEDIA:  2,
    Phase.LIVE:              15,
    Phase.RECONNECTING:       2,
    Phase.ENDING:             1,
}
#: Refusals in a row, of what a show on air cannot do without, until it is lost for good.
LOST_AFTER: Final = 5

#: The clock's own wishes: reason, and when it is due (None: not now).
DEADLINES: Final[tuple[tuple[EndReason, Callable[[Show, Settings], datetime | None]], ...]] = (
    (EndReason.EXPIRED,                 lambda show, settings: _after(
        show.scheduled_start_time if show.wanted is Wanted.PREPARED else None,
        settings.expires_after_seconds)),
    (EndReason.NEVER_WENT_LIVE,         lambda show, settings: _after(
        show.opened_at if show.wanted is Wanted.OPEN else None,
        settings.green_room_seconds)),
    (EndReason.NO_MEDIA,                lambda show, _: _after(
        show.started_at if show.wanted is Wanted.LIVE and show.media_at is None else None,
        show.no_media_seconds)),
    (EndReason.RECONNECT_WINDOW_CLOSED, lambda show, _: _after(
        show.source_lost_at if show.wanted is Wanted.LIVE else None,
        show.reconnect_window_seconds)),
    (EndReason.MAX_DURATION,            lambda show, _: _after(
        show.started_at if show.wanted is Wanted.LIVE else None,
        show.max_duration_seconds)),
)
# fmt: on


@dataclass(frozen=True)
class Looked:
    """What a look came to."""

    claimed: bool = False  #: False: not due, or somebody else is at it
    again_at: datetime | None = None
    due_now: bool = False  #: something happened meanwhile: look again at once
    ring_slow: bool = False  #: the next step is a slow worker's


class Lookout(Protocol):
    """What a look needs; Resources has it."""

    settings: Settings
    plane: MediaPlane

    def ledger(self, lease: leases.Lease) -> SqlLedger:
        """Make the ledger of a claim."""
        ...

    async def claim(self, session_id: UUID) -> leases.Lease | None:
        """Claim a session that is due."""
        ...

    def keep(self, lease: leases.Lease) -> AbstractAsyncContextManager[None]:
        """Renew the claim while a block works."""
        ...

    def outputs(self, show: Show, take: int) -> TakeOutputs:
        """Say where a take's files go."""
        ...

    async def finished(self, job_id: UUID) -> None:
        """Wake whoever waits for a job."""
        ...


async def look(session_id: UUID, lookout: Lookout, *, may_be_slow: bool = True) -> Looked:
    """Look at one session, if it is due and nobody else does.

    Raises nothing for what LiveKit does: that is written down and looked at again. Raises
    DatabaseUnavailable; the lease then runs out and somebody looks again.
    """
    lease = await lookout.claim(session_id)
    if lease is None:
        return Looked()
    with structlog.contextvars.bound_contextvars(session_id=str(session_id)):
        ledger = lookout.ledger(lease)
        try:
            async with lookout.keep(lease):
                if lease.attempts > lookout.settings.attempts_max:
                    await ledger.quarantine()
                    log.error("session_quarantined", attempts=lease.attempts - 1)
                    return Looked(claimed=True)
                return await _Look(lookout, ledger, may_be_slow=may_be_slow).walk()
        except leases.LeaseLost:
            log.warning("lease_lost")
            return Looked(claimed=True)
        finally:
            for job_id in ledger.finished_jobs:
                await lookout.finished(job_id)


class _Look:
    """One walk over PARTS for one claim."""

    def __init__(self, lookout: Lookout, ledger: SqlLedger, *, may_be_slow: bool) -> None:
        self._lookout = lookout
        self._settings = lookout.settings
        self._ledger = ledger
        self._may_be_slow = may_be_slow

    async def walk(self) -> Looked:
        show = await self._ledger.load()
        self._tools = Tools(
            plane=self._lookout.plane,
            ledger=self._ledger,
            seen=Glimpse(self._lookout.plane, show.room),
            settings=self._settings,
            outputs=self._lookout.outputs,
            may_be_slow=self._may_be_slow,
        )
        show = await self._keep_time(show)
        try:
            return await self._toward(show)
        except PlaneError as error:
            return await self._stumble(await self._ledger.load(), error)

    async def _toward(self, show: Show) -> Looked:
        """Take the way that the wish asks for."""
        match show.wanted:
            case Wanted.ENDED:
                return await self._end(show)
            case Wanted.PREPARED:
                return await self._prepare(show)
            case _:
                return await self._go(show)

    async def _keep_time(self, show: Show) -> Show:
        """Let the clock wish what is due by it."""
        for reason, due_at in DEADLINES:
            moment = due_at(show, self._settings)
            if moment is not None and moment <= show.now:
                return await self._ledger.want(
                    Wanted.ENDED, version=show.wanted_version, reason=reason
                )
        return show

    async def _prepare(self, show: Show) -> Looked:
        """Nothing is open, and the key exists: also the way back from a refused go_live."""
        version = show.wanted_version
        # The first look after the announcement only makes the key; nothing else can be there.
        if show.phase is not Phase.SCHEDULED or show.is_reached:
            for parts in _up(part for part in PARTS if not show.wants(part.needed_from)):
                if waits := await self._remove(show, parts):
                    return await self._again(show, waits)
            show = await self._ledger.reach(Phase.SCHEDULED, version=version)
        if show.wanted_version != version:
            # Somebody wished for more meanwhile: that is the next look's to answer.
            return await self._again(show, [])
        await self._ensure(show, [part for part in PARTS if show.wants(part.needed_from)])
        if not show.is_reached:
            await self._ledger.reach(Phase.SCHEDULED, version=version)
        return await self._again(show, [])

    async def _go(self, show: Show) -> Looked:
        """Walk the table down: what goes before the answer, the answer, what waits for media."""
        version = show.wanted_version
        if show.phase is Phase.SCHEDULED:
            self._tools.seen.ask_ahead()
            if show.wanted is Wanted.LIVE and show.wanted_at is not None:
                seconds = (show.now - show.wanted_at).total_seconds()
                metrics.GO_LIVE_SECONDS.labels("queued").observe(seconds)
            show = await self._ledger.become(Phase.PROVISIONING)
        if show.wanted_version != version:
            return await self._again(show, [])
        needed = [part for part in PARTS if show.wants(part.needed_from)]
        observed_at = show.observed_at
        if not self._is_fresh(show):
            first = [part for part in needed if part.opens <= ANSWERED_AT]
            if waits := await self._ensure(show, first):
                return await self._again(show, waits)
            show = await self._answer(show)
            observed_at = show.now
        waits = []
        for parts in _down(part for part in needed if part.opens > ANSWERED_AT):
            try:
                waits += await self._ensure(show, parts)
            except PlaneError as error:
                # The show is on air: what fails here is told, tried again, and never ends it.
                return await self._stumble(await self._ledger.load(), error, may_be_lost=False)
            show = await self._ledger.load()
            if show.wanted is Wanted.LIVE and (phase := _phase_on_air(show)) is not show.phase:
                show = await self._ledger.become(phase)
        return await self._again(show, waits, observed_at=observed_at)

    async def _answer(self, show: Show) -> Show:
        """Everything a caller waits for is there: say so at once."""
        if show.is_reached:
            return show
        if show.wanted is Wanted.OPEN:
            show = await self._ledger.reach(
                Phase.OPEN, version=show.wanted_version, opened_at=show.now
            )
        else:
            show = await self._ledger.reach(_phase_on_air(show), version=show.wanted_version)
        for job_id in self._ledger.finished_jobs:
            await self._lookout.finished(job_id)
        self._ledger.finished_jobs.clear()
        return show

    async def _end(self, show: Show) -> Looked:
        """Walk the table up, and give up on what does not go in time."""
        if show.phase in OVER:
            await self._ledger.done(again_at=None)
            return Looked(claimed=True)
        if show.phase is not Phase.ENDING:
            show = await self._ledger.become(Phase.ENDING)
        for parts in _up(PARTS):
            if waits := await self._remove(show, parts):
                return await self._again(show, waits)
            show = await self._ledger.load()
        await self._ledger.reach(last_phase(show.end_reason), version=show.wanted_version)
        await self._ledger.done(again_at=None)
        return Looked(claimed=True)

    async def _ensure(self, show: Show, parts: list[Part]) -> list[Waiting]:
        """Ensure parts side by side; the first error counts, after all have come to an end."""
        outcomes = await asyncio.gather(
            *(self._timed(show, part) for part in parts), return_exceptions=True
        )
        return _waits(outcomes)

    async def _timed(self, show: Show, part: Part) -> Outcome:
        outcome = await part.ensure(show, self._tools)
        if not show.is_reached and show.go_live_at and (stage := _STAGES.get(part.name)):
            seconds = (datetime.now(show.now.tzinfo) - show.go_live_at).total_seconds()
            metrics.GO_LIVE_SECONDS.labels(stage).observe(max(seconds, 0))
        return outcome

    async def _remove(self, show: Show, parts: list[Part]) -> list[Waiting]:
        outcomes = await asyncio.gather(
            *(self._removed(show, part) for part in parts), return_exceptions=True
        )
        return _waits(outcomes)

    async def _removed(self, show: Show, part: Part) -> Outcome:
        """Remove one part, or record that it was abandoned: nothing blocks an end for ever."""
        try:
            outcome = await part.remove(show, self._tools)
            why = outcome.why if isinstance(outcome, Waiting) else ""
        except NotThere:
            return READY
        except Refused as error:
            return await self._abandon(show, part, str(error))
        except Unavailable as error:
            outcome, why = Waiting(show.after(1), str(error)), str(error)
            self._tools.seen.forget()
        if isinstance(outcome, Ready):
            return READY
        since = show.ending_at or show.wanted_at or show.now
        if show.now - since > timedelta(seconds=self._settings.end_patience_seconds):
            return await self._abandon(show, part, why)
        return outcome

    async def _abandon(self, show: Show, part: Part, why: str) -> Outcome:
        log.warning("part_abandoned", part=part.name, why=why)
        if show.wanted is Wanted.ENDED:
            await self._ledger.abandon(part.name, why)
        # Else the show is not over: the comparison finds what is left, and a later look removes it.
        return READY

    async def _stumble(self, show: Show, error: PlaneError, *, may_be_lost: bool = True) -> Looked:
        """Decide what an error means for the wish: try again, take it back, or lose the show."""
        problem = trouble_of(error)
        log.warning("look_stumbled", verb=error.verb, code=error.code, **problem)
        going = show.wanted in {Wanted.OPEN, Wanted.LIVE} and not show.is_reached
        waited = show.now - (show.wanted_at or show.now)
        patience = timedelta(seconds=self._settings.go_live_patience_seconds)
        if going and (isinstance(error, Refused) or waited > patience):
            show = await self._ledger.want(
                Wanted.PREPARED, version=show.wanted_version, problem=problem
            )
            self._tools.seen.forget()
            try:
                return await self._toward(show)
            except PlaneError as second:
                error = second
        elif (
            may_be_lost
            and isinstance(error, Refused)
            and show.wanted is Wanted.LIVE
            and show.failures >= LOST_AFTER
        ):
            await self._ledger.want(
                Wanted.ENDED,
                version=show.wanted_version,
                reason=EndReason.LOST,
                problem=problem,
            )
            due = await self._ledger.done(again_at=show.now, clear_trouble=False)
            return Looked(claimed=True, again_at=show.now, due_now=due)
        longest = self._settings.look_backoff_seconds_max
        await self._ledger.stumble(
            problem, again_in=lambda failures: leases.backoff_seconds(failures, longest=longest)
        )
        return Looked(claimed=True)

    async def _again(
        self, show: Show, waits: list[Waiting], *, observed_at: datetime | None = None
    ) -> Looked:
        """Give the show back, and say when to look at it next."""
        slow = any(wait.needs_slow for wait in waits)
        moments = [wait.until for wait in waits]
        moments += [at for _, due_at in DEADLINES if (at := due_at(show, self._settings))]
        if (pause := LOOK_AGAIN.get(show.phase)) is not None:
            moments.append(show.after(pause))
        again_at = max(min(moments), show.now) if moments else None
        due_now = await self._ledger.done(
            again_at=again_at,
            observed_at=observed_at,
            trouble=next((wait.trouble for wait in waits if wait.trouble is not None), None),
            clear_trouble=not any(wait.is_trouble for wait in waits),
        )
        return Looked(claimed=True, again_at=again_at, due_now=due_now and not slow, ring_slow=slow)

    def _is_fresh(self, show: Show) -> bool:
        """Whether room and ingresses were compared a moment ago: this look may skip them."""
        return (
            show.is_reached
            and show.observed_at is not None
            and show.now - show.observed_at < timedelta(seconds=self._settings.observe_seconds)
        )


#: Parts whose readiness is a stage of going live, in metrics.STAGES.
_STAGES: Final = {"room": "room", "whip_ingress": "ingress"}


def _phase_on_air(show: Show) -> Phase:
    if show.media_at is None:
        return Phase.WAITING_FOR_MEDIA
    if show.source_lost_at is None:
        return Phase.LIVE
    # A show that goes on air again after its media was lost cannot be in another phase first.
    return Phase.RECONNECTING


def _down(parts: Iterable[Part]) -> list[list[Part]]:
    ordered = sorted(parts, key=lambda part: part.opens)
    return [list(group) for _, group in groupby(ordered, key=lambda part: part.opens)]


def _up(parts: Iterable[Part]) -> list[list[Part]]:
    ordered = sorted(parts, key=lambda part: part.closes)
    return [list(group) for _, group in groupby(ordered, key=lambda part: part.closes)]


def _waits(outcomes: Iterable[Outcome | BaseException]) -> list[Waiting]:
    waits = []
    errors = []
    for outcome in outcomes:
        match outcome:
            case BaseException():
                errors.append(outcome)
            case Waiting():
                waits.append(outcome)
            case Ready():
                pass
    # What cannot be retried decides; a lost lease or a bug goes before everything.
    errors.sort(key=lambda error: (isinstance(error, PlaneError), not isinstance(error, Refused)))
    if errors:
        raise errors[0]
    return waits


def _after(moment: datetime | None, seconds: float) -> datetime | None:
    return None if moment is None else moment + timedelta(seconds=seconds)

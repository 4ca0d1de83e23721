"""The broadcast of a show: whose picture it is, and the take (a run of the egress) showing it."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog

from observability import metrics
from orchestration import names
from orchestration.leases import backoff_seconds
from orchestration.parts.part import READY, Glimpse, Outcome, Tools, Waiting
from orchestration.plane import EgressSeen, OutcomeUnknown, ParticipantSeen, PlaneError, Unavailable
from orchestration.show import Directed, Show, TakeFacts
from orchestration.states import TakeState
from orchestration.troubles import trouble_of_take, trouble_without_picture

log = structlog.get_logger(__name__)

#: A take whose newest segment is older than this many targets plus the slack makes no progress.
STALE_TARGETS: Final = 3
STALE_SLACK_SECONDS: Final = 10
#: How long a stopped egress may take to finish its files (LiveKit's own EOS time-out is 30 s).
STOPPING_SECONDS_MAX: Final = 25
#: Within one look, an end waits this long for the egress before it gives its thread back.
STOP_POLLS: Final = 15
STOP_POLL_SECONDS: Final = 0.15
#: Longest pause between takes that end without one segment.
BARREN_SECONDS_MAX: Final = 60
#: LiveKit may not list an egress yet that it has just accepted.
LISTED_SECONDS: Final = 10
#: One that should not run and does not answer is asked to stop again after this, then after twice
#: as long, and so on: the status of an egress whose worker died is ACTIVE for ever.
SURPLUS_SECONDS_FIRST: Final = 5
SURPLUS_SECONDS_MAX: Final = 60

#: LiveKit's word for how an egress ended, in ours.
ENDED_AS: Final = {
    "complete": "complete",
    "failed": "failed",
    "aborted": "aborted",
    "limit_reached": "limit_reached",
}


async def ensure(show: Show, tools: Tools) -> Outcome:
    """Keep one take running while somebody sends a picture."""
    people = await tools.seen.participants()
    source = program_source(show, people)
    show = await _learn_source(show, source, tools)
    show = await _settle(show, source, tools)
    if source is None:
        return Waiting(
            show.after(tools.settings.observe_seconds),
            "nobody sends a picture",
            trouble=trouble_without_picture(
                show.host_id, people, await tools.seen.ingresses(), show.now
            ),
        )
    if show.take is not None:
        if show.take.state is TakeState.RESERVED:
            why = "LiveKit was asked for an egress and did not answer"
            return Waiting(show.after(1), why, is_trouble=True)
        return Waiting(
            stale_at(show, show.take, target_seconds=tools.settings.target_seconds),
            "by then another segment must be there",
            # Until this one has a segment, what ended the last ones is not mended.
            is_trouble=bool(show.barren_takes),
        )
    if barren := show.barren_takes:
        ended_at = barren[0].ended_at or show.now
        pause = backoff_seconds(len(barren), longest=BARREN_SECONDS_MAX)
        if show.now < ended_at + timedelta(seconds=pause):
            return Waiting(
                ended_at + timedelta(seconds=pause),
                "the egress failed; trying again",
                is_trouble=True,
                # Of one that LiveKit never began, its refusal is told already.
                trouble=trouble_of_take(barren[0].error) if barren[0].started_at else None,
            )
    if not tools.may_be_slow:
        return Waiting(show.now, "an egress must be started", needs_slow=True)
    return await _begin(show, source, tools)


async def remove(show: Show, tools: Tools) -> Outcome:
    """Stop every egress of the show, and wait a little for their files."""
    unanswered: set[str] = set()
    for poll in range(STOP_POLLS):
        running = [egress for egress in await _ours(show, tools.seen) if not egress.is_over]
        if poll == 0:
            unanswered = await _stop_all(show, running, tools)
        if all(egress.egress_id in unanswered for egress in running):
            break
        await asyncio.sleep(STOP_POLL_SECONDS)
        tools.seen.forget()
    listed = await _ours(show, tools.seen)
    for take in show.takes:
        egress = _egress_of(show, take, listed)
        if take.state is not TakeState.ENDED and (egress is None or egress.is_over):
            await _end_take(take, egress, tools, moment=show.now)
    if all(egress.is_over for egress in listed):
        return READY
    why = "it does not answer" if unanswered else "it is finishing its files"
    return Waiting(show.after(1), f"an egress still runs: {why}")


def program_source(show: Directed, people: tuple[ParticipantSeen, ...]) -> str | None:
    """Say whose picture the show is: the mode's first, else whoever sends one.

    A shared screen goes before its owner's camera. When nobody sends a picture, a source that only
    switched its camera off stays the source.
    """
    browser, rtmp, whip = names.host_identities(show.host_id)
    order = (rtmp, whip, browser) if show.mode == "rtmp" else (browser, whip, rtmp)
    there = {person.identity: person for person in people if person.is_active}
    for identity in order:
        if identity in there and there[identity].shares_screen:
            return names.screen_of(identity)
        if identity in there and there[identity].sends_video:
            return identity
    last = names.sender_of(show.source or "")
    return last if last in there and there[last].hides_video else None


def stale_at(show: Show, take: TakeFacts, *, target_seconds: int) -> datetime:
    """Say when a take makes no progress, if nothing comes; its status lies after a crash."""
    alive_at = [
        at
        # A source that has just come back has not had the time to make segments yet.
        for at in (take.newest_segment_at, take.started_at, take.asked_at, show.source_since)
        if at is not None
    ]
    limit = timedelta(seconds=STALE_TARGETS * target_seconds + STALE_SLACK_SECONDS)
    return max(alive_at, default=show.now) + limit


async def _learn_source(show: Show, source: str | None, tools: Tools) -> Show:
    """Write down who sends the picture, when that changed."""
    if source == show.source and (source is not None) == (show.source_lost_at is None):
        return show
    if source is None:
        if show.source is None and show.media_at is None:
            return show
        return await tools.ledger.learn(event="media.lost", source=None, source_lost_at=show.now)
    if show.media_at is None:
        if show.go_live_at:
            seconds = (show.now - show.go_live_at).total_seconds()
            metrics.GO_LIVE_SECONDS.labels("media").observe(seconds)
        return await tools.ledger.learn(
            event="media.arrived",
            source=source,
            source_since=show.now,
            source_lost_at=None,
            media_at=show.now,
        )
    return await tools.ledger.learn(
        event="media.returned" if show.source is None else "media.source_changed",
        source=source,
        source_since=show.now,
        source_lost_at=None,
    )


async def _settle(show: Show, source: str | None, tools: Tools) -> Show:
    """Bring what is written about takes in line with what LiveKit lists."""
    egresses = {egress.egress_id: egress for egress in await _ours(show, tools.seen)}
    for take in show.takes:
        if take.is_stopping:
            show = await _settle_stopping(show, take, egresses.get(take.egress_id or ""), tools)
    if (current := show.take) is not None:
        show = await _settle_current(show, current, tuple(egresses.values()), source, tools)
    running = show.take.egress_id if show.take else None
    stopping = {take.egress_id for take in show.takes if take.is_stopping}
    surplus = [
        egress
        for egress in egresses.values()
        if not egress.is_over and egress.egress_id not in {running, *stopping}
    ]
    for egress in surplus:
        show = await _stop_surplus(show, egress, tools)
    return show


async def _stop_surplus(show: Show, egress: EgressSeen, tools: Tools) -> Show:
    """Stop an egress that should not run: a start answered late or twice, a take written off.

    One that does not answer must not hold up the take that should run.
    """
    number = names.take_of_prefix(show.id, egress.prefix)
    take = next((take for take in show.takes if take.number == number), None)
    if take is not None and take.state is TakeState.ENDED:
        if take.stopping_at is not None and show.now < _again_at(take, take.stopping_at):
            return show
        show = await tools.ledger.learn_take(take.number, stopping_at=show.now)
    try:
        await tools.plane.stop_egress(egress.egress_id)
    except Unavailable as error:
        log.warning("surplus_egress", egress_id=egress.egress_id, code=error.code)
    tools.seen.forget()
    return show


def _again_at(take: TakeFacts, asked_at: datetime) -> datetime:
    """Say when to ask an ended take's egress again to stop: each pause doubles what has passed."""
    passed = (asked_at - (take.ended_at or asked_at)).total_seconds()
    pause = min(max(passed, SURPLUS_SECONDS_FIRST), SURPLUS_SECONDS_MAX)
    return asked_at + timedelta(seconds=pause)


async def _settle_stopping(
    show: Show, take: TakeFacts, egress: EgressSeen | None, tools: Tools
) -> Show:
    """End a take that was asked to stop: when it did, or when it had time enough."""
    assert take.stopping_at is not None
    if egress is None or egress.is_over:
        return await _end_take(take, egress, tools, moment=show.now)
    if show.now - take.stopping_at > timedelta(seconds=STOPPING_SECONDS_MAX):
        return await _abandon(take, "it did not stop in time", tools, moment=show.now)
    return show


async def _settle_current(
    show: Show,
    take: TakeFacts,
    egresses: tuple[EgressSeen, ...],
    source: str | None,
    tools: Tools,
) -> Show:
    """Adopt, end, replace or keep the take that should be running."""
    egress = _egress_of(show, take, egresses)
    if take.state is TakeState.RESERVED:
        return await _settle_reserved(show, take, egress, tools)
    if egress is None and _may_be_unlisted(show, take, tools):
        return show
    if egress is None or egress.is_over:
        return await _end_take(take, egress, tools, moment=show.now)
    why = None
    if source is not None and source != take.source:
        why = "source_changed"
    elif source is not None and show.now >= stale_at(
        show, take, target_seconds=tools.settings.target_seconds
    ):
        why = "no_progress"
    return await _stop_take(show, take, why, tools) if why else show


def _may_be_unlisted(show: Show, take: TakeFacts, tools: Tools) -> bool:
    """Whether a take may run although LiveKit does not list it: segments prove that it does."""
    if take.started_at is not None and not _older(show, take.started_at, LISTED_SECONDS):
        return True
    progress_seconds = STALE_TARGETS * tools.settings.target_seconds
    newest_at = take.newest_segment_at
    return newest_at is not None and not _older(show, newest_at, progress_seconds)


async def _settle_reserved(
    show: Show, take: TakeFacts, egress: EgressSeen | None, tools: Tools
) -> Show:
    """Adopt or give up a take whose worker died before or while LiveKit was asked.

    The next take has its own folder, so that a start which is obeyed late cannot write into it.
    """
    if egress is not None and not egress.is_over:
        return await _adopt(take, egress, tools, moment=show.now)
    if egress is not None or take.asked_at is None or _older(show, take.asked_at, LISTED_SECONDS):
        return await _end_take(take, egress, tools, moment=show.now)
    return show


async def _begin(show: Show, source: str, tools: Tools) -> Outcome:
    """Reserve the next take, and ask LiveKit for it."""
    reason = _reason(show)
    # After a database was restored, LiveKit knows takes that the ledger does not: no two may ever
    # write into one folder.
    listed = await _ours(show, tools.seen)
    above = max((names.take_of_prefix(show.id, item.prefix) or 0 for item in listed), default=0)
    show = await tools.ledger.reserve_take(source=source, reason=reason, above=above)
    take = show.take
    assert take is not None, "Bug: a reserved take is the current one"
    outputs = tools.outputs(show, take.number)
    try:
        egress = await tools.plane.start_egress(show.room, source, outputs)
    except OutcomeUnknown:
        tools.seen.forget()
        metrics.TAKES.labels(reason, "failed").inc()
        # Look at once: it may be running.
        raise
    except PlaneError as error:
        metrics.TAKES.labels(reason, "failed").inc()
        await tools.ledger.learn_take(
            take.number,
            event="take.refused",
            state=TakeState.ENDED,
            ended_at=show.now,
            outcome="failed",
            error=f"{error.code}: {error.detail}"[:1024],
        )
        raise
    await _adopt(take, egress, tools, moment=show.now)
    metrics.TAKES.labels(reason, "started").inc()
    if show.go_live_at and take.number == 1:
        seconds = (show.now - show.go_live_at).total_seconds()
        metrics.GO_LIVE_SECONDS.labels("egress").observe(seconds)
    return READY


def _reason(show: Show) -> str:
    """Say why another take is needed."""
    if not show.takes:
        return "first"
    last = show.takes[-1]
    if last.is_stopping or last.stopping_at is not None:
        return "source_changed" if last.source != show.source else "no_progress"
    return "egress_gone"


async def _adopt(take: TakeFacts, egress: EgressSeen, tools: Tools, *, moment: datetime) -> Show:
    return await tools.ledger.learn_take(
        take.number,
        event="take.started",
        state=TakeState.ACTIVE,
        egress_id=egress.egress_id,
        kind=egress.kind,
        started_at=moment,
    )


async def _stop_take(show: Show, take: TakeFacts, why: str, tools: Tools) -> Show:
    """Ask a take to stop; the next one need not wait for it."""
    assert take.egress_id is not None, "Bug: an active take has its egress id"
    show = await tools.ledger.learn_take(
        take.number, event="take.stopping", stopping_at=show.now, error=why
    )
    try:
        await tools.plane.stop_egress(take.egress_id)
    except Unavailable:
        # Its worker is gone: nothing will stop it, and nothing is left to be stopped.
        return await _abandon(take, f"{why}; it does not answer", tools, moment=show.now)
    tools.seen.forget()
    return show


async def _stop_all(show: Show, running: list[EgressSeen], tools: Tools) -> set[str]:
    """Ask all to stop; the ids of those that did not answer, because their worker is gone."""
    unanswered = set()
    for egress in running:
        take = next((take for take in show.takes if take.egress_id == egress.egress_id), None)
        if take is not None and take.is_current:
            await tools.ledger.learn_take(take.number, stopping_at=show.now)
        if egress.status == "ending":
            continue
        try:
            await tools.plane.stop_egress(egress.egress_id)
        except Unavailable:
            unanswered.add(egress.egress_id)
    tools.seen.forget()
    return unanswered


async def _end_take(
    take: TakeFacts, egress: EgressSeen | None, tools: Tools, *, moment: datetime
) -> Show:
    """Write down how a take ended."""
    if egress is None:
        return await _abandon(take, "LiveKit does not know it", tools, moment=moment)
    if take.newest_sequence is None and egress.status != "complete":
        metrics.TAKES.labels(take.reason, "barren").inc()
    return await tools.ledger.learn_take(
        take.number,
        event="take.ended",
        state=TakeState.ENDED,
        egress_id=egress.egress_id,
        ended_at=egress.ended_at or moment,
        outcome=ENDED_AS.get(egress.status, "abandoned"),
        error=(egress.error or egress.details)[:1024] or None,
    )


async def _abandon(take: TakeFacts, why: str, tools: Tools, *, moment: datetime) -> Show:
    return await tools.ledger.learn_take(
        take.number,
        event="take.abandoned",
        state=TakeState.ENDED,
        ended_at=moment,
        outcome="abandoned",
        error=why[:1024],
    )


async def _ours(show: Show, seen: Glimpse) -> tuple[EgressSeen, ...]:
    """Egresses that write under this session's prefix; any other one is never touched."""
    return tuple(
        egress
        for egress in await seen.egresses()
        if names.take_of_prefix(show.id, egress.prefix) is not None
    )


def _egress_of(show: Show, take: TakeFacts, egresses: tuple[EgressSeen, ...]) -> EgressSeen | None:
    """Find a take's egress: by the recorded id, else the first that writes into its folder."""
    if take.egress_id is not None:
        return next((item for item in egresses if item.egress_id == take.egress_id), None)
    return next(
        (item for item in egresses if names.take_of_prefix(show.id, item.prefix) == take.number),
        None,
    )


def _older(show: Show, moment: datetime, seconds: float) -> bool:
    return show.now - moment > timedelta(seconds=seconds)

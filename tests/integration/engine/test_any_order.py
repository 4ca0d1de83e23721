"""Whatever happens, in whatever order: nothing forbidden at any moment, and in the end all is well.

Hypothesis makes up histories of wishes, looks, crashes, zombies, faults and passing time over a
real SQLite file and a LiveKit in memory. GREENROOM_TEST_HISTORIES is how many; the default is what
a build can wait for, and is the same every time.
"""

import asyncio
import itertools
import os
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from orchestration import converge
from orchestration.commands import Rejected, delete_session, locked_session
from orchestration.converge import Looked
from orchestration.database import DatabaseUnavailable
from orchestration.models import Room
from orchestration.parts import broadcast, ingress
from orchestration.plane import Input, PlaneError
from orchestration.states import JobKind, JobStatus
from tests.fakes.plane import Fault
from tests.integration.engine.boundaries import Gate, GatedLookout, Strike
from tests.integration.engine.house import House, open_house
from tests.integration.engine.invariants import Invariants
from tests.system.tables import sqlite_tables

T = TypeVar("T")

HISTORIES = "GREENROOM_TEST_HISTORIES"
#: What a session may answer a wish with; anything else would be a surprise.
REJECTIONS = {"session-ended", "session-expired", "room-already-live", "session-not-found"}
#: Longer than any pause of ours: leases 60 s, surplus egresses 60 s, an end's patience 30 s.
QUIET_SECONDS = 200
#: Long enough to end what has no trouble any more.
ENDED_SECONDS = 60


class NthGate(Gate):
    """Strikes at the nth boundary that is crossed, whichever it is."""

    def __init__(self, nth: int, strike: Strike) -> None:
        super().__init__(strike=strike)
        self._left = nth

    def _strikes(self, step: str) -> bool:
        if not step or self.has_struck:
            return False
        self._left -= 1
        return self._left == 0


class AnyOrder(RuleBasedStateMachine):
    """One house, up to a few shows in two rooms, and everything that may happen to them."""

    shows: Bundle[UUID] = Bundle("shows")
    zombies: Bundle[int] = Bundle("zombies")

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        # The pauses within a look are LiveKit's; this one answers at once.
        for module, name, value in (
            (broadcast, "STOP_POLL_SECONDS", 0),
            (ingress, "IDLE_POLL_SECONDS", 0.001),
            (ingress, "IDLE_SECONDS_MAX", 0.003),
        ):
            self._stack.enter_context(patch.object(module, name, value))
        self._asleep: dict[int, tuple[asyncio.Task[Looked], Gate]] = {}
        self._buried: list[asyncio.Task[Looked]] = []
        self._numbers = itertools.count(1)
        self.house: House = self._run(self._open())
        self.rooms: list[Room] = [self.house.company.room, self._run(self.house.new_room())]
        self.watch = Invariants(self.house)

    async def _open(self) -> House:
        folder = Path(self._folder)
        house = open_house(sqlite_tables(folder), folder)
        return await self._stack.enter_async_context(house)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    # Wishes

    @initialize(target=shows)
    def first_show(self) -> UUID:
        return self._run(self.house.create())

    @rule(target=shows, room=st.integers(0, 1), mode=st.sampled_from(["rtmp", "webcam"]))
    def announce(self, room: int, mode: str) -> UUID:
        return self._run(self.house.create(room=self.rooms[room], mode=mode))

    @rule(show=shows, kind=st.sampled_from(JobKind))
    def wish(self, show: UUID, kind: JobKind) -> None:
        """Wish for something; the same wish again while it is pending is the same job."""
        with _expecting(REJECTIONS):
            job = self._run(self.house.wish(show, kind))
            if job.status is JobStatus.PENDING:
                assert self._run(self.house.wish(show, kind)).id == job.id

    @rule(show=shows)
    def delete(self, show: UUID) -> None:
        async def deleting() -> None:
            async with self.house.db.begin() as tx:
                await delete_session(tx, await locked_session(tx, show))

        with _expecting({"session-live", "session-not-found"}):
            self._run(deleting())

    # Workers

    @rule(show=shows, slow=st.booleans())
    def look(self, show: UUID, *, slow: bool) -> None:
        self._run(self.house.look(show, slow=slow))

    @rule(show=shows)
    def hint(self, show: UUID) -> None:
        self._run(self.house.hint(show))

    @rule()
    def work(self) -> None:
        self._run(self.house.work())

    @rule(seconds=st.integers(1, 40))
    def work_for_a_while(self, seconds: int) -> None:
        self._run(self.house.pass_time(seconds, step=2))

    @rule()
    def compare(self) -> None:
        async def comparing() -> None:
            try:
                await self.house.compare()
            except PlaneError:
                return

        self._run(comparing())

    @rule(show=shows)
    def publish(self, show: UUID) -> None:
        self._run(self.house.publish(show))

    @rule(
        show=shows,
        nth=st.integers(1, 12),
        strike=st.sampled_from([Strike.KILLED_BEFORE, Strike.KILLED_AFTER]),
    )
    def look_and_be_killed(self, show: UUID, nth: int, strike: Strike) -> None:
        self._run(self._gated(show, NthGate(nth, strike)))

    @rule(
        show=shows,
        nth=st.integers(1, 12),
        strike=st.sampled_from([Strike.UNAVAILABLE, Strike.NO_ANSWER, Strike.ANSWER_LOST]),
    )
    def look_and_stumble(self, show: UUID, nth: int, strike: Strike) -> None:
        self._run(self._gated(show, NthGate(nth, strike)))

    @rule(show=shows, nth=st.integers(1, 12), kind=st.sampled_from(JobKind))
    def look_while_somebody_wishes(self, show: UUID, nth: int, kind: JobKind) -> None:
        gate = NthGate(nth, Strike.WISHED)

        async def wishing() -> None:
            with _expecting(REJECTIONS):
                await self.house.wish(show, kind)

        gate.meanwhile = wishing
        self._run(self._gated(show, gate))

    @rule(target=zombies, show=shows, nth=st.integers(1, 12))
    def look_and_fall_asleep(self, show: UUID, nth: int) -> Any:
        number = self._run(self._gated(show, NthGate(nth, Strike.OVERTAKEN)))
        return multiple() if number is None else number

    @rule(zombie=consumes(zombies))
    def wake_up(self, zombie: int) -> None:
        self._run(self._wake(zombie))

    # LiveKit, encoders, time

    @rule(
        kind=st.sampled_from(Fault),
        verb=st.sampled_from(
            [None, "CreateRoom", "CreateIngress", "StartEgress", "StopEgress", "ListEgress"]
        ),
        times=st.integers(1, 4),
        seconds=st.integers(1, 90),
    )
    def fault(self, kind: Fault, verb: str | None, times: int, seconds: int) -> None:
        self.house.plane.fail(kind, verb, times=times, seconds=seconds)

    @rule()
    def livekit_heals(self) -> None:
        self.house.plane.heal()

    @rule()
    def livekit_forgets_everything(self) -> None:
        self.house.plane.forget_everything()

    @rule(whole_worker=st.booleans())
    def egress_dies(self, *, whole_worker: bool) -> None:
        if whole_worker:
            self.house.plane.worker_gone()
        else:
            self.house.plane.egress_dies()

    @rule()
    def egress_workers_are_away(self) -> None:
        self.house.plane.has_workers = False

    @rule(show=shows, kind=st.sampled_from(Input))
    def encoder_connects(self, show: UUID, kind: Input) -> None:
        room = self.house.livekit_room(show)
        for item in list(self.house.plane.ingresses.values()):
            if (item.room, item.input) == (room, kind):
                self.house.plane.push(item.stream_key)

    @precondition(lambda self: self.house.plane.pushing)
    @rule(kind=st.sampled_from(Input))
    def encoders_drop(self, kind: Input) -> None:
        self.house.drop(kind)

    @rule(show=shows, sends=st.booleans())
    def host_joins_by_browser(self, show: UUID, *, sends: bool) -> None:
        room = self.house.livekit_room(show)
        if room in self.house.plane.rooms:
            self.house.plane.join(room, str(self.house.company.host.id), sends=sends)

    @rule(show=shows)
    def host_leaves(self, show: UUID) -> None:
        room = self.house.livekit_room(show)
        self.house.plane.leave(room, str(self.house.company.host.id))

    @rule(seconds=st.sampled_from([0.3, 1, 4, 11, 25, 62, 130, 1000]))
    def time_passes(self, seconds: float) -> None:
        self._run(self.house.clock.advance(seconds))
        self.house.plane.run(seconds)

    @invariant()
    def nothing_forbidden(self) -> None:
        self._run(self.watch.hold())

    def teardown(self) -> None:
        """Stop the faults, let time pass, and see that all is well; then end what is left."""
        try:
            self._run(self._all_is_well())
        finally:
            self._run(self._close())
            self._runner.close()

    async def _all_is_well(self) -> None:
        house = self.house
        house.plane.heal()
        for zombie in list(self._asleep):
            await self._wake(zombie)
        await house.pass_time(QUIET_SECONDS, step=5)
        if quarantined := await self._quarantined():
            for show in quarantined:
                await house.end(show)
            await house.pass_time(QUIET_SECONDS, step=5)
        await self.watch.settled()
        for session in self.watch.phases:
            try:
                await house.end(session)
            except Rejected:
                continue
        await house.pass_time(ENDED_SECONDS, step=5)
        await self.watch.settled()

    async def _quarantined(self) -> list[UUID]:
        return [
            show
            for show in self.watch.phases
            if (await self.house.session(show)).quarantined_at is not None
        ]

    async def _gated(self, show: UUID, gate: Gate) -> int | None:
        """Look behind a gate; the number of a worker that fell asleep in it."""
        await self.house.hint(show)  # else there is mostly nothing to look at
        looking = asyncio.create_task(
            converge.look(show, GatedLookout(self.house.resources, gate), may_be_slow=True)
        )
        signs = [asyncio.create_task(sign.wait()) for sign in (gate.killed, gate.asleep)]
        await asyncio.wait({looking, *signs}, return_when=asyncio.FIRST_COMPLETED)
        for sign in signs:
            sign.cancel()
        await asyncio.gather(*signs, return_exceptions=True)
        if looking.done():
            _result_of(looking)
        elif gate.asleep.is_set():
            number = next(self._numbers)
            self._asleep[number] = looking, gate
            return number
        else:
            self._buried.append(looking)
        return None

    async def _wake(self, zombie: int) -> None:
        looking, gate = self._asleep.pop(zombie)
        gate.wake.set()
        await asyncio.wait({looking})
        _result_of(looking)

    async def _close(self) -> None:
        left = [*self._buried, *(looking for looking, _ in self._asleep.values())]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._stack.aclose()


@contextmanager
def _expecting(slugs: set[str]) -> Iterator[None]:
    """Let a wish be rejected with one of these slugs, and no other."""
    try:
        yield
    except Rejected as rejected:
        if rejected.slug not in slugs:
            raise


def _result_of(looking: asyncio.Task[Looked]) -> None:
    """Forgive what a worker survives; a bug is raised."""
    try:
        looking.result()
    except DatabaseUnavailable:
        return


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=int(os.environ.get(HISTORIES, "40")),
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=HISTORIES not in os.environ,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

"""Every place where a walk over PARTS can be struck, found by walking, and what strikes there.

A boundary is one call of LiveKit or one write of the ledger: before it, and after it. Nothing here
names a part: a new one is struck like the others, and one that no script reaches is reported.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

from orchestration import converge, leases, lookout
from orchestration.converge import Looked
from orchestration.database import DatabaseUnavailable
from orchestration.ledger import SqlLedger
from orchestration.parts import Part
from orchestration.parts.part import Ensure, Outcome, Tools
from orchestration.plane import MediaPlane, OutcomeUnknown, Refused, Unavailable
from orchestration.resources import Resources
from orchestration.show import Show
from tests.integration.engine.house import House, open_house
from tests.integration.engine.invariants import Invariants
from tests.system.tables import sqlite_tables

T = TypeVar("T")

#: Who walks when no part does: claims, phases, the giving back.
THE_WALK = "walk"
#: The ledger's writes; whatever else it has only reads.
WRITES = (
    "learn",
    "become",
    "reach",
    "want",
    "reserve_take",
    "learn_take",
    "open_playback",
    "close_playback",
    "open_recording",
    "finish_recording",
    "stumble",
    "abandon",
    "done",
    "quarantine",
)
#: What MediaPlane can be asked.
CALLS = tuple(name for name in vars(MediaPlane) if not name.startswith("_"))
#: Only so often is the same write or call of the same part struck, in one script.
STRUCK_MAX = 1
#: After a strike, everything must have come right by then: leases run out, lists are compared,
#: a take that was reserved is given up.
MENDED_SECONDS = 30
#: Long enough for another worker to give up what the sleeping one had begun.
LEASES_SLEPT = 4
#: The clock goes in steps of so much: the cases are many.
PACE_SECONDS = 3


class Strike(StrEnum):
    """What happens at a boundary."""

    KILLED_BEFORE = "killed before"  #: the worker is gone, nothing was done
    KILLED_AFTER = "killed after"  #: it was done, and the worker is gone
    UNAVAILABLE = "unavailable"  #: LiveKit or the database did not do it, and says so
    NO_ANSWER = "no answer"  #: LiveKit did not do it, and nobody says so
    ANSWER_LOST = "answer lost"  #: it was done, and nobody says so
    REFUSED = "refused"  #: LiveKit will not do it
    OVERTAKEN = "overtaken"  #: the worker sleeps for four leases, another works, it wakes up
    OUTLIVED = "outlived"  #: the same, and when it wakes up the show is over
    WISHED = "an end is wished"  #: somebody wishes for the end at this very moment
    TWICE = "twice"  #: every ensure or remove of a part is run twice in a row


#: What can strike a call of LiveKit, a write of the ledger, a whole ensure or remove.
AT_CALLS = tuple(strike for strike in Strike if strike is not Strike.TWICE)
AT_WRITES = (
    Strike.KILLED_BEFORE,
    Strike.KILLED_AFTER,
    Strike.UNAVAILABLE,
    Strike.ANSWER_LOST,
    Strike.OVERTAKEN,
    Strike.WISHED,
)
AT_PARTS = (Strike.TWICE,)


@dataclass(frozen=True, order=True)
class Boundary:
    """Where: whose ensure or remove, which call or write of it, the how manieth."""

    part: str
    verb: str  #: ensure | remove | (of the walk itself) ""
    step: str  #: a call, a write, or "" for the whole of it
    nth: int = 1

    @property
    def strikes(self) -> Sequence[Strike]:
        if not self.step:
            return AT_PARTS
        return AT_WRITES if self.step in WRITES else AT_CALLS

    def __str__(self) -> str:
        words = (self.part, self.verb, self.step, str(self.nth) if self.nth > 1 else "")
        return " ".join(word for word in words if word)


#: Who is walking now: part and verb.
_walking: ContextVar[tuple[str, str]] = ContextVar("walking", default=(THE_WALK, ""))


@dataclass
class Gate:
    """Stands at every boundary; counts them, and strikes at one."""

    at: Boundary | None = None
    strike: Strike | None = None
    crossed: list[Boundary] = field(default_factory=list)
    has_struck: bool = False
    #: Set when the worker that walks was killed: it never comes back from where it is.
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set while a worker sleeps at its boundary.
    #: What somebody else does at a boundary while the worker goes on.
    meanwhile: Callable[[], Awaitable[object]] | None = None
    asleep: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _times: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    async def cross(self, step: str, call: Callable[[], Awaitable[T]]) -> T:
        """Cross a boundary, or be struck there."""
        await self._if_killed()
        if not self._strikes(step):
            answer = await call()
            await self._if_killed()
            return answer
        return await self._struck(step, call)

    async def run(self, part: str, verb: str, ensure: Ensure, show: Show, tools: Tools) -> Outcome:
        """Run a part's ensure or remove; what it does is its own from here on."""
        _walking.set((part, verb))
        everything = Boundary(part, verb, "")
        self.crossed.append(everything)
        if self.at == everything:
            self.has_struck = True
            await ensure(show, tools)
            # As a look that begins anew would: with the rows and the lists as they are now.
            tools.seen.forget()
            show = await tools.ledger.load()  # type: ignore[attr-defined]  # the real ledger has it
        return await ensure(show, tools)

    def _strikes(self, step: str) -> bool:
        key = (*_walking.get(), step)
        self._times[key] += 1
        here = Boundary(*key, self._times[key])
        self.crossed.append(here)
        return here == self.at and not self.has_struck

    async def _struck(self, step: str, call: Callable[[], Awaitable[T]]) -> T:
        assert self.strike is not None
        self.has_struck = True
        if self.strike is Strike.WISHED:
            assert self.meanwhile is not None
            await self.meanwhile()
            return await call()
        if self.strike in {Strike.OVERTAKEN, Strike.OUTLIVED}:
            self.asleep.set()
            await self.wake.wait()
            return await call()
        if self.strike in {Strike.KILLED_AFTER, Strike.ANSWER_LOST}:
            await call()
        if self.strike in {Strike.KILLED_AFTER, Strike.KILLED_BEFORE}:
            self.killed.set()
            await self._if_killed()
        raise self._error(step)

    def _error(self, step: str) -> Exception:
        if step in WRITES:
            return DatabaseUnavailable("the test wants it")
        match self.strike:
            case Strike.UNAVAILABLE:
                return Unavailable(step, "unavailable", "the test wants it")
            case Strike.REFUSED:
                return Refused(step, "invalid_argument", "the test wants it")
            case _:
                return OutcomeUnknown(step, "no_answer", "the test wants it")

    async def _if_killed(self) -> None:
        """Stop here for ever: a process that was killed runs no handler of its own."""
        if self.killed.is_set():
            await asyncio.Event().wait()


class GatedPlane:
    """A LiveKit that is reached through a gate."""

    def __init__(self, plane: MediaPlane, gate: Gate) -> None:
        for name in CALLS:
            setattr(self, name, _gated(getattr(plane, name), name, gate))


class GatedLookout(lookout.Lookout):
    """A lookout whose plane and ledger stand behind a gate; its lease is not renewed."""

    def __init__(self, resources: Resources, gate: Gate) -> None:
        super().__init__(resources)
        self._gate = gate
        self.plane = GatedPlane(resources.plane, gate)  # type: ignore[assignment]  # it has every call

    def ledger(self, lease: leases.Lease) -> SqlLedger:
        ledger = super().ledger(lease)
        for name in WRITES:
            setattr(ledger, name, _gated(getattr(ledger, name), name, self._gate))
        return ledger

    @asynccontextmanager
    async def keep(self, lease: leases.Lease) -> AsyncIterator[None]:
        del lease
        yield


def _gated(call: Callable[..., Awaitable[Any]], step: str, gate: Gate) -> Any:
    async def through(*positional: Any, **named: Any) -> Any:
        return await gate.cross(step, lambda: call(*positional, **named))

    return through


@dataclass
class Worker:
    """Does a house's looks behind a gate, until it is killed."""

    house: House
    gate: Gate
    buried: list[asyncio.Task[Looked]] = field(default_factory=list)

    async def look(self, session_id: UUID, *, slow: bool) -> Looked:
        """Look as a worker does; what is killed in it never says a word again."""
        if self.gate.killed.is_set():
            return await lookout.look(session_id, self.house.resources, may_be_slow=slow)
        looking = asyncio.create_task(
            converge.look(
                session_id, GatedLookout(self.house.resources, self.gate), may_be_slow=slow
            )
        )
        killed = asyncio.create_task(self.gate.killed.wait())
        asleep = asyncio.create_task(self.gate.asleep.wait())
        try:
            await asyncio.wait({looking, killed, asleep}, return_when=asyncio.FIRST_COMPLETED)
            if self.gate.asleep.is_set() and not looking.done():
                await self._overtake(session_id)
                await asyncio.wait({looking, killed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            killed.cancel()
            asleep.cancel()
        if not looking.done():
            self.buried.append(looking)
            return Looked()
        try:
            return looking.result()
        except DatabaseUnavailable:
            return Looked()  # its lease runs out, and somebody looks again

    async def _overtake(self, session_id: UUID) -> None:
        """Let another worker do everything while this one sleeps, and then wake it."""
        self.gate.asleep.clear()
        other = self.house.worker("the other")
        if self.gate.strike is Strike.OUTLIVED:
            await self.house.end(session_id)
        for _ in range(LEASES_SLEPT):
            await self.house.clock.advance(self.house.settings.lease_seconds + 1)
            self.house.plane.run(self.house.settings.lease_seconds + 1)
            await lookout.look(session_id, other)
        self.gate.wake.set()

    async def bury(self) -> None:
        for task in self.buried:
            task.cancel()
        await asyncio.gather(*self.buried, return_exceptions=True)


@dataclass(frozen=True)
class Step:
    """One thing that happens in a script, and for how long nothing else does."""

    what: str
    do: Callable[[House, UUID], Awaitable[object]]
    seconds: float = 3


@dataclass(frozen=True)
class Script:
    """A show whose walks reach the parts; its first step is the announcement."""

    name: str
    steps: Sequence[Step]


@dataclass(frozen=True)
class Case:
    """One strike at one boundary of one script."""

    script: Script
    boundary: Boundary
    strike: Strike

    def __str__(self) -> str:
        return f"{self.script.name}: {self.boundary}, {self.strike}"

    @property
    def writes(self) -> bool:
        """Whether it strikes the ledger, and not LiveKit."""
        return self.boundary.step in WRITES

    async def play(self, parts: Sequence[Part], database_url: str, folder: Path) -> None:
        """Play the script up to the strike, see that all comes right, and end the show."""
        gate = Gate(at=self.boundary, strike=self.strike)
        async with playing(parts, gate, database_url, folder) as house:
            watch = Invariants(house)
            show = await house.create()
            gate.meanwhile = partial(house.end, show)
            for step in self.script.steps:
                await step.do(house, show)
                await house.pass_time(step.seconds, step=PACE_SECONDS)
                await watch.hold()
                if gate.has_struck:
                    break
            assert gate.has_struck, "the script did not come to the boundary this time"
            await house.pass_time(MENDED_SECONDS, step=PACE_SECONDS)
            await watch.settled()
            await house.end(show)
            await house.pass_time(MENDED_SECONDS, step=2 * PACE_SECONDS)
            await watch.settled()


class Uncovered(Exception):
    """A part whose ensure or remove no script reaches: it would be struck by nothing."""


@contextmanager
def walking_behind(gate: Gate, parts: Sequence[Part]) -> Iterator[None]:
    """Let every walk go over these parts, each through the gate."""
    gated = tuple(
        replace(
            part,
            ensure=_running(gate, part.name, "ensure", part.ensure),
            remove=_running(gate, part.name, "remove", part.remove),
        )
        for part in parts
    )
    with patch.object(converge, "PARTS", gated):
        yield


@asynccontextmanager
async def playing(
    parts: Sequence[Part], gate: Gate, database_url: str, folder: Path
) -> AsyncIterator[House]:
    """Open a house whose walks go through a gate, over these parts."""
    async with open_house(database_url, folder, lease_seconds=5) as house:
        worker = Worker(house, gate)
        house.walker = worker.look
        with walking_behind(gate, parts):
            try:
                yield house
            finally:
                await worker.bury()


def _running(gate: Gate, part: str, verb: str, run: Ensure) -> Ensure:
    async def running(show: Show, tools: Tools) -> Outcome:
        return await gate.run(part, verb, run, show, tools)

    return running


async def crossings(
    script: Script, parts: Sequence[Part], database_url: str, folder: Path
) -> list[Boundary]:
    """Play a script without a strike, and give every boundary its walks crossed."""
    gate = Gate()
    async with playing(parts, gate, database_url, folder) as house:
        show = await house.create()
        for step in script.steps:
            await step.do(house, show)
            await house.pass_time(step.seconds, step=PACE_SECONDS)
    return gate.crossed


async def cases(scripts: Iterable[Script], parts: Sequence[Part], folder: Path) -> tuple[Case, ...]:
    """Generate every case. Raises Uncovered for a part that no script reaches."""
    found: dict[Boundary, Script] = {}
    for script in scripts:
        place = folder / script.name
        place.mkdir(parents=True)
        for boundary in await crossings(script, parts, sqlite_tables(place), place):
            if boundary.nth <= STRUCK_MAX:
                found.setdefault(boundary, script)
    for part in parts:
        for verb in ("ensure", "remove"):
            steps = [b for b in found if (b.part, b.verb) == (part.name, verb) and b.step]
            if not steps:
                raise Uncovered(
                    f"{part.name}.{verb} crosses no boundary in any of the scripts "
                    f"({', '.join(script.name for script in scripts)}): nothing would strike it. "
                    "Write a script in tests/integration/engine/scripts.py that reaches it."
                )
    return tuple(
        Case(script, boundary, strike)
        for boundary, script in sorted(found.items(), key=lambda item: item[0])
        for strike in boundary.strikes
    )

"""The schedule: who runs a tick, and what a bad round may not do."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from prometheus_client import REGISTRY

from orchestration import ticks
from orchestration.database import Database, DatabaseUnavailable
from orchestration.due import Due
from orchestration.plane import Unavailable
from orchestration.settings import Settings
from tests.fakes.clock import Clock
from tests.fakes.doors import SilentBell
from tests.system.waits import until
from workers import lifecycle, recordings, schedule, sweep
from workers.hands import Hands
from workers.schedule import EVERY, Every, Looker


@pytest.fixture
def clock() -> Clock:
    """Give the clock of the database, which stands still until it is moved."""
    return Clock()


@pytest.fixture
async def db(tables_url: str, clock: Clock) -> AsyncIterator[Database]:
    db = Database.open(tables_url)
    await clock.govern(db)
    yield db
    await db.close()


async def claim(db: Database, owner: str, *, every: float = 60, patience: float = 30) -> bool:
    wait = await ticks.claim(
        db, "compare", owner=owner, every_seconds=every, patience_seconds=patience
    )
    return wait is None


async def test_a_tick_is_run_by_one_worker_of_all(db: Database) -> None:
    """Eight processes ask at the same moment; LiveKit is listed once."""
    won = await asyncio.gather(*(claim(db, f"worker-{number}") for number in range(8)))

    assert won.count(True) == 1


async def test_a_tick_is_due_again_after_its_time(db: Database, clock: Clock) -> None:
    """The time runs from the beginning of the last round, whoever ran it."""
    assert await claim(db, "one", every=5)
    await clock.advance(2)
    await ticks.give_back(db, "compare", owner="one", done=True)
    await clock.advance(2)
    assert not await claim(db, "two", every=5)

    await clock.advance(1)

    assert await claim(db, "two", every=5)


async def test_a_tick_whose_worker_died_is_taken_over(db: Database, clock: Clock) -> None:
    """Its claim runs out; until then nobody runs it a second time."""
    assert await claim(db, "the dead", every=5, patience=30)
    await clock.advance(29)
    assert not await claim(db, "the living", every=5)

    await clock.advance(1)

    assert await claim(db, "the living", every=5)


async def test_a_tick_is_run_though_the_clock_went_back(db: Database, clock: Clock) -> None:
    """Both when it is due and who has it were written by a clock that was an hour ahead."""
    assert await claim(db, "an hour ahead", every=5)
    await clock.advance(-3600)

    assert await claim(db, "now", every=5)


async def test_a_late_giving_back_takes_nothing_from_the_next(db: Database, clock: Clock) -> None:
    """A worker that was asleep must not free what another one has claimed meanwhile."""
    assert await claim(db, "the sleeper", every=5, patience=10)
    await clock.advance(10)
    assert await claim(db, "the next", every=5, patience=60)
    await clock.advance(10)

    await ticks.give_back(db, "compare", owner="the sleeper", done=True)

    assert not await claim(db, "a third", every=5)


async def test_a_tick_tells_how_long_to_wait(db: Database, clock: Clock) -> None:
    """Who lost asks again when it is due, not all the time."""
    await claim(db, "one", every=60)
    await clock.advance(20)

    wait = await ticks.claim(db, "compare", owner="two", every_seconds=60, patience_seconds=1)

    assert wait == 40


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (DatabaseUnavailable("gone"), "warning"),
        (Unavailable("ListRooms", "unreachable"), "warning"),
        (RuntimeError("a bug"), "error"),
    ],
)
async def test_what_is_away_is_no_bug(error: Exception, level: str) -> None:
    """An operator is told of an outage in one line, and of a mistake of ours with its traceback."""

    async def run(_: Looker) -> None:
        raise error

    line = Every("bad_round", lambda _: 0.01, True, 1, run, "to be seen failing")

    with structlog.testing.capture_logs() as said:
        await schedule._run(line, cast(Looker, SimpleNamespace(settings=Settings())))

    assert [(one["event"], one["log_level"]) for one in said] == [("tick_failed", level)]


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable("gone"), RuntimeError("a bug"), TimeoutError()]
)
async def test_a_loop_outlives_a_bad_round(error: Exception) -> None:
    """What a loop repairs, nobody else repairs."""
    rounds = []

    async def run(_: Looker) -> None:
        rounds.append(1)
        if len(rounds) < 3:
            raise error

    line = Every("bad_round", lambda _: 0.01, True, 1, run, "to be seen failing")
    before = failures("bad_round")
    loop = asyncio.create_task(schedule._loop(line, looker()))

    await until(lambda: len(rounds) >= 4, what="four rounds")
    loop.cancel()

    assert failures("bad_round") == before + 2


async def test_a_round_that_hangs_is_cancelled() -> None:
    """A LiveKit that never answers must not stop the clock."""
    ended = []

    async def hang(_: Looker) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    line = Every("hanging", lambda _: 0.01, True, 0.05, hang, "to be seen hanging")
    loop = asyncio.create_task(schedule._loop(line, looker()))

    await until(lambda: len(ended) >= 2, what="two rounds to be cancelled")
    loop.cancel()


def test_every_line_has_a_name_a_time_and_a_reason() -> None:
    """EVERY is the table a newcomer reads."""
    settings = Settings()
    assert len({line.name for line in EVERY}) == len(EVERY)
    for line in EVERY:
        assert line.why
        assert line.seconds(settings) > 0
        assert line.patience_seconds > 0


@dataclass
class Looks:
    """Takes the place of what a worker does, and notes what it was asked."""

    rows: list[Due] = field(default_factory=list)
    looked: list[tuple[uuid.UUID, bool]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    wants_slow: bool = False

    async def due(self, *_: object, **__: object) -> list[Due]:
        return list(self.rows)

    async def look_at(self, session_id: uuid.UUID, _: object, *, may_be_slow: bool) -> bool:
        self.looked.append((session_id, may_be_slow))
        return may_be_slow or not self.wants_slow

    async def finish_recording(self, recording_id: str, _: object) -> None:
        self.finished.append(recording_id)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(sweep.due, "due", looks.due)
    monkeypatch.setattr(lifecycle, "look_at", looks.look_at)
    monkeypatch.setattr(recordings, "finish_recording", looks.finish_recording)
    return looks


def row(table: str = "sessions") -> Due:
    return Due(table, uuid.uuid4(), since=schedule_time())


async def test_the_sweep_rings_once_for_a_due_row(looks: Looks) -> None:
    """A backlog must not grow by every sweep of every process."""
    looks.rows = [row(), row("recordings")]
    swept, bell = sweeping()

    for _ in range(5):
        await swept.run()

    assert [ring[:2] for ring in bell.rung] == [(one.table, one.id) for one in looks.rows]
    assert looks.looked == []


async def test_a_row_that_is_due_anew_is_rung_for_anew(looks: Looks) -> None:
    """It was looked at in between, and wants to be looked at again."""
    one = row()
    swept, bell = sweeping()
    looks.rows = [one]
    await swept.run()

    looks.rows = [Due(one.table, one.id, since=schedule_time(later=1))]
    await swept.run()

    assert len(bell.rung) == 2


async def test_without_redis_the_sweep_looks_itself(looks: Looks) -> None:
    """Everything works, a little slower."""
    looks.rows = [row(), row("recordings")]
    swept, _ = sweeping(takes=False)

    await swept.run()
    await swept.finish(5)

    assert looks.looked == [(looks.rows[0].id, False)]
    assert looks.finished == [str(looks.rows[1].id)]


async def test_without_redis_the_sweep_does_slow_work_too(looks: Looks) -> None:
    """There is nobody to ring for it."""
    looks.rows, looks.wants_slow = [row()], True
    swept, _ = sweeping(takes=False)

    await swept.run()
    await swept.finish(5)

    session_id = looks.rows[0].id
    assert looks.looked == [(session_id, False), (session_id, True)]


async def test_a_ring_that_nobody_hears_is_looked_at_in_the_end(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that forgot everything took the ring, and will never tell it."""
    monkeypatch.setattr(sweep, "HEARD_SECONDS", 0.0)
    looks.rows = [row()]
    swept, _ = sweeping()

    await swept.run()
    await swept.run()
    await swept.finish(5)

    assert looks.looked == [(looks.rows[0].id, False)]


async def test_hands_do_each_thing_once_at_a_time_and_never_too_many() -> None:
    """A row that takes long is not begun a second time by the next sweep."""
    gate, begun = asyncio.Event(), []

    async def work() -> None:
        begun.append(1)
        await gate.wait()

    hands = Hands(2)

    taken = [hands.take(key, work) for key in ("a", "a", "b", "c")]
    await asyncio.sleep(0)
    gate.set()
    await hands.finish(5)

    assert taken == [True, False, True, False]
    assert len(begun) == 2
    assert hands.take("a", work)
    await hands.finish(5)


async def test_hands_outlive_what_goes_wrong_in_one() -> None:
    """One broken row hinders nobody else."""
    done = []

    async def fail() -> None:
        raise RuntimeError("a bug")

    async def work() -> None:
        done.append(1)

    hands = Hands(1)
    hands.take("a", fail)
    await hands.finish(5)
    hands.take("b", work)
    await hands.finish(5)

    assert done == [1]


async def test_hands_cancel_what_does_not_end_in_time() -> None:
    """A process that must end waits for nobody for ever."""
    hands = Hands(1)
    hands.take("a", asyncio.Event().wait)

    await hands.finish(0.01)

    assert hands.take("b", asyncio.Event().wait)
    await hands.finish(0.01)


def looker() -> Any:
    """Give what lines of EVERY are called with, as far as these lines look."""
    return SimpleNamespace(settings=Settings(), resources=None)


def sweeping(*, takes: bool = True) -> tuple[sweep.Sweep, SilentBell]:
    bell = SilentBell(takes=takes)
    resources: Any = SimpleNamespace(bell=bell, db=None)
    return sweep.Sweep(resources), bell


def schedule_time(*, later: float = 0) -> datetime:
    """Give a moment that rows are due since: any will do, if equal ones are equal."""
    return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=later)


def failures(tick: str) -> float:
    labels = {"tick": tick, "outcome": "failed"}
    return REGISTRY.get_sample_value("greenroom_ticks_total", labels) or 0.0

"""A real Prometheus watches: figures are right, and every alert fires for its cause and clears."""

import asyncio
import json
import re
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import yaml
from livekit import api as livekit_api

from tests.acceptance.audience import ONCE_SECONDS, watching
from tests.acceptance.conftest import BRISK
from tests.acceptance.performance import perform
from tests.acceptance.product import LIVEKIT_KEY, LIVEKIT_SECRET, Product, product
from tests.acceptance.show import Show, announce
from tests.system import prometheus
from tests.system import redis as redis_servers
from tests.system.postgres import PostgresServer
from tests.system.prometheus import PrometheusServer
from tests.system.redis import RedisServer
from tests.system.waits import until

pytestmark = [
    pytest.mark.media,
    pytest.mark.postgres,
    pytest.mark.asyncio(loop_scope="module"),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
ALERTS: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}
QUERIES: dict[str, str] = {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in json.loads((DEPLOY / "grafana/greenroom.json").read_text())["panels"]
    for target in panel.get("targets", ())
}
#: Enough for an alert whose window, wait and age are shortened, on a machine with other work.
ALERT_SECONDS = 90.0
#: Threads of a worker process: few, so that a test can keep them all busy.
THREADS = 2
PROCESSES = 2


# ------------------------------------------------------------------------- the rules, shortened


def shortened(rules: str) -> str:
    """Shorten the rules' times and nothing else: what is asked, and how much of it, stays.

    A window's minute becomes 2 s, a wait is divided by 15, an age in seconds by 5.
    """
    ages = re.compile(r"((?:_seconds|timestamp_seconds)[^>]*> )(\d+)\b")
    lines = []
    for block in re.split(r"(?m)^(?=      - alert:)", rules):
        told = re.sub(r"\[(\d+)m\]", lambda found: f"[{int(found[1]) * 2}s]", block)
        told = re.sub(r"(?m)^( +for: )(\d+)(s|m)$", _shorter_wait, told)
        if "_seconds" in told and "rate(" not in told:
            told = ages.sub(lambda found: f"{found[1]}{int(found[2]) // 5}", told)
        lines.append(told)
    return "".join(lines)


def _shorter_wait(found: re.Match[str]) -> str:
    seconds = int(found[2]) * (60 if found[3] == "m" else 1)
    return f"{found[1]}{max(1, seconds // 15)}s"


async def test_only_times_are_shortened(tmp_path: Path):
    """The copy has the same alerts, and without its numbers it is the same text."""
    short = shortened(RULES.read_text())
    (tmp_path / "alerts.yml").write_text(short)

    prometheus.promtool("check", "rules", tmp_path / "alerts.yml")
    times = re.compile(r"\[\d+[sm]\]|for: \d+[sm]|> \d+\b")
    assert times.sub("", short) == times.sub("", RULES.read_text())
    assert short.count("for: 1s") > 0


# ------------------------------------------------------------------------- who watches


@dataclass
class Watched:
    """A Greenroom under a real Prometheus, with one show that stays on air."""

    greenroom: Product
    prometheus: PrometheusServer
    postgres: PostgresServer
    redis: RedisServer
    database: str
    steady: Show | None = None
    beats: int = 0
    background: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def livekit(self) -> Any:
        return self.greenroom.livekit

    async def value(self, expression: str) -> float:
        """Give the sum of an expression's series now; 0 without any."""
        return sum(one.value for one in await self.prometheus.query(expression))

    async def comes_to(self, expression: str, expected: float) -> None:
        """Wait until an expression's series come to exactly so much: scrapes trail by a second."""

        async def equal() -> bool:
            return await self.value(expression) == expected

        await until(equal, what=f"{expression} == {expected:g}", within=30, every=0.5)

    async def firing(self) -> set[str]:
        return {
            alert["labels"]["alertname"]
            for alert in await self.prometheus.alerts()
            if alert["state"] == "firing"
        }

    async def fire(self, *names: str) -> None:
        """Wait until each of these has fired; not all need to fire at the same moment."""
        seen: set[str] = set()

        async def all_seen() -> bool:
            seen.update(await self.firing())
            return set(names) <= seen

        try:
            await until(all_seen, what=f"{names} to fire", within=ALERT_SECONDS, every=0.4)
        except AssertionError as late:
            raise AssertionError(f"{set(names) - seen} did not fire: {late}") from None

    async def clear(self, *names: str) -> None:
        """Wait until none of these fires."""

        async def quiet() -> bool:
            return not set(names) & await self.firing()

        await until(quiet, what=f"{names} to clear", within=ALERT_SECONDS, every=0.4)

    async def announce(self) -> Show:
        return await announce(await self.greenroom.host())

    async def on_air(self) -> Show:
        """Run a show until viewers can watch it."""
        show = await self.announce()
        await show.go_live()
        await self.greenroom.encoder(show)
        await show.plays()
        return show

    async def calm(self) -> Show:
        """See that the steady show is on air and plays; another one begins if it is not."""
        if self.steady is not None:
            session = await self.steady.session()
            if session["phase"] == "live":
                await self.steady.plays()
                return self.steady
        self.steady = await self.on_air()
        return self.steady

    def working(self) -> list[psutil.Process]:
        """Find the worker's processes: its supervisor's children."""
        return psutil.Process(self.greenroom.workers[-1].pid).children()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """Run a Greenroom with two worker processes, everything its own, and a Prometheus."""
    folder = tmp_path_factory.mktemp("observed")
    rules = folder / "alerts.yml"
    rules.write_text(shortened(RULES.read_text()))
    database_url = postgres_server.create_database()
    settings = {
        **BRISK,
        "GREENROOM_WORKER_THREADS": str(THREADS),
        "GREENROOM_ATTEMPTS_MAX": "2",
    }
    async with AsyncExitStack() as stack:
        stack.callback(postgres_server.drop_database, database_url)
        redis = await stack.enter_async_context(redis_servers.running())
        greenroom = await stack.enter_async_context(
            product(
                folder,
                database_url=database_url,
                redis_url=redis.url,
                processes_each=PROCESSES,
                more=settings,
                # Everything is broken here on purpose.
                may_complain=True,
            )
        )
        targets = {
            "greenroom-api": [greenroom.url.partition("://")[2]],
            "greenroom-worker": [f"127.0.0.1:{greenroom.metrics_ports[0]}"],
        }
        server = await stack.enter_async_context(
            prometheus.running(targets, rules=[rules], every="1s")
        )
        watched = Watched(
            greenroom, server, postgres_server, redis, database_url.rpartition("/")[2]
        )
        await watched.comes_to("sum(up)", 2)
        yield watched
        for task in watched.background:
            task.cancel()
        await asyncio.gather(*watched.background, return_exceptions=True)


# ------------------------------------------------------------------------- figures


def measured(gauge: str, matchers: str) -> str:
    """Ask for a measured gauge as told by whoever measured it last."""
    newest = f'topk(1, greenroom_measured_timestamp_seconds{{gauge="{gauge}"}})'
    return f"sum(greenroom_{gauge}{{{matchers}}} and on (job, instance) {newest})"


async def test_sums_are_what_happened(watched: Watched):
    """One whole show, counted by an API and two worker processes together."""

    async def audience(show: Show) -> None:
        await watched.livekit.join(show.room, "ann")
        async with watching(show, watched.greenroom.stranger, count=2, every=ONCE_SECONDS):
            await watched.comes_to(measured("viewers", 'via="hls"'), 2)
            await watched.comes_to(measured("viewers", 'via="livekit"'), 1)

    performed = await perform(watched.greenroom, audience)
    recorded = (await performed.show.report())["takes"]

    ends = 'stage="answered"'
    for expression, expected in {
        'sum(greenroom_jobs_total{kind="go_live",outcome="done"})': 1,
        'sum(greenroom_jobs_total{kind="end",outcome="done"})': 1,
        'sum(greenroom_jobs_total{outcome="failed"})': 0,
        "sum(greenroom_job_seconds_count)": 2,
        f"sum(greenroom_go_live_seconds_count{{{ends}}})": 1,
        "sum(greenroom_time_to_playback_seconds_count)": 2,
        'sum(greenroom_takes_total{reason="first",outcome="started"})': len(recorded),
        "sum(greenroom_takes_total)": len(recorded),
        'sum(greenroom_recordings_total{verdict="verified"})': 1,
        "sum(greenroom_recordings_total)": 1,
        "sum(greenroom_recording_finish_seconds_count)": 1,
        # Rung for when it was asked, and by a sweep that came before the actor's claim.
        'sum(greenroom_messages_total{actor="finish_recording",outcome="done"}) >= bool 1': 1,
        'sum(greenroom_viewer_marks_total{outcome="counted"})': 2,
        "sum(greenroom_storage_errors_total)": 0,
        "sum(greenroom_database_errors_total)": 0,
        "sum(greenroom_leases_lost_total)": 0,
        'sum(greenroom_http_requests_total{route="/sessions/{id}/go_live",status="200"})': 1,
        'sum(greenroom_http_requests_total{route="/sessions/{id}/end",status="200"})': 1,
        measured("sessions", 'phase="ended"'): 1,
        measured("sessions", 'phase!="ended"'): 0,
    }.items():
        await watched.comes_to(expression, expected)


async def test_calls_to_livekit_are_counted_as_it_counts_them(watched: Watched):
    """By method: what LiveKit was asked is what API and workers say they asked."""

    async def agree() -> bool:
        samples = await watched.prometheus.query(
            "sum by (method) (greenroom_livekit_calls_total) > 0"
        )
        ours = {one.labels["method"]: one.value for one in samples}
        theirs = Counter(await watched.livekit.calls())
        # Lists are asked for all the time, so that no two looks at them agree.
        return {(name, count) for name, count in theirs.items() if not name.startswith("List")} == {
            (name, count) for name, count in ours.items() if not name.startswith("List")
        }

    await until(agree, what="both counts to agree", within=30, every=0.5)


async def test_webhooks_are_counted_as_they_were_sent(watched: Watched):
    """Each arrived and was taken for a hint; when all are lost, none is counted."""

    async def agree() -> bool:
        state = await watched.livekit.state()
        sent = 0 if _webhooks_are_lost(state) else len(state["webhooks"])
        taken = await watched.value(
            'sum(greenroom_webhooks_received_total{outcome=~"accepted|ignored"})'
        )
        return taken == sent

    await until(agree, what="both counts to agree", within=30, every=0.5)


def _webhooks_are_lost(state: dict[str, Any]) -> bool:
    return any(fault["kind"] == "webhooks_dropped" for fault in state["faults"])


# ------------------------------------------------------------------------- causes


async def _post(watched: Watched, path: str, body: Any) -> None:
    with suppress(Exception):
        await watched.greenroom.stranger.ask("POST", path, body)


@asynccontextmanager
async def an_api_dies(watched: Watched) -> AsyncIterator[None]:
    assert watched.greenroom.api is not None
    await asyncio.to_thread(watched.greenroom.api.kill)
    yield
    await watched.greenroom.start_api()


@asynccontextmanager
async def strangers_try_the_door(watched: Watched) -> AsyncIterator[None]:
    for number in range(20):
        await _post(watched, "/livekit/webhook", {"event": "room_started", "id": str(number)})
    yield


@asynccontextmanager
async def a_worker_is_stopped(watched: Watched) -> AsyncIterator[None]:
    worker = watched.greenroom.workers[-1]
    worker.terminate()
    await worker.ended()
    yield
    port = watched.greenroom.metrics_ports[0]
    await watched.greenroom.start_worker(processes_each=PROCESSES, metrics_port=port)


@asynccontextmanager
async def workers_hang(watched: Watched) -> AsyncIterator[None]:
    """Their supervisor lives and tells their last figures."""
    hanging = watched.working()
    for process in hanging:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in hanging:
            process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def redis_dies(watched: Watched) -> AsyncIterator[None]:
    await watched.calm()
    await asyncio.to_thread(watched.redis.kill)
    yield
    await asyncio.to_thread(watched.redis.start)


@asynccontextmanager
async def the_database_lets_nobody_in(watched: Watched) -> AsyncIterator[None]:
    """Break every connection and give none; meanwhile hosts and viewers ask."""
    name, sql = watched.database, watched.postgres.sql

    async def ask() -> None:
        while True:
            with suppress(Exception):
                await watched.greenroom.stranger.ask("GET", f"/sessions/{uuid.uuid4()}")
            await asyncio.sleep(0.1)

    asking = asyncio.create_task(ask())
    await asyncio.to_thread(sql, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await asyncio.to_thread(
        sql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    try:
        yield
    finally:
        await asyncio.to_thread(sql, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@asynccontextmanager
async def livekit_refuses(watched: Watched) -> AsyncIterator[None]:
    for _ in range(2):
        show = await watched.announce()
        await watched.livekit.arm("refuse", method="CreateRoom", code="permission_denied", count=1)
        (await show.ask("go_live", prefer="wait=60")).expect(502, 200)
    yield


@asynccontextmanager
async def livekit_answers_nothing_useful(watched: Watched) -> AsyncIterator[None]:
    """Somebody has just asked to go live, and viewers watch."""
    await watched.calm()
    show = await watched.announce()
    await watched.livekit.arm("refuse", code="unavailable")
    (await show.ask("go_live", prefer="respond-async")).expect(202)
    yield
    await watched.livekit.clear()
    await show.end()


@asynccontextmanager
async def livekit_forgets_everything(watched: Watched) -> AsyncIterator[None]:
    """And will not make anything anew."""
    steady = await watched.calm()
    for method in ("CreateRoom", "CreateIngress"):
        await watched.livekit.arm("refuse", method=method, code="unavailable")
    await watched.livekit.arm("forget_everything")
    yield
    await watched.livekit.clear()
    await steady.end()
    watched.steady = None


@asynccontextmanager
async def livekit_is_slow(watched: Watched) -> AsyncIterator[None]:
    """More hosts go live than workers have threads, and each call takes long."""
    shows = [await watched.announce() for _ in range(3 * THREADS * PROCESSES)]
    await watched.livekit.arm("slow", delay_seconds=2)
    going = [asyncio.create_task(show.go_live(prefer="wait=60")) for show in shows]
    yield
    await watched.livekit.clear()
    await asyncio.gather(*going)
    await asyncio.gather(*(show.end(prefer="wait=60") for show in shows))


@asynccontextmanager
async def every_egress_dies(watched: Watched) -> AsyncIterator[None]:
    """Let the host send on while no egress can be had."""
    steady = await watched.calm()
    await watched.livekit.arm("worker_gone", delay_seconds=0.1)
    yield
    await watched.livekit.clear()
    await steady.plays()


@asynccontextmanager
async def a_stranger_uses_our_prefix(watched: Watched) -> AsyncIterator[None]:
    url = watched.greenroom.environment["LIVEKIT_URL"]
    name = f"greenroom-{uuid.uuid4()}"
    async with livekit_api.LiveKitAPI(url, LIVEKIT_KEY, LIVEKIT_SECRET) as client:
        await client.room.create_room(livekit_api.CreateRoomRequest(name=name))
        yield
        await client.room.delete_room(livekit_api.DeleteRoomRequest(room=name))


@asynccontextmanager
async def recordings_are_damaged(watched: Watched) -> AsyncIterator[None]:
    """Of one show a segment is cut; of another everything is gone, its egress too."""
    shows = await asyncio.gather(watched.on_air(), watched.on_air())
    cut = _segments(watched, shows[0])
    with cut[0].open("r+b") as file:
        file.truncate(cut[0].stat().st_size // 3)
    await watched.livekit.arm("refuse", method="StartEgress", code="unavailable")
    await watched.livekit.arm("egress_dies", room=shows[1].room)

    async def writes_no_more() -> bool:
        (take, *_) = (await shows[1].report())["takes"]
        return bool(take["outcome"] == "failed")

    await until(writes_no_more, what="the egress to be found dead")
    for segment in _segments(watched, shows[1]):
        segment.unlink()
    await asyncio.gather(*(show.end() for show in shows))
    verdicts = [(await show.recording())["verdict"] for show in shows]
    assert verdicts == ["partial", "lost"]
    await watched.livekit.clear()
    yield


def _segments(watched: Watched, show: Show) -> list[Path]:
    return sorted((watched.greenroom.folder / "media/hls" / show.id / "1").glob("*.ts"))


@asynccontextmanager
async def storage_fails(watched: Watched) -> AsyncIterator[None]:
    """Put something else in the place of a playlist, so that it cannot be written."""
    steady = await watched.calm()
    playlist = watched.greenroom.folder / "media/hls" / steady.id / "index.m3u8"
    _replace_by_folder(playlist)
    yield
    (playlist / "in the way").rmdir()
    playlist.rmdir()


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    # No file can take the place of a folder that is not empty.
    (path / "in the way").mkdir(parents=True)


@asynccontextmanager
async def a_show_kills_its_workers(watched: Watched) -> AsyncIterator[None]:
    """Whoever works for it dies in the middle, again and again."""
    show = await watched.announce()
    await watched.livekit.arm("slow", method="CreateRoom", delay_seconds=20)
    (await show.ask("go_live", prefer="respond-async")).expect(202)
    hits = 0
    # Until nobody touches it: one that is killed too late had given up in order.
    while not await _is_quarantined(show):

        async def claimed_or_left(before: int = hits) -> int:
            state = await watched.livekit.state()
            (fault,) = (fault for fault in state["faults"] if fault["kind"] == "slow")
            more = int(fault["hits"]) > before or await _is_quarantined(show)
            return int(fault["hits"]) if more else 0

        hits = await until(claimed_or_left, what="the next claim, or none", every=0.1)
        for process in watched.working():
            process.kill()
    yield
    await watched.livekit.clear()
    await show.end()


async def _is_quarantined(show: Show) -> bool:
    trouble = (await show.session())["trouble"]
    return trouble is not None and trouble["slug"] == "session-quarantined"


Cause = Callable[[Watched], AbstractAsyncContextManager[None]]

# fmt: off
#: Each cause, and the alerts it must fire; what stands together is brought about together.
CAUSES: tuple[dict[Cause, tuple[str, ...]], ...] = (
    {an_api_dies:                    ("GreenroomApiDown",)},
    {strangers_try_the_door:         ("GreenroomWebhooksRejected",),
     livekit_refuses:                ("GreenroomGoLiveFailing", "GreenroomLiveKitRefusing")},
    {recordings_are_damaged:         ("GreenroomRecordingPartial", "GreenroomRecordingLost"),
     a_stranger_uses_our_prefix:     ("GreenroomDrift",)},
    {storage_fails:                  ("GreenroomStorageErrors",)},
    {redis_dies:                     ("GreenroomRedisDown", "GreenroomViewerCountsStale")},
    {the_database_lets_nobody_in:    ("GreenroomDatabaseErrors", "GreenroomApiErrors")},
    {livekit_is_slow:                ("GreenroomGoLiveSlow", "GreenroomQueueOld")},
    {every_egress_dies:              ("GreenroomEgressNotStarting", "GreenroomPlaybackStalled")},
    {livekit_answers_nothing_useful: ("GreenroomLiveKitUnreachable", "GreenroomSessionStuck")},
    {livekit_forgets_everything:     ("GreenroomGhostSession",)},
    {a_show_kills_its_workers:       ("GreenroomSessionQuarantined",)},
    {workers_hang:                   ("GreenroomSweepStopped",)},
    {a_worker_is_stopped:            ("GreenroomWorkerDown",)},
)
# fmt: on


async def test_every_alert_has_a_cause():
    """A new alert without a cause here fails, and so does a cause for an alert that is gone."""
    caused = [name for causes in CAUSES for names in causes.values() for name in names]

    assert sorted(caused) == sorted(ALERTS)


@pytest.mark.parametrize(
    "causes", CAUSES, ids=[" and ".join(cause.__name__ for cause in causes) for causes in CAUSES]
)
async def test_alerts_fire_for_their_cause_and_clear(
    watched: Watched, causes: dict[Cause, tuple[str, ...]]
):
    """They are silent before, fire while it lasts, and clear when it is over."""
    names = [name for alerts in causes.values() for name in alerts]
    await watched.clear(*names)

    async with AsyncExitStack() as stack:
        for cause, alerts in causes.items():
            await stack.enter_async_context(cause(watched))
            await watched.fire(*alerts)

    await watched.clear(*names)


# ------------------------------------------------------------------------- queries


#: Shows nothing on a good day: what it would show was seen firing above.
SILENT = "What fires, A"


@pytest.mark.parametrize("query", [query for name, query in QUERIES.items() if name != SILENT])
async def test_every_panel_shows_something(watched: Watched, query: str):
    """After all that has happened no query of the dashboard is empty or no number."""
    asked = query.replace("$__rate_interval", "15m").replace("$__range", "15m")

    async def shown() -> bool:
        samples = await watched.prometheus.query(asked)
        return bool(samples) and not (len(samples) == 1 and isnan(samples[0].value))

    await until(shown, what=f"series of {asked}", within=30, every=0.5)


async def test_every_selector_finds_series(watched: Watched):
    """Names, labels and values in dashboard and alerts are those of real series."""
    selector = re.compile(r"\b((?:greenroom_[a-z_]+|up)\b(?:\{[^}]*\})?)")
    wanted = {
        found
        for query in (*QUERIES.values(), *ALERTS.values())
        for found in selector.findall(query)
    }

    empty = [one for one in sorted(wanted) if not await watched.prometheus.series(one)]

    assert len(wanted) > 40
    assert empty == []

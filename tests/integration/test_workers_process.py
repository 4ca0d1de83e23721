"""Real worker processes: rung, deaf, killed, and told to end."""

import asyncio
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from deploy.ports import free_port
from orchestration import migrations
from orchestration.doorbell import Bell
from orchestration.states import JobKind
from tests.integration.workers_stage import Stage, standing
from tests.system import processes
from tests.system import redis as redis_servers
from tests.system.processes import Process
from tests.system.redis import RedisServer
from tests.system.waits import until

GREENROOM = [sys.executable, "-m", "deploy.cli"]


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """Run a Redis that tests may kill."""
    async with redis_servers.running() as server:
        yield server


@pytest.fixture
async def stage(tables_url: str, redis: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with standing(tables_url, redis.url, tmp_path) as stage:
        yield stage


@asynccontextmanager
async def working(stage: Stage, **settings: str) -> AsyncIterator[Process]:
    """Run `greenroom worker` until its processes are ready."""
    count = int(settings.get("GREENROOM_WORKER_PROCESSES", "1"))
    async with processes.running(
        [*GREENROOM, "worker"],
        name="worker",
        environment={**stage.environment, **settings},
    ) as worker:
        await worker.ready(lambda: worker.log().count('"worker_ready"') >= count)
        yield worker


async def test_a_show_goes_live_and_ends_when_rung_for(stage: Stage) -> None:
    """The whole way: ring, look, job done, waiter woken."""
    session_id = await stage.announce()
    bell = Bell(stage.environment["GREENROOM_REDIS_URL"])
    async with working(stage):
        for kind, phase in ((JobKind.GO_LIVE, "waiting_for_media"), (JobKind.END, "ended")):
            job = await stage.wish(session_id, kind)
            await until(lambda: bell.ring("sessions", session_id), what="Redis to take the ring")

            await _until_done(stage, job.id)

            assert await stage.phase(session_id) == phase
    await bell.close()


async def test_without_redis_the_sweep_does_everything(stage: Stage, redis: RedisServer) -> None:
    """Redis is killed under a working process; a show still goes live and ends."""
    session_id = await stage.announce()
    async with working(stage) as worker:
        await asyncio.to_thread(redis.kill)

        for kind, phase in ((JobKind.GO_LIVE, "waiting_for_media"), (JobKind.END, "ended")):
            job = await stage.wish(session_id, kind)
            await _until_done(stage, job.id)
            assert await stage.phase(session_id) == phase

        assert '"queue_gone"' in worker.log()
        worker.terminate()
        assert await worker.ended() == 0


async def test_without_redis_from_the_start_a_worker_works(
    stage: Stage, redis: RedisServer
) -> None:
    """It starts, goes on by the sweep, and hears rings once Redis is there."""
    await asyncio.to_thread(redis.kill)
    session_id = await stage.announce()
    async with working(stage):
        job = await stage.wish(session_id, JobKind.GO_LIVE)
        await _until_done(stage, job.id)


async def test_a_silent_redis_holds_up_nobody(stage: Stage, redis: RedisServer) -> None:
    """Alive, connected, and never answering: worse than gone."""
    session_id = await stage.announce()
    async with working(stage):
        redis.pause()
        try:
            job = await stage.wish(session_id, JobKind.GO_LIVE)
            await _until_done(stage, job.id)
        finally:
            redis.resume()


async def test_a_killed_process_is_started_again(stage: Stage) -> None:
    """Its place is filled; what it worked on is looked at by the others."""
    async with working(stage, GREENROOM_WORKER_PROCESSES="2") as worker:
        victim = _children(worker)[0]
        victim.send_signal(signal.SIGKILL)

        await worker.ready(lambda: worker.log().count('"worker_ready"') == 3)

        assert '"worker_died"' in worker.log()
        assert len(_children(worker)) == 2


async def test_sigterm_ends_all_in_order(stage: Stage) -> None:
    """Each process drains and says so; nothing is left behind."""
    async with working(stage, GREENROOM_WORKER_PROCESSES="2") as worker:
        worker.terminate()

        assert await worker.ended(within=90) == 0
        assert worker.log().count('"worker_ended"') == 2
        worker.assert_nothing_left()


async def test_a_look_that_takes_too_long_is_cut_and_leaves_no_lease(stage: Stage) -> None:
    """LiveKit is silent when the process must end: in time, in order, and nothing was killed."""
    session_id = await stage.announce()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel connects, nobody answers
        port = silent.getsockname()[1]
        settings = {"LIVEKIT_URL": f"ws://127.0.0.1:{port}", "GREENROOM_LIVEKIT_SECONDS": "60"}
        async with working(stage, **settings) as worker:
            await stage.wish(session_id, JobKind.GO_LIVE)

            async def is_looked_at() -> bool:
                return (await stage.session(session_id)).lease_owner is not None

            await until(is_looked_at, what="the look")
            worker.terminate()
            code = await worker.ended(within=90)
            said = worker.log()

    session = await stage.session(session_id)
    assert code == 0
    assert '"work_cut"' in said
    assert (session.lease_owner, session.attempts) == (None, 0)


async def test_processes_end_when_their_supervisor_is_killed(stage: Stage) -> None:
    """Orphans would go on working without anybody who could stop them."""
    async with working(stage) as worker:
        children = _children(worker)
        os.kill(worker.pid, signal.SIGKILL)

        await until(
            lambda: all(not _runs(child) for child in children),
            what="the orphans to end",
        )


async def test_metrics_of_all_processes_are_on_one_port(stage: Stage) -> None:
    """Two processes sweep; what is told is the sum, and stays when one of them dies."""
    port = free_port()
    async with working(
        stage, GREENROOM_WORKER_PROCESSES="2", GREENROOM_METRICS_PORT=str(port)
    ) as worker:
        await until(lambda: _swept(port) >= 4, what="both to sweep")
        before = _swept(port)

        _children(worker)[0].kill()

        await until(lambda: _swept(port) > before, what="the sum to go on")


def _swept(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = 'greenroom_ticks_total{outcome="done",tick="sweep"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def _children(worker: Process) -> list[psutil.Process]:
    return [child for child in psutil.Process(worker.pid).children() if _runs(child)]


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _until_done(stage: Stage, job_id: object) -> None:
    async def done() -> bool:
        status = await stage.job_status(job_id)  # type: ignore[arg-type]
        assert status in {"pending", "done"}, status
        return status == "done"

    await until(done, what="the job to be done")


async def test_a_worker_waits_for_the_migrations(
    redis: RedisServer, database_url: str, tmp_path: Path
) -> None:
    """A new release may be started before its tables are there; it says what it waits for."""
    settings = {
        "GREENROOM_DATABASE_URL": database_url,
        "GREENROOM_REDIS_URL": redis.url,
        "GREENROOM_MEDIA_URL": f"file://{tmp_path / 'media'}",
        "GREENROOM_WORK_PATH": str(tmp_path / "work"),
        "GREENROOM_JWT_SECRET": "a secret of these tests that opens nothing else",
        "GREENROOM_METRICS_PORT": "0",
    }
    async with processes.running(
        [*GREENROOM, "worker"], name="worker", environment=settings
    ) as worker:
        await worker.says("run `greenroom migrate`")

        await asyncio.to_thread(migrations.upgrade, database_url)

        await worker.says('"worker_ready"')


async def test_a_taken_metrics_port_is_said(stage: Stage) -> None:
    """Working unseen would be worse than not working."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with processes.running(
            [*GREENROOM, "worker"],
            name="worker",
            environment={**stage.environment, "GREENROOM_METRICS_PORT": port},
        ) as worker:
            code = await worker.ended()

    assert code == 1
    assert "GREENROOM_METRICS_PORT" in worker.log()

"""What is seen of real requests, real messages and real processes."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import dramatiq
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AsyncIO
from dramatiq.worker import Worker
from prometheus_client.parser import text_string_to_metric_families

from observability import exposition, http, logs, messages
from observability.logs import log
from tests.unit.test_logs import written  # noqa: F401 - a fixture

CANARY = "Zx9canaryQ7vR2"
Lines = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def lines(written: io.StringIO) -> Lines:  # noqa: F811 - the fixture
    """Give the lines of an event."""

    def of(event: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in written.getvalue().splitlines()]
        return [line for line in told if line["event"] == event]

    return of


# ------------------------------------------------------------------------- requests


async def _read(request: web.Request) -> web.Response:
    logs.bind(session_id=request.match_info["id"])
    await asyncio.sleep(0)
    return web.json_response({"named": request[http.REQUEST_ID]})


async def _break(_: web.Request) -> web.Response:
    raise ValueError(f"password={CANARY}")


async def _refuse(_: web.Request) -> web.Response:
    raise web.HTTPForbidden


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x" * 1000)
    await response.write_eof()
    return response


@pytest.fixture
async def api(written: io.StringIO) -> AsyncIterator[TestClient[web.Request, web.Application]]:  # noqa: F811
    """Serve a few routes with the middleware, as the API does."""
    app = web.Application(middlewares=[http.requests])
    app.on_response_prepare.append(http.name_response)
    app.router.add_get("/sessions/{id}", _read)
    app.router.add_get("/break", _break)
    app.router.add_get("/refuse", _refuse)
    app.router.add_get("/stream", _stream)
    app.router.add_get("/metrics", exposition.endpoint())
    async with TestClient(TestServer(app, access_log=None)) as client:
        yield client


async def test_a_request_is_one_line_with_its_template_and_nothing_secret(
    api: TestClient[web.Request, web.Application],
    written: io.StringIO,  # noqa: F811
    lines: Lines,
):
    """Neither path nor query nor headers: they hold tokens, marks and keys."""
    headers = {"Authorization": f"Bearer {CANARY}", "X-Request-ID": "from-the-caller-1"}

    async with api.get(f"/sessions/s-1?token={CANARY}", headers=headers) as answer:
        body = await answer.json()

    (line,) = lines("request_done")
    assert {
        "method": "GET",
        "route": "/sessions/{id}",
        "status": 200,
        "request_id": "from-the-caller-1",
        "session_id": "s-1",
    }.items() <= line.items()
    assert line["bytes"] == answer.content_length
    assert line["seconds"] >= 0
    assert (body["named"], answer.headers["X-Request-ID"]) == ("from-the-caller-1",) * 2
    assert CANARY not in written.getvalue()


@pytest.mark.parametrize(
    "offered",
    ["", "short", "a" * 65, "with space", "<script>", "a\u00e9bcdefgh", "-starts-with-dash"],
)
async def test_a_request_with_an_insane_name_gets_another(
    offered: str, api: TestClient[web.Request, web.Application], lines: Lines
):
    """What strangers write is not copied into everybody's logs."""
    async with api.get("/sessions/s-1", headers={"X-Request-ID": offered}) as answer:
        named = answer.headers["X-Request-ID"]

    assert named != offered
    assert len(named) == 16
    assert lines("request_done")[0]["request_id"] == named


async def test_ids_of_one_request_do_not_leak_into_the_next(
    api: TestClient[web.Request, web.Application], lines: Lines
):
    """A kept connection answers many requests in one task."""
    for path in ("/sessions/s-1", "/refuse"):
        async with api.get(path):
            pass

    first, second = lines("request_done")
    assert first["session_id"] == "s-1"
    assert "session_id" not in second
    assert first["request_id"] != second["request_id"]


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/break", 500, "/break"),
        ("/refuse", 403, "/refuse"),
        ("/nowhere/else", 404, http.UNMATCHED),
        ("/stream", 200, "/stream"),
    ],
)
async def test_every_answer_is_named_told_and_counted(
    path: str,
    status: int,
    route: str,
    api: TestClient[web.Request, web.Application],
    lines: Lines,
):
    """Errors, refusals, unknown paths, and answers that begin before the handler returns."""
    async with api.get(path) as answer:
        await answer.read()
    async with api.get("/metrics") as page:
        text = await page.text()

    line = lines("request_done")[0]
    assert (line["status"], line["route"], answer.status) == (status, route, status)
    if status != 500:  # its answer is aiohttp's own; the API's errors are made further in
        assert answer.headers["X-Request-ID"] == line["request_id"]
    assert f'route="{route}",status="{status}"' in text
    assert CANARY not in json.dumps(lines("request_done"))


async def test_openmetrics_is_spoken_to_who_asks_for_it(
    api: TestClient[web.Request, web.Application],
):
    """Prometheus asks for it, and takes the other one too."""
    async with api.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as page:
        text = await page.text()

    assert page.content_type == "application/openmetrics-text"
    assert text.endswith("# EOF\n")
    assert "_created" not in text


# ------------------------------------------------------------------------- messages


@pytest.fixture
def broker(written: io.StringIO) -> Iterator[StubBroker]:  # noqa: F811
    """Run a worker with our middleware and an event loop of its own, as ours do."""
    broker = StubBroker(middleware=[messages.Messages(), AsyncIO()])

    async def look(session_id: str) -> None:
        await asyncio.sleep(0)
        log.info("step_done", step="room")
        if session_id == "bad":
            raise ValueError(f"password={CANARY}")

    dramatiq.actor(look, broker=broker)
    worker = Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    yield broker
    worker.stop()
    broker.close()


def _ring(broker: StubBroker, session_id: str) -> None:
    broker.get_actor("look").send(session_id)
    broker.join("default", fail_fast=False)


def test_a_message_is_one_line_with_the_ids_of_who_rang(broker: StubBroker, lines: Lines):
    """From the request through the queue to a step on the worker's event loop: one request id."""
    with logs.bound(request_id="r-1"):
        _ring(broker, "s-1")

    (step,) = lines("step_done")
    (done,) = lines("message_done")
    for line in (step, done):
        assert {"request_id": "r-1", "session_id": "s-1"}.items() <= line.items()
    assert {"actor": "look", "queue": "default", "outcome": "done"}.items() <= done.items()
    assert done["seconds"] >= 0
    assert done["waited_seconds"] >= 0


def test_a_message_that_fails_is_one_line_with_the_reason(broker: StubBroker, lines: Lines):
    """The traceback is in it, once; the secret in it is not."""
    _ring(broker, "bad")

    (done,) = lines("message_done")
    assert (done["level"], done["outcome"]) == ("error", "failed")
    assert "ValueError: password=[redacted]" in done["exception"]
    assert not [line for line in lines("library_said") if "exception" in line]


def test_ids_of_one_message_do_not_leak_into_the_next(broker: StubBroker, lines: Lines):
    """A worker's thread works for one session after the other."""
    with logs.bound(request_id="r-1"):
        _ring(broker, "s-1")
    _ring(broker, "s-2")

    last = lines("message_done")[-1]
    assert last["session_id"] == "s-2"
    assert "request_id" not in last


# ------------------------------------------------------------------------- processes

#: Counts, measures, says so, and waits to be told to end.
COUNTING = """
import sys
from observability import logs, metrics
logs.configure("info", role="worker")
number = int(sys.argv[1])
metrics.JOBS.labels("go_live", "done").inc(number)
metrics.JOB_SECONDS.labels("go_live").observe(number)
metrics.measured(metrics.SESSIONS, {"live": number})
with metrics.tick("sweep"):
    logs.log.info("counted", number=number, filler="x" * 3000)
sys.stdin.read(1)
"""


def _count(folder: Path, number: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTING, str(number)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["number"] == number
    return process


def _stop(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    if process.returncode is None:
        if kill:
            process.kill()
        process.communicate(b"x")


async def _seen(port: int) -> dict[str, float]:
    """Give what is exported there: name and labels, as in the text, to value."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/metrics") as page,
    ):
        assert page.status == 200
        text = await page.text()
    return {
        sample.name
        + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_processes_that_come_and_go_add_up(tmp_path: Path):
    """Sums count the dead, also the killed, and never fall; gauges are the living's."""
    first, second = _count(tmp_path, 1), _count(tmp_path, 2)
    try:
        with exposition.serving(0, "127.0.0.1", tmp_path) as port:
            both = await _seen(port)
            _stop(second, kill=True)
            one_dead = await _seen(port)
            again = await _seen(port)
            second = _count(tmp_path, 4)
            three = await _seen(port)
            _stop(first)
            _stop(second)
            all_dead = await _seen(port)
    finally:
        _stop(first, kill=True)
        _stop(second, kill=True)

    jobs, sessions = "greenroom_jobs_total go_live done", "greenroom_sessions live"
    assert [seen[jobs] for seen in (both, one_dead, again, three, all_dead)] == [3, 3, 3, 7, 7]
    assert [seen["greenroom_job_seconds_sum go_live"] for seen in (both, again, all_dead)] == [
        3,
        3,
        7,
    ]
    assert [seen["greenroom_job_seconds_count go_live"] for seen in (both, three)] == [2, 3]
    assert three["greenroom_job_seconds_bucket go_live 2.5"] == 2
    assert three["greenroom_job_seconds_bucket go_live +Inf"] == 3
    # The newest measurement counts, then the living's, then nobody's.
    assert [seen.get(sessions) for seen in (both, one_dead, three, all_dead)] == [2, 1, 4, None]
    assert not [name for name in both if name.startswith("greenroom_redis_up")]


async def test_a_process_killed_while_it_made_its_file_does_no_harm(tmp_path: Path):
    """An empty file of a dead process is cleared away."""
    process = _count(tmp_path, 1)
    (tmp_path / "counter_999999999.db").touch()
    (tmp_path / "gauge_livemax_999999999.db").touch()
    try:
        with exposition.serving(0, "127.0.0.1", tmp_path) as port:
            seen = await _seen(port)
    finally:
        _stop(process, kill=True)

    assert seen["greenroom_jobs_total go_live done"] == 1
    left = await asyncio.to_thread(lambda: list(tmp_path.glob("*_999999999.db")))
    assert left == []


def test_lines_of_several_processes_stay_whole(tmp_path: Path):
    """All workers write into the same pipe or file, as fast as they can."""
    writing = """
from observability import logs
logs.configure("info", role="worker")
for number in range(300):
    logs.log.info("told", filler="x" * 3000)
"""
    path = tmp_path / "log"
    with path.open("ab") as output:
        processes = [
            subprocess.Popen([sys.executable, "-c", writing], stdout=output) for _ in range(3)
        ]
        assert [process.wait(60) for process in processes] == [0, 0, 0]

    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 900


def test_a_process_whose_reader_dies_ends_well(tmp_path: Path):
    """`greenroom api | head -1` goes on serving, and its exit code is its own."""
    writing = """
import sys
from observability import logs
logs.configure("info")
logs.log.info("first")
sys.stdin.read(1)
for _ in range(100):
    logs.log.info("unheard", filler="x" * 3000)
sys.exit(7)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", writing],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.write(b"x")
    process.stdin.close()

    assert process.wait(60) == 7
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()

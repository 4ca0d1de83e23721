"""The whole of Greenroom as real processes for one row: Redis, LiveKit stand-in, API, worker."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from deploy import testcard
from deploy.ports import free_port
from tests.system import redis
from tests.system.processes import Process, running
from tests.system.waits import until

#: What a LiveKit on the same continent takes for a call.
LIVEKIT_SECONDS = 0.02
#: The stand-in's keys in every run.
KEYS = {"LIVEKIT_API_KEY": "benchkey", "LIVEKIT_API_SECRET": "bench-bench-bench-bench-bench-bench"}


@dataclass
class House:
    """Where everything is, and a host who may use it."""

    folder: Path
    environment: dict[str, str]
    http: aiohttp.ClientSession  #: with the host's token
    token: str
    api: str
    bare: str  #: the same server's empty answer: api.py says how
    seen: str
    livekit: str
    control: str
    processes: tuple[Process, Process]  #: API and worker

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask the API as the host; the `data` of its answer. Raises for any problem."""
        async with self.http.request(method, self.api + path, json=body) as answer:
            said = await answer.json()
            assert answer.status < 400, f"{method} {path}: {answer.status} {said}"
            data: dict[str, Any] = said["data"]
            return data

    async def announce(self) -> str:
        """Announce a show in a room of its own; its id."""
        room = (await self.ask("POST", "/rooms", {"title": "Bench"}))["room"]
        made = await self.ask(
            "POST", "/presets", {"name": "Bench", "type": "rtmp", "primary_color": "#1f6f54"}
        )
        created = await self.ask(
            "POST",
            f"/rooms/{room['id']}/sessions",
            {"title": "A show", "preset_id": made.get("preset", made)["id"]},
        )
        assert created["stream_key"], "the worker makes the RTMP ingress at once"
        return str(created["session"]["id"])

    async def end(self, session_id: str) -> None:
        """End a show, and wait until it is over: the next one shall not meet its work."""
        await self.ask("POST", f"/sessions/{session_id}/end")

        async def is_over() -> bool:
            return bool((await self.ask("GET", f"/sessions/{session_id}"))["status"] == "ended")

        await until(is_over, what="the show to end")

    async def slow_livekit(self) -> None:
        """Let every call to LiveKit take LIVEKIT_SECONDS from now on."""
        fault = {"kind": "slow", "delay_seconds": LIVEKIT_SECONDS, "when": "before"}
        await self._control("POST", "/faults", fault)

    async def livekit_calls(self) -> list[tuple[float, str]]:
        """Give every call LiveKit got: when (Unix seconds), and which."""
        state = await self._control("GET", "/state")
        return [(call["at"], call["method"]) for call in state["calls"]]

    async def forget_calls(self) -> None:
        await self._control("DELETE", "/calls")

    async def send_webhooks(self) -> None:
        """Let LiveKit tell the API what happens."""
        await self._control("POST", "/webhooks", {"urls": [f"{self.api}/livekit/webhook"]})

    async def _control(self, method: str, path: str, body: Any = None) -> Any:
        async with self.http.request(method, self.control + path, json=body) as answer:
            assert answer.ok, await answer.text()
            return await answer.json()


@asynccontextmanager
async def opened() -> AsyncIterator[House]:
    """Start everything, and leave nothing behind."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-bench-")))
        server = await enter(redis.running())
        environment = environment_of(folder, server.url)
        api_port = free_port()
        environment |= {
            "GREENROOM_API_PORT": str(api_port),
            "GREENROOM_PUBLIC_URL": f"http://127.0.0.1:{api_port}",
        }
        standin = await enter(_running("-m", "deploy.standin", ready='"ready"', folder=folder,
            environment={
                "STANDIN_PORT": "0", "STANDIN_RTMP_PORT": "0", "STANDIN_LOG_LEVEL": "error",
                "STANDIN_FFMPEG": testcard.encoder(),
                "STANDIN_API_KEY": KEYS["LIVEKIT_API_KEY"],
                "STANDIN_API_SECRET": KEYS["LIVEKIT_API_SECRET"],
            }))  # fmt: skip
        livekit = _line(standin, "ready")
        environment["LIVEKIT_URL"] = livekit["url"]
        await once(folder, environment, "migrate")
        token = await once(
            folder, environment, "token", "--role", "host", "--organization", "Bench"
        )
        api, worker = await asyncio.gather(
            enter(_running("-m", "tests.bench.api", ready='"bench_api_ready"', folder=folder,
                environment=environment)),
            enter(_running("-m", "deploy.cli", "worker", ready='"worker_ready"', folder=folder,
                environment=environment)),
        )  # fmt: skip
        addresses = _line(api, "bench_api_ready")
        http = await enter(
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=60),
            )
        )
        yield House(
            folder=folder,
            environment=environment,
            http=http,
            token=token,
            api=addresses["api"],
            bare=addresses["bare"],
            seen=addresses["seen"],
            livekit=livekit["url"],
            control=livekit["control_url"],
            processes=(api, worker),
        )


def environment_of(folder: Path, redis_url: str) -> dict[str, str]:
    """Say what every process of Greenroom is told here."""
    return {
        **KEYS,
        "GREENROOM_DATABASE_URL": f"sqlite:///{folder}/greenroom.db",
        "GREENROOM_REDIS_URL": redis_url,
        "GREENROOM_MEDIA_URL": f"file://{folder}/media",
        "GREENROOM_WORK_PATH": f"{folder}/work",
        "GREENROOM_METRICS_PORT": "0",
        # One host asks more in a second here than ever elsewhere.
        "GREENROOM_RATE_LIMIT_PER_SECOND": "1000000",
    }


async def once(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run a `greenroom` command to its end; what it printed on stdout."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *arguments,
        env={**os.environ, **environment}, cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=(folder / f"{arguments[0]}.log").open("wb"),
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, f"greenroom {arguments[0]} failed; see {folder}"
    return said.decode().strip()


_ROOT = Path(__file__).parents[2]


def _running(
    *arguments: str, ready: str, folder: Path, environment: dict[str, str]
) -> AbstractAsyncContextManager[Process]:
    name = arguments[1].rpartition(".")[2]
    return running(
        [sys.executable, *arguments],
        ready=ready,
        environment=environment,
        directory=_ROOT,
        log_path=folder / f"{name}.log",
        name=name,
    )


def _line(process: Process, mark: str) -> dict[str, Any]:
    """Find the line of JSON by which a process says where it is."""
    for line in process.log().splitlines():
        if f'"{mark}"' in line:
            said: dict[str, Any] = json.loads(line)
            return said
    raise AssertionError(f"{process.name} did not say {mark}")

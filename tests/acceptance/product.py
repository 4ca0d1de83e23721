"""A whole Greenroom for tests: stand-in, API and workers as real processes on free ports."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from deploy import testcard
from deploy.ports import free_port
from tests.acceptance.caller import Caller, browser
from tests.acceptance.show import Show
from tests.contract.control import Control
from tests.system import processes
from tests.system import redis as redis_servers
from tests.system.processes import Process
from tests.system.waits import until

GREENROOM = (sys.executable, "-m", "deploy.cli")
LIVEKIT_KEY = "acceptance-key"
LIVEKIT_SECRET = "acceptance-secret-acceptance-secret-acceptance"
JWT_SECRET = "a secret of the acceptance tests that opens nothing else"
#: Small: an encoder, an egress and all of Greenroom share two cores.
CARD = testcard.Card(width=320, height=180, video_kbits=200, audio_kbits=64)
#: `dropped`: every webhook of the stand-in is lost, and every test must hold all the same.
WEBHOOKS = "GREENROOM_TEST_WEBHOOKS"
#: Log lines of these levels say that something is wrong with Greenroom itself.
WRONG = ('"level":"error"', '"level":"critical"', '"level": "error"', "Traceback (most recent")


class Livekit(Control):
    """The stand-in's control address; webhooks that this run drops stay dropped."""

    async def clear(self) -> None:
        """Clear all faults but the run's own."""
        await super().clear()
        await self.drop_webhooks_if_asked()

    async def drop_webhooks_if_asked(self) -> None:
        match os.environ.get(WEBHOOKS, "sent"):
            case "sent":
                pass
            case "dropped":
                await self.arm("webhooks_dropped")
            case unknown:
                raise AssertionError(f"{WEBHOOKS} is sent or dropped, not {unknown}")

    async def made(self, room: str) -> dict[str, list[dict[str, Any]]]:
        """Give what there is of a show: rooms, ingresses, egresses that run."""
        state = await self.state()
        return {
            "rooms": [one for one in state["rooms"] if one["name"] == room],
            "ingresses": [one for one in state["ingresses"] if one["room_name"] == room],
            "egresses": [
                one
                for one in state["egresses"]
                if one["room_name"] == room
                and one["status"] in {"EGRESS_STARTING", "EGRESS_ACTIVE", "EGRESS_ENDING"}
            ],
        }

    async def egresses(self, room: str) -> list[dict[str, Any]]:
        """Give every egress a show ever had."""
        return [one for one in (await self.state())["egresses"] if one["room_name"] == room]

    async def forgets(self, room: str) -> None:
        """Wait until nothing of a show is left."""

        async def nothing() -> bool:
            return not any((await self.made(room)).values())

        await until(nothing, what=f"{room} to be gone at LiveKit")


@dataclass
class Product:
    """What runs, and how to reach it."""

    folder: Path
    environment: dict[str, str]  #: what every process of Greenroom is told
    livekit: Livekit
    http: aiohttp.ClientSession
    url: str  #: of the API
    standin: Process
    api: Process | None = None
    workers: list[Process] = field(default_factory=list)
    metrics_ports: list[int] = field(default_factory=list)  #: of the workers, in order
    #: Everything of Greenroom that ever ran here, for what it wrote.
    ran: list[Process] = field(default_factory=list)
    encoders: list[Process] = field(default_factory=list)
    hosts: dict[str, Caller] = field(default_factory=dict)  #: by organization

    # ------------------------------------------------------------------------- processes

    def command(self, name: str, *arguments: str, **settings: str) -> Process:
        """Start a command of `greenroom`."""
        process = processes.start(
            [*GREENROOM, *arguments],
            name=name,
            environment={**self.environment, **settings},
            log_path=self.folder / f"{name}-{len(self.ran)}.log",
        )
        self.ran.append(process)
        return process

    async def begin(self, *, workers: int = 1, processes_each: int = 1) -> None:
        """Migrate the database, and start an API and so many workers."""
        migrating = self.command("migrate", "migrate")
        assert await migrating.ended() == 0, migrating.log()
        await asyncio.gather(
            self.start_api(),
            *(self.start_worker(processes_each=processes_each) for _ in range(workers)),
        )

    async def start_api(self, **settings: str) -> Process:
        """Start the API, and wait until it listens."""
        self.api = self.command("api", "api", **settings)
        await self.api.says('"api_ready"')
        return self.api

    async def start_worker(
        self, *, processes_each: int = 1, metrics_port: int | None = None, **settings: str
    ) -> Process:
        """Start a worker, and wait until all its processes work."""
        port = metrics_port or free_port()
        worker = self.command(
            "worker",
            "worker",
            GREENROOM_METRICS_PORT=str(port),
            GREENROOM_WORKER_PROCESSES=str(processes_each),
            **settings,
        )
        self.workers.append(worker)
        self.metrics_ports.append(port)
        await worker.ready(lambda: worker.log().count('"worker_ready"') >= processes_each)
        return worker

    @asynccontextmanager
    async def another_api(self, **settings: str) -> AsyncIterator["Product"]:
        """Run one more API on the same ledger for the length of a block, told something else."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        other = replace(
            self,
            environment={**self.environment, "GREENROOM_API_PORT": str(port), **settings},
            url=url,
            hosts={name: replace(host, url=url) for name, host in self.hosts.items()},
        )
        api = await other.start_api()
        try:
            yield other
        finally:
            await asyncio.to_thread(api.stop)

    async def encoder(self, show: Show, card: testcard.Card = CARD) -> Process:
        """Send the test card to a show by RTMP, from now on."""
        address = f"{show.live['rtmp']['url'].rstrip('/')}/{show.live['rtmp']['stream_key']}"
        encoder = processes.start(testcard.push_command(address, card), name="encoder")
        self.encoders.append(encoder)
        return encoder

    # ------------------------------------------------------------------------- people

    async def token(self, role: str = "host", *more: str, organization: str = "Acme") -> str:
        """Have `greenroom token` make a token or an API key, and whom it belongs to."""
        minting = await asyncio.create_subprocess_exec(
            *(*GREENROOM, "token", "--role", role, "--organization", organization, *more),
            env={**os.environ, **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaints = await minting.communicate()
        assert minting.returncode == 0, complaints.decode()
        return said.decode().strip()

    async def host(self, organization: str = "Acme") -> Caller:
        """Give an organization's host, who is made the first time."""
        if organization not in self.hosts:
            token = await self.token("host", organization=organization)
            self.hosts[organization] = Caller(self.http, self.url, token)
        return self.hosts[organization]

    @property
    def stranger(self) -> Caller:
        """Ask as nobody."""
        return Caller(self.http, self.url)

    # ------------------------------------------------------------------------- what was said

    def lines(self) -> list[dict[str, Any]]:
        """Read every line of JSON that Greenroom's processes wrote."""
        found = []
        for process in self.ran:
            for line in process.log().splitlines():
                try:
                    told = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(told, dict):
                    found.append(told)
        return found

    def complaints(self) -> list[str]:
        """Give what Greenroom's processes say is wrong with Greenroom itself."""
        return [
            f"{process.name}: {line[:2000]}"
            for process in self.ran
            for line in process.log().splitlines()
            if any(mark in line for mark in WRONG)
        ]

    async def stop_encoders(self) -> None:
        """End every encoder as its operator would."""
        await _stop(self.encoders)
        self.encoders.clear()

    async def stop(self) -> None:
        """End everything in order, side by side where it can be."""
        for group in (self.encoders, self.ran, [self.standin]):
            await _stop(group)


async def _stop(group: list[Process]) -> None:
    for process in group:
        if process.exit_code is None:
            process.resume()
            process.terminate()
    await asyncio.gather(*(asyncio.to_thread(process.stop) for process in group))


def environment_of(folder: Path, port: int, *, database_url: str, redis_url: str) -> dict[str, str]:
    """Say what every process of a Greenroom is told, whichever LiveKit it has."""
    return {
        "GREENROOM_DATABASE_URL": database_url,
        "GREENROOM_REDIS_URL": redis_url,
        "GREENROOM_MEDIA_URL": f"file://{folder / 'media'}",
        "GREENROOM_WORK_PATH": str(folder / "work"),
        "GREENROOM_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "GREENROOM_API_PORT": str(port),
        "GREENROOM_METRICS_PORT": "0",
        "GREENROOM_JWT_SECRET": JWT_SECRET,
    }


@asynccontextmanager
async def product(
    folder: Path,
    *,
    database_url: str,
    redis_url: str | None = None,
    workers: int = 1,
    processes_each: int = 1,
    may_complain: bool = False,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Product]:
    """Run a whole Greenroom for the length of a block; nothing of it is left behind.

    It has a Redis of its own unless one is named: two Greenrooms on one would answer each other's
    rings. `folder` is there, and takes logs and media. `more` is environment: settings that differ
    from the defaults. At the end no process may have written a line that says that Greenroom itself
    is wrong, unless it `may_complain`.
    """
    async with AsyncExitStack() as stack:
        if redis_url is None:
            redis_url = (await stack.enter_async_context(redis_servers.running())).url
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {
            **environment_of(folder, port, database_url=database_url, redis_url=redis_url),
            "LIVEKIT_API_KEY": LIVEKIT_KEY,
            "LIVEKIT_API_SECRET": LIVEKIT_SECRET,
            **(more or {}),
        }
        standin = processes.start(
            [
                *(sys.executable, "-m", "deploy.standin", "--log-level", "warning"),
                *("--port", "0", "--rtmp-port", "0", "--control-port", "0"),
                *("--webhook-url", f"{url}/livekit/webhook"),
            ],
            name="standin",
            environment={
                "STANDIN_API_KEY": environment["LIVEKIT_API_KEY"],
                "STANDIN_API_SECRET": environment["LIVEKIT_API_SECRET"],
            },
        )
        stack.push_async_callback(asyncio.to_thread, standin.stop)
        http = await stack.enter_async_context(browser())
        await standin.says('"ready": true')
        ready = json.loads(
            next(line for line in standin.log().splitlines() if '"ready": true' in line)
        )
        environment["LIVEKIT_URL"] = ready["url"]
        livekit = await stack.enter_async_context(Livekit(ready["control_url"]))
        await livekit.drop_webhooks_if_asked()
        whole = Product(folder, environment, livekit, http, url, standin)
        stack.push_async_callback(whole.stop)
        await whole.begin(workers=workers, processes_each=processes_each)
        yield whole
        if not may_complain:
            assert whole.complaints() == []

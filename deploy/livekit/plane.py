"""Run the real media plane: start each program, wait until it is ready, keep it up, end it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp

from deploy.demo_children import Child, ChildDied, Children, children
from deploy.livekit import files
from deploy.ports import free_port, is_listening

#: A laden machine takes long to start a program of 75 MB.
START_SECONDS: Final = 60.0
#: How long each may take to end what it does: an egress closes its recording.
END_SECONDS: Final = 12.0
#: A program that died is started again after this, as a supervisor would.
AGAIN_SECONDS: Final = 2.0
#: More deaths than this within so many seconds are no accident.
MOST_DEATHS: Final = 6
DEATHS_SECONDS: Final = 60.0
#: Between two looks whether everybody is there.
LOOK_SECONDS: Final = 0.2

# fmt: off
#: Names of ports in the files, and whether they are UDP.
PORTS: Final = {
    "LIVEKIT_PORT": False,               "LIVEKIT_METRICS_PORT": False,
    "LIVEKIT_RTC_TCP_PORT": False,       "LIVEKIT_RTC_UDP_PORT": True,
    "LIVEKIT_RTMP_PORT": False,          "LIVEKIT_WHIP_PORT": False,
    "LIVEKIT_WHIP_UDP_PORT": True,       "LIVEKIT_RELAY_PORT": False,
    "LIVEKIT_INGRESS_HEALTH_PORT": False, "LIVEKIT_INGRESS_METRICS_PORT": False,
    "LIVEKIT_EGRESS_HEALTH_PORT": False, "LIVEKIT_EGRESS_METRICS_PORT": False,
}
# fmt: on


@dataclass(frozen=True)
class Plane:
    """A media plane that runs."""

    values: Mapping[str, str]  #: what is filled into the files
    folder: Path
    children: Children

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.values['LIVEKIT_PORT']}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def pids(self) -> dict[str, int]:
        return {child.name: child.process.pid for child in self.children.all}

    def told(self) -> dict[str, object]:
        """Sum it up for whoever uses it."""
        values, at = self.values, "http://127.0.0.1"
        return {
            "ready": True,
            "url": self.url,
            "api_key": values["LIVEKIT_API_KEY"],
            "api_secret": values["LIVEKIT_API_SECRET"],
            "rtmp_url": values["LIVEKIT_RTMP_URL"],
            "whip_url": values["LIVEKIT_WHIP_URL"],
            "webhook_url": values["LIVEKIT_WEBHOOK_URL"],
            "redis": values["LIVEKIT_REDIS"],
            "ingress_health": f"{at}:{values['LIVEKIT_INGRESS_HEALTH_PORT']}/availability",
            "egress_health": f"{at}:{values['LIVEKIT_EGRESS_HEALTH_PORT']}",
            "egress_metrics": f"{at}:{values['LIVEKIT_EGRESS_METRICS_PORT']}/metrics",
            "out": str(self.out),
            "logs": str(self.logs),
            "pids": self.pids(),
        }


def settle(given: Mapping[str, str], *, any_ports: bool) -> dict[str, str]:
    """Decide every value: given ones first, then the usual ports, or others if those are taken."""
    values = {**files.names(), **given}
    for name, is_udp in PORTS.items():
        if name not in given:
            wanted = 0 if any_ports else int(values[name])
            values[name] = str(free_port(wanted, is_udp=is_udp))
    values["LIVEKIT_REDIS"] = f"127.0.0.1:{free_port()}"
    at = {
        "LIVEKIT_WS_URL": f"ws://127.0.0.1:{values['LIVEKIT_PORT']}",
        "LIVEKIT_RTMP_URL": f"rtmp://127.0.0.1:{values['LIVEKIT_RTMP_PORT']}/live",
        "LIVEKIT_WHIP_URL": f"http://127.0.0.1:{values['LIVEKIT_WHIP_PORT']}/w",
    }
    return {**values, **{name: url for name, url in at.items() if name not in given}}


@asynccontextmanager
async def running(binaries: Path, folder: Path, values: Mapping[str, str]) -> AsyncIterator[Plane]:
    """Keep a plane for the length of a block. Raises ChildDied when it does not get ready.

    Both folders are absolute: the programs run elsewhere.
    """
    for name in ("logs", "out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files.write_files(folder / "config", values)
    async with children(folder / "logs") as ours:
        ours.environment["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"
        plane = Plane(values, folder, ours)
        try:
            for name in STARTS:
                await start(plane, name)
            yield plane
        finally:
            await end(plane)


async def start(plane: Plane, name: str) -> None:
    """Start one program and wait until it answers. Raises ChildDied."""
    child = plane.children.start(name, _command(plane, name))

    async def answers() -> bool:
        if child.exit_code is not None:
            raise ChildDied(child, f"ended with exit code {child.exit_code} before it was ready")
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            return await _is_ready(plane, name)
        return False

    deadline = monotonic() + START_SECONDS
    while not await answers():
        if monotonic() > deadline:
            raise ChildDied(child, f"was not ready after {START_SECONDS:g} s")
        await asyncio.sleep(0.05)


async def keep_up(plane: Plane, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Start again what dies, until it is told to stop. Raises ChildDied when that does not help."""
    deaths: list[float] = []
    while not stop.is_set():
        if (dead := plane.children.dead()) is not None:
            say(f"{dead.name} ended with {dead.exit_code}; starting it again")
            now = monotonic()
            deaths = [at for at in deaths if now - at < DEATHS_SECONDS] + [now]
            if len(deaths) > MOST_DEATHS:
                raise ChildDied(dead, "dies again and again")
            # What its children of before do is a part of the accident: they are left alone.
            plane.children.all.remove(dead)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
                return
            await start(plane, dead.name)
            say(f"{dead.name} is ready again")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)


async def end(plane: Plane) -> None:
    """End them in the order in which they need each other; leave nothing."""
    for name in reversed(STARTS):
        for child in [child for child in plane.children.all if child.name == name]:
            await _end_one(plane, child)


async def _end_one(plane: Plane, child: Child) -> None:
    """Ask it to end now; livekit-server takes the first signal for "when all have left"."""
    child.remember_family()
    for _ in range(2 if child.name == "livekit-server" else 1):
        with suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.1)
    deadline = monotonic() + END_SECONDS
    while child.exit_code is None and monotonic() < deadline:
        child.remember_family()
        await asyncio.sleep(0.05)
    await plane.children.end(child, seconds=1.0)


#: Each needs the ones before it.
STARTS: Final = ("redis", "livekit-server", "ingress", "egress")


def _command(plane: Plane, name: str) -> list[str]:
    config = plane.folder / "config"
    if name == "redis":
        port = plane.values["LIVEKIT_REDIS"].rpartition(":")[2]
        return [
            *("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""),
            *("--appendonly", "no", "--dir", str(plane.folder)),
        ]
    file = {"livekit-server": "livekit.yaml"}.get(name, f"{name}.yaml")
    option = {"egress": "-config"}.get(name, "--config")
    return [name, option, str(config / file)]


async def _is_ready(plane: Plane, name: str) -> bool:
    values = plane.values
    if name == "redis":
        return await _answers_ping(int(values["LIVEKIT_REDIS"].rpartition(":")[2]))
    if name == "livekit-server":
        return await _answers(plane.url)
    health = values[f"LIVEKIT_{name.upper()}_HEALTH_PORT"]
    ports = ("LIVEKIT_RTMP_PORT", "LIVEKIT_WHIP_PORT") if name == "ingress" else ()
    return await _answers(f"http://127.0.0.1:{health}/") and all(
        is_listening(int(values[port])) for port in ports
    )


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
        return answer.status == 200  # noqa: PLR2004


async def _answers_ping(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 2) == b"+PONG\r\n"
    finally:
        writer.close()

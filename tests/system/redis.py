"""A real Redis server that tests may kill, pause and start again."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.ports import free_port
from tests.system.processes import Process, start


@dataclass
class RedisServer:
    """One server on a loopback port that stays the same over restarts."""

    directory: Path  #: where it keeps its data
    durable: bool = False  #: an append-only file, so that data survives `kill` and `start`
    port: int = field(default_factory=free_port)
    process: Process | None = None  #: None until started

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.process = start(
            [
                shutil.which("redis-server") or "redis-server",
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", self.directory, "--save", ""),
                *("--appendonly", "yes" if self.durable else "no"),
            ],
            log_path=self.directory / "redis.log",
        )
        self.process.ready_sync(self.answers)

    def answers(self) -> bool:
        """Say whether it answers PING within a second."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64) == b"+PONG\r\n"
        except OSError:
            return False

    def flush(self) -> None:
        """Forget everything, as if just started."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10.0) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"

    def kill(self) -> None:
        """End it with SIGKILL: connections break, data that is not durable is gone."""
        self._started().kill()

    def pause(self) -> None:
        """Keep it alive and connected, but silent."""
        self._started().pause()

    def resume(self) -> None:
        """Let it answer again after `pause`."""
        self._started().resume()

    async def restart(self) -> None:
        """Kill it and start it again on the same port, while the event loop goes on."""
        await asyncio.to_thread(self.kill)
        await asyncio.to_thread(self.start)

    def stop(self) -> None:
        """End it; harmless when it does not run."""
        if self.process is not None:
            self.process.stop()

    def _started(self) -> Process:
        assert self.process is not None, "start it first"
        return self.process


@asynccontextmanager
async def running(*, durable: bool = False) -> AsyncIterator[RedisServer]:
    """Run a server of the test's own, to be killed or paused at will."""
    with tempfile.TemporaryDirectory(prefix="greenroom-redis-") as directory:
        server = RedisServer(Path(directory), durable=durable)
        try:
            await asyncio.to_thread(server.start)
            yield server
        finally:
            await asyncio.to_thread(server.stop)

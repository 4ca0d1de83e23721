"""The demo's processes: each in a session of its own, with a log, and none left behind."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

#: How long a process may take to end in order; a worker drains for at most 25 s.
ORDERLY_SECONDS: Final = 28.0
#: Between two looks at a process that starts or ends.
LOOK_SECONDS: Final = 0.05
#: So much of a log is told when its process dies.
LAST_LINES: Final = 12


class ChildDied(Exception):
    """A process that the show needs has ended, or was not ready in time."""

    def __init__(self, child: "Child", why: str) -> None:
        super().__init__(f"{child.name} {why}")
        self.child = child


@dataclass
class Child:
    """One process, and what it wrote."""

    name: str
    process: subprocess.Popen[bytes]
    stdout: Path
    log: Path
    #: Whoever it started, as seen the last time: they are harder to find when it is gone.
    family: set[psutil.Process] = field(default_factory=set)

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    async def until(self, look: Callable[[], object], *, seconds: float, what: str) -> None:
        """Wait until `look` is true. Raises ChildDied."""
        deadline = monotonic() + seconds
        while not look():
            if self.exit_code is not None:
                raise ChildDied(self, f"ended with exit code {self.exit_code} before {what}")
            if monotonic() > deadline:
                raise ChildDied(self, f"was not {what} after {seconds:g} s")
            await asyncio.sleep(LOOK_SECONDS)

    def last_lines(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [line[:300] for line in lines[-LAST_LINES:]]

    def remember_family(self) -> None:
        with suppress(psutil.NoSuchProcess):
            itself = psutil.Process(self.process.pid)
            self.family |= {itself, *itself.children(recursive=True)}


class Children:
    """All of them; they end in the reverse of the order in which they began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}  #: what all of them are told
        self.all: list[Child] = []

    def start(
        self, name: str, command: Sequence[str | Path], *, more: Mapping[str, str] | None = None
    ) -> Child:
        """Start a process. Ctrl-C in the terminal does not reach it."""
        stdout, log = self.folder / f"{name}.out", self.folder / f"{name}.log"
        with stdout.open("ab") as out, log.open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603  # our own programs
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                # Our own environment, and what this show is made of.
                env={**os.environ, **self.environment, **(more or {})},  # noqa: TID251  # passed on
                start_new_session=True,
            )
        child = Child(name, process, stdout, log)
        self.all.append(child)
        return child

    def dead(self) -> Child | None:
        """Name one that has ended and should not have."""
        return next((child for child in self.all if child.exit_code is not None), None)

    async def end(self, child: Child, *, seconds: float = ORDERLY_SECONDS) -> None:
        """End one and everything it started; kill what does not go in time."""
        child.remember_family()
        with suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGTERM)
        deadline = monotonic() + seconds
        while child.exit_code is None and monotonic() < deadline:
            child.remember_family()
            await asyncio.sleep(LOOK_SECONDS)
        left = [one for one in child.family if one.is_running()]
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        child.process.wait()
        await asyncio.to_thread(psutil.wait_procs, left, 5)
        if child in self.all:
            self.all.remove(child)

    async def end_all(self, *, seconds: float = ORDERLY_SECONDS) -> None:
        """End everybody, the last one first."""
        for child in reversed(tuple(self.all)):
            await self.end(child, seconds=seconds)


@asynccontextmanager
async def children(folder: Path) -> AsyncIterator[Children]:
    """Keep processes for the length of a block, and leave none behind; logs go to `folder`."""
    ours = Children(folder)
    try:
        yield ours
    except asyncio.CancelledError:
        # Somebody pressed Ctrl-C twice.
        await ours.end_all(seconds=1.0)
        raise
    finally:
        await ours.end_all()

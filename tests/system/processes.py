"""Start a real process in a session of its own, read its log, kill it, and leave nothing behind."""

import asyncio
import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from inspect import isawaitable
from pathlib import Path
from typing import Any

import psutil

from tests.system.waits import PATIENCE, until, until_sync

#: Put into the environment of everything started here. Children inherit it, also those that start
#: a session of their own, so whoever is left behind is found.
MARK = "GREENROOM_TEST_PROCESS"
#: Seconds that a process gets to end in order before it is killed.
ORDERLY = 20.0

Look = Callable[[], Any | Awaitable[Any]]


@dataclass
class Process:
    """A process that was started by `start`, and all its descendants."""

    name: str  #: for messages
    popen: subprocess.Popen[bytes]
    log_path: Path  #: what it wrote to stdout and stderr, together
    mark: str = field(repr=False)  #: what MARK has in its environment
    seen: set[psutil.Process] = field(default_factory=set, repr=False)  #: see `remember`

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.popen.poll()

    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """End it and all its descendants at once with SIGKILL, as a power cut would."""

        def gone() -> bool:
            self.popen.poll()  # a child that nobody asks for stays a zombie
            family = self.family()  # again and again: one may fork while the others die
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            return not family

        until_sync(gone, what=f"{self.name} to die", within=ORDERLY, every=0.01)
        self.popen.wait(ORDERLY)

    def pause(self) -> None:
        """Stop it and all its descendants with SIGSTOP: alive, connected, and silent."""
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                one.suspend()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def interrupt(self) -> None:
        """Send SIGINT to it alone: what Ctrl-C does."""
        self.popen.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Send SIGTERM to it alone: what a supervisor does."""
        self.popen.send_signal(signal.SIGTERM)

    async def ended(self, *, within: float = PATIENCE) -> int:
        """Wait until it has ended by itself; return its exit code."""
        await until(lambda: self.exit_code is not None, what=f"{self.name} to end", within=within)
        return self.popen.wait()

    async def says(self, text: str, *, within: float = PATIENCE) -> None:
        """Wait until `text` is in its log; raises AssertionError if it ends first."""
        await self.ready(lambda: text in self.log(), what=f"saying {text!r}", within=within)

    async def ready(
        self, look: Look, *, what: str = "being ready", within: float = PATIENCE
    ) -> None:
        """Wait until `look` is true; raises AssertionError, with the log, if it ends first."""

        async def true_or_ended() -> str | None:
            ended = self.exit_code is not None  # asked first: it may be true by its last word
            self.remember()
            if await _is_true(look):
                return "true"
            return "ended" if ended else None

        try:
            outcome = await until(true_or_ended, what=f"{self.name} {what}", within=within)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.last_lines()}") from None
        assert outcome == "true", (
            f"{self.name} ended with {self.exit_code} before {what}\n{self.last_lines()}"
        )

    def ready_sync(self, look: Callable[[], object], *, within: float = PATIENCE) -> None:
        """Do the same where no event loop runs."""
        until_sync(
            lambda: self.exit_code is not None or look(),
            what=f"{self.name} being ready",
            within=within,
        )
        assert self.exit_code is None, (
            f"{self.name} ended with {self.exit_code} before being ready\n{self.last_lines()}"
        )

    def last_lines(self, count: int = 40) -> str:
        """Return the end of its log, for messages."""
        return "\n".join(self.log().splitlines()[-count:])

    def family(self) -> list[psutil.Process]:
        """Return what runs now of it and its descendants, wherever they moved themselves."""
        self.remember()
        found = {one.pid: one for one in [*self.seen, *marked(self.mark), *_in_session(self.pid)]}
        return [one for one in found.values() if _runs(one)]

    def remember(self) -> None:
        """Note its descendants of now: one whose parents are gone is hard to find later.

        Redis and PostgreSQL write their titles over their environment, so that MARK is lost.
        """
        with suppress(psutil.NoSuchProcess):
            itself = psutil.Process(self.pid)
            self.seen |= {itself, *itself.children(recursive=True)}

    def stop(self) -> None:
        """End it in order, and by force what is still there after ORDERLY seconds."""
        if self.exit_code is None:
            self.resume()
            self.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(ORDERLY)
        self.kill()

    def assert_nothing_left(self) -> None:
        """Raise AssertionError naming each descendant that still runs."""
        left = [f"{one.pid} {' '.join(_command(one))}" for one in self.family()]
        assert left == [], f"{self.name} left processes behind: {left}"


def start(
    arguments: Sequence[str | Path],
    *,
    name: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    log_path: Path | None = None,
    user: str | None = None,
) -> Process:
    """Start a process in a session of its own, with this environment added to ours.

    Its log goes to `log_path`, or to a file that goes when the tests are over. `user` is
    the one to run as, which needs root.
    """
    mark = uuid.uuid4().hex
    command = [str(argument) for argument in arguments]
    name = name or Path(command[0]).name
    if log_path is None:
        log_path = _logs() / f"{name}-{mark}.log"
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **(environment or {}), MARK: mark},
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    return Process(name=name, popen=popen, log_path=log_path, mark=mark)


@asynccontextmanager
async def running(
    arguments: Sequence[str | Path],
    *,
    ready: str | Look | None = None,
    within: float = PATIENCE,
    name: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    log_path: Path | None = None,
) -> AsyncIterator[Process]:
    """Run a process for the length of a block; wait first until it is `ready`.

    `ready` is a text to see in its log, or a question that turns true (see `waits.until`).
    Leaving the block ends whatever the test left running of it.
    """
    process = start(
        arguments, name=name, environment=environment, directory=directory, log_path=log_path
    )
    try:
        if isinstance(ready, str):
            await process.says(ready, within=within)
        elif ready is not None:
            await process.ready(ready, within=within)
        yield process
    finally:
        await asyncio.to_thread(process.stop)


def marked(mark: str) -> list[psutil.Process]:
    """Return every process with this MARK in its environment."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if one.environ().get(MARK) == mark:
                found.append(one)
    return found


def _in_session(session: int) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(one.pid) == session:
                found.append(one)
    return found


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@cache
def _logs() -> Path:
    """Make a directory for logs that nobody named a place for; it goes when the tests are over."""
    directory = Path(tempfile.mkdtemp(prefix="greenroom-logs-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


async def _is_true(look: Look) -> bool:
    with suppress(Exception):
        answer = look()
        return bool(await answer if isawaitable(answer) else answer)
    return False


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return ["(gone)"]

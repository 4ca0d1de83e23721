"""`greenroom worker`: so many worker processes, kept alive, and their metrics on one port."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

import structlog

from observability import exposition
from orchestration.settings import Settings

log = structlog.get_logger(__name__)

#: What hangs so long after the word to end is left behind: whoever runs us kills after 30 s.
END_SECONDS: Final = 25
#: Tells a worker process to end when its stdin closes.
FOLLOW_STDIN: Final = "--follow-stdin"
#: How often it is seen whether a child has died.
LOOK_SECONDS: Final = 0.2
#: The first pause before a dead child is started again; it doubles while they die young.
PAUSE_SECONDS: Final = 0.5
#: The longest such pause.
PAUSE_SECONDS_MAX: Final = 30.0
#: A child that lived so long did not die of its start.
GROWN_UP_SECONDS: Final = 60.0
#: Read by prometheus_client when it is imported: set for the children, before they begin.
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass
class Child:
    """A place for one worker process, and who fills it."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = PAUSE_SECONDS
    start_at: float = 0.0  #: not before this


def run(settings: Settings) -> int:
    """Keep the processes alive until SIGTERM or SIGINT, then end them in order."""
    stop = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    with ExitStack() as opened:
        folder = opened.enter_context(_metrics_folder())
        if settings.metrics_port:
            try:
                opened.enter_context(
                    exposition.serving(settings.metrics_port, settings.metrics_host, folder)
                )
            except OSError as error:
                log.critical(
                    "metrics_cannot_listen",
                    port=settings.metrics_port,
                    error=str(error),
                    todo="set GREENROOM_METRICS_PORT to a free one, or to 0 for none",
                )
                return 1
        children = [Child(number) for number in range(settings.worker_processes)]
        try:
            while not stop.wait(LOOK_SECONDS):
                for child in children:
                    _keep_alive(child, folder)
        finally:
            ended_well = _end(children)
    return 0 if ended_well else 1


def _keep_alive(child: Child, folder: Path) -> None:
    moment = monotonic()
    if child.process is not None:
        code = child.process.poll()
        if code is None:
            return
        lived = moment - child.started_at
        child.process, child.start_at = None, moment + child.pause
        log.error("worker_died", number=child.number, code=code, lived_seconds=round(lived, 1))
        grown_up = lived > GROWN_UP_SECONDS
        child.pause = PAUSE_SECONDS if grown_up else min(child.pause * 2, PAUSE_SECONDS_MAX)
    if moment >= child.start_at:
        child.process = _start(folder)
        child.started_at = moment


def _start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "workers.process", FOLLOW_STDIN],
        # It ends when this pipe closes, however its supervisor dies.
        stdin=subprocess.PIPE,
        env={**os.environ, METRICS_FOLDER: str(folder)},  # noqa: TID251  # passed on, not read
        # Ctrl-C in a terminal reaches the supervisor, which ends its children in order.
        start_new_session=True,
    )


def _end(children: list[Child]) -> bool:
    """Ask every child to end, and kill what does not; True when all ended by themselves."""
    alive = [child.process for child in children if child.process is not None]
    for process in alive:
        process.terminate()
    deadline = monotonic() + END_SECONDS + 2
    ended_well = True
    for process in alive:
        try:
            ended_well &= process.wait(max(0.1, deadline - monotonic())) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            ended_well = False
    return ended_well


@contextmanager
def _metrics_folder() -> Iterator[Path]:
    """Give a fresh folder in which the children count; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="greenroom-metrics-", ignore_cleanup_errors=True) as it:
        yield Path(it)

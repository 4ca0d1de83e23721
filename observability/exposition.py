"""Show the metrics of this process, or of all worker processes together, to Prometheus.

With PROMETHEUS_MULTIPROC_DIR set before Greenroom is imported, every process keeps its numbers in
files there, and whoever is asked adds them up. Processes come and go: what a dead one counted stays
counted, so that no sum ever falls; what it measured is forgotten.
"""

# prometheus_client's multi-process parts have no types.
# mypy: disable-error-code="no-untyped-call"

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Metric,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from typing_extensions import override

#: What the dead counted is kept in the files of a process that never is.
NOBODY = 0
#: Kinds of file that are added up; the others are gauges, and die with their process.
ADDED_UP = ("counter", "histogram")


def render(registry: CollectorRegistry = REGISTRY, accept: str = "") -> tuple[str, bytes]:
    """Give content type and text of everything in `registry`, as `accept` wants it."""
    # When a series began is of no use to us and would double the number of series.
    disable_created_metrics()
    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(registry)


def endpoint(registry: CollectorRegistry = REGISTRY) -> Handler:
    """Make the aiohttp answer to `GET /metrics`; the text is made beside the event loop."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        content_type, text = await asyncio.to_thread(render, registry, accept)
        # The header and not the argument: the type carries a version and a charset of its own.
        return web.Response(body=text, headers={"Content-Type": content_type})

    return metrics


def serve(port: int, host: str, folder: Path) -> int:
    """Answer for all processes that count in `folder`, until this process is told to stop."""
    with serving(port, host, folder):
        threading.Event().wait()
    return 0


@contextmanager
def serving(port: int, host: str, folder: Path) -> Iterator[int]:
    """Answer for all processes that count in `folder` beside other work; give the port (0: any)."""
    disable_created_metrics()
    server, thread = start_http_server(port, addr=host, registry=together(folder))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def together(folder: Path) -> CollectorRegistry:
    """Make a registry that adds up what every process, dead or alive, counted in `folder`."""
    registry = CollectorRegistry()
    registry.register(_Together(folder))
    return registry


class _Together(Collector):
    """Adds up the processes' files, after the dead ones' were put into one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Between the writing of the sum and the removal of its parts nobody may read.
        self._lock = threading.Lock()

    @override
    def collect(self) -> Iterable[Metric]:
        with self._lock:
            bury(self._folder)
            metrics: Iterable[Metric] = MultiProcessCollector(None, str(self._folder)).collect()
            return list(metrics)


def bury(folder: Path) -> None:
    """Forget what dead processes measured, and add what they counted to the files of NOBODY."""
    owners = {path: _owner(path) for path in folder.glob("*.db")}
    dead = {pid for pid in set(owners.values()) if pid != NOBODY and not _lives(pid)}
    for pid in dead:
        with suppress(FileNotFoundError):
            mark_process_dead(pid, str(folder))
    for kind in ADDED_UP:
        parts = [path for path, pid in owners.items() if pid in dead and _kind(path) == kind]
        if parts:
            _add_up(folder / f"{kind}_{NOBODY}.db", parts)


def _add_up(whole: Path, parts: list[Path]) -> None:
    sums: defaultdict[str, float] = defaultdict(float)
    for path in (whole, *parts):
        # A file is empty when its process was killed while making it.
        if path.exists() and path.stat().st_size:
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
                sums[key] += value
    fresh = whole.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    values = MmapedDict(str(fresh))
    for key, value in sums.items():
        values.write_value(key, value, 0.0)
    values.close()
    fresh.replace(whole)
    for path in parts:
        path.unlink(missing_ok=True)


def _owner(path: Path) -> int:
    """Read the process id out of `counter_<pid>.db` or `gauge_<mode>_<pid>.db`."""
    pid = path.stem.rpartition("_")[2]
    return int(pid) if pid.isdecimal() else NOBODY


def _kind(path: Path) -> str:
    return path.stem.partition("_")[0]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

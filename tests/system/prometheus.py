"""A real Prometheus that scrapes what it is given, evaluates rules, and answers queries."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from deploy.ports import free_port
from tests.system.processes import Process, start


@dataclass(frozen=True)
class Sample:
    """One series of an answer, at one time."""

    labels: dict[str, str]
    value: float


@dataclass
class PrometheusServer:
    """One server on a loopback port, with its data in a temporary directory."""

    directory: Path
    config: Mapping[str, Any]  #: prometheus.yml as a mapping
    port: int = field(default_factory=free_port)
    process: Process | None = None  #: None until started

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Write the configuration and start; `running` waits until it answers."""
        config = self.directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(dict(self.config)))
        self.process = start(
            [
                shutil.which("prometheus") or "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log_path=self.directory / "prometheus.log",
        )

    async def query(self, expression: str) -> list[Sample]:
        """Evaluate an expression now. Raises AssertionError with Prometheus' words on a bad one."""
        answer = await self._ask("/api/v1/query", query=expression)
        if answer["resultType"] == "scalar":
            return [Sample({}, float(answer["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in answer["result"]]

    async def alerts(self) -> list[dict[str, Any]]:
        """Return pending and firing alerts: labels, annotations, state."""
        alerts: list[dict[str, Any]] = (await self._ask("/api/v1/alerts"))["alerts"]
        return alerts

    async def targets(self) -> list[dict[str, Any]]:
        """Return what it scrapes: labels, health, lastError."""
        targets: list[dict[str, Any]] = (await self._ask("/api/v1/targets"))["activeTargets"]
        return targets

    async def series(self, selector: str) -> list[dict[str, str]]:
        """Return the labels of every series that a selector finds."""
        series: list[dict[str, str]] = await self._ask("/api/v1/series", **{"match[]": selector})
        return series

    async def is_ready(self) -> bool:
        """Say whether it answers queries."""
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"{self.url}/-/ready") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _ask(self, path: str, **parameters: str) -> Any:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.url}{path}", params=parameters) as response,
        ):
            answer = await response.json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]


@asynccontextmanager
async def running(
    targets: Mapping[str, Sequence[str]],
    *,
    rules: Sequence[Path] = (),
    every: str = "1s",
) -> AsyncIterator[PrometheusServer]:
    """Run a Prometheus that scrapes `{job: ["host:port", ...]}` and evaluates rule files."""
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ],
    }
    async with configured(config) as server:
        yield server


@asynccontextmanager
async def configured(config: Mapping[str, Any]) -> AsyncIterator[PrometheusServer]:
    """Run a Prometheus with a whole configuration of the test's own."""
    with tempfile.TemporaryDirectory(prefix="greenroom-prometheus-") as directory:
        server = PrometheusServer(Path(directory), config)
        server.start()
        assert server.process is not None
        try:
            await server.process.ready(server.is_ready)
            yield server
        finally:
            await asyncio.to_thread(server.process.stop)


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it printed. Raises AssertionError with that when it objects."""
    said = subprocess.run(
        ["promtool", *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout

"""The tests' Prometheus is a real one: it scrapes, answers, and fires."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.system import prometheus
from tests.system.waits import until

RULES = """
groups:
- name: test
  rules:
  - alert: ManyShows
    expr: shows > 5
"""


async def test_it_scrapes_answers_and_fires(tmp_path: Path):
    """A number that a page shows comes back from a query, and an alert looks at it."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    prometheus.promtool("check", "rules", rules)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text='shows{phase="live"} 7\n')

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with (
        TestServer(app) as page,
        prometheus.running({"api": [f"127.0.0.1:{page.port}"]}, rules=[rules]) as server,
    ):
        samples = await until(lambda: server.query("sum by (phase) (shows)"), what="a scrape")
        alerts = await until(server.alerts, what="the alert")

        assert [prometheus.Sample({"phase": "live"}, 7.0)] == samples
        assert (alerts[0]["labels"]["alertname"], alerts[0]["state"]) == ("ManyShows", "firing")
        assert [target["health"] for target in await server.targets()] == ["up"]


async def test_a_query_it_cannot_read_is_told(tmp_path: Path):
    """A dashboard's spelling mistake fails a test instead of showing an empty panel."""
    async with prometheus.running({}) as server:
        with pytest.raises(AssertionError, match="parse error"):
            await server.query("sum(")


def test_promtool_objects_to_a_bad_rule(tmp_path: Path):
    """A rule file that Prometheus would refuse never gets that far."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES.replace("shows > 5", "shows >"))

    with pytest.raises(AssertionError, match="parse error"):
        prometheus.promtool("check", "rules", rules)

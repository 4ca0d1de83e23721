"""What those who run an installation look at: health, metrics, problems, docs, base path."""

import pytest
from sqlalchemy import text

from api import docs
from api.problems import CATALOGUE
from orchestration import migrations
from orchestration.database import Database, DatabaseUnavailable
from tests.integration.api.client import Api, People
from tests.integration.api.conftest import Running


async def test_it_lives_and_says_so(api: Api) -> None:
    got = await api("GET", "/healthz")

    assert (got.status, got.json) == (200, {"status": "ok"})


async def test_it_is_ready_when_the_database_is_migrated(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it says what to run; when the database is gone, that."""
    await stamp(api.resources.db, "0001")
    before = await api("GET", "/readyz")
    assert before.status == 503
    assert before.json["checks"] == {"database": "ok", "migrations": "run `greenroom migrate`"}

    await stamp(api.resources.db, migrations.HEAD)
    for _ in range(2):
        got = await api("GET", "/readyz")
        assert (got.status, got.json["status"]) == (200, "ready")

    def gone(_: Database) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(Database, "read", gone)
    got = await api("GET", "/readyz")
    assert got.status == 503
    assert got.json["checks"]["database"] == "does not answer"


async def stamp(db: Database, revision: str) -> None:
    """Let the tables be those of another version, or of this one."""
    async with db.begin() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


async def test_metrics_are_for_those_nearby(api: Api) -> None:
    """B88: what comes through a proxy comes from somewhere else."""
    got = await api("GET", "/metrics")
    assert got.status == 200
    assert b"greenroom_http_requests_total" in got.raw

    for header in ("X-Forwarded-For", "Forwarded"):
        got = await api("GET", "/metrics", headers={header: "192.0.2.1"})
        assert got.problem == (404, "not-found")


async def test_every_problem_has_its_page(api: Api) -> None:
    """It is where `type` points, and says what it means, whether it passes and what to do."""
    index = (await api("GET", "/problems")).raw.decode()

    for slug, kind in CATALOGUE.items():
        got = await api("GET", f"/problems/{slug}")
        text = got.raw.decode()
        assert got.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in got.headers["Content-Security-Policy"]
        assert kind.title in text
        assert f"{kind.status} {slug}" in text
        assert f'href="/problems/{slug}"' in index
    assert (await api("GET", "/problems/no-such")).problem == (404, "not-found")


async def test_the_docs_page_loads_only_from_here(api: Api) -> None:
    """Swagger UI from npm's lock, and not a word from anywhere else."""
    got = await api("GET", "/docs")
    text = got.raw.decode()

    assert "script-src 'self'" in got.headers["Content-Security-Policy"]
    assert "http" not in text.replace("http-equiv", "")
    for name, (_, content_type) in docs.FILES.items():
        file = await api("GET", f"/static/swagger/{name}")
        assert (file.status, file.headers["Content-Type"]) == (200, content_type)
        if not name.endswith(".png"):
            assert name in text or name.endswith(".js")
    for other in ("package.json", "..%2fpackage.json", "%2e%2e"):
        assert (await api("GET", f"/static/swagger/{other}")).problem == (404, "not-found")


async def test_a_base_path_is_in_front_of_everything(running: Running, people: People) -> None:
    """Of every path, type and Location; only names that others rely on are at the root, too."""
    async with running(base_path="/v1/webinar") as api:
        made = await api("POST", "/rooms", by=people.host, json={"title": "Launches"})
        assert made.headers["Location"] == f"/v1/webinar/rooms/{made.data['room']['id']}"
        missing = await api("GET", "/nothing")
        assert missing.json["type"] == "/v1/webinar/problems/not-found"
        document = (await api("GET", "/openapi.json")).json
        assert document["servers"] == [{"url": "/v1/webinar"}]

        api.base = ""
        assert (await api("GET", "/healthz")).status == 200
        assert (await api("GET", "/metrics")).status == 200
        assert (await api("GET", "/rooms")).problem == (404, "not-found")

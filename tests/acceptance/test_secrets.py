"""No secret of a run is in anything it printed, logged, counted, told, or stored in plain."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
import redis

from tests.acceptance.caller import Answer, Caller
from tests.acceptance.canaries import Canaries
from tests.acceptance.conftest import BRISK
from tests.acceptance.performance import Performed, perform
from tests.acceptance.product import Product, product
from tests.acceptance.show import Show
from tests.system.postgres import PostgresServer, program

pytestmark = [
    pytest.mark.media,
    pytest.mark.postgres,
    pytest.mark.asyncio(loop_scope="module"),
]

#: What strangers may read of a show, and what its host may.
PUBLIC = ("/sessions", "/sessions/live", "/sessions/{show}", "/openapi.json", "/watch/{show}")
HOSTS = (
    *("/rooms", "/rooms/{room}", "/rooms/{room}/sessions", "/presets", "/api-keys", "/sessions"),
    *("/sessions/{show}", "/sessions/{show}/events?limit=500", "/sessions/{show}/report"),
    *("/sessions/{show}/participants", "/sessions/{show}/recordings", "/sessions/stats"),
    *("/sessions/{show}/stream_health", "/jobs/{job}"),
)


@dataclass
class Run:
    """A whole show on PostgreSQL with two workers, and every secret there was."""

    greenroom: Product
    host: Caller
    canaries: Canaries
    database: str
    performed: Performed | None = None
    refused: list[Answer] = field(default_factory=list)
    #: Metrics pages, lists and reads, by what was asked.
    told: dict[str, bytes] = field(default_factory=dict)

    @property
    def show(self) -> Show:
        assert self.performed is not None
        return self.performed.show


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Run]:
    """Perform a show in which everything that is secret is used, rightly and wrongly."""
    canaries = Canaries()
    plain_url = postgres_server.create_database()
    password = canaries.plant("database password", f"canary-database-{secrets.token_hex(8)}")
    planted = {
        "GREENROOM_JWT_SECRET": f"canary-jwt-{secrets.token_hex(20)}",
        "LIVEKIT_API_SECRET": f"canary-livekit-{secrets.token_hex(20)}",
        "GREENROOM_S3_SECRET_KEY": f"canary-s3-{secrets.token_hex(8)}",
    }
    for name, secret in planted.items():
        canaries.plant(name, secret)
    async with product(
        tmp_path_factory.mktemp("secrets"),
        # The tests' PostgreSQL believes any password.
        database_url=plain_url.replace("postgres@", f"postgres:{password}@"),
        workers=2,
        more={**BRISK, **planted, "GREENROOM_LOG_LEVEL": "DEBUG"},
        # Somebody used a token twice: that is worth an error.
        may_complain=True,
    ) as greenroom:
        host = await greenroom.host()
        assert host.token is not None
        canaries.plant("host's token", host.token)
        going = Run(greenroom, host, canaries, plain_url.rpartition("/")[2])
        await _people(going)
        going.performed = await perform(greenroom, lambda show: _audience(going, show))
        await _secrets_of_the_show(going)
        await _wrong_ways_in(going)
        await _read_everything(going)
        yield going
    postgres_server.drop_database(plain_url)


async def _people(run: Run) -> None:
    """Log in with a password, stay logged in, get in as a viewer, from two devices, by a key."""
    greenroom, canaries, host = run.greenroom, run.canaries, run.host
    stranger = greenroom.stranger
    password = canaries.plant("host's password", f"canary-password-{secrets.token_hex(8)}")
    address = "maya@acme.example.com"
    await greenroom.token("host", "--user", "Maya", "--email", address, "--password", password)
    login = await stranger.post("/auth/login", {"email": address, "password": password}, key="1")
    fresh = await stranger.post("/auth/refresh", {"refresh_token": login["refresh_token"]}, key="2")
    viewer = await stranger.post("/auth/viewer/register", {"display_name": "Ann"}, key="3")
    back = await stranger.post(
        "/auth/viewer/device-login", {"device_token": viewer["device_token"]}, key="4"
    )
    for who, tokens in {"login": login, "refresh": fresh, "viewer": viewer, "device": back}.items():
        for name, token in tokens.items():
            if name.endswith("_token"):
                canaries.plant(f"{name} of {who}", token)
    made = await host.post("/api-keys", {"name": "Studio 2"}, key="5")
    canaries.plant("API key", made["key"])
    keyed = Caller(host.http, host.url, api_key=made["key"])
    await keyed.get("/api-keys")


async def _audience(run: Run, show: Show) -> None:
    """Join and watch, as viewers do."""
    joined = await run.host.post(f"/sessions/{show.id}/join", {})
    run.canaries.plant("joining token", joined["livekit_token"])
    if joined["viewer_mark"]:
        run.canaries.plant("viewer's mark", joined["viewer_mark"])
    code = await run.host.post("/auth/code", {"session_id": show.id}, key="6")
    run.canaries.plant("one-time code", code["code"])
    got = await run.greenroom.stranger.post("/auth/code/exchange", {"code": code["code"]}, key="7")
    run.canaries.plant("exchanged access token", got["access_token"])
    run.canaries.plant("exchanged refresh token", got["refresh_token"])


async def _secrets_of_the_show(run: Run) -> None:
    """Remember what going live told the host, and the link that downloads."""
    live, performed = run.show.live, run.performed
    assert performed is not None
    run.canaries.plant("stream key", live["rtmp"]["stream_key"])
    run.canaries.plant("WHIP key", live["whip_url"].rpartition("/")[2])
    run.canaries.plant("host's LiveKit token", live["livekit_token"])
    query = parse_qs(urlsplit(performed.download.link["download_url"]).query)
    run.canaries.plant("download signature", query["signature"][0])


async def _wrong_ways_in(run: Run) -> None:
    """Put secrets where they do not belong: into wrong fields, addresses and headers."""
    stranger, planted = run.greenroom.stranger, run.canaries.planted
    password, key, token = planted["host's password"], planted["API key"], planted["host's token"]
    wrong = [
        stranger.ask("POST", "/auth/login", {"email": "x@acme.example.com", "password": password}),
        stranger.ask("POST", "/auth/login", {"email": password, "password": key}),
        stranger.ask("POST", "/auth/login", {"email": [password], "pass": password}),
        stranger.ask("POST", "/auth/refresh", {"refresh_token": planted["refresh_token of login"]}),
        stranger.ask("POST", "/auth/code/exchange", {"code": planted["one-time code"]}),
        stranger.ask("GET", f"/sessions/{key}"),
        stranger.ask("GET", f"/rooms?token={token}"),
        stranger.ask("GET", f"/nowhere/{token}"),
        stranger.ask("GET", "/api-keys", headers={"X-API-Key": f"{key}x"}),
        stranger.ask("GET", "/api-keys", headers={"Authorization": f"Bearer {token}x"}),
        stranger.ask("GET", "/api-keys", headers={"Authorization": f"Basic {password}"}),
        run.host.ask("POST", "/rooms", {"title": [planted["stream key"]], token: token}),
        stranger.ask("POST", "/livekit/webhook", {"event": token}),
        stranger.ask(
            "POST", f"/sessions/{run.show.id}/heartbeat", headers={"X-Greenroom-Viewer": token}
        ),
    ]
    for asked in wrong:
        run.refused.append(await asked)


async def _read_everything(run: Run) -> None:
    """Read all that is told: metrics of API and workers, lists, the timeline, the report."""
    greenroom, show = run.greenroom, run.show
    wished = [event for event in await show.events() if event["kind"] == "session.wanted"]
    names = {
        "show": show.id,
        "room": show.created["session"]["room_id"],
        "job": wished[0]["facts"]["job"],
    }
    for who, paths in ((greenroom.stranger, PUBLIC), (run.host, HOSTS)):
        for path in paths:
            where = path.format(**names)
            run.told[where] = (await who.ask("GET", where)).expect(200).body
    for port in (int(greenroom.environment["GREENROOM_API_PORT"]), *greenroom.metrics_ports):
        where = f"http://127.0.0.1:{port}/metrics"
        page = (await greenroom.stranger.ask("GET", where)).expect(200)
        assert b"greenroom_" in page.body
        run.told[where] = page.body


# ------------------------------------------------------------------------- the search


async def test_a_whole_show_on_postgresql_with_two_workers(run: Run):
    """It went live, was played, ended, and is recorded; both workers were at work."""
    assert run.performed is not None
    assert run.performed.recording["verdict"] == "verified"
    for port in run.greenroom.metrics_ports:
        page = run.told[f"http://127.0.0.1:{port}/metrics"].decode()
        (swept,) = (
            line.split()[-1]
            for line in page.splitlines()
            if line.startswith('greenroom_ticks_total{outcome="done",tick="sweep"}')
        )
        assert float(swept) > 0


async def test_the_search_finds_what_it_searches_for(run: Run):
    """As it is, in an address, in JSON, and in base64 within other bytes."""
    password = run.canaries.planted["host's password"]

    assert len(run.canaries.planted) >= 20
    assert run.canaries.seen_in(f"maya:{password}") == ["host's password"]
    assert run.canaries.seen_in(b"\x00\xff" + password.encode()) == ["host's password"]


async def test_no_process_printed_or_logged_a_secret(run: Run):
    """Neither API nor workers nor migration, at their most talkative."""
    said = {process.name: process.log() for process in run.greenroom.ran}

    assert {"api", "worker", "migrate"} <= set(said)
    assert len("".join(said.values())) > 10_000
    for process in run.greenroom.ran:
        assert run.canaries.seen_in(process.log()) == [], process.name


async def test_no_list_report_or_metric_tells_a_secret(run: Run):
    """What anybody may read again and again holds nothing that opens anything."""
    for where, body in run.told.items():
        assert run.canaries.seen_in(body) == [], where


async def test_no_refusal_repeats_the_secret_it_refused(run: Run):
    """Wrong fields, wrong addresses, wrong headers: the problem names the place, not the value."""
    for answer in run.refused:
        assert 400 <= answer.status < 500
        assert run.canaries.seen_in(answer.body) == [], answer.body
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert run.canaries.seen_in(headers) == []


async def test_the_database_holds_no_secret_in_plain(run: Run, postgres_server: PostgresServer):
    """Keys are sealed, tokens and API keys hashed, passwords hashed slowly."""
    dumped = await asyncio.to_thread(
        subprocess.run,
        [
            *(program("pg_dump"), "-h", "127.0.0.1", "-p", str(postgres_server.port)),
            *("-U", "postgres", "-d", run.database, "--inserts"),
        ],
        check=True,
        capture_output=True,
    )

    dump = dumped.stdout
    assert run.show.id.encode() in dump
    assert b"$argon2id$" in dump
    assert run.canaries.seen_in(dump) == []


async def test_redis_holds_no_secret(run: Run):
    """Neither messages nor viewers' marks are anything that opens a door."""
    with redis.Redis.from_url(run.greenroom.environment["GREENROOM_REDIS_URL"]) as client:
        for database in range(3):
            client.execute_command("SELECT", database)
            for key in client.scan_iter():
                kept = client.dump(key) or b""
                assert run.canaries.seen_in(bytes(key) + b"\n" + bytes(kept)) == [], key


async def test_stored_media_hold_no_secret(run: Run):
    """Playlists and names of files are public."""
    for path in _files(run.greenroom.folder / "media"):
        told = str(path).encode()
        if path.suffix in {".m3u8", ".json"}:
            told += path.read_bytes()
        assert run.canaries.seen_in(told) == [], path


def _files(folder: Path) -> Iterator[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    yield from found

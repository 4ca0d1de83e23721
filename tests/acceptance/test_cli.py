"""The console command, as an operator types it."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.cli import COMMANDS, main
from deploy.ports import free_port
from tests.integration.workers_stage import Stage, standing
from tests.system import processes
from tests.system.waits import until
from tests.system.web import serving

GREENROOM = [sys.executable, "-m", "deploy.cli"]
SECRET = "a secret of these tests that opens nothing else"


def greenroom(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in a folder of its own, with no setting of ours but these."""
    ours = ("GREENROOM_", "LIVEKIT_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [*GREENROOM, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(Path.cwd()), **settings},
    )


@pytest.fixture
async def stage(tables_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with standing(tables_url, redis_url, tmp_path) as stage:
        yield stage


@pytest.mark.parametrize("command", [None, *(command.name for command in COMMANDS)])
def test_help_says_what_a_command_does(
    command: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` is the first thing anybody types."""
    with pytest.raises(SystemExit) as ended:
        main([*([command] if command else []), "--help"])

    told = capsys.readouterr()
    assert ended.value.code == 0
    assert told.err == ""
    for known in COMMANDS:
        assert command is not None or known.summary in told.out


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """The variable, what is wrong with it, and nothing of our insides."""
    asked = greenroom("api", folder=tmp_path, GREENROOM_API_PORT="99999")

    assert asked.returncode == 2
    assert "GREENROOM_API_PORT: " in asked.stderr
    assert "Traceback" not in asked.stderr


def test_migrating_again_does_nothing(tmp_path: Path, database_url: str) -> None:
    """Every deployment may run it."""
    settings = {"GREENROOM_DATABASE_URL": database_url}

    first = greenroom("migrate", folder=tmp_path, **settings)
    second = greenroom("migrate", folder=tmp_path, **settings)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr


def test_the_api_says_when_the_database_is_not_migrated(tmp_path: Path, database_url: str) -> None:
    """Serving errors to everybody would be worse."""
    settings = {"GREENROOM_DATABASE_URL": database_url, "GREENROOM_JWT_SECRET": SECRET}

    asked = greenroom("api", folder=tmp_path, GREENROOM_API_PORT="0", **settings)

    assert asked.returncode == 1
    assert "greenroom migrate" in asked.stdout + asked.stderr


async def test_a_draining_api_serves_on_and_says_that_it_is_not_ready(
    tmp_path: Path, database_url: str
) -> None:
    """A load balancer sees it in time; told a second time, it ends at once."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {
        "GREENROOM_DATABASE_URL": database_url,
        "GREENROOM_JWT_SECRET": SECRET,
        "GREENROOM_MEDIA_URL": f"file://{tmp_path}/media",
        "GREENROOM_API_PORT": str(port),
        "GREENROOM_DRAIN_SECONDS": "600",
    }
    await asyncio.to_thread(greenroom, "migrate", folder=tmp_path, **settings)
    api = processes.running([*GREENROOM, "api"], name="api", environment=settings)
    async with api as serving, aiohttp.ClientSession() as http:

        async def said(path: str) -> int:
            async with http.get(url + path) as answer:
                return answer.status

        await serving.says('"api_ready"')
        before = await said("/readyz")

        serving.terminate()

        async def drains() -> bool:
            return await said("/readyz") == 503

        await until(drains, what="/readyz to say that the API ends")
        meanwhile = await said("/rooms"), await said("/healthz")
        serving.terminate()
        code = await serving.ended()

    assert (before, meanwhile, code) == (200, (200, 200), 0)


def test_a_token_before_the_first_migration_says_what_to_do(
    tmp_path: Path, database_url: str
) -> None:
    """The two commands are easily typed in the wrong order."""
    settings = {"GREENROOM_DATABASE_URL": database_url, "GREENROOM_JWT_SECRET": SECRET}

    asked = greenroom(
        "token", "--role", "host", "--organization", "Acme", folder=tmp_path, **settings
    )

    assert (asked.returncode, asked.stdout) == (1, "")
    assert "greenroom migrate" in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    "command", [("migrate",), ("token", "--role", "host", "--organization", "Acme")], ids="-".join
)
def test_a_database_that_is_not_there_is_told_in_two_lines(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """With the variable to correct, and without its password."""
    nobody = f"postgresql://greenroom:planted-secret@127.0.0.1:{free_port()}/greenroom"
    settings = {"GREENROOM_DATABASE_URL": nobody, "GREENROOM_JWT_SECRET": SECRET}

    asked = greenroom(*command, folder=tmp_path, **settings)

    assert (asked.returncode, asked.stdout) == (1, "")
    assert "GREENROOM_DATABASE_URL" in asked.stderr
    assert len(asked.stderr.splitlines()) == 2
    assert "planted" not in asked.stderr


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"GREENROOM_DATABASE_URL": "mysql://db/greenroom", "GREENROOM_JWT_SECRET": SECRET},
            "GREENROOM_DATABASE_URL",
        ),
        ({"GREENROOM_DATABASE_URL": "postgresql://db/greenroom"}, "GREENROOM_JWT_SECRET"),
    ],
    ids=["another database", "no secret"],
)
def test_a_token_that_cannot_be_made_names_the_setting(
    settings: dict[str, str], named: str, tmp_path: Path
) -> None:
    """One line, and nothing of our insides."""
    asked = greenroom(
        "token", "--role", "host", "--organization", "Acme", folder=tmp_path, **settings
    )

    assert (asked.returncode, asked.stdout) == (1, "")
    assert named in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_a_token_is_all_that_is_printed(tmp_path: Path, database_url: str) -> None:
    """`TOKEN=$(greenroom token ...)` works; asking again gives one for the same user."""
    settings = {"GREENROOM_DATABASE_URL": database_url, "GREENROOM_JWT_SECRET": SECRET}
    greenroom("migrate", folder=tmp_path, **settings)
    wish = ("token", "--role", "host", "--organization", "Acme", "--email", "Host@Example.com")

    first = greenroom(*wish, folder=tmp_path, **settings)
    second = greenroom(*wish, folder=tmp_path, **settings)

    users = {_subject(asked.stdout.strip()) for asked in (first, second)}
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert len(users) == 1


def test_a_user_is_not_turned_into_something_else(tmp_path: Path, database_url: str) -> None:
    """A viewer of that address is there; it does not become a host by a slip of the keyboard."""
    settings = {"GREENROOM_DATABASE_URL": database_url, "GREENROOM_JWT_SECRET": SECRET}
    greenroom("migrate", folder=tmp_path, **settings)
    wish = ("token", "--organization", "Acme", "--email", "ann@example.com", "--role")

    greenroom(*wish, "viewer", folder=tmp_path, **settings)
    asked = greenroom(*wish, "host", folder=tmp_path, **settings)

    assert asked.returncode == 1
    assert "viewer" in asked.stderr
    assert asked.stdout == ""


def test_settings_are_listed_without_secrets(tmp_path: Path) -> None:
    """Each with its variable, value, default and reason; this is pasted into tickets."""
    asked = greenroom(
        "doctor",
        "--settings",
        folder=tmp_path,
        GREENROOM_JWT_SECRET="planted-secret-one-planted-secret-one",
        LIVEKIT_API_SECRET="planted-secret-two-planted-secret-two",
        GREENROOM_DATABASE_URL="postgresql://greenroom:planted-secret-three@db/greenroom",
        GREENROOM_API_PORT="8123",
    )

    assert asked.returncode == 0
    assert "GREENROOM_API_PORT = 8123   (default: 8000)" in asked.stdout
    assert "LIVEKIT_URL = " in asked.stdout
    assert "planted" not in asked.stdout + asked.stderr


def test_the_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    """On a machine where nothing runs, everything is named, and the exit code is 1."""
    nobody = f"http://127.0.0.1:{free_port()}"

    asked = greenroom(
        "doctor",
        folder=tmp_path,
        GREENROOM_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        GREENROOM_PUBLIC_URL=nobody,
        GREENROOM_JWT_SECRET="short",
        LIVEKIT_URL=nobody,
    )

    assert asked.returncode == 1
    for word in (
        "greenroom migrate",
        "GREENROOM_REDIS_URL",
        "LIVEKIT_URL",
        "GREENROOM_JWT_SECRET has only 5 characters",
        "greenroom api",
    ):
        assert word in asked.stdout
    assert "Traceback" not in asked.stdout + asked.stderr


async def test_the_doctor_reads_the_issuers_keys(tmp_path: Path) -> None:
    """It says what an issuer cannot be told apart by, and when its keys cannot be had."""
    shown = jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(), as_dict=True
    )

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [{**shown, "kid": "one", "alg": "RS256"}]})

    async def asked(url: str, **settings: str) -> list[str]:
        """Give what is said of the issuer, a line each."""
        said = await asyncio.to_thread(
            greenroom, "doctor", folder=tmp_path, GREENROOM_JWKS_URL=url, **settings
        )
        assert "Traceback" not in said.stdout + said.stderr
        return re.findall(r"^issuer +(.*)$", said.stdout, re.MULTILINE)

    app = web.Application()
    app.add_routes([web.get("/keys", keys)])
    async with serving(app) as there:
        loose = await asked(f"{there}/keys")
        tight = await asked(
            f"{there}/keys", GREENROOM_JWKS_ISSUER="https://who", GREENROOM_JWKS_AUDIENCE="shows"
        )
        lost = await asked(f"{there}/elsewhere")

    assert [line.split()[0] for line in loose] == ["ok", "note", "note"]
    assert "whatever their audience is" in loose[2]
    assert [line.split()[0] for line in tight] == ["ok"]
    assert "1 key(s)" in tight[0]
    assert [line.split()[0] for line in lost] == ["WRONG"]


async def test_the_doctor_finds_nothing_wrong_where_all_is_well(
    tables_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries what a show's preflight tries, LiveKit's webhook too where there is an API."""
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("STANDIN_WEBHOOK_URL", f"{public}/livekit/webhook")
    async with standing(tables_url, redis_url, tmp_path) as stage:
        ours = {"GREENROOM_API_PORT": str(port), "GREENROOM_PUBLIC_URL": public}
        settings = {**stage.environment, **ours}
        api = processes.running([*GREENROOM, "api"], name="api", environment=settings)
        worker = processes.running([*GREENROOM, "worker"], name="worker", environment=settings)
        async with api as serving, worker:
            await serving.says('"api_ready"')

            async def asked() -> subprocess.CompletedProcess[str] | None:
                said = await asyncio.to_thread(greenroom, "doctor", folder=tmp_path, **settings)
                # The worker has to have worked once, and a webhook to come in a few seconds.
                return said if said.returncode == 0 else None

            said = await until(asked, what="the doctor to find nothing wrong")

            serving.terminate()
            code = await serving.ended()
            without_api = await asyncio.to_thread(greenroom, "doctor", folder=tmp_path, **settings)

    assert "Nothing is wrong." in said.stdout
    for name in ("database", "redis", "key", "worker", "storage", "webhook", "clock", "public"):
        assert re.search(rf"^{name} +ok ", said.stdout, re.MULTILINE), said.stdout
    for name in ("ingress", "egress"):
        assert re.search(rf"^{name} +note ", said.stdout, re.MULTILINE), said.stdout
    assert code == 0
    assert without_api.returncode == 1
    assert re.search(r"^webhook +note .*when the API runs", without_api.stdout, re.MULTILINE)


async def test_a_token_and_a_key_open_the_api(stage: Stage, tmp_path: Path) -> None:
    """What was printed is what the API takes; a viewer's token is a viewer's."""
    settings = {**stage.environment, "GREENROOM_API_PORT": str(port := free_port())}
    made = [
        await asyncio.to_thread(
            greenroom,
            "token",
            "--role",
            role,
            "--organization",
            "Acme",
            folder=tmp_path,
            **settings,
        )
        for role in ("host", "viewer", "api-key")
    ]
    host, viewer, key = (said.stdout.strip() for said in made)
    async with (
        processes.running([*GREENROOM, "api"], name="api", environment=settings) as serving,
        aiohttp.ClientSession() as http,
    ):
        await serving.says('"api_ready"')

        async def status(headers: dict[str, str]) -> int:
            address = f"http://127.0.0.1:{port}/presets"
            body = {"name": "Mine", "type": "rtmp", "primary_color": "#112233"}
            async with http.post(address, json=body, headers=headers) as answer:
                return answer.status

        assert await status({"Authorization": f"Bearer {host}"}) == 201
        assert await status({"X-API-Key": key}) == 201
        assert await status({"Authorization": f"Bearer {viewer}"}) == 403


def _subject(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])

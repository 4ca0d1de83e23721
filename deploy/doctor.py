"""Look at everything configured, and say what is wrong and what to do: CHECKS."""

import asyncio
import re
import secrets as chance
import stat
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import redis
import redis.asyncio
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from api import jwks
from deploy import testcard
from deploy.standin.options import DEV_API_SECRET
from orchestration import migrations, preflight
from orchestration.admission import Admission
from orchestration.database import Database, DatabaseUnavailable
from orchestration.preflight import Flight
from orchestration.resources import open_resources
from orchestration.secrets import SECRET_CHARACTERS_MIN, SecretMissing, Secrets
from orchestration.settings import Settings
from orchestration.storage import StorageUnavailable


class Level(StrEnum):
    """How a check ended."""

    GOOD = "ok"  #: as it should be
    HINT = "note"  #: works; could be better, or cannot be seen from here
    BAD = "WRONG"  #: shows will fail


#: How what a preflight finds is shown; None is what it could not see.
LEVELS: Final[dict[bool | None, Level]] = {
    True: Level.GOOD,
    None: Level.HINT,
    False: Level.BAD,
}


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to do about it."""

    level: Level
    seen: str
    todo: str = ""
    name: str = ""  #: what it is about, where one check looks at several things


Check = Callable[[Settings], Awaitable[list[Finding]]]

#: A check that takes longer has its answer: it does not work. A preflight alone may take ten.
CHECK_SECONDS: Final = 30.0


async def run(settings: Settings) -> int:
    """Check everything, print what was found; 1 if something is wrong."""
    wrong = 0
    for name, check in CHECKS:
        for finding in await _findings(check, settings):
            wrong += finding.level is Level.BAD
            _print_finding(name, finding)
    print()
    print("Nothing is wrong." if not wrong else f"{wrong} thing(s) are wrong: see above.")
    return 1 if wrong else 0


async def database(settings: Settings) -> list[Finding]:
    db = Database.open(settings.database_url)
    try:
        is_current = await migrations.is_current(db)
    except DatabaseUnavailable as error:
        return [
            Finding(
                Level.BAD,
                f"{_plain(settings.database_url)} does not answer ({error})",
                "Start it, or set GREENROOM_DATABASE_URL.",
            )
        ]
    finally:
        await db.close()
    if not is_current:
        return [Finding(Level.BAD, "its tables are not up to date", "Run `greenroom migrate`.")]
    found = [Finding(Level.GOOD, f"{_plain(settings.database_url)} answers and is up to date")]
    if settings.is_sqlite:
        found.append(
            Finding(Level.HINT, "SQLite: one machine only; set GREENROOM_DATABASE_URL for more")
        )
    return found


async def secrets(settings: Settings) -> list[Finding]:
    found = []
    if settings.jwt_secret is not None:
        size = len(settings.jwt_secret.get_secret_value())
        if size < SECRET_CHARACTERS_MIN:
            todo = "Take 48 random characters, e.g. `openssl rand -base64 36`."
            found.append(
                Finding(Level.BAD, f"GREENROOM_JWT_SECRET has only {size} characters", todo)
            )
        else:
            found.append(Finding(Level.GOOD, "GREENROOM_JWT_SECRET is long enough"))
    elif settings.is_sqlite:
        found.append(_secret_file(Path(settings.database_url.split("///", 1)[-1])))
    else:
        todo = "Every process needs the same one; take 48 random characters."
        found.append(Finding(Level.BAD, "GREENROOM_JWT_SECRET is not set", todo))
    livekit = settings.livekit_api_secret.get_secret_value()
    if livekit == DEV_API_SECRET or not settings.model_fields_set & {"livekit_api_secret"}:
        todo = "Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to your server's."
        found.append(
            Finding(Level.HINT, "the LiveKit secret is the stand-in's published one", todo)
        )
    elif len(livekit) < SECRET_CHARACTERS_MIN:
        todo = "Whoever guesses it can enter every room: make a longer one at LiveKit."
        found.append(Finding(Level.BAD, f"LIVEKIT_API_SECRET has {len(livekit)} characters", todo))
    return found


async def issuer(settings: Settings) -> list[Finding]:
    """Read the keys of the operator's own issuer, where there is one."""
    if settings.jwks_url is None:
        return []
    where = _plain(settings.jwks_url)
    try:
        async with _browser() as http:
            keys = await jwks.fetch(http, settings.jwks_url)
    except jwks.KeysUnread as error:
        todo = "Check GREENROOM_JWKS_URL: until it can be read, its users are answered 503."
        return [Finding(Level.BAD, f"{where} cannot be read ({error})", todo)]
    kinds = " or ".join(jwks.ALGORITHMS)
    if keys:
        found = [Finding(Level.GOOD, f"{where} has {len(keys)} key(s) for {kinds}")]
    else:
        todo = "Check GREENROOM_JWKS_URL; a key must have an id (`kid`)."
        found = [Finding(Level.BAD, f"{where} has no key for {kinds}", todo)]
    for name in ("issuer", "audience"):
        if not getattr(settings, f"jwks_{name}"):
            seen = f"its tokens are taken whatever their {name} is, those for others too"
            todo = f"Set GREENROOM_JWKS_{name.upper()}."
            found.append(Finding(Level.HINT, seen, todo))
    return found


async def queue(settings: Settings) -> list[Finding]:
    where = _plain(settings.redis_url)
    try:
        async with redis.asyncio.from_url(
            settings.redis_url, socket_timeout=3, socket_connect_timeout=3
        ) as client:
            info: dict[str, Any] = await client.info()
    except (redis.RedisError, OSError) as error:
        todo = "Start it, or set GREENROOM_REDIS_URL. Until then shows go on slower, and uncounted."
        return [Finding(Level.BAD, f"{where} does not answer ({type(error).__name__})", todo)]
    version = str(info.get("redis_version", "0"))
    found = [Finding(Level.GOOD, f"{where} answers (Redis {version})")]
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        todo = "Set `maxmemory-policy noeviction`, or rings and viewer marks get lost unseen."
        found.append(Finding(Level.BAD, f"it may evict keys ({policy})", todo))
    if not info.get("aof_enabled"):
        seen = (
            "no append-only file: a restart loses rings (found again in seconds) and viewer marks"
        )
        found.append(Finding(Level.HINT, seen))
    return found


async def show(settings: Settings) -> list[Finding]:
    """Try what `GET /sessions/{id}/preflight` tries, as far as it can be seen from here."""
    unseen = await _unseen(settings)
    try:
        async with open_resources(_with_secret(settings), role="cli") as resources:
            flight = Flight(None, resources, Admission(settings, resources.http))
            flown = await preflight.preflight(flight, untried=unseen)
    except (StorageUnavailable, ValueError, OSError) as error:
        todo = "Check GREENROOM_MEDIA_URL, and GREENROOM_S3_* if it is a bucket."
        seen = f"{_plain(settings.media_url)} cannot be used, so that the rest was not tried"
        return [Finding(Level.BAD, f"{seen}: {error}", todo, "storage")]
    found = [Finding(LEVELS[one.ok], one.seen, one.todo, one.name) for one in flown]
    if any(one.name == "key" and one.ok for one in flown):
        found.append(await _v2_egress(settings))
    if settings.media_url.startswith("file:") and not settings.egress_media_path:
        seen = "the egress must see the same folder under the same path, else set "
        found.append(Finding(Level.HINT, f"{seen}GREENROOM_EGRESS_MEDIA_PATH", name="storage"))
    return found + [Finding(Level.HINT, why, name=name) for name, why in unseen.items()]


async def public(settings: Settings) -> list[Finding]:
    """Ask for what browsers ask for, as far as that can be done from here."""
    health = f"{settings.api_base}/healthz"
    found = []
    async with _browser() as http:
        status = await _status(http, health)
        if status == HTTPStatus.OK:
            found.append(Finding(Level.GOOD, f"{health} answers"))
        else:
            todo = "Start `greenroom api`, or set GREENROOM_PUBLIC_URL to where browsers reach it."
            found.append(Finding(Level.BAD, f"{health} answers {status}", todo))
        if settings.hls_url:
            status = await _status(http, f"{settings.hls_base}/")
            level = Level.BAD if isinstance(status, str) else Level.GOOD
            todo = "Check GREENROOM_HLS_URL: viewers fetch playlists and segments there."
            found.append(Finding(level, f"{settings.hls_base} answers {status}", todo))
    if urlsplit(settings.public_url).scheme == "http" and not _is_local(settings.public_url):
        seen = "GREENROOM_PUBLIC_URL is http: browsers give no camera to pages without TLS"
        found.append(Finding(Level.HINT, seen))
    return found


async def encoder(_: Settings) -> list[Finding]:
    try:
        return [Finding(Level.GOOD, f"the demo would use {testcard.encoder()}")]
    except testcard.NoEncoder as error:
        return [Finding(Level.HINT, f"only the demo needs one: {error}")]


#: In the order in which one thing needs another.
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("database", database),
    ("secrets", secrets),
    ("issuer", issuer),
    ("redis", queue),
    ("show", show),
    ("public", public),
    ("ffmpeg", encoder),
)


def print_settings(settings: Settings) -> None:
    """List every setting: its variable, value, default and reason; secrets are masked."""
    for name, field in Settings.model_fields.items():
        value, default = _shown(getattr(settings, name)), _shown(field.default)
        changed = "" if value == default else f"   (default: {default})"
        print(f"{variable_of(name, field)} = {value}{changed}")
        print(_filled(field.description or "", "    ", "    "))


def variable_of(name: str, field: FieldInfo) -> str:
    """Name the environment variable of a setting."""
    alias = field.validation_alias
    choices = getattr(alias, "choices", None)
    return str(choices[0]) if choices else f"GREENROOM_{name.upper()}"


async def _findings(check: Check, settings: Settings) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(settings)
    except TimeoutError:
        return [Finding(Level.BAD, f"no answer within {CHECK_SECONDS:g} s", "Is it reachable?")]
    except ValueError as error:
        return [Finding(Level.BAD, f"cannot be looked at: {error}", "Correct the setting.")]


def _print_finding(name: str, finding: Finding) -> None:
    indent = " " * 18
    lead = f"{finding.name or name:<10}{finding.level:<8}"
    print(_filled(finding.seen, lead, indent))
    if finding.todo and finding.level is not Level.GOOD:
        print(_filled(f"-> {finding.todo}", indent, f"{indent}   "))


def _filled(text: str, first: str, rest: str) -> str:
    """Wrap a text; addresses and paths stay whole."""
    return textwrap.fill(
        text,
        98,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _secret_file(database_path: Path) -> Finding:
    path = database_path.absolute().with_suffix(".secret")
    if not path.exists():
        return Finding(Level.GOOD, f"{path} will be made by the first process")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(Level.BAD, f"{path} can be read by others ({mode:o})", f"chmod 600 {path}")
    return Finding(Level.GOOD, f"{path} is ours alone")


async def _unseen(settings: Settings) -> dict[str, str]:
    """Name the checks of a preflight that cannot be tried from here, and say why."""
    db = Database.open(settings.database_url)
    try:
        has_tables = await migrations.is_current(db)
    except DatabaseUnavailable:
        has_tables = False
    finally:
        await db.close()
    if not has_tables:
        return dict.fromkeys(("worker", "webhook"), "cannot be seen without the database")
    async with _browser() as http:
        if await _status(http, f"{settings.api_base}/healthz") == HTTPStatus.OK:
            return {}
    why = "can be seen when the API runs"
    return {"webhook": f"{why}: LiveKit's `webhook.urls` should have {settings.webhook_url}"}


def _with_secret(settings: Settings) -> Settings:
    """Give a secret for the look where none is good: `secrets` says what is wrong with it."""
    try:
        Secrets.load(settings)
    except SecretMissing:
        return settings.model_copy(update={"jwt_secret": SecretStr(chance.token_urlsafe(48))})
    return settings


async def _v2_egress(settings: Settings) -> Finding:
    """Ask v2 StartEgress without a token: a server that knows the method says 401, others 404."""
    where = re.sub(r"^ws", "http", settings.livekit_url).rstrip("/")
    async with _browser() as http:
        answer = await _status(http, f"{where}/twirp/livekit.Egress/StartEgress", method="POST")
    if answer == HTTPStatus.NOT_FOUND:
        seen = "it has no v2 StartEgress: every encoder drop will begin a new take"
        todo = "Upgrade LiveKit to get whole recordings."
        return Finding(Level.HINT, seen, todo, "livekit")
    seen = "it has v2 StartEgress: recordings live on through encoder drops"
    return Finding(Level.GOOD, seen, name="livekit")


def _browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))


async def _status(http: aiohttp.ClientSession, url: str, *, method: str = "GET") -> int | str:
    """Ask for an address; its status, or what went wrong."""
    try:
        async with http.request(method, url, json={} if method == "POST" else None) as answer:
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return f"nothing ({type(error).__name__})"


def _shown(value: object) -> str:
    match value:
        case SecretStr():
            return "********"
        case None | ():
            return "(none)"
        case str():
            return _plain(value) or "(empty)"
        case _:
            return str(value)


def _plain(url: str) -> str:
    """Leave out what is secret in an address."""
    return re.sub(r"(://[^:/@]*:)[^@/]*@", r"\1********@", url)


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}

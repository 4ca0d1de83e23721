"""What one process opens once: one database pool, one LiveKit client, one storage, one bell."""

import os
import secrets as chance
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

import aiohttp

from observability.redaction import remember_secret
from orchestration.database import PATIENCE_SECONDS, Database
from orchestration.doorbell import Bell
from orchestration.livekit import open_livekit
from orchestration.marks import Marks, open_marks
from orchestration.plane import MediaPlane
from orchestration.secrets import Secrets
from orchestration.settings import Settings
from orchestration.storage import Storage

#: Somebody waits for the API: a silent database is told after this, and 2 s later by who has to
#: close a connection first (asyncpg waits so long for an answer to that).
CALLERS_SECONDS: Final = 2.5


def _new_owner() -> str:
    # Containers have the same process id, and long names that differ at their end.
    return f"{socket.gethostname()[-40:]}:{os.getpid()}:{chance.token_hex(4)}"


@dataclass
class Resources:
    """Everything that has to be closed again."""

    settings: Settings
    db: Database
    secrets: Secrets
    plane: MediaPlane
    storage: Storage
    bell: Bell
    marks: Marks
    http: aiohttp.ClientSession
    #: Who claims: unique among all processes, for as long as this one lives.
    owner: str = field(default_factory=_new_owner)
    #: Set when this process must end: what is cut from then on was not killed.
    ending: threading.Event = field(default_factory=threading.Event)


def _remember_secrets(settings: Settings, secrets: Secrets) -> None:
    """Let no log line ever carry a configured secret, wherever it turns up."""
    remember_secret(secrets.jwt_key.decode())
    for secret in (settings.livekit_api_secret, settings.s3_secret_key):
        remember_secret(secret.get_secret_value() if secret else None)
    for address in (settings.database_url, settings.redis_url):
        remember_secret(urlsplit(address).password)


@asynccontextmanager
async def open_resources(
    settings: Settings, *, role: Literal["api", "worker", "cli"] = "worker"
) -> AsyncIterator[Resources]:
    """Open what a process needs, and close it. Nothing here touches the network.

    Raises SecretMissing, ValueError for an address that makes no sense, StorageUnavailable for a
    media folder that cannot be made.
    """
    secrets = Secrets.load(settings)
    _remember_secrets(settings, secrets)
    async with AsyncExitStack() as stack:
        db = Database.open(
            settings.database_url,
            pool_size=settings.database_pool_size,
            patience_seconds=CALLERS_SECONDS if role == "api" else PATIENCE_SECONDS,
        )
        stack.push_async_callback(db.close)
        bell = Bell(settings.redis_url)
        stack.push_async_callback(bell.close)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        )
        yield Resources(
            settings=settings,
            db=db,
            secrets=secrets,
            plane=await stack.enter_async_context(open_livekit(settings)),
            storage=Storage.open(
                settings.media_url,
                egress_media_path=settings.egress_media_path,
                s3_endpoint=settings.s3_endpoint,
                s3_region=settings.s3_region,
                s3_access_key=settings.s3_access_key,
                s3_secret_key=settings.s3_secret_key,
                s3_force_path_style=settings.s3_force_path_style,
            ),
            bell=bell,
            marks=await stack.enter_async_context(
                open_marks(settings, secrets, flushes=role == "api")
            ),
            http=http,
        )

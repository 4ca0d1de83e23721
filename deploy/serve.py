"""Serve the API: check the database, listen, and end in order."""

import asyncio
import resource
import signal
from contextlib import suppress
from typing import Final

import structlog

from api.app import make_app
from api.health import DRAINING
from api.server import serving
from orchestration import migrations
from orchestration.database import DatabaseUnavailable
from orchestration.resources import Resources, open_resources
from orchestration.secrets import SecretMissing
from orchestration.settings import Settings
from orchestration.storage import StorageUnavailable

log = structlog.get_logger(__name__)

#: What an operator does about it.
TODO_MIGRATE: Final = "run `greenroom migrate`"


def _raise_limits() -> None:
    """Take as many descriptors as the machine allows: each viewer's connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # some systems name a limit that they do not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 1 when it cannot begin. Told twice, it does not drain."""
    _raise_limits()
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    try:
        async with open_resources(settings, role="api") as resources:
            if not await _may_serve(resources):
                return 1
            resources.bell.listen()
            app = make_app(resources)
            async with serving(app, settings.api_host, settings.api_port) as port:
                url = f"http://{settings.api_host}:{port}{settings.base_path}"
                log.info("api_ready", url=url)
                await stop.wait()
                log.info("api_ending", drain_seconds=settings.drain_seconds)
                app[DRAINING].has_begun = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(settings.drain_seconds):
                        await hurry.wait()
    except (SecretMissing, StorageUnavailable, ValueError, OSError) as error:
        log.critical("api_cannot_serve", error=str(error), todo="`greenroom doctor` says more")
        return 1
    return 0


async def _may_serve(resources: Resources) -> bool:
    try:
        is_current = await migrations.is_current(resources.db)
    except DatabaseUnavailable as error:
        # It may come yet: requests are answered 503 until then, and /readyz says so.
        log.warning("database_unavailable", error=str(error))
        return True
    if not is_current:
        log.critical("database_not_migrated", todo=TODO_MIGRATE)
    return is_current

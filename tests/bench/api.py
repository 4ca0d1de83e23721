"""The real API in a process of its own, and beside it, on other ports, floors of the same server.

`bare` answers at once; `seen` does what every request of ours gets: a name, a line, its metrics.
"""

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.typedefs import Middleware

from api.app import make_app
from api.server import serving
from observability import http, logs
from orchestration.resources import open_resources
from orchestration.settings import Settings

#: The path of the floors.
EMPTY = "/empty"


async def run(settings: Settings) -> None:
    """Serve until SIGTERM; the addresses are printed as one line of JSON."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings, role="api"))
        resources.bell.listen()
        host, ports = settings.api_host, {}
        for name, app, port in (
            ("api", make_app(resources), settings.api_port),
            ("bare", _floor(), 0),
            ("seen", _floor(http.requests), 0),
        ):
            ports[name] = await stack.enter_async_context(serving(app, host, port))
        ready = {name: f"http://{host}:{port}" for name, port in ports.items()}
        sys.stdout.write(json.dumps({"bench_api_ready": True, **ready}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _floor(*middlewares: Middleware) -> web.Application:
    app = web.Application(middlewares=middlewares)
    app.router.add_get(EMPTY, _empty_200)
    app.router.add_post(EMPTY, _empty_204)
    return app


async def _empty_200(_: web.Request) -> web.Response:
    return web.Response()


async def _empty_204(_: web.Request) -> web.Response:
    return web.Response(status=204)


if __name__ == "__main__":
    its_settings = Settings()
    logs.configure(its_settings.log_level, role="api")
    asyncio.run(run(its_settings))

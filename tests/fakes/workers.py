"""Play the own addresses of an egress and an ingress: health and metrics, as a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.system.web import serving

#: What a test may have an address say instead of an answer.
SILENT = 0


@dataclass
class Workers:
    """What the addresses say now; a test changes it."""

    url: str = ""
    #: Statuses of the health addresses; SILENT cuts the connection.
    ingress: int = 200
    egress: int = 200
    #: Whether an egress takes one more; None is a status 500.
    has_room: bool | None = True
    is_leaving: bool = False
    asked: int = 0

    @property
    def settings(self) -> dict[str, tuple[str, ...]]:
        """Settings with which Greenroom asks here."""
        return {
            "ingress_health_url": (f"{self.url}/ingress",),
            "egress_health_url": (f"{self.url}/egress",),
            "egress_metrics_url": (f"{self.url}/egress/metrics",),
        }


@asynccontextmanager
async def running() -> AsyncIterator[Workers]:
    """Serve the addresses for the length of a block."""
    workers = Workers()

    def answer(request: web.Request, status: int) -> web.Response:
        workers.asked += 1
        if status == SILENT and request.transport is not None:
            request.transport.abort()
        return web.json_response({"CpuLoad": 0.2}, status=status or 200)

    async def ingress(request: web.Request) -> web.Response:
        return answer(request, workers.ingress)

    async def egress(request: web.Request) -> web.Response:
        return answer(request, workers.egress)

    async def metrics(_: web.Request) -> web.Response:
        if workers.has_room is None:
            return web.Response(status=500)
        facts = {
            "available": 0,
            "can_accept_request": int(workers.has_room),
            "is_disabled": 0,
            "is_terminating": int(workers.is_leaving),
        }
        lines = [f'livekit_egress_{name}{{node_id="NE_1"}} {facts[name]}' for name in facts]
        return web.Response(text="\n".join(lines) + "\n")

    app = web.Application()
    app.router.add_get("/ingress", ingress)
    app.router.add_get("/ingress/availability", ingress)
    app.router.add_get("/egress", egress)
    app.router.add_get("/egress/metrics", metrics)
    async with serving(app) as url:
        workers.url = url
        yield workers

"""A receiver of webhooks that verifies each one with LiveKit's own code."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web
from livekit import api

from tests.system.waits import until


@dataclass(frozen=True)
class Hook:
    """One delivery that was accepted or refused."""

    event: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    status: int

    @property
    def id(self) -> str:
        return self.body["id"]


class Receiver:
    """An HTTP server for webhooks; `answers` are the statuses to give first, then 200.

    With `room`, what tells of other rooms is taken and not kept: a real server has one address
    for every test's webhooks.
    """

    def __init__(self, key: str, secret: str, *, port: int = 0, room: str = "") -> None:
        self._verify = api.WebhookReceiver(api.TokenVerifier(key, secret))
        self._port = port
        self._room = room
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.deliveries: list[Hook] = []
        self.answers: list[int] = []

    @property
    def hooks(self) -> list[Hook]:
        """Give what was accepted, in order of arrival."""
        return [hook for hook in self.deliveries if hook.status == 200]

    def named(self, event: str) -> list[Hook]:
        return [hook for hook in self.hooks if hook.event == event]

    async def first(self, event: str, *, count: int = 1) -> Hook:
        """Wait for the count-th event of a name."""
        found = await until(lambda: self.named(event)[count - 1 :], what=f"{event} number {count}")
        return found[0]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        raw = await request.read()
        event = self._verify.receive(raw.decode(), request.headers["Authorization"])
        about = event.room.name or event.egress_info.room_name or event.ingress_info.room_name
        if not about.startswith(self._room):
            return web.Response()
        status = self.answers.pop(0) if self.answers else 200
        now = asyncio.get_running_loop().time()
        self.deliveries.append(
            Hook(event.event, orjson.loads(raw), dict(request.headers), now, status)
        )
        return web.Response(status=status)

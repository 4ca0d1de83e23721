"""Stand between LiveKit and Greenroom: pass every webhook on, and keep it for a closer look."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp import web

from tests.system.web import serving

#: What is passed on: the signature, and what the body is.
HEADERS = ("Authorization", "Content-Type")


@dataclass(frozen=True)
class Webhook:
    """One that livekit-server sent, as it came."""

    body: bytes
    headers: Mapping[str, str]
    status: int  #: what Greenroom answered

    @property
    def event(self) -> str:
        return str(orjson.loads(self.body)["event"])

    @property
    def room(self) -> str:
        """Name the room it is about; empty when it is about none."""
        told = orjson.loads(self.body)
        names = (
            told.get("room", {}).get("name"),
            told.get("egressInfo", {}).get("roomName"),
            told.get("ingressInfo", {}).get("roomName"),
        )
        return next((name for name in names if name), "")


@dataclass
class Relay:
    """What went through so far."""

    url: str
    kept: list[Webhook] = field(default_factory=list)

    def of(self, room: str, event: str) -> list[Webhook]:
        return [one for one in self.kept if one.event == event and one.room == room]


@asynccontextmanager
async def running(http: aiohttp.ClientSession, target: str) -> AsyncIterator[Relay]:
    """Pass webhooks on to this address for the length of a block."""
    relay = Relay("")

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        try:
            async with http.post(target, data=body, headers=headers) as answer:
                status = answer.status
                said = await answer.read()
        except aiohttp.ClientError:
            # Greenroom does not listen yet, or any more: LiveKit tries again.
            return web.Response(status=503)
        relay.kept.append(Webhook(body, headers, status))
        return web.Response(status=status, body=said)

    app = web.Application()
    app.router.add_post("/livekit/webhook", take)
    async with serving(app) as url:
        relay.url = f"{url}/livekit/webhook"
        yield relay

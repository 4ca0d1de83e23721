"""The real media plane as a process, and what a test asks it besides Greenroom."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from livekit import api
from livekit.protocol.egress import EgressStatus

from deploy.ports import free_port
from tests.acceptance.caller import Caller, browser
from tests.acceptance.product import Product, environment_of
from tests.acceptance.show import Show
from tests.plane import relay
from tests.plane.relay import Relay
from tests.system import processes
from tests.system.processes import Process
from tests.system.waits import until

#: The programs are built once, on a machine that may be busy.
BUILD_SECONDS = 900.0

RUNNING = (
    EgressStatus.EGRESS_STARTING,
    EgressStatus.EGRESS_ACTIVE,
    EgressStatus.EGRESS_ENDING,
)


@dataclass
class RealLivekit:
    """What there is at LiveKit, asked with its own client."""

    client: api.LiveKitAPI
    told: dict[str, Any]  #: what the plane said when it was ready
    webhooks: Relay | None = None  #: what it sent, where they are kept

    async def rooms(self, room: str) -> list[api.Room]:
        return list((await self.client.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms)

    async def participants(self, room: str) -> list[api.ParticipantInfo]:
        listed = await self.client.room.list_participants(api.ListParticipantsRequest(room=room))
        return list(listed.participants)

    async def ingresses(self, room: str) -> list[api.IngressInfo]:
        listed = await self.client.ingress.list_ingress(api.ListIngressRequest(room_name=room))
        return list(listed.items)

    async def egresses(self, room: str) -> list[api.EgressInfo]:
        """Give every egress a show ever had, the oldest first."""
        listed = await self.client.egress.list_egress(api.ListEgressRequest(room_name=room))
        return sorted(listed.items, key=lambda egress: egress.started_at)

    async def forgets(self, room: str) -> None:
        """Wait until nothing of a show is left."""

        async def nothing() -> bool:
            running = [one for one in await self.egresses(room) if one.status in RUNNING]
            return not (await self.rooms(room) or await self.ingresses(room) or running)

        await until(nothing, what=f"{room} to be gone at LiveKit")

    def pid(self, name: str) -> int:
        """Find a program of the plane: livekit-server, ingress, egress, redis."""
        pids: Mapping[str, int] = self.told["pids"]
        return pids[name]


async def start_plane(folder: Path, *, webhook_url: str) -> tuple[Process, dict[str, Any]]:
    """Start the plane; give its process and what it said. It builds itself when it must."""
    process = processes.start(
        [
            *(sys.executable, "-m", "deploy.livekit", "--json", "--any-ports"),
            *("--folder", folder, "--webhook-url", webhook_url),
        ],
        name="plane",
        log_path=folder / "plane.log",
    )
    try:
        await process.says('{"ready": true', within=BUILD_SECONDS)
    except BaseException:
        await asyncio.to_thread(process.stop)
        raise
    line = next(line for line in process.log().splitlines() if line.startswith('{"ready"'))
    return process, orjson.loads(line)


@asynccontextmanager
async def real_product(
    folder: Path,
    *,
    database_url: str,
    redis_url: str,
    more: Mapping[str, str] | None = None,
    keeps_webhooks: bool = False,
) -> AsyncIterator[Product]:
    """Run a whole Greenroom on a real plane for the length of a block; nothing is left behind.

    With `keeps_webhooks`, they are passed on to Greenroom and kept in `livekit.webhooks`.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    hooks = f"{url}/livekit/webhook"
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(browser())
        webhooks = None
        if keeps_webhooks:
            webhooks = await stack.enter_async_context(relay.running(http, hooks))
        plane, told = await start_plane(
            folder, webhook_url=webhooks.url if webhooks is not None else hooks
        )
        stack.push_async_callback(asyncio.to_thread, plane.stop)
        environment = {
            **environment_of(folder, port, database_url=database_url, redis_url=redis_url),
            "LIVEKIT_URL": told["url"],
            "LIVEKIT_API_KEY": told["api_key"],
            "LIVEKIT_API_SECRET": told["api_secret"],
            **(more or {}),
        }
        client = await stack.enter_async_context(
            api.LiveKitAPI(told["url"], told["api_key"], told["api_secret"])
        )
        whole = Product(folder, environment, RealLivekit(client, told, webhooks), http, url, plane)
        stack.push_async_callback(whole.stop)
        await whole.begin()
        yield whole
        complaints = whole.complaints()
        assert complaints == [], "\n".join(complaints)


async def announce_with(host: Caller, **terms: Any) -> Show:
    """Announce a show whose preset has these terms, in a room of its own."""
    preset = await host.post(
        "/presets", {"name": "Particular", "type": "rtmp", "primary_color": "#1f6f54", **terms}
    )
    room = await host.post("/rooms", {"title": "The room of one show"})
    created = await host.post(
        f"/rooms/{room['room']['id']}/sessions",
        {"title": "One show", "preset_id": preset["preset"]["id"]},
    )
    return Show(host, created["session"]["id"], created)


async def everything(real: Product, show: Show) -> dict[str, Any]:
    """Tell all there is of a show, at LiveKit and in Greenroom's own words: to see no change."""
    session, report = await show.session(), await show.report()
    return {
        "session": [session[name] for name in ("phase", "status", "trouble", "end_reason")],
        "playback": session["playback"]["state"],
        "takes": [(take["number"], take["state"]) for take in report["takes"]],
        "events": await show.kinds(),
        "rooms": [(room.sid, room.metadata) for room in await real.livekit.rooms(show.room)],
        "people": {
            (one.sid, one.identity, one.permission.can_publish)
            for one in await real.livekit.participants(show.room)
        },
        "ingresses": {one.ingress_id for one in await real.livekit.ingresses(show.room)},
        "egresses": [(one.egress_id, one.status) for one in await real.livekit.egresses(show.room)],
    }

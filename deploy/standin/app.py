"""The stand-in put together: three ports, one state."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import structlog
from aiohttp import web
from google.protobuf.message import Message
from livekit.protocol import egress as egress_pb
from livekit.protocol import ingress as ingress_pb
from livekit.protocol import room as room_pb

from deploy.standin.control import Control
from deploy.standin.egress import Egresses
from deploy.standin.faults import Faults
from deploy.standin.ingress import Ingresses
from deploy.standin.options import Options
from deploy.standin.participants import Participants
from deploy.standin.rooms import Rooms
from deploy.standin.rtmp import RtmpServer
from deploy.standin.twirp import Grant, Method, Table, Twirp
from deploy.standin.webhooks import Webhooks

log = structlog.get_logger("standin")

R = TypeVar("R", bound=Message)

#: RTMP's application name in the addresses LiveKit gives.
RTMP_APP = "live"

#: WHIP's path in the addresses LiveKit gives.
WHIP_APP = "w"

#: LiveKit's own limit of a request's body is larger; nothing here needs more.
BODY_BYTES_MAX = 8 * 1024 * 1024

#: How long an open request may hold up the end.
SHUTDOWN_SECONDS = 1.0


class Standin:
    """A LiveKit in this process: `async with Standin(Options()) as standin`."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        keys = {self.options.api_key: self.options.api_secret}
        self.faults = Faults()
        self.webhooks = Webhooks(
            self.options.webhook_urls,
            api_key=self.options.api_key,
            keys=keys,
            faults=self.faults,
            retry_seconds=self.options.webhook_retry_seconds,
        )
        self.rooms = Rooms(self.options, self.webhooks)
        self.participants = Participants(self.rooms)
        self.ingresses = Ingresses(self.options, self.rooms, self.webhooks, self.faults)
        self.egresses = Egresses(
            self.options,
            rooms=self.rooms,
            ingresses=self.ingresses,
            webhooks=self.webhooks,
            faults=self.faults,
            keys=keys,
        )
        self.twirp = Twirp(self._methods(), keys=keys, faults=self.faults)
        self._rtmp = RtmpServer(self.ingresses.accept)
        self._runners: list[web.AppRunner] = []
        self._sweep: asyncio.Task[None] | None = None
        self.url = ""
        self.rtmp_url = ""
        self.control_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the three ports."""
        options = self.options
        rtmp_port = await self._rtmp.start(options.host, options.rtmp_port)
        http_port = await self._serve(self._livekit(), options.port)
        control_port = await self._serve(Control(self).app(), options.control_port)
        self.url = f"http://{options.host}:{http_port}"
        self.rtmp_url = f"rtmp://{options.host}:{rtmp_port}/{RTMP_APP}"
        self.control_url = f"http://{options.host}:{control_port}"
        self.ingresses.rtmp_base_url = options.rtmp_base_url or self.rtmp_url
        self.ingresses.whip_base_url = options.whip_base_url or f"{self.url}/{WHIP_APP}"
        self._sweep = asyncio.create_task(self.rooms.sweep())

    async def close(self) -> None:
        """Close the ports, end every ffmpeg."""
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)
        await self.egresses.close()
        await self._rtmp.close()
        await self.ingresses.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.webhooks.close()

    def ready(self) -> dict[str, object]:
        """Give the line that says where everything is."""
        return {
            "ready": True,
            "url": self.url,
            "rtmp_url": self.rtmp_url,
            "control_url": self.control_url,
            "pid": os.getpid(),
        }

    def forget_everything(self) -> None:
        """Lose rooms, ingresses and egresses, as a restart without Redis does."""
        self.egresses.forget()
        self.ingresses.forget()
        self.rooms.forget()

    async def _serve(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, self.options.host, port)
        await site.start()
        address: tuple[str, int] = runner.addresses[0]
        return address[1]

    def _livekit(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/", alive)
        app.router.add_route("*", "/{path:/*twirp/.*}", self.twirp.serve)
        for path in ("/rtc", "/rtc/{rest:.*}", f"/{WHIP_APP}", f"/{WHIP_APP}/{{rest:.*}}"):
            app.router.add_route("*", path, not_here)
        return app

    def _methods(self) -> Table:
        """List every call there is, with its grant."""
        rooms, who = self.rooms, self.participants
        ingresses, egresses = self.ingresses, self.egresses
        create, read, admin = Grant.ROOM_CREATE, Grant.ROOM_LIST, Grant.ROOM_ADMIN
        record, ingress = Grant.ROOM_RECORD, Grant.INGRESS_ADMIN
        # fmt: off
        return {
            "RoomService": {
                "CreateRoom": method(create, room_pb.CreateRoomRequest, rooms.create_room),
                "ListRooms": method(read, room_pb.ListRoomsRequest, rooms.list_rooms),
                "DeleteRoom": method(create, room_pb.DeleteRoomRequest, rooms.delete_room),
                "UpdateRoomMetadata": method(admin, room_pb.UpdateRoomMetadataRequest, rooms.update_room_metadata),  # noqa: E501
                "SendData": method(admin, room_pb.SendDataRequest, rooms.send_data),
                "ListParticipants": method(admin, room_pb.ListParticipantsRequest, who.list_participants),  # noqa: E501
                "GetParticipant": method(admin, room_pb.RoomParticipantIdentity, who.get_participant),  # noqa: E501
                "RemoveParticipant": method(admin, room_pb.RoomParticipantIdentity, who.remove_participant),  # noqa: E501
                "MutePublishedTrack": method(admin, room_pb.MuteRoomTrackRequest, who.mute_published_track),  # noqa: E501
                "UpdateParticipant": method(admin, room_pb.UpdateParticipantRequest, who.update_participant),  # noqa: E501
                "UpdateSubscriptions": method(admin, room_pb.UpdateSubscriptionsRequest, who.update_subscriptions),  # noqa: E501
                "ForwardParticipant": method(admin, room_pb.ForwardParticipantRequest, who.forward_participant),  # noqa: E501
                "MoveParticipant": method(admin, room_pb.MoveParticipantRequest, who.move_participant),  # noqa: E501
                "PerformRpc": method(admin, room_pb.PerformRpcRequest, who.perform_rpc),
            },
            "Ingress": {
                "CreateIngress": method(ingress, ingress_pb.CreateIngressRequest, ingresses.create_ingress),  # noqa: E501
                "UpdateIngress": method(ingress, ingress_pb.UpdateIngressRequest, ingresses.update_ingress),  # noqa: E501
                "ListIngress": method(ingress, ingress_pb.ListIngressRequest, ingresses.list_ingress),  # noqa: E501
                "DeleteIngress": method(ingress, ingress_pb.DeleteIngressRequest, ingresses.delete_ingress),  # noqa: E501
            },
            "Egress": {
                "StartEgress": method(record, egress_pb.StartEgressRequest, egresses.start_egress),
                "StartParticipantEgress": method(record, egress_pb.ParticipantEgressRequest, egresses.start_participant),  # noqa: E501
                "StartRoomCompositeEgress": method(record, egress_pb.RoomCompositeEgressRequest, egresses.start_room_composite),  # noqa: E501
                "StartWebEgress": method(record, egress_pb.WebEgressRequest, egresses.start_web),
                "StartTrackCompositeEgress": method(record, egress_pb.TrackCompositeEgressRequest, egresses.start_track_composite),  # noqa: E501
                "StartTrackEgress": method(record, egress_pb.TrackEgressRequest, egresses.start_track),  # noqa: E501
                "ListEgress": method(record, egress_pb.ListEgressRequest, egresses.list_egress),
                "StopEgress": method(record, egress_pb.StopEgressRequest, egresses.stop_egress),
                "UpdateLayout": method(record, egress_pb.UpdateLayoutRequest, egresses.update_layout),  # noqa: E501
                "UpdateStream": method(record, egress_pb.UpdateStreamRequest, egresses.update_stream),  # noqa: E501
            },
        }
        # fmt: on


def method(grant: str, request: type[R], answer: Callable[[R], Awaitable[Message]]) -> Method:
    """Make a Method whose request and answer are seen to fit together."""
    return Method(grant, request, answer)


async def alive(_request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def not_here(request: web.Request) -> web.Response:
    what = "WHIP" if request.path.startswith(f"/{WHIP_APP}") else "Joining a room"
    return web.Response(
        status=501,
        text=f"{what} is not something the LiveKit stand-in does: it takes RTMP and API calls. "
        "Use a real livekit-server for WebRTC.\n",
    )

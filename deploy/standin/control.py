"""The control address: look at the state, arm faults, let people join. JSON over HTTP."""

import json
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message

from deploy.standin.errors import TwirpError
from deploy.standin.faults import Fault, Kind
from deploy.standin.participants import TRACKS

if TYPE_CHECKING:
    from deploy.standin.app import Standin

#: What a fault's JSON may say; the rest belongs to the stand-in.
SETTABLE = {field.name for field in fields(Fault)} - {"id", "hits", "armed_at"}


class Control:
    """The handlers of the control address."""

    def __init__(self, standin: "Standin") -> None:
        self._standin = standin

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self.help)
        app.router.add_get("/state", self.state)
        app.router.add_get("/faults", self.list_faults)
        app.router.add_post("/faults", self.arm)
        app.router.add_delete("/faults", self.clear)
        app.router.add_delete("/faults/{fault_id}", self.clear)
        app.router.add_get("/participants", self.list_participants)
        app.router.add_post("/participants", self.join)
        app.router.add_delete("/participants", self.leave)
        app.router.add_post("/webhooks", self.set_webhooks)
        app.router.add_delete("/calls", self.forget_calls)
        return app

    async def help(self, _request: web.Request) -> web.Response:
        """Say what can be asked here."""
        return web.json_response(
            {
                "GET /state": "rooms, ingresses, egresses, participants, calls, webhooks, faults",
                "GET /faults": "the armed faults",
                "POST /faults": {"kind": [kind.value for kind in Kind], "also": sorted(SETTABLE)},
                "DELETE /faults": "clear all; /faults/{id} clears one",
                "POST /participants": {
                    "room": "",
                    "identity": "",
                    "kind": "STANDARD",
                    "hidden": False,
                    "tracks": sorted(TRACKS),
                    "action": "add | remove",
                },
                "DELETE /participants?room=&identity=": "let one leave",
                "POST /webhooks": {"urls": ["where webhooks go from now on"]},
                "DELETE /calls": "forget the calls counted so far",
            }
        )

    async def state(self, _request: web.Request) -> web.Response:
        """Give everything the stand-in knows, secrets included: it is for tests."""
        standin = self._standin
        calls = standin.twirp.calls
        by_method: dict[str, int] = {}
        for call in calls:
            by_method[call.method] = by_method.get(call.method, 0) + 1
        return web.json_response(
            {
                "now": time.time(),
                "rooms": [
                    {
                        **to_json(room.snapshot()),
                        "participants": [to_json(m.info) for m in room.members.values()],
                        "data": room.sent,
                    }
                    for room in standin.rooms.all()
                ],
                "ingresses": [to_json(one.snapshot()) for one in standin.ingresses.all()],
                "egresses": [to_json(one.snapshot()) for one in standin.egresses.all()],
                "calls": [{"method": call.method, "at": call.at} for call in calls],
                "calls_by_method": by_method,
                "webhooks": list(standin.webhooks.happened),
                "faults": [fault.to_json() for fault in standin.faults.armed()],
            }
        )

    async def list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"faults": [fault.to_json() for fault in self._standin.faults.armed()]}
        )

    async def arm(self, request: web.Request) -> web.Response:
        """Arm a fault; those that strike things rather than calls strike at once."""
        wanted = await read(request)
        unknown = set(wanted) - SETTABLE
        if unknown:
            raise bad(f"unknown: {', '.join(sorted(unknown))}; known: {sorted(SETTABLE)}")
        try:
            fault = Fault(**{**wanted, "kind": Kind(wanted.get("kind", ""))})
        except ValueError as error:
            raise bad(f"{error}; kinds: {[kind.value for kind in Kind]}") from error
        return web.json_response({"fault": fault.to_json(), "struck": self._arm(fault)}, status=201)

    def _arm(self, fault: Fault) -> list[str]:
        standin = self._standin
        match fault.kind:
            case Kind.FORGET_EVERYTHING:
                standin.forget_everything()
                return []
            case Kind.INGRESS_DIES:
                return standin.ingresses.die(fault)
            case Kind.EGRESS_DIES:
                struck = standin.egresses.die(fault)
                if not struck:
                    fault.count = 1 if fault.count is None else fault.count
                    standin.faults.arm(fault)
                return struck
            case Kind.WORKER_GONE:
                standin.faults.arm(fault)
                return standin.egresses.abandon(fault)
            case _:
                standin.faults.arm(fault)
                return []

    async def clear(self, request: web.Request) -> web.Response:
        self._standin.faults.clear(request.match_info.get("fault_id"))
        return await self.list_faults(request)

    async def list_participants(self, request: web.Request) -> web.Response:
        room = self._standin.rooms.find(request.query.get("room", ""))
        members = room.members.values() if room else ()
        return web.json_response({"participants": [to_json(m.info) for m in members]})

    async def join(self, request: web.Request) -> web.Response:
        """Let somebody join a room, or (action `remove`) leave it."""
        wanted = await read(request)
        room, identity = wanted.get("room", ""), wanted.get("identity", "")
        if not room or not identity:
            raise bad("room and identity are needed")
        if wanted.get("action", "add") == "remove":
            return self._left(room, identity)
        tracks = wanted.get("tracks", ["camera", "microphone"] if wanted.get("publisher") else [])
        if not set(tracks) <= set(TRACKS):
            raise bad(f"tracks are among {sorted(TRACKS)}")
        try:
            info = self._standin.participants.simulate(
                room,
                identity,
                kind=wanted.get("kind", "STANDARD"),
                name=wanted.get("name", ""),
                hidden=bool(wanted.get("hidden", False)),
                tracks=tracks,
            )
        except (TwirpError, ValueError) as error:
            raise bad(str(error)) from error
        return web.json_response({"participant": to_json(info)}, status=201)

    async def leave(self, request: web.Request) -> web.Response:
        return self._left(request.query.get("room", ""), request.query.get("identity", ""))

    def _left(self, room: str, identity: str) -> web.Response:
        there = self._standin.participants.depart(room, identity)
        return web.json_response({"removed": there}, status=200 if there else 404)

    async def set_webhooks(self, request: web.Request) -> web.Response:
        """Change where webhooks go."""
        urls = (await read(request)).get("urls", [])
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise bad("urls is a list of addresses")
        self._standin.webhooks.urls = urls
        return web.json_response({"urls": urls})

    async def forget_calls(self, _request: web.Request) -> web.Response:
        self._standin.twirp.calls.clear()
        return web.json_response({"calls": []})


async def read(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise bad("the body is not JSON") from error
    if not isinstance(body, dict):
        raise bad("the body is not an object")
    return body


def bad(why: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"error": why}), content_type="application/json")


def to_json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )

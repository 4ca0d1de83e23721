"""Row `go_live`: one POST .../go_live over HTTP, against its LiveKit calls one after the other."""

import time
from collections import Counter

from livekit import api as livekit_api
from livekit.protocol import ingress as ingress_proto
from livekit.protocol import room as room_proto

from tests.bench import house
from tests.bench.figures import Measured
from tests.bench.turns import take_turns

TURNS = 30


async def measure() -> list[Measured]:
    """Go live and end, show after show, each in a room of its own."""
    line = Measured(
        what="go_live over HTTP, LiveKit at 20 ms a call",
        floor="CreateRoom + 2 CreateIngress + 2 ListIngress, in turn",
        unit="ms",
        at_most=0.8,
    )
    calls: Counter[tuple[str, ...]] = Counter()
    async with (
        house.opened() as ours,
        livekit_api.LiveKitAPI(ours.livekit, *house.KEYS.values()) as client,
    ):
        await ours.slow_livekit()

        async def go_live() -> float:
            session_id = await ours.announce()
            await ours.forget_calls()
            asked_at, began = time.time(), time.perf_counter()
            answer = await ours.ask("POST", f"/sessions/{session_id}/go_live")
            took, answered_at = time.perf_counter() - began, time.time()
            assert answer["rtmp"]["stream_key"], "go_live answers with everything"
            assert answer["whip_url"], "go_live answers with everything"
            made = await ours.livekit_calls()
            calls[tuple(sorted(name for at, name in made if asked_at <= at <= answered_at))] += 1
            await ours.end(session_id)
            return took * 1_000

        async def in_turn() -> float:
            return await _in_turn(client)

        await take_turns(line, go_live, in_turn, turns=TURNS, warm_up=2)
    usual, _ = calls.most_common(1)[0]
    line.notes.append(f"{len(usual)} LiveKit calls until the answer: {', '.join(usual)}")
    return [line]


async def _in_turn(client: livekit_api.LiveKitAPI) -> float:
    room = f"floor-{time.monotonic_ns()}"
    began = time.perf_counter()
    await client.room.create_room(room_proto.CreateRoomRequest(name=room))
    made = []
    for kind in (ingress_proto.IngressInput.RTMP_INPUT, ingress_proto.IngressInput.WHIP_INPUT):
        await client.ingress.list_ingress(ingress_proto.ListIngressRequest(room_name=room))
        made.append(
            await client.ingress.create_ingress(
                ingress_proto.CreateIngressRequest(
                    input_type=kind, name=room, room_name=room, participant_identity=f"host#{kind}"
                )
            )
        )
    took = time.perf_counter() - began
    for one in made:
        await client.ingress.delete_ingress(
            ingress_proto.DeleteIngressRequest(ingress_id=one.ingress_id)
        )
    await client.room.delete_room(room_proto.DeleteRoomRequest(room=room))
    return took * 1_000

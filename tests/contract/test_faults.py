"""What can be made to go wrong at the stand-in, and what a client then sees."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from livekit import api
from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressState

from tests.contract.control import Control
from tests.contract.encoders import Encoders, fate
from tests.contract.hooks import Receiver
from tests.contract.requests import (
    address,
    egress_of,
    ingress_of,
    make_ingress,
    media_egress,
    participant_egress,
    stop,
)
from tests.contract.test_broadcast import ended, has_segments, playlist, publish
from tests.system.waits import until


async def test_a_call_can_be_refused(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """With a code and a message, as often as wanted; then all is well."""
    await standin.arm("refuse", method="CreateRoom", code="resource_exhausted", msg="full", count=1)

    with pytest.raises(api.TwirpError) as refused:
        await client.room.create_room(api.CreateRoomRequest(name=room_name))

    assert (refused.value.status, refused.value.code) == (429, "resource_exhausted")
    assert refused.value.message == "full"
    await client.room.create_room(api.CreateRoomRequest(name=room_name))


async def test_a_fault_can_let_some_pass_first(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """`skip` says how many."""
    await standin.arm("refuse", method="CreateIngress", skip=1, count=1)

    await make_ingress(client, room_name)
    with pytest.raises(api.TwirpError) as refused:
        await make_ingress(client, room_name)

    assert refused.value.code == "unavailable"
    assert "no response from servers" in refused.value.message


@pytest.mark.parametrize("mode", ["close", "hang"])
async def test_an_answer_can_be_lost(
    client: api.LiveKitAPI, standin: Control, room_name: str, mode: str
) -> None:
    """The call was obeyed; the caller hears nothing."""
    await standin.arm("answer_lost", method="CreateIngress", mode=mode, count=1)
    ask = api.ListIngressRequest(room_name=room_name)
    calling = asyncio.create_task(make_ingress(client, room_name))

    async def obeyed() -> list[api.IngressInfo]:
        return list((await client.ingress.list_ingress(ask)).items)

    await until(obeyed, what="the call to be obeyed")
    # livekit-api's own time-out does not reach aiohttp: a caller brings its own.
    with pytest.raises((aiohttp.ClientError, TimeoutError)):
        async with asyncio.timeout(1):  # a second after it was obeyed: how slow it was is no matter
            await calling

    assert len(await obeyed()) == 1


async def test_a_call_can_be_slow(client: api.LiveKitAPI, standin: Control, room_name: str) -> None:
    """Before it is obeyed, or after; what is asked meanwhile is answered."""
    # Long enough to be asked within, also by a machine that is busy; both delays pass together.
    names = {when: f"{room_name}-{when}" for when in ("before", "after")}
    slow = {}
    for when, name in names.items():
        await standin.arm("slow", method="CreateRoom", delay_seconds=5, when=when, count=1)
        slow[when] = asyncio.create_task(client.room.create_room(api.CreateRoomRequest(name=name)))
        await until(lambda: has_struck(standin), what="the call to arrive")

    async def there() -> set[str]:
        listed = await client.room.list_rooms(api.ListRoomsRequest(names=list(names.values())))
        return {room.name for room in listed.rooms}

    assert await until(there, what="the room of a call that was obeyed") == {names["after"]}
    assert not any(call.done() for call in slow.values())
    for when, name in names.items():
        assert (await slow[when]).name == name
    assert await there() == set(names.values())


async def has_struck(standin: Control) -> bool:
    return not (await standin.state())["faults"]


async def test_every_call_can_take_its_time(client: api.LiveKitAPI, standin: Control) -> None:
    """Without method and count it is a latency for benches."""
    await standin.arm("slow", delay_seconds=0.05)
    began = time.monotonic()

    for _ in range(3):
        await client.room.list_rooms(api.ListRoomsRequest())

    assert time.monotonic() - began >= 0.15


async def test_an_answer_can_be_garbled(client: api.LiveKitAPI, standin: Control) -> None:
    """200, and bytes that are no message."""
    await standin.arm("garbled_answer", method="ListRooms", count=1)

    with pytest.raises(Exception, match=r"(?i)pars"):
        await client.room.list_rooms(api.ListRoomsRequest())


async def test_lists_can_be_empty_or_stale(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """A snapshot is a hint."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    ask = api.ListRoomsRequest(names=[room_name])
    await standin.arm("empty_list", method="ListRooms", count=1)
    assert list((await client.room.list_rooms(ask)).rooms) == []
    await standin.arm("stale_list", method="ListRooms", count=2)
    assert len((await client.room.list_rooms(ask)).rooms) == 1

    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))

    assert len((await client.room.list_rooms(ask)).rooms) == 1
    assert list((await client.room.list_rooms(ask)).rooms) == []


@pytest.mark.parametrize("answer", [(404, "bad_route"), (501, "unimplemented")])
async def test_a_server_can_have_no_second_version(
    client: api.LiveKitAPI, standin: Control, room_name: str, out: Path, answer: tuple[int, str]
) -> None:
    """StartEgress is then a bad route, or unimplemented; the older call works."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.arm("unimplemented", method="StartEgress", code=answer[1])

    with pytest.raises(api.TwirpError) as refused:
        await client.egress.start_egress(media_egress(room_name, out))

    assert (refused.value.status, refused.value.code) == answer
    started = await client.egress.start_participant_egress(participant_egress(room_name, out))
    await stop(client, started.egress_id)


async def test_an_egress_can_stick_at_starting(
    client: api.LiveKitAPI, standin: Control, room_name: str, out: Path
) -> None:
    """Stopping it is answered and changes nothing."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.arm("stuck_state", resource="egress", state="STARTING", room=room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))

    await client.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
    await asyncio.sleep(0.3)

    seen = await egress_of(client, started.egress_id)
    assert seen.status == EgressStatus.EGRESS_STARTING


async def test_without_workers_nothing_starts(
    client: api.LiveKitAPI, standin: Control, room_name: str, out: Path
) -> None:
    """After a while (22 s with the real one): no response from servers."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.arm("worker_gone", delay_seconds=0.2)

    with pytest.raises(api.TwirpError) as refused:
        await client.egress.start_egress(media_egress(room_name, out))

    assert (refused.value.status, refused.value.code) == (503, "unavailable")
    assert "no response from servers" in refused.value.message


async def test_everything_can_be_forgotten(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """As after a restart without Redis."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    made = await make_ingress(client, room_name)

    await standin.arm("forget_everything")

    listed = await client.room.list_rooms(api.ListRoomsRequest())
    assert list(listed.rooms) == []
    with pytest.raises(api.TwirpError):
        await ingress_of(client, made.ingress_id)


async def test_webhooks_can_be_dropped_doubled_and_late(
    client: api.LiveKitAPI, standin: Control, hooks: Receiver, room_name: str
) -> None:
    """Each by the event's name."""
    await standin.arm("webhooks_dropped", events=["room_started"], count=1)
    await standin.arm("webhooks_duplicated", events=["participant_joined"], copies=3)
    # Time to leave in, also on a machine that is busy.
    await standin.arm("webhooks_delayed", events=["track_published"], delay_seconds=5)

    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "guest", tracks=["camera"])
    await standin.leave(room_name, "guest")
    await hooks.first("track_published")

    names = [hook.event for hook in hooks.hooks]
    assert "room_started" not in names
    assert names.count("participant_joined") == 3
    assert len({hook.id for hook in hooks.named("participant_joined")}) == 1
    assert names.index("participant_left") < names.index("track_published")


async def test_faults_are_listed_and_cleared(client: api.LiveKitAPI, standin: Control) -> None:
    """What is armed can be seen; what is misspelt is refused with what there is."""
    armed = await standin.arm("refuse", method="ListRooms")
    state = await standin.state()
    assert [fault["id"] for fault in state["faults"]] == [armed["fault"]["id"]]

    await standin.clear()

    await client.room.list_rooms(api.ListRoomsRequest())
    status, answer = await standin.refused({"kind": "refuse", "methd": "x"})
    assert (status, "unknown: methd" in answer["error"]) == (400, True)
    status, answer = await standin.refused({"kind": "explode"})
    assert (status, "kinds" in answer["error"]) == (400, True)


async def test_calls_are_counted_in_order(
    client: api.LiveKitAPI, standin: Control, room_name: str
) -> None:
    """For tests that ask how often something was said."""
    before = len(await standin.calls())

    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await make_ingress(client, room_name)

    assert (await standin.calls())[before:] == ["CreateRoom", "CreateIngress"]


@pytest.mark.media
async def test_a_handler_can_be_killed(
    client: api.LiveKitAPI,
    standin: Control,
    encoders: Encoders,
    room_name: str,
    out: Path,
) -> None:
    """FAILED "signal: killed"; segments stay, the recording is lost."""
    await publish(client, encoders, room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    struck = await standin.arm("egress_dies", room=room_name)

    failed = await ended(client, started.egress_id)
    assert struck["struck"] == [started.egress_id]
    assert failed.status == EgressStatus.EGRESS_FAILED
    assert (failed.error, failed.error_code) == ("signal: killed", 500)
    assert not playlist(out / "vod.m3u8").is_endlist
    assert not (out / "rec.mp4").exists()
    there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    assert started.egress_id in {who.identity for who in there.participants}


@pytest.mark.media
async def test_a_death_can_wait_for_the_next_egress(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str, out: Path
) -> None:
    """Armed while none runs, it strikes the next one that becomes active."""
    await publish(client, encoders, room_name)
    await standin.arm("egress_dies", room=room_name, delay_seconds=0.5)

    first = await client.egress.start_egress(media_egress(room_name, out / "1"))
    failed = await ended(client, first.egress_id)
    await client.egress.start_egress(media_egress(room_name, out / "2"))

    assert failed.error == "signal: killed"
    await has_segments(out / "2" / "vod.m3u8", 1)


@pytest.mark.media
async def test_a_worker_can_vanish(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str, out: Path
) -> None:
    """The status lies ACTIVE, no segment comes, stopping times out; a new worker can start."""
    await publish(client, encoders, room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await standin.arm("worker_gone", delay_seconds=0.2)

    with pytest.raises(api.TwirpError) as refused:
        await client.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
    assert (refused.value.status, refused.value.code) == (408, "deadline_exceeded")
    count = len(playlist(out / "vod.m3u8").segments)
    await asyncio.sleep(2.5)  # longer than a segment
    assert len(playlist(out / "vod.m3u8").segments) == count
    assert (await egress_of(client, started.egress_id)).status == EgressStatus.EGRESS_ACTIVE

    await standin.clear()
    await client.egress.start_egress(media_egress(room_name, out / "again"))
    await has_segments(out / "again" / "vod.m3u8", 1)
    assert (await egress_of(client, started.egress_id)).status == EgressStatus.EGRESS_ACTIVE


@pytest.mark.media
async def test_an_egress_can_stick_at_active(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str, out: Path
) -> None:
    """It obeys a stop, and says ACTIVE for ever."""
    await publish(client, encoders, room_name)
    await standin.arm("stuck_state", resource="egress", state="ACTIVE", room=room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await client.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))

    await until(lambda: playlist(out / "vod.m3u8").is_endlist, what="the playlist to end")
    assert (await egress_of(client, started.egress_id)).status == EgressStatus.EGRESS_ACTIVE


@pytest.mark.media
async def test_an_ingress_handler_can_be_killed(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str
) -> None:
    """The encoder loses its pipe, the status lies PUBLISHING; a new encoder puts it right."""
    made, encoder = await publish(client, encoders, room_name)

    await standin.arm("ingress_dies", room=room_name)

    code, _ = await fate(encoder)
    assert code != 0
    seen = await ingress_of(client, made.ingress_id)
    assert seen.state.status == IngressState.Status.ENDPOINT_PUBLISHING
    there = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    assert [who.identity for who in there.participants] == ["host"]
    await encoders.push(address(made))

    async def is_newer() -> bool:
        now = await ingress_of(client, made.ingress_id)
        return now.state.resource_id != seen.state.resource_id

    await until(is_newer, what="the new encoder to publish")


@pytest.mark.media
async def test_an_ingress_can_stick_at_publishing(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str
) -> None:
    """The encoder left, the participant too, and the status does not know."""
    made, encoder = await publish(client, encoders, room_name)
    await standin.arm("stuck_state", resource="ingress", room=room_name)

    await encoders.stop(encoder)

    async def alone() -> bool:
        listed = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
        return not listed.participants

    await until(alone, what="the participant to go")
    seen = await ingress_of(client, made.ingress_id)
    assert seen.state.status == IngressState.Status.ENDPOINT_PUBLISHING


@pytest.mark.media
async def test_forgetting_ends_everything_that_runs(
    client: api.LiveKitAPI, standin: Control, encoders: Encoders, room_name: str, out: Path
) -> None:
    """Encoders are cut off, egresses end without a word."""
    _, encoder = await publish(client, encoders, room_name)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)

    await standin.arm("forget_everything")

    code, _ = await fate(encoder)
    assert code != 0
    with pytest.raises(api.TwirpError) as refused:
        await egress_of(client, started.egress_id)
    assert refused.value.code == "not_found"

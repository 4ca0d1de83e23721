"""What LiveKit's webhooks say, in which order, how they are signed and when they are given up."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from livekit import api
from livekit.protocol.egress import EgressStatus
from livekit.protocol.models import WebhookConfig

from tests.contract.conftest import Server
from tests.contract.control import Control
from tests.contract.encoders import Encoders
from tests.contract.hooks import Receiver
from tests.contract.recorded import fields, kind, recorded
from tests.contract.requests import address, make_ingress, media_egress, participant_egress, stop
from tests.contract.test_broadcast import ended, has_segments, playlist, publish
from tests.system.waits import until


async def test_a_room_tells_that_it_began_and_ended(
    client: api.LiveKitAPI, hooks: Receiver, room_name: str
) -> None:
    """Also when it was made by a call, and only once."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))

    await hooks.first("room_finished")

    assert [hook.event for hook in hooks.hooks] == ["room_started", "room_finished"]
    began, over = hooks.hooks
    assert began.body["room"]["name"] == room_name
    assert began.body["room"]["sid"] == over.body["room"]["sid"]
    assert began.id.startswith("EV_")
    assert began.id != over.id


async def test_a_webhook_is_signed_without_bearer(
    client: api.LiveKitAPI, hooks: Receiver, room_name: str, livekit: Server
) -> None:
    """A bare JWT whose claim is the hash of the body; LiveKit's own receiver took it."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))

    hook = await hooks.first("room_started")

    assert hook.headers["Content-Type"] == "application/webhook+json"
    assert not hook.headers["Authorization"].startswith("Bearer")
    claims = api.TokenVerifier(livekit.key, livekit.secret).verify(hook.headers["Authorization"])
    assert claims.sha256


async def test_a_failed_delivery_is_tried_again(
    client: api.LiveKitAPI, hooks: Receiver, room_name: str
) -> None:
    """5xx and 429 are; it is the same event, and what follows in its queue waits for it."""
    hooks.answers = [500, 429]

    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))
    await hooks.first("room_finished")

    tried = [(hook.event, hook.status) for hook in hooks.deliveries]
    assert tried == [
        ("room_started", 500),
        ("room_started", 429),
        ("room_started", 200),
        ("room_finished", 200),
    ]
    assert len({hook.id for hook in hooks.deliveries}) == 2


@pytest.mark.parametrize("status", [400, 404, 501])
async def test_other_answers_are_final(
    client: api.LiveKitAPI, hooks: Receiver, room_name: str, status: int
) -> None:
    """Whoever says 4xx or 501 has been told."""
    hooks.answers = [status]

    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))
    await hooks.first("room_finished")

    tried = [(hook.event, hook.status) for hook in hooks.deliveries]
    assert tried == [("room_started", status), ("room_finished", 200)]


async def test_after_five_tries_it_is_given_up(
    client: api.LiveKitAPI, hooks: Receiver, room_name: str
) -> None:
    """The next event of the queue is sent then."""
    hooks.answers = [503] * 5

    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))
    await hooks.first("room_finished")

    tried = [(hook.event, hook.status) for hook in hooks.deliveries]
    assert tried == [("room_started", 503)] * 5 + [("room_finished", 200)]


async def test_people_are_told_of(
    client: api.LiveKitAPI, hooks: Receiver, standin: Control, room_name: str
) -> None:
    """Joining, publishing, unpublishing, leaving, in this order."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    await standin.join(room_name, "guest", tracks=["microphone"])
    await standin.leave(room_name, "guest")

    left = await hooks.first("participant_left")

    assert [hook.event for hook in hooks.hooks] == [
        "room_started",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
    ]
    published = hooks.named("track_published")[0].body
    assert published["room"].keys() == {"sid", "name"}
    assert published["participant"].keys() == {"sid", "identity"}
    assert left.body["participant"]["disconnectReason"] == "CLIENT_INITIATED"


async def test_an_egress_can_have_webhooks_of_its_own(
    client: api.LiveKitAPI, livekit: Server, room_name: str, out: Path
) -> None:
    """Besides the server's; signed with the key it names."""
    await client.room.create_room(api.CreateRoomRequest(name=room_name))
    async with Receiver(livekit.key, livekit.secret) as own:
        request = media_egress(room_name, out)
        request.webhooks.append(WebhookConfig(url=own.url, signing_key=livekit.key))
        started = await client.egress.start_egress(request)
        await stop(client, started.egress_id)
        over = await own.first("egress_ended")

    assert {hook.event for hook in own.hooks} == {"egress_started", "egress_ended"}
    assert over.body["egressInfo"]["status"] == "EGRESS_ABORTED"


@pytest.mark.media
async def test_a_show_is_told_as_the_real_one_tells_it(
    client: api.LiveKitAPI, hooks: Receiver, encoders: Encoders, room_name: str, out: Path
) -> None:
    """Per resource in the recorded order, and with the recorded fields."""
    made, encoder = await publish(client, encoders, room_name)
    await hooks.first("track_published", count=2)
    started = await client.egress.start_egress(media_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)
    await encoders.stop(encoder)
    await hooks.first("ingress_ended")
    await encoders.push(address(made))
    await hooks.first("track_published", count=4)
    await has_segments(out / "vod.m3u8", len(playlist(out / "vod.m3u8").segments) + 1)
    await stop(client, started.egress_id)
    await hooks.first("egress_ended")
    # Whoever says that the egress ended does not wait for its participant to leave.
    await hooks.first("participant_left", count=2)
    await client.ingress.delete_ingress(api.DeleteIngressRequest(ingress_id=made.ingress_id))
    await client.room.delete_room(api.DeleteRoomRequest(room=room_name))
    # Nor does the room for somebody who is leaving already.
    await hooks.first("participant_left", count=3)
    await hooks.first("room_finished")

    def told(about: str) -> list[str]:
        return [kind(hook.body) for hook in hooks.hooks if about in hook.body]

    # Sound and picture may begin at the same moment: then each tells that it began.
    ingress = [event for event, _ in groupby(told("ingressInfo"))]
    assert ingress[:3] == ["ingress_started", "ingress_ended", "ingress_started"]
    # Mostly its row is gone before the end by deletion could be told.
    assert ingress[3:] in ([], ["ingress_ended"])
    assert told("egressInfo") == [
        "egress_started/starting",
        "egress_updated/active",
        "egress_updated/ending",
        "egress_ended/complete",
    ]
    # Which of sound and picture is first is chance.
    room = [re.sub("/(audio|video)", "", event) for event in told("room")]
    assert room.count("room_finished") == room[-4:].count("room_finished") == 1
    assert [event for event in room if event != "room_finished"] == [
        "room_started",
        *("participant_joined/ingress", "track_published", "track_published"),
        "participant_joined/egress",
        *("track_unpublished", "track_unpublished", "participant_left/ingress"),
        *("participant_joined/ingress", "track_published", "track_published"),
        "participant_left/egress",
        *("track_unpublished", "track_unpublished", "participant_left/ingress"),
    ]
    known = recorded()
    for hook in hooks.hooks:
        of_kind = known[kind(hook.body)]
        seen = fields(hook.body)
        assert set(of_kind["always"]) - seen == set(), kind(hook.body)
        assert seen - set(of_kind["always"]) - set(of_kind["sometimes"]) == set(), kind(hook.body)


@pytest.mark.media
async def test_a_participant_egress_tells_as_the_real_one_does(
    client: api.LiveKitAPI, hooks: Receiver, encoders: Encoders, room_name: str, out: Path
) -> None:
    """With one lone output, the old field is filled too."""
    _, encoder = await publish(client, encoders, room_name)
    started = await client.egress.start_participant_egress(participant_egress(room_name, out))
    await has_segments(out / "vod.m3u8", 1)
    await encoders.stop(encoder)

    complete = await ended(client, started.egress_id)
    over = await hooks.first("egress_ended")

    assert complete.status == EgressStatus.EGRESS_COMPLETE
    assert over.body["egressInfo"]["details"] == "End reason: Source closed"
    known = recorded()["egress_ended/complete"]
    seen = fields(over.body)
    assert set(known["always"]) - seen == set()
    assert seen - set(known["always"]) - set(known["sometimes"]) == set()


@pytest.mark.media
async def test_deleting_an_ingress_tells_who_left_and_its_end_at_most_once(
    client: api.LiveKitAPI, hooks: Receiver, encoders: Encoders, room_name: str
) -> None:
    """Mostly its row is gone before its end could be told; a real one was seen to be quicker."""
    made = await make_ingress(client, room_name)
    await encoders.push(address(made))
    await hooks.first("ingress_started")
    await hooks.first("track_published", count=2)

    await client.ingress.delete_ingress(api.DeleteIngressRequest(ingress_id=made.ingress_id))

    left = await hooks.first("participant_left")
    assert left.body["participant"]["identity"] == "host"
    await until(lambda: hooks.named("track_unpublished"), what="the tracks to go")
    assert len(hooks.named("ingress_ended")) <= 1

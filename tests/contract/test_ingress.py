"""What LiveKit does with ingresses while no encoder is there."""

import asyncio

import pytest
from livekit import api
from livekit.protocol.ingress import IngressState

from tests.contract.requests import ingress_of, make_ingress

INACTIVE = IngressState.Status.ENDPOINT_INACTIVE


async def test_an_rtmp_ingress_has_address_and_key(client: api.LiveKitAPI, room_name: str) -> None:
    """The address does not contain the key."""
    made = await make_ingress(client, room_name)

    assert made.ingress_id.startswith("IN_")
    assert made.url.startswith("rtmp://")
    assert made.stream_key
    assert made.stream_key not in made.url
    assert (made.reusable, made.state.status) == (True, INACTIVE)
    assert made.enable_transcoding


async def test_a_whip_ingress_has_an_http_address(client: api.LiveKitAPI, room_name: str) -> None:
    """It is made although nobody here speaks WHIP: no media worker is asked."""
    made = await client.ingress.create_ingress(
        api.CreateIngressRequest(
            input_type=api.IngressInput.WHIP_INPUT,
            name="w",
            room_name=room_name,
            participant_identity="host#whip",
        )
    )

    assert made.url.startswith("http")
    assert not made.enable_transcoding


async def test_creating_is_not_idempotent(client: api.LiveKitAPI, room_name: str) -> None:
    """Each creation has an id and a key of its own, and both are there."""
    one, two = await asyncio.gather(
        make_ingress(client, room_name), make_ingress(client, room_name)
    )

    assert one.ingress_id != two.ingress_id
    assert one.stream_key != two.stream_key
    listed = await client.ingress.list_ingress(api.ListIngressRequest(room_name=room_name))
    assert {i.ingress_id for i in listed.items} == {one.ingress_id, two.ingress_id}


async def test_an_identity_is_needed(client: api.LiveKitAPI, room_name: str) -> None:
    """Without one it is refused."""
    with pytest.raises(api.TwirpError) as refused:
        await make_ingress(client, room_name, identity="")

    assert (refused.value.status, refused.value.code) == (400, "invalid_argument")
    assert "no participant identity" in refused.value.message


async def test_rtmp_cannot_go_without_transcoding(client: api.LiveKitAPI, room_name: str) -> None:
    """H264 from an encoder cannot be passed on as it is."""
    with pytest.raises(api.TwirpError) as refused:
        await make_ingress(client, room_name, enable_transcoding=False)

    assert refused.value.code == "invalid_argument"


async def test_an_ingress_may_have_no_room_yet(client: api.LiveKitAPI) -> None:
    """The room is checked when an encoder publishes."""
    made = await make_ingress(client, "")

    assert made.room_name == ""


async def test_unknown_ids_are_not_found(client: api.LiveKitAPI) -> None:
    """For listing, changing and deleting."""
    ingress = client.ingress
    calls = [
        ingress.list_ingress(api.ListIngressRequest(ingress_id="IN_never")),
        ingress.update_ingress(api.UpdateIngressRequest(ingress_id="IN_never")),
        ingress.delete_ingress(api.DeleteIngressRequest(ingress_id="IN_never")),
    ]

    for call in calls:
        with pytest.raises(api.TwirpError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        assert "ingress does not exist" in refused.value.message


async def test_only_what_is_given_changes(client: api.LiveKitAPI, room_name: str) -> None:
    """Empty fields of an update leave things as they are."""
    made = await make_ingress(client, room_name)

    changed = await client.ingress.update_ingress(
        api.UpdateIngressRequest(ingress_id=made.ingress_id, participant_name="Host", enabled=False)
    )

    assert (changed.name, changed.room_name) == ("i", room_name)
    assert (changed.participant_name, changed.enabled) == ("Host", False)
    assert changed.stream_key == made.stream_key
    assert (await ingress_of(client, made.ingress_id)).enabled is False


async def test_a_deleted_ingress_is_gone(client: api.LiveKitAPI, room_name: str) -> None:
    """The answer is the ingress as it was, inactive."""
    made = await make_ingress(client, room_name)

    deleted = await client.ingress.delete_ingress(
        api.DeleteIngressRequest(ingress_id=made.ingress_id)
    )

    assert (deleted.ingress_id, deleted.state.status) == (made.ingress_id, INACTIVE)
    listed = await client.ingress.list_ingress(api.ListIngressRequest(room_name=room_name))
    assert list(listed.items) == []

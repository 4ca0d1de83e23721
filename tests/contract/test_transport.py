"""How LiveKit speaks Twirp: routes, codecs, tokens, errors."""

import asyncio
from datetime import timedelta

import aiohttp
import jwt
import pytest
from livekit import api

from tests.contract.conftest import Server
from tests.contract.control import Control

ROOM_SERVICE = "/twirp/livekit.RoomService"


def token(server: Server, *, ttl: timedelta = timedelta(minutes=5), **grants: object) -> str:
    """Make a token with exactly these grants."""
    return (
        api.AccessToken(server.key, server.secret)
        .with_ttl(ttl)
        .with_grants(api.VideoGrants(**grants))
        .to_jwt()
    )


def bearer(server: Server, **grants: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(server, **grants)}"}


async def post(
    server: Server,
    path: str,
    *,
    headers: dict[str, str],
    body: bytes = b"{}",
    content_type: str = "application/json",
    method: str = "POST",
) -> tuple[int, str, str]:
    """Send one raw request; gives status, content type and text."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method,
            server.url + path,
            data=body,
            headers={**headers, "Content-Type": content_type},
        ) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


async def test_root_says_ok(livekit: Server) -> None:
    """A health check needs no token."""
    async with aiohttp.ClientSession() as session, session.get(livekit.url) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")


async def test_json_in_camel_case_json_out_in_snake_case(livekit: Server, room_name: str) -> None:
    """The Node SDK sends camelCase with a charset; answers have snake_case and defaults."""
    body = f'{{"name": "{room_name}", "emptyTimeout": 77, "unknownField": 1}}'.encode()
    status, content_type, text = await post(
        livekit,
        f"{ROOM_SERVICE}/CreateRoom",
        headers=bearer(livekit, room_create=True),
        body=body,
        content_type="application/json;charset=UTF-8",
    )

    assert (status, content_type) == (200, "application/json")
    assert '"empty_timeout":77' in text.replace(" ", "")
    assert '"num_participants":0' in text.replace(" ", "")
    assert '"creation_time":"' in text.replace(" ", "")


async def test_a_path_may_begin_with_two_slashes(livekit: Server) -> None:
    """Some clients join a base address that ends with a slash."""
    status, _, text = await post(
        livekit, f"/{ROOM_SERVICE}/ListRooms", headers=bearer(livekit, room_list=True)
    )

    assert (status, "rooms" in text) == (200, True)


@pytest.mark.parametrize(
    ("path", "method", "content_type"),
    [
        (f"{ROOM_SERVICE}/NoSuchMethod", "POST", "application/json"),
        (f"{ROOM_SERVICE}/ListRooms", "GET", "application/json"),
        (f"{ROOM_SERVICE}/ListRooms", "POST", "text/plain"),
    ],
)
async def test_what_is_no_method_is_a_bad_route(
    livekit: Server, path: str, method: str, content_type: str
) -> None:
    """Wrong path, verb or content type: 404 with code bad_route, and exactly JSON."""
    status, answered_type, text = await post(
        livekit,
        path,
        headers=bearer(livekit, room_list=True),
        method=method,
        content_type=content_type,
    )

    assert (status, answered_type) == (404, "application/json")
    assert '"code":"bad_route"' in text
    assert "twirp_invalid_route" in text


async def test_what_is_no_service_is_not_found_in_plain_text(livekit: Server) -> None:
    """Nobody speaks Twirp there, so nobody answers in it."""
    status, answered_type, text = await post(
        livekit,
        "/twirp/livekit.NoSuchService/ListRooms",
        headers=bearer(livekit, room_list=True),
    )

    assert (status, answered_type) == (404, "text/plain; charset=utf-8")
    assert text == "404 page not found\n"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/json", b"{not json"), ("application/protobuf", b"\xff\xff\xff")],
)
async def test_what_cannot_be_decoded_is_malformed(
    livekit: Server, content_type: str, body: bytes
) -> None:
    """A broken body is 400 malformed."""
    status, answered_type, text = await post(
        livekit,
        f"{ROOM_SERVICE}/ListRooms",
        headers=bearer(livekit, room_list=True),
        body=body,
        content_type=content_type,
    )

    assert (status, answered_type) == (400, "application/json")
    assert '"code":"malformed"' in text


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "somebody"}, id="unknown key"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"nbf": 4_000_000_000}, id="not yet"),
    ],
)
async def test_a_bad_token_is_a_plain_401(livekit: Server, claims: dict[str, object]) -> None:
    """The middleware answers in text, not in Twirp's JSON."""
    good = {"iss": livekit.key, "exp": 4_000_000_000, "video": {"roomList": True}}
    bad = jwt.encode({**good, **claims}, livekit.secret, algorithm="HS256")

    status, content_type, _ = await post(
        livekit, f"{ROOM_SERVICE}/ListRooms", headers={"Authorization": f"Bearer {bad}"}
    )

    assert status == 401
    assert content_type.startswith("text/plain")


@pytest.mark.parametrize("header", ["Basic abc", "Bearer nonsense"])
async def test_a_header_that_is_no_token_is_a_plain_401(livekit: Server, header: str) -> None:
    """Whatever is in the header must be a bearer token."""
    status, content_type, _ = await post(
        livekit, f"{ROOM_SERVICE}/ListRooms", headers={"Authorization": header}
    )

    assert status == 401
    assert content_type.startswith("text/plain")


async def test_a_token_signed_by_somebody_else_is_a_plain_401(livekit: Server) -> None:
    """The key is right, the secret is not."""
    stranger = Server(livekit.url, livekit.key, "another-secret-another-secret-another")

    async with api.LiveKitAPI(stranger.url, stranger.key, stranger.secret) as client:
        with pytest.raises(api.TwirpError) as refused:
            await client.room.list_rooms(api.ListRoomsRequest())

    assert (refused.value.status, refused.value.code) == (401, "unknown")


async def test_a_minute_of_wrong_clock_is_forgiven(livekit: Server) -> None:
    """Expiry has a leeway of 60 s."""
    headers = {
        "Authorization": "Bearer " + token(livekit, ttl=timedelta(seconds=-30), room_list=True)
    }

    status, _, _ = await post(livekit, f"{ROOM_SERVICE}/ListRooms", headers=headers)

    assert status == 200


@pytest.mark.parametrize(
    ("call", "body", "grants"),
    [
        ("RoomService/CreateRoom", b'{"name":"x"}', {"room_list": True}),
        ("RoomService/DeleteRoom", b'{"room":"x"}', {"room_admin": True, "room": "x"}),
        ("RoomService/ListRooms", b"{}", {"room_create": True}),
        ("RoomService/ListParticipants", b'{"room":"x"}', {"room_admin": True, "room": "y"}),
        ("Ingress/ListIngress", b"{}", {"room_admin": True}),
        ("Egress/ListEgress", b"{}", {"ingress_admin": True}),
    ],
)
async def test_a_missing_grant_is_unauthenticated(
    livekit: Server, call: str, body: bytes, grants: dict[str, object]
) -> None:
    """A good token without the right grant gets Twirp's 401, not 403."""
    status, content_type, text = await post(
        livekit, f"/twirp/livekit.{call}", headers=bearer(livekit, **grants), body=body
    )

    assert (status, content_type) == (401, "application/json")
    assert '"code":"unauthenticated"' in text
    assert "permissions denied" in text


async def test_no_token_is_unauthenticated(livekit: Server) -> None:
    """Nobody gets the same answer as somebody without the grant."""
    status, _, text = await post(livekit, f"{ROOM_SERVICE}/ListRooms", headers={})

    assert (status, '"code":"unauthenticated"' in text) == (401, True)


async def test_a_token_may_stand_in_the_query(livekit: Server) -> None:
    """`?access_token=` does what the header does."""
    query = f"?access_token={token(livekit, room_list=True)}"

    status, _, _ = await post(livekit, f"{ROOM_SERVICE}/ListRooms{query}", headers={})

    assert status == 200


async def test_calls_at_the_same_time_are_all_answered(
    client: api.LiveKitAPI, room_name: str
) -> None:
    """Twenty creations of one room give one room."""
    rooms = await asyncio.gather(
        *(client.room.create_room(api.CreateRoomRequest(name=room_name)) for _ in range(20))
    )

    assert len({room.sid for room in rooms}) == 1


async def test_a_caller_may_bring_a_deadline(
    livekit: Server, standin: Control, room_name: str
) -> None:
    """Go clients send it along; what takes longer is deadline_exceeded."""
    await standin.arm("worker_gone", delay_seconds=5)
    body = f'{{"name":"{room_name}"}}'.encode()
    headers = bearer(livekit, room_create=True, room_record=True)
    await post(livekit, f"{ROOM_SERVICE}/CreateRoom", headers=headers, body=body)

    status, _, text = await post(
        livekit,
        "/twirp/livekit.Egress/StartEgress",
        headers={**headers, "X-Twirp-Timeout-Ms": "50"},
        body=f'{{"roomName":"{room_name}"}}'.encode(),
    )

    assert (status, '"code":"deadline_exceeded"' in text) == (408, True)

"""LiveKit's webhooks: verified, taken once, and only as hints."""

import asyncio
import base64
import hashlib
import io
import json
import time
import uuid

import jwt
import pytest
from sqlalchemy import select

from orchestration.database import DatabaseUnavailable
from orchestration.models import SeenWebhook
from orchestration.resources import Resources
from tests.integration.api.client import Api, Got
from tests.integration.api.sessions.conftest import Shows

KEY, SECRET = "devkey", "secret-of-a-stand-in-that-is-not-one"


def signed(body: bytes, *, key: str = KEY, secret: str = SECRET, **claims: object) -> str:
    """Sign as LiveKit does; a claim of None is left out."""
    now = int(time.time())
    every = {
        "iss": key,
        "nbf": now - 5,
        "exp": now + 300,
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        **claims,
    }
    kept = {name: value for name, value in every.items() if value is not None}
    return jwt.encode(kept, secret, algorithm="HS256")


def event(room: str, name: str = "track_published", **members: object) -> bytes:
    """Say an event as LiveKit does."""
    told = {
        "event": name,
        "room": {"sid": "RM_x", "name": room},
        "id": f"EV_{uuid.uuid4().hex[:12]}",
        "createdAt": str(int(time.time())),
        **members,
    }
    return json.dumps(told).encode()


async def post(api: Api, body: bytes, authorization: str | None, **options: object) -> Got:
    headers = {"Content-Type": "application/webhook+json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    return await api("POST", "/livekit/webhook", data=io.BytesIO(body), headers=headers, **options)


async def seen(resources: Resources) -> list[str]:
    async with resources.db.read() as tx:
        return list(await tx.scalars(select(SeenWebhook.event_id)))


async def test_a_webhook_rings_for_its_session(shows: Shows) -> None:
    """200, and a worker looks at the session now, whatever the webhook said."""
    show = await shows.live()
    await shows.bell.rest()
    before = await shows.row(show)
    shows.bell.rings.clear()
    shows.bell.is_heard = False
    body = event(shows.livekit_room(show))

    got = await post(shows.api, body, signed(body))

    assert (got.status, got.raw) == (200, b"")
    assert shows.bell.rings == [("sessions", uuid.UUID(show))]
    row = await shows.row(show)
    assert row.nudges == before.nudges + 1
    assert row.phase is before.phase


async def test_a_webhook_counts_once(shows: Shows) -> None:
    """LiveKit repeats what it is not sure of; also two at the same moment."""
    show = await shows.live()
    await shows.bell.rest()
    before = (await shows.row(show)).nudges
    body = event(shows.livekit_room(show))

    answers = await asyncio.gather(*(post(shows.api, body, signed(body)) for _ in range(4)))

    assert {got.status for got in answers} == {200}
    assert (await shows.row(show)).nudges == before + 1
    assert len(await seen(shows.api.resources)) == 1


BAD = {
    "no-authorization": lambda _: None,
    "empty": lambda _: "",
    "nonsense": lambda _: "Bearer nonsense",
    "other-secret": lambda body: signed(body, secret="another secret of thirty-two bytes"),
    "other-project": lambda body: signed(body, key="otherkey"),
    "other-body": lambda body: signed(body + b" "),
    "no-sha256": lambda body: signed(body, sha256=None),
    "no-exp": lambda body: signed(body, exp=None),
    "expired": lambda body: signed(body, exp=int(time.time()) - 3600),
    "alg-none": lambda _: jwt.encode({"iss": KEY}, None, algorithm="none"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_livekit_did_not_sign_is_refused(shows: Shows, case: str) -> None:
    """401, nothing rung, nothing written."""
    show = await shows.announce()
    await shows.bell.rest()
    before = (await shows.row(show)).nudges
    body = event(shows.livekit_room(show))

    got = await post(shows.api, body, BAD[case](body))

    assert got.problem == (401, "webhook-signature")
    assert (await shows.row(show)).nudges == before
    assert await seen(shows.api.resources) == []


async def test_what_is_not_about_us_is_ignored(shows: Shows) -> None:
    """Unknown events, fields, rooms and sessions: 200, so that LiveKit does not repeat them."""
    show = await shows.announce()
    room = shows.livekit_room(show)
    bodies = [
        event(room, "something_new"),
        event(room, brandNew={"a": 1}),
        event("somebody-elses-room"),
        event(f"greenroom-{uuid.uuid4()}"),
        event("greenroom-not-a-uuid"),
        event(""),
        json.dumps({"event": "room_started"}).encode(),
    ]

    for body in bodies:
        assert (await post(shows.api, body, signed(body))).status == 200


async def test_a_webhook_must_be_one(api: Api) -> None:
    """Signed, and no JSON: 400; too large: 413."""
    text, huge = b"this is no JSON", b'{"event": "' + b"x" * 2_000_000 + b'"}'

    assert (await post(api, text, signed(text))).problem == (400, "malformed-json")
    assert (await post(api, huge, signed(huge))).problem == (413, "payload-too-large")


async def test_without_a_database_livekit_repeats(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 makes LiveKit send it again."""

    def gone() -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(api.resources.db, "begin", gone)
    body = event(f"greenroom-{uuid.uuid4()}")

    got = await post(api, body, signed(body))

    assert got.problem == (503, "service-unavailable")
    assert got.headers["Retry-After"]

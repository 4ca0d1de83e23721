"""Webhooks on the real plane that are not what they seem: refused, or taken for hints only."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson
import pytest
from livekit import api

from deploy import testcard
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.plane.real import everything
from tests.plane.relay import Webhook
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

CARD = testcard.Card(width=320, height=180, video_kbits=300, audio_kbits=64)
#: LiveKit's clocks may differ by a minute.
OLD_SECONDS = -180.0


@dataclass(frozen=True)
class Letter:
    """A body, and the signature that comes with it."""

    body: bytes
    signature: str | None


async def test_a_webhook_that_is_not_ours_or_not_true_changes_nothing(real: Product) -> None:
    """Forged or changed: 401. Sent again, of something unknown, or a lie that is signed: 200."""
    show = await announce(await real.host())
    await show.go_live()
    encoder = await real.encoder(show, CARD)
    await show.plays()
    hook, other = [await sent(real, show, name) for name in ("egress_started", "track_published")]
    assert (hook.status, other.status) == (200, 200)
    await show.grows(1)
    before = await everything(real, show)

    for name, letter in refused(real, hook, other).items():
        assert await post(real, letter) == 401, name
    for name, letter in taken(real, show, hook).items():
        assert await post(real, letter) == 200, name

    # Hints make Greenroom look at once; by the next segments it has.
    await show.grows(2)
    assert await everything(real, show) == before
    assert encoder.exit_code is None
    assert await real.livekit.rooms(f"greenroom-{NOBODY}") == []
    await show.end()
    assert (await show.recording())["verdict"] == "verified"


#: Of a show that never was.
NOBODY = uuid4()


def refused(real: Product, hook: Webhook, other: Webhook) -> dict[str, Letter]:
    """Letters that livekit-server did not write, or not so."""
    key, secret = real.livekit.told["api_key"], real.livekit.told["api_secret"]
    body, signature = hook.body, hook.headers["Authorization"]
    flipped = bytes([*body[:-2], body[-2] ^ 1, body[-1]])
    wrong = "a secret of somebody else, just as long as ours"
    return {
        "another secret": Letter(body, signed(body, key, wrong)),
        "another key": Letter(body, signed(body, "somebody", secret)),
        "one byte changed": Letter(flipped, signature),
        "one byte more": Letter(body + b" ", signature),
        "the signature of another one": Letter(body, other.headers["Authorization"]),
        "a token without the body's hash": Letter(body, api.AccessToken(key, secret).to_jwt()),
        "an old signature": Letter(body, signed(body, key, secret, seconds=OLD_SECONDS)),
        "no signature": Letter(body, None),
        "nonsense": Letter(body, "nonsense"),
    }


def taken(real: Product, show: Show, hook: Webhook) -> dict[str, Letter]:
    """Letters with a good signature that say what was said, nothing known, or nothing true."""
    key, secret = real.livekit.told["api_key"], real.livekit.told["api_secret"]
    told = orjson.loads(hook.body)

    def letter(event: str, **about: Any) -> Letter:
        body = orjson.dumps({"event": event, "id": f"EV_{uuid4().hex[:12]}", **about})
        return Letter(body, signed(body, key, secret))

    ours, nobodys = {"name": show.room}, {"name": f"greenroom-{NOBODY}"}
    ended = told["egressInfo"] | {"status": "EGRESS_COMPLETE", "endedAt": "1790000000000000000"}
    return {
        "sent again": Letter(hook.body, hook.headers["Authorization"]),
        "and again": Letter(hook.body, hook.headers["Authorization"]),
        "a show that never was": letter("room_started", room=nobodys),
        "its egress": letter("egress_ended", egressInfo=ended | {"roomName": nobodys["name"]}),
        "somebody else's room": letter("room_finished", room={"name": "lobby"}),
        "about nothing": letter("room_started"),
        "an event of a later LiveKit": letter("room_renamed", room=ours),
        "an egress we never had": letter("egress_ended", egressInfo=ended | {"egressId": "EG_no"}),
        "a lie: the egress ended": letter("egress_ended", egressInfo=ended),
        "a lie: the room closed": letter("room_finished", room=ours),
        "a lie: the encoder left": letter("ingress_ended", ingressInfo={"roomName": show.room}),
    }


def signed(body: bytes, key: str, secret: str, *, seconds: float = 300.0) -> str:
    """Sign a body as livekit-server does."""
    token = api.AccessToken(key, secret).with_sha256(b64encode(sha256(body).digest()).decode())
    return token.with_ttl(timedelta(seconds=seconds)).to_jwt()


async def post(real: Product, letter: Letter) -> int:
    headers = {"Content-Type": "application/webhook+json"}
    if letter.signature is not None:
        headers["Authorization"] = letter.signature
    address = f"{real.url}/livekit/webhook"
    async with real.http.post(address, data=letter.body, headers=headers) as answer:
        return answer.status


async def sent(real: Product, show: Show, event: str) -> Webhook:
    """Wait until livekit-server has sent this of the show."""

    def found() -> list[Webhook]:
        return real.livekit.webhooks.of(show.room, event)

    return (await until(found, what=f"{event} of {show.room}"))[0]

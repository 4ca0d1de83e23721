"""Row `real`: whole shows on LiveKit's real server, against the same ones made by hand."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import m3u8
from livekit import api
from playwright.async_api import Browser

from deploy import testcard
from tests.acceptance.product import Product
from tests.acceptance.show import announce
from tests.bench.by_hand import hand_made
from tests.bench.figures import Measured, Pair
from tests.bench.subscriber import subscribed
from tests.bench.turns import say
from tests.bench.wire import wire
from tests.plane.real import real_product
from tests.plane.whip import FLAGS
from tests.system import chromium, redis
from tests.system.processes import running
from tests.system.waits import until

TURNS = 5
CARD = testcard.Card(width=640, height=360, video_kbits=500, audio_kbits=64)
#: How often a player asks.
LOOK_SECONDS = 0.05
#: A show has something to keep when it ends.
SEGMENTS = 3


@dataclass(frozen=True)
class Took:
    """What one show took, in seconds."""

    go_live: float
    playable: float  #: from the encoder's first packet
    picture: float  #: from the encoder's first packet
    end: float


@dataclass(frozen=True)
class Addresses:
    """Where to send, and where to see it."""

    livekit_url: str
    token: str
    rtmp_url: str
    stream_key: str


async def measure() -> list[Measured]:
    """Go live by Greenroom and by hand in turn; four lines of the same shows."""
    lines = {
        "go_live": Measured("go_live on the real LiveKit", "the same calls by hand, in turn", "s"),
        "playable": Measured(
            "encoder's first packet to the first playable HLS segment, real LiveKit",
            "the same by hand",
            "s",
            at_most=1.1,
        ),
        "picture": Measured(
            "encoder's first packet to a LiveKit subscriber's first picture",
            "the same by hand",
            "s",
        ),
        "end": Measured(
            "end asked to the recording's verdict, real LiveKit",
            "egress stopped and complete, rest removed, by hand",
            "s",
            at_most_added=0.3,
        ),
    }
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder:
        async with (
            redis.running() as server,
            real_product(
                Path(folder),
                database_url=f"sqlite:///{folder}/greenroom.db",
                redis_url=server.url,
            ) as real,
            chromium.running(*FLAGS) as browser,
        ):
            for turn in range(TURNS + 1):
                ours, floor = await _by_greenroom(real, browser), await _by_hand(real, browser)
                if turn == 0:
                    continue  # the first one warms up
                for name, line in lines.items():
                    line.pairs.append(Pair(getattr(ours, name), getattr(floor, name)))
                say(f"    show {turn}/{TURNS}: {ours}, by hand {floor}")
    for line in lines.values():
        line.notes.append(f"Greenroom adds {line.figure - line.floor_figure:+.2f} s")
    lines["picture"].notes.append(
        "LiveKit's ingress publishes about 0.3 s or about 1.3 s after an encoder connects, whoever"
        " made it: read this line and the one before it with that in mind"
    )
    return list(lines.values())


async def _by_greenroom(real: Product, browser: Browser) -> Took:
    show = await announce(await real.host())
    began = time.monotonic()
    await show.go_live()
    went_live = time.monotonic() - began
    viewer = await real.host("Audience")
    joined = await viewer.post(f"/sessions/{show.id}/join")
    hls_url = show.live["session"]["hls_url"]

    async def segments() -> int:
        return await _readable(real, hls_url)

    addresses = Addresses(
        joined["livekit_url"],
        joined["livekit_token"],
        show.live["rtmp"]["url"],
        show.live["rtmp"]["stream_key"],
    )
    async with _watched(browser, addresses, segments) as (playable, picture):
        began = time.monotonic()
        ending = asyncio.create_task(show.ask("end"))
        recording = await show.recording(every=LOOK_SECONDS)
        ended = time.monotonic() - began
        (await ending).expect(200)
        assert recording["verdict"] == "verified", recording
        await show.becomes("ended")
    await real.livekit.forgets(show.room)
    return Took(went_live, playable, picture, ended)


async def _by_hand(real: Product, browser: Browser) -> Took:
    url, key, secret = (
        real.environment[f"LIVEKIT_{name}"] for name in ("URL", "API_KEY", "API_SECRET")
    )
    async with api.LiveKitAPI(url, key, secret) as client, hand_made(client, real.folder) as show:
        began = time.monotonic()
        await show.go_live()
        went_live = time.monotonic() - began
        grants = api.VideoGrants(room_join=True, room=show.room, can_publish=False)
        token = api.AccessToken(key, secret).with_identity("viewer").with_grants(grants)
        ingress = show.ingresses[0]
        addresses = Addresses(url, token.to_jwt(), ingress.url, ingress.stream_key)
        async with _watched(browser, addresses, show.segments, begin=show.broadcast) as (
            playable,
            picture,
        ):
            began = time.monotonic()
            await show.end()
            ended = time.monotonic() - began
    return Took(went_live, playable, picture, ended)


@asynccontextmanager
async def _watched(
    browser: Browser,
    addresses: Addresses,
    segments: Callable[[], Awaitable[int]],
    *,
    begin: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[float, float]]:
    """Send, and wait until it is seen both ways: seconds to HLS, and to a subscriber's picture."""
    async with (
        wire(addresses.rtmp_url) as way,
        subscribed(browser, addresses.livekit_url, addresses.token) as subscriber,
    ):
        push = testcard.push_command(f"{way.url}/{addresses.stream_key}", CARD)
        async with running(push, name="encoder"):
            if begin is not None:
                await begin()

            async def playable() -> bool:
                return await segments() > 0

            async def enough() -> bool:
                return await segments() >= SEGMENTS

            await until(playable, what="a segment", every=LOOK_SECONDS)
            to_segment = time.monotonic() - way.first_packet_at
            seen_at = await asyncio.wait_for(subscriber.first_picture_at(), 60)
            to_picture = seen_at - (time.time() - time.monotonic() + way.first_packet_at)
            await until(enough, what=f"{SEGMENTS} segments", every=LOOK_SECONDS)
            yield to_segment, to_picture


async def _readable(real: Product, url: str) -> int:
    """Count what the public playlist names, once the newest of it was read."""
    async with real.http.get(url) as answer:
        if not answer.ok:
            return 0
        named = m3u8.loads(await answer.text())
    if not named.segments:
        return 0
    async with real.http.get(urljoin(url, str(named.segments[-1].uri))) as answer:
        assert answer.ok, "a playlist never names what cannot be read"
        assert await answer.read(), "a playlist never names what cannot be read"
    return (named.media_sequence or 0) + len(named.segments)

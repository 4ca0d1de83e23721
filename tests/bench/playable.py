"""Row `playable`: from the encoder's first packet until a player can play, against two segments."""

import time
from urllib.parse import urljoin

import m3u8

from deploy import testcard
from tests.bench import house
from tests.bench.figures import Measured
from tests.bench.turns import take_turns
from tests.bench.wire import wire
from tests.system.processes import running
from tests.system.waits import until

TURNS = 3
#: What a player needs to begin, and how long one is (GREENROOM_SEGMENT_SECONDS).
SEGMENTS = 2
SEGMENT_SECONDS = 2.0
#: Small, so that encoding it twice leaves the machine time for us.
CARD = testcard.Card(width=320, height=180, video_kbits=400)
#: How often the player asks.
LOOK_SECONDS = 0.05


async def measure() -> list[Measured]:
    """Go live, send a picture by RTMP, and read the public address as a player does."""
    line = Measured(
        what="first playable HLS after the encoder's first packet",
        floor=f"the length of {SEGMENTS} segments",
        unit="s",
        at_most=2.0,
    )
    async with house.opened() as ours:
        await ours.send_webhooks()

        async def playable() -> float:
            return await _playable(ours)

        async def floor() -> float:
            return SEGMENTS * SEGMENT_SECONDS

        await take_turns(line, playable, floor, turns=TURNS, warm_up=0)
    return [line]


async def _playable(ours: house.House) -> float:
    session_id = await ours.announce()
    live = await ours.ask("POST", f"/sessions/{session_id}/go_live")
    async with wire(live["rtmp"]["url"]) as way:
        push = testcard.push_command(f"{way.url}/{live['rtmp']['stream_key']}", CARD)
        async with running(push, name="encoder"):
            hls_url = live["session"]["hls_url"]
            await until(lambda: _can_play(ours, hls_url), what="playback", every=LOOK_SECONDS)
            took = time.monotonic() - way.first_packet_at
    await ours.end(session_id)
    return took


async def _can_play(ours: house.House, url: str) -> bool:
    """Read the playlist and the segments that it takes to begin."""
    async with ours.http.get(url) as answer:
        if not answer.ok:
            return False
        segments = m3u8.loads(await answer.text()).segments
    if len(segments) < SEGMENTS:
        return False
    for segment in segments[:SEGMENTS]:
        async with ours.http.get(urljoin(url, str(segment.uri))) as answer:
            assert answer.ok, "a playlist never names what cannot be read"
            assert await answer.read(), "a playlist never names what cannot be read"
    return True

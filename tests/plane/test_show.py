"""Whole shows on the real plane: encoders and browsers, drops and ends."""

import asyncio
import io
from itertools import pairwise
from pathlib import Path

import av
import pytest

from deploy import testcard
from tests.acceptance.download import download
from tests.acceptance.player import Player
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.browser.viewer import Viewer
from tests.plane import whip
from tests.plane.real import announce_with
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

CARD = testcard.Card(width=640, height=360, video_kbits=500, audio_kbits=64)
#: As long as a network's hiccup.
DROP_SECONDS = 5.0
#: A browser that sends, one that watches, and three encodings in between, on two cores.
PATIENCE = 120.0
#: Shorter than any encoder needs to come back.
WINDOW_SECONDS = 3


async def on_air(real: Product) -> Show:
    """Announce a show and go live; nobody sends yet."""
    show = await announce(await real.host())
    await show.go_live()
    return show


def segments_of(real: Product, show: Show, take: int = 1) -> list[Path]:
    media = Path(real.environment["GREENROOM_MEDIA_URL"].removeprefix("file://"))
    return sorted((media / "hls" / show.id / str(take)).glob("*.ts"))


def loudness(media: bytes) -> float:
    """Decode the sound; its largest sample, 1 is full scale."""
    loudest = 0.0
    with av.open(io.BytesIO(media)) as container:
        for frame in container.decode(audio=0):
            samples = memoryview(bytes(frame.planes[0])).cast("f")  # AAC decodes to floats
            loudest = max(loudest, *map(abs, samples))
    return loudest


async def test_an_encoder_that_drops_for_five_seconds_goes_on_with_its_show(real: Product) -> None:
    """RTMP to HLS to a verified recording: one take, one egress, nothing left at LiveKit."""
    show = await on_air(real)
    player = Player(real.stranger, show.live["session"]["hls_url"])
    encoder = await real.encoder(show, CARD)
    await show.plays()
    async with player.playing():
        await show.grows(2)

        encoder.kill()
        await show.becomes("reconnecting")
        await asyncio.sleep(DROP_SECONDS)  # the drop itself
        assert (await show.session())["trouble"] is None
        await real.encoder(show, CARD)
        await show.becomes("live")
        await show.grows(3)

        await show.end()
        await until(lambda: player.is_over, what="the player to see the end")
    recording = await show.recording()
    assert (recording["verdict"], recording["error_message"]) == ("verified", None)
    report = await show.report()
    assert [(take["number"], take["outcome"]) for take in report["takes"]] == [(1, "complete")]
    await real.livekit.forgets(show.room)
    (egress,) = await real.livekit.egresses(show.room)
    assert egress.details in {"End reason: StopEgress API", "End reason: Source closed"}
    file = await download(show.host, recording["id"])
    found = file.probe()
    assert found.tracks == ["audio", "video"]
    assert abs(found.seconds - recording["duration"]) <= 1
    assert loudness(file.body) > 0.05
    # Each encoder counts its pictures from 0; between them the last picture stands.
    numbers = [number for number in found.numbers if number is not None]
    assert len(numbers) > 0.9 * len(found.numbers)
    falls = [at for at, (before, after) in enumerate(pairwise(numbers), 1) if after < before]
    assert len(falls) == 1
    # A busy machine may show a picture for longer, but most of them are there: these are two
    # seconds of different ones, of the six or more before the drop.
    assert len(set(numbers[: falls[0]])) > 2 * CARD.frames_per_second


async def test_an_encoder_that_comes_back_too_late_finds_its_show_over(real: Product) -> None:
    """The show ends by itself and says why; its key opens nothing any more."""
    show = await announce_with(await real.host(), reconnect_window_seconds=WINDOW_SECONDS)
    await show.go_live()
    encoder = await real.encoder(show, CARD)
    await show.plays()

    encoder.kill()
    over = await show.becomes("ended")
    late = await real.encoder(show, CARD)
    await until(lambda: late.exit_code is not None, what="the encoder to be refused")

    assert (over["status"], over["end_reason"]) == ("ended", "reconnect_window_closed")
    await real.livekit.forgets(show.room)
    assert (await show.session())["phase"] == "ended"
    assert [take["outcome"] for take in (await show.report())["takes"]] == ["complete"]
    assert (await show.recording())["verdict"] == "verified"


async def test_ending_while_the_encoder_pushes_ends_for_good(real: Product) -> None:
    """An encoder that connects again and again does not bring the room back."""
    show = await on_air(real)
    encoder = await real.encoder(show, CARD)
    await show.plays()

    await show.end()
    await until(lambda: encoder.exit_code is not None, what="the encoder to be cut off")
    for _ in range(3):
        again = await real.encoder(show, CARD)
        await until(lambda: again.exit_code is not None, what="the encoder to be refused")  # noqa: B023

    await real.livekit.forgets(show.room)
    assert (await show.session())["phase"] == "ended"
    assert (await show.recording())["verdict"] == "verified"


async def test_a_second_encoder_on_the_same_key_takes_over(real: Product) -> None:
    """The first one is hung up on; the show does not stop."""
    show = await on_air(real)
    first = await real.encoder(show, CARD)
    await show.plays()

    second = await real.encoder(show, CARD)
    await until(lambda: first.exit_code is not None, what="the first encoder to be cut off")
    await show.becomes("live")
    await show.grows(3)

    assert second.exit_code is None
    await show.end()
    assert (await show.recording())["verdict"] == "verified"
    assert [take["outcome"] for take in (await show.report())["takes"]] == ["complete"]


async def test_a_browser_sends_by_whip(real: Product) -> None:
    """VP8 and Opus from Chromium become H264 and AAC that hls.js plays, and a recording."""
    show = await on_air(real)
    async with whip.studio() as page:
        assert await whip.send(page, show.live["whip_url"]) == "sending"
        await show.plays()
        viewer = Viewer(await whip.another_tab(page))
        await viewer.page.goto(f"{real.url}/watch/{show.id}")
        await viewer.sees("live", within=PATIENCE)
        await viewer.sees_changes(10, within=PATIENCE)
        assert await viewer.hears(within=PATIENCE) > 0.01
        assert viewer.complaints == []

        await show.end()

    recording = await show.recording()
    assert recording["verdict"] == "verified"
    await real.livekit.forgets(show.room)
    body = (await download(show.host, recording["id"])).body
    with av.open(io.BytesIO(body)) as media:
        pictures = [
            bytes(frame.reformat(width=64, height=36, format="gray").planes[0])
            for frame in media.decode(video=0)
        ]
    moves = [
        max(abs(before - after) for before, after in zip(one, two, strict=True))
        for one, two in pairwise(pictures[::10])
    ]
    assert sum(change > 20 for change in moves) > 0.7 * len(moves)
    assert loudness(body) > 0.05


async def test_the_host_goes_from_browser_to_encoder(real: Product) -> None:
    """The show goes on with the encoder's picture, and nothing is lost of either."""
    show = await on_air(real)
    async with whip.studio() as page:
        await whip.send(page, show.live["whip_url"])
        await show.plays()
        await show.grows(1)

        await whip.leave(page)
        await real.encoder(show, CARD)

        async def encoder_is_seen() -> bool:
            pieces = [piece for take in (1, 2, 3) for piece in segments_of(real, show, take)]
            numbers = list(testcard.numbers_in(pieces[-1])) if pieces else []
            return any(number is not None for number in numbers)

        await until(encoder_is_seen, what="the encoder's picture", within=120, every=1.0)
        await show.grows(2)
    await show.end()
    assert (await show.recording())["verdict"] == "verified"


async def test_a_show_nobody_sends_to_ends_with_nothing(real: Product) -> None:
    """No egress is started for it, and nothing is left."""
    show = await on_air(real)

    await show.end()

    assert await real.livekit.egresses(show.room) == []
    await real.livekit.forgets(show.room)
    assert (await show.session())["phase"] == "ended"

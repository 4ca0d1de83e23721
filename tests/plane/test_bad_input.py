"""Encoders on the real plane that must not come in, and media that no show can be made of."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from deploy import testcard
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.plane import encoders, whip
from tests.plane.real import everything
from tests.system.processes import Process
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

CARD = testcard.Card(width=320, height=180, video_kbits=300, audio_kbits=64)
#: LiveKit, the engine's looks and the API's own answer, on two cores.
PATIENCE = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def waiting(greenroom_on_air: Product) -> AsyncIterator[Show]:
    """Go live with a show that nobody sends to."""
    show = await announce(await greenroom_on_air.host())
    await show.go_live()
    yield show
    await show.end()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def over(greenroom_on_air: Product) -> Show:
    """Let a show be over whose host still has its addresses."""
    show = await announce(await greenroom_on_air.host())
    await show.go_live()
    await show.end()
    return show


# fmt: off
#: RTMP keys that open nothing, from the show that waits and the one that is over.
WRONG_KEYS = {
    "one that never was":        lambda _waiting, _over: "no-such-key",
    "none":                      lambda _waiting, _over: "",
    "an ended show's":           lambda _, over: over.live["rtmp"]["stream_key"],
    "one letter more":           lambda waiting, _: waiting.live["rtmp"]["stream_key"] + "x",
}
# fmt: on


@pytest.mark.parametrize("key", WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_key_that_opens_nothing_is_refused(
    real: Product, waiting: Show, over: Show, key: Any
) -> None:
    """The encoder is hung up on; neither show changes."""
    before = await everything(real, waiting), await everything(real, over)
    address = f"{waiting.live['rtmp']['url']}/{key(waiting, over)}"
    stranger = encoders.start(address, "picture alone")

    try:
        await stranger.ended()
    finally:
        stranger.stop()

    assert stranger.exit_code != 0
    assert (await everything(real, waiting), await everything(real, over)) == before
    assert await real.livekit.rooms(over.room) == []


async def test_a_key_that_was_replaced_opens_nothing(real: Product) -> None:
    """Whoever has it is hung up on, and with the new one the show begins."""
    show = await announce(await real.host())
    await show.go_live()
    url, old = show.live["rtmp"]["url"], show.live["rtmp"]["stream_key"]

    told = await show.host.post(f"/sessions/{show.id}/stream_key", prefer="wait=60")

    assert told["stream_key"] not in {None, old}
    stranger = encoders.start(f"{url}/{old}", "picture alone")
    try:
        assert await stranger.ended() != 0
    finally:
        stranger.stop()
    assert (await show.session())["phase"] == "waiting_for_media"
    show.live["rtmp"]["stream_key"] = told["stream_key"]
    await real.encoder(show, CARD)
    await show.becomes("live")
    await show.end()
    await real.livekit.forgets(show.room)


@pytest.mark.browser
async def test_whip_with_a_wrong_key_is_refused(real: Product, waiting: Show, over: Show) -> None:
    """With a status that says so; neither show changes."""
    before = await everything(real, waiting), await everything(real, over)
    base, _, key = waiting.live["whip_url"].rpartition("/")

    async with whip.studio() as page:
        offer = await whip.offer(page)
    for wrong in ("no-such-key", f"{key}x", over.live["whip_url"].rpartition("/")[2], ""):
        headers = {"Content-Type": "application/sdp"}
        async with real.http.post(f"{base}/{wrong}", data=offer, headers=headers) as answer:
            assert answer.status in {401, 404}, (wrong, answer.status, await answer.text())

    assert (await everything(real, waiting), await everything(real, over)) == before
    assert await real.livekit.rooms(over.room) == []


async def test_the_whip_key_in_an_rtmp_encoder_is_told(real: Product) -> None:
    """The host mixed the two up: the encoder is hung up on, and the session says so."""
    show = await announce(await real.host())
    await show.go_live()
    encoder = encoders.start(
        f"{show.live['rtmp']['url']}/{show.live['whip_url'].rpartition('/')[2]}", "picture alone"
    )

    assert await encoder.ended() != 0

    async def told() -> str:
        return str((await show.session())["trouble"]["slug"])

    assert await until(told, what="the trouble to be told", within=PATIENCE) == "encoder-refused"
    assert (await show.session())["phase"] == "waiting_for_media"
    await show.end()


@dataclass(frozen=True)
class Arrives:
    """What a show says of an encoder that is set up wrongly."""

    media: str
    phase: str
    health: str
    note: str
    trouble: str | None = None
    is_hung_up_on: bool = False


# fmt: off
#: In this order at one show: first it has no picture yet, then it had one.
ARRIVALS = (
    Arrives("sound alone",   "waiting_for_media", "waiting", "sound-only",    "no-picture"),
    # The ingress leaves the picture out without a word.
    Arrives("HEVC",          "waiting_for_media", "waiting", "sound-only",    "no-picture"),
    Arrives("Opus in RTMP",  "waiting_for_media", "waiting", "ingress-error", "encoder-refused",
            is_hung_up_on=True),
    Arrives("picture alone", "live",              "poor",    "no-sound"),
    Arrives("HEVC",          "reconnecting",      "lost",    "sound-only",    "no-picture"),
)
# fmt: on


async def test_media_that_no_show_can_be_made_of_is_told(real: Product, waiting: Show) -> None:
    """The session says what is wrong, in words for the host, and goes on when it is mended."""
    for arrival in ARRIVALS:
        encoder = send(real, waiting, arrival.media)
        try:
            session = await until(
                lambda: as_told(waiting, arrival),  # noqa: B023
                what=f"{arrival} to be told",
                within=PATIENCE,
                every=0.3,
            )
            if arrival.is_hung_up_on:
                assert await encoder.ended() != 0
            else:
                assert encoder.exit_code is None
            if arrival.phase == "live":
                await waiting.plays()
        finally:
            encoder.stop()
        if arrival.trouble:
            assert len(session["trouble"]["detail"]) > 40
            public = await until(
                lambda: as_the_audience_is_told(real, waiting, arrival),  # noqa: B023
                what=f"{arrival} to be told to the audience",
            )
            assert public["detail"] != session["trouble"]["detail"]

    await real.encoder(waiting, CARD)
    await until(lambda: is_well(waiting), what="no trouble any more", within=PATIENCE)
    await waiting.grows(2)


def send(real: Product, show: Show, media: str) -> Process:
    rtmp = show.live["rtmp"]
    encoder = encoders.start(f"{rtmp['url']}/{rtmp['stream_key']}", media)
    real.encoders.append(encoder)
    return encoder


async def as_told(show: Show, arrival: Arrives) -> dict[str, Any]:
    """Read a session and its health; both must say what is expected."""
    session = await show.session()
    health = await show.host.get(f"/sessions/{show.id}/stream_health")
    trouble = session["trouble"] and session["trouble"]["slug"]
    seen = (session["phase"], health["health"], trouble, arrival.note in health["notes"])
    assert seen == (arrival.phase, arrival.health, arrival.trouble, True), (seen, health["notes"])
    return session


async def as_the_audience_is_told(real: Product, show: Show, arrival: Arrives) -> dict[str, Any]:
    """Read the trouble as anybody may; their answers are kept for a moment."""
    trouble: dict[str, Any] = (await real.stranger.get(f"/sessions/{show.id}"))["trouble"]
    assert trouble["slug"] == arrival.trouble, trouble
    return trouble


async def is_well(show: Show) -> bool:
    session = await show.session()
    health = await show.host.get(f"/sessions/{show.id}/stream_health")
    seen = (session["phase"], session["trouble"], health["health"], health["notes"])
    assert seen == ("live", None, "good", []), (seen, health["ingress"])
    return True

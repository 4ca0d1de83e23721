"""Programs of the media plane killed in mid-show: the show goes on, and ends cleanly."""

import asyncio
import signal
from contextlib import suppress

import psutil
import pytest

from deploy import testcard
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.system.processes import Process
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

CARD = testcard.Card(width=640, height=360, video_kbits=500, audio_kbits=64)
#: Within this a show goes on or says what it lost.
WITHIN_SECONDS = 60.0


def programs(real: Product, *words: str) -> list[psutil.Process]:
    """Find programs of the plane by all these words of their command lines."""
    found = []
    for one in real.standin.family():
        with suppress(psutil.Error):
            if set(words) <= {part.rpartition("/")[2] for part in one.cmdline()}:
                found.append(one)
    return found


def kill(real: Product, *words: str) -> None:
    """Kill what is found by these words, as the kernel does when memory is short."""
    victims = programs(real, *words)
    assert victims, f"nothing runs that is called {words}"
    for victim in victims:
        victim.kill()


async def on_air(real: Product) -> tuple[Show, Process]:
    show = await announce(await real.host())
    await show.go_live()
    encoder = await real.encoder(show, CARD)
    await show.plays()
    return show, encoder


async def ends_cleanly(real: Product, show: Show) -> dict[str, object]:
    """End the show: nothing is left at LiveKit, and its recording has a verdict."""
    await show.end()
    recording = await show.recording()
    await real.livekit.forgets(show.room)
    return recording


async def test_a_killed_egress_handler_is_followed_by_another_take(real: Product) -> None:
    """LiveKit says `signal: killed`; Greenroom starts the next take, and the show plays on."""
    show, _ = await on_air(real)

    kill(real, "egress", "-handler")

    async def told() -> str:
        errors = [one.error for one in await real.livekit.egresses(show.room)]
        return next(filter(None, errors), "")

    assert await until(told, what="the death to be told") == "signal: killed"
    await show.grows(3, within=WITHIN_SECONDS)
    takes = (await show.report())["takes"]
    assert len(takes) == 2
    recording = await ends_cleanly(real, show)
    assert recording["verdict"] in {"verified", "partial"}


async def test_a_killed_egress_worker_is_noticed_by_its_silence(real: Product) -> None:
    """Nobody reports its end; that no segment comes says it, and another take follows."""
    show, _ = await on_air(real)

    kill(real, "egress", "-config", "egress.yaml")

    async def another_take() -> bool:
        # Starting it may fail while the worker comes back: then it is not the last one.
        return len((await show.report())["takes"]) >= 2

    await until(another_take, what="another take", within=2 * WITHIN_SECONDS, every=1.0)
    await show.grows(2, within=WITHIN_SECONDS)
    await show.end()
    assert (await show.recording())["verdict"] in {"verified", "partial"}


async def test_a_killed_ingress_handler_costs_a_reconnect(real: Product) -> None:
    """The encoder loses its connection at once; when it connects again, the show goes on."""
    show, encoder = await on_air(real)

    kill(real, "ingress", "run-handler")
    await until(lambda: encoder.exit_code is not None, what="the encoder to lose its connection")
    await real.encoder(show, CARD)

    await show.grows(3, within=WITHIN_SECONDS)
    recording = await ends_cleanly(real, show)
    assert recording["verdict"] == "verified"


async def test_a_killed_ingress_comes_back(real: Product) -> None:
    """Encoders connect again when the supervisor has started it again."""
    show, encoder = await on_air(real)

    kill(real, "ingress", "--config")
    await until(lambda: encoder.exit_code is not None, what="the encoder to lose its connection")

    async def sends_again() -> bool:
        again = await real.encoder(show, CARD)
        await asyncio.sleep(3)  # as encoders wait before they try again
        return again.exit_code is None

    await until(sends_again, what="the ingress to take encoders again", within=WITHIN_SECONDS)
    await show.grows(3, within=WITHIN_SECONDS)
    recording = await ends_cleanly(real, show)
    assert recording["verdict"] == "verified"


async def test_a_killed_livekit_server_comes_back_to_the_same_show(real: Product) -> None:
    """Room, encoder and egress resume by themselves."""
    show, _ = await on_air(real)

    kill(real, "livekit-server")

    await show.grows(5, within=2 * WITHIN_SECONDS)
    recording = await ends_cleanly(real, show)
    assert recording["verdict"] in {"verified", "partial"}


async def test_a_worker_that_drains_finishes_what_it_has(real: Product) -> None:
    """SIGTERM: the running egress goes on until its show ends, then the worker is gone."""
    show, _ = await on_air(real)
    (worker,) = [one for one in programs(real, "egress") if "-handler" not in one.cmdline()]

    worker.send_signal(signal.SIGTERM)
    await show.grows(3)

    assert worker.is_running()
    recording = await ends_cleanly(real, show)
    assert recording["verdict"] == "verified"
    await until(lambda: not worker.is_running(), what="the drained worker to go")

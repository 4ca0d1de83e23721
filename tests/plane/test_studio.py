"""The studio page on the real plane: a host broadcasts from the browser, and is seen and kept."""

from collections.abc import AsyncIterator
from itertools import groupby

import pytest
import pytest_asyncio
from livekit.protocol.models import ParticipantInfo, TrackInfo, TrackSource
from livekit.protocol.room import RoomParticipantIdentity

from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.browser.viewer import Viewer
from tests.plane.whip import FLAGS
from tests.system import chromium
from tests.system.waits import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.asyncio(loop_scope="session"),
]

#: What the host shares: a magenta picture in which something moves, as no camera has it.
SHARED_SCREEN = """navigator.mediaDevices.getDisplayMedia = async () => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  const pen = canvas.getContext("2d");
  let step = 0;
  setInterval(() => {
    pen.fillStyle = "#e000e0";
    pen.fillRect(0, 0, 640, 360);
    pen.fillStyle = "#fff";
    pen.fillRect(20 * (step++ % 30), 320, 40, 20);
  }, 100);
  return canvas.captureStream(15);
}"""
#: Whether the viewer's picture is magenta in its middle.
IS_SHARED = """(() => {
  const video = document.querySelector("video");
  const paper = new OffscreenCanvas(1, 1).getContext("2d");
  paper.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 8, 8, 0, 0, 1, 1);
  const [red, green, blue] = paper.getImageData(0, 0, 1, 1).data;
  return red > 150 && green < 90 && blue > 150;
})()"""
LAPTOP = {"width": 1280, "height": 800}
#: Chromium encodes, LiveKit forwards, the egress encodes again, on two cores.
PATIENCE = 180.0
BOTH = {TrackSource.CAMERA, TrackSource.MICROPHONE}


@pytest_asyncio.fixture(loop_scope="session")
async def studio(real: Product) -> AsyncIterator[tuple[Show, Viewer]]:
    """Open a show's studio as its host."""
    host = await real.host()
    show = await announce(host, mode="webcam")
    async with chromium.running(*FLAGS) as browser:
        context = await browser.new_context(viewport=LAPTOP, locale="en-GB")
        await context.add_init_script(SHARED_SCREEN)
        page = Viewer(await context.new_page())
        await page.page.goto(f"{real.url}/studio/{show.id}#token={host.token}")
        yield show, page


async def test_a_host_broadcasts_from_the_browser(
    real: Product, studio: tuple[Show, Viewer]
) -> None:
    """By livekit-client to a viewer's hls.js and a verified recording; muted from afar."""
    show, page = studio
    await page.page.click("#open")
    await reads(page, "#headline", "The green room is open, waiting for your picture")
    await page.page.click("#use-camera")
    await page.page.wait_for_selector("#microphone[aria-pressed=true]")
    await until(lambda: sends(real, show, BOTH), what="both tracks", within=PATIENCE)
    await reads(page, "#headline", "Your picture is here")
    await until(lambda: is_measured(page), what="what is sent being measured", within=PATIENCE)

    await page.page.click("#go-live")
    await reads(page, "#headline", "You are live")
    await show.grows(2)
    health = await show.host.get(f"/sessions/{show.id}/stream_health")
    assert (health["health"], health["program"]["via"]) == ("good", "browser")
    assert health["program"]["width"] > 0
    assert health["output"]["bits_per_second"] > 0
    await page.page.click("#view-program")
    await page.becomes("document.querySelector('#program-view').currentTime > 1", within=PATIENCE)
    await page.page.click("#view-camera")
    viewer = Viewer(await page.page.context.new_page())
    await viewer.page.goto(f"{real.url}/watch/{show.id}")
    await viewer.sees("live", within=PATIENCE)
    await viewer.sees_changes(10, within=PATIENCE)
    assert await viewer.hears(within=PATIENCE) > 0.01
    await viewer.page.close()

    switched = await show.host.post(f"/sessions/{show.id}/host_audio_state", {"enabled": False})
    assert switched == {"enabled": False, "tracks": 1}
    await page.page.wait_for_selector("#microphone[aria-pressed=false]")
    await until(lambda: is_muted(real, show, [True]), what="the sound being off at LiveKit")
    await page.page.keyboard.press("m")
    await page.page.wait_for_selector("#microphone[aria-pressed=true]")
    await until(lambda: is_muted(real, show, [False]), what="the sound being on at LiveKit")
    await page.page.keyboard.press("c")
    await reads(page, "#headline", "You are live with your camera off")
    await page.page.keyboard.press("c")
    await reads(page, "#headline", "You are live")
    # At the end LiveKit's client says that its room is closed.
    assert page.complaints == []

    await page.page.click("#end")
    await page.page.click("#end-yes")
    await reads(page, "#headline", "The show is over")
    await real.livekit.forgets(show.room)
    assert (await show.recording())["verdict"] == "verified"
    await page.page.wait_for_selector("#recording-download", state="visible")


async def test_viewers_see_what_the_host_shares(real: Product, studio: tuple[Show, Viewer]) -> None:
    """The screen instead of the camera for as long as it is shared; nothing is lost of either."""
    show, page = studio
    await page.page.click("#go-live")
    await page.page.click("#camera:not([disabled])")
    await show.plays(within=PATIENCE)
    viewer = Viewer(await page.page.context.new_page())
    await viewer.page.goto(f"{real.url}/watch/{show.id}")
    await viewer.sees("live", within=PATIENCE)
    await viewer.sees_changes(2, within=PATIENCE)
    assert not await viewer.page.evaluate(IS_SHARED)

    await page.page.click("#share")
    await viewer.becomes(IS_SHARED, within=PATIENCE)
    await viewer.sees_changes(2, within=PATIENCE)
    await page.page.click("#share")
    await viewer.becomes(f"!{IS_SHARED}", within=PATIENCE)
    await viewer.sees_changes(2, within=PATIENCE)

    await show.end()
    takes = (await show.report())["takes"]
    # Two takes of one source in a row were seen once, unexplained; the recording must be whole.
    sources = [source.partition("#")[2] for source, _ in groupby(take["source"] for take in takes)]
    assert sources == ["", "screen", ""], takes
    assert (await show.recording())["verdict"] == "verified"
    await real.livekit.forgets(show.room)


async def test_a_host_who_is_put_out_is_told(real: Product, studio: tuple[Show, Viewer]) -> None:
    """Removed by somebody: said, and not fought against; one click brings the camera back."""
    show, page = studio
    await page.page.click("#open")
    await page.page.click("#camera:not([disabled])")
    await until(lambda: sends(real, show, {TrackSource.CAMERA}), what="the picture")

    host = next(person for person in await people(real, show) if person.tracks)
    removed = RoomParticipantIdentity(room=show.room, identity=host.identity)
    await real.livekit.client.room.remove_participant(removed)
    await reads(page, "#dock-hint", "You were taken out of the room.")
    await page.page.click("#camera")

    await until(lambda: sends(real, show, {TrackSource.CAMERA}), what="the picture again")
    await show.end()


async def people(real: Product, show: Show) -> list[ParticipantInfo]:
    """Give who joined by livekit-client."""
    found = await real.livekit.participants(show.room)
    return [person for person in found if person.kind == ParticipantInfo.Kind.STANDARD]


async def sent(real: Product, show: Show, *sources: TrackSource) -> list[TrackInfo]:
    """Give what is published from browsers, of these kinds."""
    found = [track for person in await people(real, show) for track in person.tracks]
    return [track for track in found if not sources or track.source in sources]


async def sends(real: Product, show: Show, sources: set[TrackSource]) -> bool:
    return {track.source for track in await sent(real, show)} == sources


async def is_muted(real: Product, show: Show, muted: list[bool]) -> bool:
    """Whether each microphone is as it should be: nobody is told when LiveKit has taken it up."""
    seen = [track.muted for track in await sent(real, show, TrackSource.MICROPHONE)]
    assert seen == muted, f"muted: {seen}"
    return True


async def is_measured(page: Viewer) -> bool:
    return "bit/s" in await page.text("#gauges")


async def reads(page: Viewer, selector: str, text: str) -> None:
    """Wait until an element has this text."""

    async def is_there() -> bool:
        seen = await page.text(selector)
        assert seen == text, f"it says {seen!r}"
        return True

    await until(is_there, what=f"{selector} to say {text!r}", within=PATIENCE)

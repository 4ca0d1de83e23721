"""A browser that sends its camera and microphone by WHIP, as the standard says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Page

from tests.system import chromium
from tests.system.web import serving

#: A camera with a moving picture and a microphone that beeps, both without asking anybody.
FLAGS = (
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PAGE = "<!doctype html><title>A studio</title><video autoplay muted playsinline></video>"
#: Makes an offer that is complete: no candidate follows it.
OFFER = """async () => {
  const stream = await navigator.mediaDevices.getUserMedia(
    {video: {width: 640, height: 360, frameRate: 25}, audio: true});
  document.querySelector("video").srcObject = stream;
  const peer = window.peer = new RTCPeerConnection();
  for (const track of stream.getTracks()) peer.addTransceiver(track, {direction: "sendonly"});
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== "complete") await new Promise(go => setTimeout(go, 50));
  return peer.localDescription.sdp;
}"""
SEND = """async ({url, offer}) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: {"Content-Type": "application/sdp"},
    body: offer,
  });
  if (answer.status !== 201) return `${answer.status} ${await answer.text()}`;
  await window.peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  return "sending";
}"""


@asynccontextmanager
async def studio() -> AsyncIterator[Page]:
    """Open a page that may use camera and microphone, for the length of a block."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with serving(app) as url, chromium.running(*FLAGS) as browser:
        opened = await browser.new_page()
        await opened.goto(f"{url}/")
        yield opened


async def send(page: Page, whip_url: str) -> str:
    """Publish to a WHIP address that holds its key; gives "sending", or what was answered."""
    said: str = await page.evaluate(SEND, {"url": whip_url, "offer": await offer(page)})
    return said


async def offer(page: Page) -> str:
    """Make the offer that would be sent to a WHIP address."""
    sdp: str = await page.evaluate(OFFER)
    return sdp


async def another_tab(page: Page) -> Page:
    """Open another page in the same browser."""
    browser = page.context.browser
    assert browser is not None
    return await browser.new_page()


async def leave(page: Page) -> None:
    """Hang up without a word, as a closed tab does."""
    await page.evaluate("window.peer.close()")

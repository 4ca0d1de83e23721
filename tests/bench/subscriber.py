"""A LiveKit subscriber in Chromium, who notes when the first picture is on the screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page

from tests.plane.guests import CLIENT

WATCH = """async ({url, token}) => {
  const {Room, RoomEvent} = LivekitClient;
  const room = new Room();
  window.firstPictureAt = new Promise((seen) => {
    room.on(RoomEvent.TrackSubscribed, (track) => {
      if (track.kind !== "video") return;
      const video = Object.assign(document.createElement("video"), {autoplay: true, muted: true});
      document.body.append(video);
      video.requestVideoFrameCallback((now) => seen(performance.timeOrigin + now));
      track.attach(video);
    });
  });
  await room.connect(url, token);
}"""


class Subscriber:
    """Somebody in the room."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def first_picture_at(self) -> float:
        """Wait for the first picture; Unix seconds."""
        milliseconds: float = await self._page.evaluate("window.firstPictureAt")
        return milliseconds / 1_000


@asynccontextmanager
async def subscribed(browser: Browser, url: str, token: str) -> AsyncIterator[Subscriber]:
    """Join a room, for the length of a block, with a token that lets it subscribe."""
    page = await browser.new_page()
    try:
        await page.add_script_tag(path=CLIENT)
        await page.evaluate(WATCH, {"url": url, "token": token})
        yield Subscriber(page)
    finally:
        await page.close()

"""People in LiveKit rooms: any number of livekit-client's rooms in one tab of Chromium."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

CLIENT = (
    Path(__file__).parents[2] / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"
)
_BEGIN = """() => {
  window.guests = {};
  window.join = async ({name, url, token}) => {
    const room = new LivekitClient.Room();
    const guest = guests[name] = {room, heard: [], pictures: []};
    room.on(LivekitClient.RoomEvent.DataReceived, (bytes, from) =>
      guest.heard.push([from?.identity ?? null, new TextDecoder().decode(bytes)]));
    room.on(LivekitClient.RoomEvent.TrackSubscribed, (track) => {
      const element = track.attach();
      element.muted = true;
      document.body.append(element);
      if (track.kind === "video") guest.pictures.push(element);
    });
    try {
      await room.connect(url, token);
    } catch (error) {
      return `${error.reasonName ?? error.name}: ${error.message}`;
    }
    return "joined";
  };
}"""
_TELL = """async ({name, text}) => {
  try {
    await guests[name].room.localParticipant.publishData(
      new TextEncoder().encode(text), {reliable: true});
    return "sent";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}"""
_PUBLISH = """async ({name}) => {
  try {
    await guests[name].room.localParticipant.setCameraEnabled(true);
    return "published";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}"""
#: Who else is here, as livekit-client shows it.
_SEES = "({name}) => [...guests[name].room.remoteParticipants.keys()].sort()"
#: How many pictures were shown of what was subscribed to.
_PICTURES = """({name}) => guests[name].pictures
  .map((video) => video.getVideoPlaybackQuality().totalVideoFrames)
  .reduce((sum, frames) => sum + frames, 0)"""


class Guests:
    """One tab, and who joined from it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def begin(self) -> "Guests":
        """Load livekit-client into the tab."""
        await self.page.add_script_tag(path=CLIENT)
        await self.page.evaluate(_BEGIN)
        return self

    async def join(self, name: str, told: dict[str, Any]) -> str:
        """Join with what the API answered: `joined`, or why not. Names are the tab's own."""
        joining = {"name": name, "url": told["livekit_url"], "token": told["livekit_token"]}
        said: str = await self.page.evaluate("(told) => join(told)", joining)
        return said

    async def tell(self, name: str, text: str) -> str:
        """Send data to everybody; whether it left, not whether it came."""
        said: str = await self.page.evaluate(_TELL, {"name": name, "text": text})
        return said

    async def publish(self, name: str) -> str:
        """Switch the camera on: `published`, or why not."""
        said: str = await self.page.evaluate(_PUBLISH, {"name": name})
        return said

    async def heard(self, name: str) -> list[list[str]]:
        """Give the data that came: who sent it, and what."""
        told: list[list[str]] = await self.page.evaluate(
            "({name}) => guests[name].heard", {"name": name}
        )
        return told

    async def sees(self, name: str) -> list[str]:
        """Name whom this guest is shown."""
        told: list[str] = await self.page.evaluate(_SEES, {"name": name})
        return told

    async def pictures(self, name: str) -> int:
        """Count the pictures that were shown to this guest."""
        count: int = await self.page.evaluate(_PICTURES, {"name": name})
        return count

"""The shortest show that is a whole one: live, played, ended, recorded, and nothing left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.acceptance.download import Download, download
from tests.acceptance.player import Player
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.system.waits import until

#: Done in the middle of the show, when viewers can watch.
Interlude = Callable[[Show], Awaitable[object]]


@dataclass(frozen=True)
class Performed:
    """What came of it."""

    show: Show
    player: Player
    recording: dict[str, Any]
    download: Download


async def perform(greenroom: Product, interlude: Interlude | None = None) -> Performed:
    """Perform a show from its announcement to its download, and see that all of it is so."""
    host = await greenroom.host()
    show = await announce(host)
    await show.go_live()
    await greenroom.encoder(show)
    await show.plays()
    if interlude is not None:
        await interlude(show)
    player = Player(greenroom.stranger, show.live["session"]["hls_url"])
    async with player.playing():
        await show.grows(2)
        ended = await show.end()
        await until(lambda: player.is_over, what="the player to see the end")
    recording = await show.recording()
    file = await download(host, recording["id"])
    assert (ended["status"], ended["end_reason"]) == ("ended", "requested")
    assert recording["verdict"] == "verified", recording
    assert (recording["sha256"], recording["file_size"]) == (file.sha256, len(file.body))
    sequence = [event["seq"] for event in await show.events()]
    assert sequence == list(range(1, len(sequence) + 1))
    await greenroom.livekit.forgets(show.room)
    return Performed(show, player, recording, file)

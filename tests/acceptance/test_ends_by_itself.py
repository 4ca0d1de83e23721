"""Shows that nobody ends: they end by themselves, and say why."""

import pytest

from tests.acceptance.product import Product
from tests.acceptance.show import announce

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]


async def test_a_show_whose_encoder_stays_away_ends(brisk: Product):
    """The reconnect window closes; what was sent until then is recorded."""
    host = await brisk.host()
    async with brisk.another_api(GREENROOM_RECONNECT_WINDOW_SECONDS="3") as hasty:
        show = await announce(await hasty.host())
    show.host = host
    await show.go_live()
    encoder = await brisk.encoder(show)
    await show.plays()

    encoder.kill()
    ended = await show.becomes("ended")

    phases = [
        one["facts"]["after"] for one in await show.events() if one["kind"] == "session.phase"
    ]
    assert phases[-4:] == ["live", "reconnecting", "ending", "ended"]
    assert ended["end_reason"] == "reconnect_window_closed"
    assert ended["playback"]["state"] == "ended"
    assert (await show.recording())["verdict"] == "verified"
    await brisk.livekit.forgets(show.room)


async def test_a_show_that_nobody_sends_to_ends(brisk: Product):
    """It was live for nobody; nothing was recorded, and nothing is left."""
    host = await brisk.host()
    async with brisk.another_api(GREENROOM_NO_MEDIA_SECONDS="2") as hasty:
        show = await announce(await hasty.host())
    show.host = host
    # Two seconds after it is live it is over: whoever asks again is told so.
    await show.go_live(prefer="wait=60")

    ended = await show.becomes("ended")

    assert (ended["status"], ended["end_reason"]) == ("ended", "no_media")
    assert (await show.report())["recording"] is None
    assert await brisk.livekit.egresses(show.room) == []
    await brisk.livekit.forgets(show.room)

"""A stream key that others have seen: taken back in mid-show, without ending it."""

import pytest

from tests.acceptance.product import Product
from tests.acceptance.show import announce

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]


async def test_a_replaced_key_opens_nothing_and_the_show_goes_on(brisk: Product):
    """Whoever sends with it is cut off and kept out; with the new one the show comes back."""
    show = await announce(await brisk.host())
    await show.go_live()
    encoder = await brisk.encoder(show)
    await show.plays()
    old = show.live["rtmp"]["stream_key"]

    replaced = await show.host.post(f"/sessions/{show.id}/stream_key", prefer="wait=60")

    await encoder.ended()
    await show.becomes("reconnecting")
    # With the old key there is nobody to send to.
    stranger = await brisk.encoder(show)
    assert await stranger.ended() != 0
    assert replaced["stream_key"] not in {None, old}
    show.live["rtmp"]["stream_key"] = replaced["stream_key"]
    await brisk.encoder(show)
    await show.becomes("live")
    await show.grows(2)
    assert (await show.go_live())["rtmp"]["stream_key"] == replaced["stream_key"]
    await show.end()
    assert (await show.recording())["verdict"] == "verified"
    await brisk.livekit.forgets(show.room)

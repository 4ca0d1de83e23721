"""A show on the real plane before its audience: by HLS on the watch page, and inside the room."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy import testcard
from tests.acceptance.caller import Caller
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce
from tests.browser.viewer import Viewer
from tests.plane import whip
from tests.plane.guests import Guests
from tests.system.waits import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.asyncio(loop_scope="session"),
]

CARD = testcard.Card(width=320, height=180, video_kbits=300, audio_kbits=64)
#: Two cores encode three times and play four times.
PATIENCE = 120.0
#: What is promised: whoever went is not counted after this. That whoever came is counted within
#: 15 s is not measured here: LiveKit's number of people trails, marks are flushed and counts are
#: made in turns, no answer tells how late a busy machine made each of them, and then there is no
#: telling a broken promise from a slow machine.
GONE_SECONDS = 60.0
#: Whoever is not counted had the time to be: rooms are counted every 5 s, people every 20 s.
COUNT_AGAIN = timedelta(seconds=25)


async def test_the_audience_is_counted_and_nobody_else(real: Product) -> None:
    """Two in the room and one by HLS; not the host, the encoder, the egress, the monitor."""
    show = await announce(await real.host())
    await show.go_live()
    await real.encoder(show, CARD)
    await show.plays()
    async with whip.studio() as page:
        watcher = Viewer(await whip.another_tab(page))
        await watcher.page.goto(f"{real.url}/watch/{show.id}")
        await watcher.sees("live", within=PATIENCE)
        await watcher.sees_motion(within=PATIENCE)
        assert await watcher.hears(within=PATIENCE) > 0.01
        guests = await Guests(page).begin()
        for name in ("ann", "bob"):
            viewer = Caller(real.http, real.url, await real.token("viewer", "--user", name))
            told = await viewer.post(f"/sessions/{show.id}/join")
            assert await guests.join(name, told) == "joined"

        await counts(show, livekit=2, hls=1, within=PATIENCE)
        await until(lambda: guests.pictures("ann"), what="Ann's picture", within=PATIENCE)

        host = await show.host.post(f"/sessions/{show.id}/join")
        assert await guests.join("host", host) == "joined"
        monitor = await show.host.get(f"/sessions/{show.id}/monitor")
        assert await guests.join("monitor", monitor) == "joined"
        await until(lambda: guests.pictures("monitor"), what="a picture", within=PATIENCE)
        kinds = [one.permission.hidden for one in await real.livekit.participants(show.room)]
        assert kinds.count(True) == 2, "the egress and the monitor are hidden"
        joined = datetime.now(UTC)
        await is_counted_after(show, joined + COUNT_AGAIN)
        await counts(show, livekit=2, hls=1, within=0)
        identities = {name: await guests.sees(name) for name in ("ann", "bob", "host")}
        assert not any("#monitor" in who for seen in identities.values() for who in seen)

        await page.close(run_before_unload=False)
        await counts(show, livekit=0, hls=1, within=GONE_SECONDS)
        assert watcher.complaints == []
        await watcher.page.close()
        await counts(show, livekit=0, hls=0, within=GONE_SECONDS)

    over = await show.end()
    assert over["max_viewers"] == 3
    assert (await show.recording())["verdict"] == "verified"


async def counts(show: Show, *, livekit: int, hls: int, within: float) -> None:
    """Wait until so many are counted; all that is told of it agrees."""

    async def told() -> dict[str, Any] | None:
        session = await show.session()
        viewers = session["viewers"]
        seen = (viewers["livekit"], viewers["hls"])
        assert seen == (livekit, hls), f"{seen} are counted"
        assert viewers["stale"] is False, f"the count of {viewers['as_of']} is stale"
        return session

    session = await until(told, what=f"{livekit} and {hls} viewers", within=within, every=0.5)
    assert session["viewer_count"] == livekit + hls


async def is_counted_after(show: Show, moment: datetime) -> None:
    """Wait until a count is younger than that."""

    async def counted() -> bool:
        as_of = (await show.session())["viewers"]["as_of"]
        return as_of is not None and datetime.fromisoformat(as_of) > moment

    await until(counted, what=f"a count after {moment}", every=0.5)

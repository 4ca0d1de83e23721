"""A viewer of a show: waits, plays, is counted, rides out a drop, and sees it again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import Visit
from tests.browser.studio import MARK, Studio, in_seconds
from tests.browser.viewer import Viewer
from tests.system import chromium as browsers
from tests.system.waits import until

pytestmark = pytest.mark.browser

#: The page lets a show play out for 90 s at most.
PLAYED_OUT_SECONDS = 120.0


async def test_the_countdown_runs_in_the_viewers_zone(studio: Studio, visit: Visit):
    """Whoever comes early sees when it begins where they are."""
    begins = datetime.now(UTC) + timedelta(minutes=30)
    studio.tell(scheduled_start_time=begins.isoformat())

    viewer = await visit(studio.page, timezone_id="America/New_York")

    await viewer.sees("scheduled")
    there = begins.astimezone(ZoneInfo("America/New_York"))
    assert f"{there:%H:%M}" in await viewer.text("#line")
    first = await viewer.text("#countdown")
    await until(lambda: _differs(viewer, "#countdown", first), what="the countdown to run")


async def test_a_page_opened_before_the_show_plays_it_without_a_reload(
    studio: Studio, visit: Visit
):
    """The show begins by itself, from every stage of waiting."""
    viewer = await visit(studio.page)
    await viewer.page.evaluate("window.isTheSamePage = true")
    await viewer.sees("scheduled")

    studio.tell(phase="provisioning")
    await viewer.sees("backstage")
    studio.tell(phase="waiting_for_media", started_at=in_seconds(0))
    await viewer.sees("waiting")
    async with studio.broadcast.on_air(already=2):
        studio.go_live()

        await viewer.sees("live")
        await viewer.sees_motion()
        assert await viewer.hears() > 0.01
        assert await viewer.page.title() == f"● {studio.session['title']}"
        assert await viewer.page.evaluate("window.isTheSamePage")


async def test_a_screen_reader_is_told_what_changes(studio: Studio, visit: Visit):
    """The live region says each new state once."""
    viewer = await visit(studio.page)
    await until(lambda: _says(viewer, "Starts"), what="the time being told")

    studio.tell(phase="waiting_for_media")
    await until(lambda: _says(viewer, "The picture is on its way"), what="on air being told")
    async with studio.broadcast.on_air():
        studio.go_live()

        await until(lambda: _says(viewer, "The show is live"), what="live being told")


async def test_viewers_are_shown_unless_the_host_hides_them(studio: Studio, visit: Visit):
    """The preset decides."""
    async with studio.broadcast.on_air():
        studio.go_live()
        studio.tell(viewer_count=7)
        viewer = await visit(studio.page)
        await viewer.sees("live")
        assert await viewer.text("#viewers") == "7 watching"

        studio.tell(viewer_count=8)
        await until(lambda: _reads(viewer, "#viewers", "8 watching"), what="the new count")
        studio.tell(preset={"viewer_count_visible": False})

        await viewer.page.wait_for_selector("#viewers", state="hidden")


async def test_a_viewer_beats_with_one_mark_while_watching(studio: Studio, visit: Visit):
    """The first beat asks for a mark; the next carries it, after a reload as well."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()

        await until(lambda: len(studio.beats) >= 2, what="two heartbeats")
        await viewer.page.reload()
        await viewer.sees_motion()
        await until(lambda: len(studio.beats) >= 3, what="a heartbeat after the reload")

        assert studio.beats[:3] == [None, MARK, MARK]


async def test_whoever_pauses_does_not_count(studio: Studio, visit: Visit):
    """No heartbeat while nothing is played; the first comes back with the picture."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()
        await until(lambda: studio.beats, what="the first heartbeat")

        await viewer.page.keyboard.press("k")
        await viewer.page.wait_for_selector("#toggle[aria-label=Play]")
        counted = len(studio.beats)
        await asyncio.sleep(11)  # longer than the pause between two beats
        assert len(studio.beats) == counted
        await viewer.page.keyboard.press("k")

        await until(lambda: len(studio.beats) > counted, what="a heartbeat after the pause")


async def test_an_encoder_drop_freezes_the_picture_and_passes(studio: Studio, visit: Visit):
    """The last picture stays, a notice says why, and the new take plays without a reload."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()
        await viewer.page.evaluate("window.isTheSamePage = true")

        studio.broadcast.drop()
        studio.tell(phase="reconnecting")
        await viewer.sees("reconnecting")
        frozen = await until(lambda: _frozen(viewer), what="the picture to stand", every=1.0)
        assert frozen > 0
        assert await viewer.text("#notice")
        studio.broadcast.come_back()
        studio.go_live()

        second_take = studio.broadcast.takes[1].first_frame
        assert await viewer.sees_motion(beyond=second_take) > second_take
        assert await viewer.hears() > 0.01
        await viewer.sees("live")
        assert await viewer.page.evaluate("window.isTheSamePage")


async def test_a_playlist_that_is_not_there_yet_is_waited_for(studio: Studio, visit: Visit):
    """A cache that says 404 for a while costs a while, not the show."""
    async with studio.broadcast.on_air():
        studio.is_media_gone = True
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees("live")
        await viewer.page.wait_for_event(
            "response", lambda response: response.status == 404 and "/hls/" in response.url
        )

        studio.is_media_gone = False

        await viewer.sees_motion()


async def test_media_that_fail_for_a_while_are_asked_for_again(studio: Studio, visit: Visit):
    """Storage that is away for longer than the player's buffer does not end the show."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()

        studio.is_media_gone = True
        frozen = await until(lambda: _frozen(viewer), what="the picture to stand", every=1.0)
        studio.is_media_gone = False

        await viewer.sees_motion(beyond=frozen)


async def test_an_api_that_is_away_does_not_stop_the_picture(studio: Studio, visit: Visit):
    """The player goes on with a small notice, which goes when the API is back."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()

        studio.is_down = True
        await viewer.page.wait_for_selector("#toast", state="visible")
        assert await viewer.scene() == "live"
        await viewer.sees_motion(beyond=await viewer.frame())
        studio.is_down = False

        await viewer.page.wait_for_selector("#toast", state="hidden")


async def test_an_unchanged_show_is_read_for_the_price_of_a_304(studio: Studio, visit: Visit):
    """Polls carry the tag of what is known."""
    viewer = await visit(studio.page)
    await viewer.sees("scheduled")
    studio.tell(phase="open")
    await viewer.sees("backstage")

    await until(lambda: studio.reads[-2:] == [304, 304], what="two unchanged reads")


async def test_a_show_that_is_deleted_is_not_there_any_more(studio: Studio, visit: Visit):
    """The page says so, instead of playing on."""
    viewer = await visit(studio.page)
    await viewer.sees("scheduled")

    studio.is_deleted = True

    await viewer.sees("missing")


async def test_whoever_paused_can_catch_up(studio: Studio, visit: Visit):
    """Behind the live place a button leads back to it."""
    async with studio.broadcast.on_air(already=4):
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()
        await viewer.page.keyboard.press("k")
        await viewer.page.wait_for_selector("#behind", state="visible")
        paused = await viewer.frame()

        await viewer.page.click("#behind")

        # Six seconds behind is what the button is for: 150 pictures.
        assert await viewer.sees_motion(beyond=paused + 100) > paused + 100
        await viewer.page.wait_for_selector("#edge", state="visible")


async def test_the_end_is_seen_to_the_last_second_and_then_again(studio: Studio, visit: Visit):
    """The show plays out, the recording is prepared, and the replay is there with seeking."""
    async with studio.broadcast.on_air(already=4):
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()

        studio.end()
        await viewer.sees("preparing")
        studio.has_full = True
        await viewer.sees("replay")
        await viewer.note_pictures()
        await viewer.page.click("#action")

        await viewer.sees("replaying")
        await viewer.sees_motion()
        assert min(await viewer.noted()) < 100  # from the beginning
        await viewer.page.focus("#seek")
        await viewer.page.keyboard.press("End")
        last_second = 25 * (2 * studio.broadcast.segments - 1)
        await until(lambda: _reaches(viewer, last_second), what="the last second")


async def test_the_last_pictures_are_not_cut_off(studio: Studio, visit: Visit):
    """A viewer is seconds behind: the page waits for them when the API says it is over."""
    async with studio.broadcast.on_air(already=4):
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()
        await viewer.note_pictures()

        studio.end()
        await viewer.sees("preparing", within=PLAYED_OUT_SECONDS)

        frames = 25 * 2 * studio.broadcast.segments
        assert max(await viewer.noted()) > frames - 15


async def test_a_replay_of_two_takes_plays_across_their_seam(studio: Studio, visit: Visit):
    """The recording of a show with a drop is one video."""
    for _ in range(3):
        studio.broadcast.air()
    studio.broadcast.come_back()
    for _ in range(3):
        studio.broadcast.air()
    studio.go_live()
    studio.end()
    studio.has_full = True
    viewer = await visit(studio.page)
    await viewer.sees("replay")
    assert "12 sec" in await viewer.text("#line")

    await viewer.page.click("#action")
    await viewer.sees_motion()
    for _ in range(2):
        await viewer.page.keyboard.press("ArrowRight")

    second_take = studio.broadcast.takes[1].first_frame
    await until(lambda: _reaches(viewer, second_take), what="a picture of the second take")


async def test_keys_play_pause_mute_and_enlarge(studio: Studio, visit: Visit):
    """Space and k, m, f, as everywhere; and with a button in focus space presses the button."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page)
        await viewer.sees_motion()
        press = viewer.page.keyboard.press

        await press("Space")
        assert await viewer.page.evaluate("document.querySelector('video').paused")
        await press("k")
        assert not await viewer.page.evaluate("document.querySelector('video').paused")
        await press("m")
        assert await viewer.page.evaluate("document.querySelector('video').muted")
        await viewer.page.focus("#mute")
        await press("Space")
        assert not await viewer.page.evaluate("document.querySelector('video').muted")
        assert not await viewer.page.evaluate("document.querySelector('video').paused")
        await press("f")
        await viewer.becomes("document.fullscreenElement?.id === 'stage'")
        await press("f")
        await viewer.becomes("document.fullscreenElement === null")


async def test_a_browser_that_forbids_sound_shows_how_to_turn_it_on(
    studio: Studio, silent_browser: Browser
):
    """The show starts muted, and one click brings the sound."""
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = Viewer(await silent_browser.new_page())
        await viewer.page.goto(studio.page)
        # Whatever a test asks a page counts as a click on it: so nothing is asked until it plays.
        await until(lambda: studio.beats, what="the show to start")
        assert await viewer.page.evaluate("document.querySelector('video').muted")
        await viewer.sees_motion()
        assert await viewer.axe_violations() == []

        await viewer.page.click("#unmute")

        assert not await viewer.page.evaluate("document.querySelector('video').muted")
        await viewer.page.wait_for_selector("#unmute", state="hidden")
        assert await viewer.hears() > 0.01
        assert viewer.complaints == []


async def test_a_browser_without_media_source_plays_by_its_own_means(studio: Studio, visit: Visit):
    """Older phones have no MSE: they play the live show and the replay themselves."""
    without = "delete window.MediaSource; delete window.ManagedMediaSource;"
    async with studio.broadcast.on_air():
        studio.go_live()
        viewer = await visit(studio.page, script=without)

        await viewer.sees_motion()
        studio.end()
        studio.has_full = True
        await viewer.sees("replay")
        await viewer.page.click("#action")

        await viewer.sees_motion()
        assert not await viewer.page.evaluate("'Hls' in window")


@pytest.fixture
async def silent_browser() -> AsyncIterator[Browser]:
    """Start a browser that, like most, plays no sound before somebody clicks."""
    async with browsers.running("--autoplay-policy=document-user-activation-required") as browser:
        yield browser


async def _frozen(viewer: Viewer) -> int:
    """Return the number on a picture that stands still for a second; 0 while it runs."""
    first = await viewer.frame()
    await asyncio.sleep(1)
    return first if await viewer.frame() == first else 0


async def _differs(viewer: Viewer, selector: str, text: str) -> bool:
    return await viewer.text(selector) != text


async def _reads(viewer: Viewer, selector: str, text: str) -> bool:
    return await viewer.text(selector) == text


async def _says(viewer: Viewer, text: str) -> bool:
    return text in (await viewer.page.text_content("#announcer") or "")


async def _reaches(viewer: Viewer, frame: int) -> bool:
    return await viewer.frame() >= frame

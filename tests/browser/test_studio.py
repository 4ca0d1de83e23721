"""The studio: a host comes in, checks, goes live, is kept informed, and ends."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from playwright.async_api import Browser

from tests.browser import desk as desks
from tests.browser.broadcast import Broadcast
from tests.browser.conftest import Visit
from tests.browser.desk import EMAIL, HELPER, KEY, OLD_TOKEN, PASSWORD, TOKEN, WHIP, Desk
from tests.browser.footage import Footage
from tests.browser.situations import SITUATIONS
from tests.browser.studio import in_seconds
from tests.browser.viewer import Viewer
from tests.system import chromium as browsers
from tests.system.chromium import PHONE
from tests.system.waits import until

pytestmark = pytest.mark.browser

#: The second screen that the studio is looked at on.
LAPTOP: Final = {"width": 1280, "height": 800}
SCREENS: Final = (
    {"viewport": PHONE, "is_mobile": True, "has_touch": True},
    {"viewport": LAPTOP},
)


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser with a camera and a microphone, which it lends without asking."""
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    async with browsers.running(*flags) as browser:
        yield browser


@pytest.fixture
async def desk(takes: tuple[Footage, ...]) -> AsyncIterator[Desk]:
    async with desks.running(Broadcast(takes)) as running:
        yield running


# ------------------------------------------------------------------- what is told


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_host_reads_how_it_is(situation: str, desk: Desk, visit: Visit):
    """In words, on a phone and on a laptop; nothing scrolls sideways, and axe finds nothing."""
    headline, bring_about = SITUATIONS[situation]
    async with desk.studio.broadcast.on_air():
        bring_about(desk)

        for screen in SCREENS:
            host = await visit(desk.mine, **screen)

            await reads(host, "#headline", headline)
            assert await host.text("#line")
            await assert_in_order(host)


async def test_trouble_says_what_it_means_and_what_to_do(desk: Desk, visit: Visit):
    """In the host's words, with a link to the catalogue of problems."""
    _, bring_about = SITUATIONS["troubled"]
    bring_about(desk)

    host = await visit(desk.mine)

    await host.page.wait_for_selector("#trouble", state="visible")
    assert "nothing is recorded" in await host.text("#trouble-text")
    assert (await host.page.get_attribute("#trouble-link", "href") or "").endswith(
        "/problems/egress-unavailable"
    )
    desk.tell(trouble=None)
    await host.page.wait_for_selector("#trouble", state="hidden")


async def test_the_picture_counts_down_to_the_end_of_the_window(desk: Desk, visit: Visit):
    """The preset says how long the show waits for a lost encoder."""
    desk.tell(preset={"reconnect_window_seconds": 300})
    _, bring_about = SITUATIONS["lost"]
    bring_about(desk)
    desk.note(source_lost_at=in_seconds(-120))

    host = await visit(desk.mine)

    await until(lambda: contains(host, "#line", "within 3 min"), what="the time that is left")


async def test_numbers_are_told_as_they_change(desk: Desk, visit: Visit):
    """Health, viewers, recording: by the event stream alone; the session is not asked for."""
    async with desk.studio.broadcast.on_air():
        SITUATIONS["live"][1](desk)
        host = await visit(desk.mine)
        await reads(host, "#viewers-count", "1,284")
        assert await gauge(host, "Resolution") == "1920 \u00d7 1080"
        assert await gauge(host, "Video") == "4.2 Mbit/s"
        assert await gauge(host, "To viewers") == "3.1 Mbit/s"
        assert await host.text("#viewers-split") == ("1,200 by HLS, 84 by LiveKit · at most 1,502")
        assert await host.text("#recording-pill") == "Recording"

        desk.arrive(video_bits_per_second=650_000, frames_per_second=6.0, drops=2)
        desk.note(health="poor", notes=["low-frame-rate", "no-sound"])
        desk.tell(viewer_count=7)

        await reads(host, "#viewers-count", "7")
        await reads(host, "#health-pill", "Poor")
        assert await gauge(host, "Video") == "650 kbit/s"
        assert await gauge(host, "Drops") == "2"
        assert "without any sound" in await host.text("#notes")
    assert desk.studio.reads == []


async def test_the_timeline_grows_newest_first(desk: Desk, visit: Visit):
    """In sentences; also for a kind that nobody wrote one for."""
    host = await visit(desk.mine)
    await until(lambda: contains(host, "#events", "announced"), what="the first event")

    desk.tell(phase="open")
    desk.arrive("whip")
    desk.happen("moon.landed", by="nobody")

    await until(lambda: contains(host, "#events", "Moon landed"), what="the last event")
    told = [line for line in (await host.text("#events")).splitlines() if ":" not in line]
    assert told == [
        "Moon landed",
        "Your picture arrived by WHIP",
        "The green room is open",
        "The show was announced",
    ]


@pytest.mark.parametrize(
    ("recording", "pill"),
    [
        (("recording", {}), "Recording"),
        (
            ("completed", {"verdict": "verified", "duration": 60, "file_size": 9_000_000}),
            "Verified",
        ),
        (("completed", {"verdict": "partial", "verdict_reason": "gap"}), "Partial"),
        (("failed", {"verdict": "lost", "verdict_reason": "no_segments"}), "Lost"),
    ],
    ids=["runs", "verified", "partial", "lost"],
)
async def test_the_recording_is_told(
    recording: tuple[str, dict], pill: str, desk: Desk, visit: Visit
):
    """What becomes of it, with the reason when something is missing."""
    desk.tell(phase="open")
    desk.record(recording[0], **recording[1])

    host = await visit(desk.mine)

    await reads(host, "#recording-pill", pill)
    reason = recording[1].get("verdict_reason", "")
    assert reason in await host.text("#recording-line")


# ------------------------------------------------------------------- coming in


async def test_a_token_in_the_address_opens_and_leaves_it(desk: Desk, visit: Visit):
    """Nobody copies it by mistake; a reload still knows it."""
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")

    assert TOKEN not in await host.page.evaluate("location.href")
    await host.page.reload()

    await reads(host, "#headline", "Nothing is open yet")


async def test_a_host_logs_in_with_a_password(desk: Desk, visit: Visit):
    """A wrong one is said; a token that has grown old is renewed without a word."""
    host = await visit(desk.page)
    await host.page.fill("#email", EMAIL)
    await host.page.fill("#password", "wrong")
    await host.page.press("#password", "Enter")
    await reads(host, "#login-wrong", "E-mail and password do not belong together.")
    await assert_in_order(host)

    await host.page.fill("#password", PASSWORD)
    await host.page.press("#password", "Enter")
    await reads(host, "#headline", "Nothing is open yet")
    desk.tokens.clear()
    desk.tell(phase="open")

    await reads(host, "#headline", "The green room is open, waiting for your picture")
    assert desk.refreshed == 1
    await host.page.click("#log-out")
    await host.page.wait_for_selector("#login", state="visible")
    assert ("POST", "/auth/logout", None) in desk.asked


async def test_a_token_can_be_pasted(desk: Desk, visit: Visit):
    """By keyboard alone."""
    host = await visit(desk.page)
    await host.page.focus("#use-token")
    await host.page.keyboard.press("Enter")
    await host.page.keyboard.type(TOKEN)
    await host.page.keyboard.press("Enter")

    await reads(host, "#headline", "Nothing is open yet")


async def test_a_token_that_is_over_is_asked_for_again(desk: Desk, visit: Visit):
    """And after that the studio is there again."""
    host = await visit(f"{desk.page}#token={OLD_TOKEN}")
    await host.page.wait_for_selector("#login", state="visible")
    assert await host.text("#login-wrong") == "Your login is over. Log in again."
    await assert_in_order(host)

    await host.page.click("#use-token")
    await host.page.fill("#token", TOKEN)
    await host.page.press("#token", "Enter")

    await reads(host, "#headline", "Nothing is open yet")


@pytest.mark.parametrize("screen", SCREENS, ids=["phone", "laptop"])
async def test_a_show_that_is_not_there_is_said(screen: dict, desk: Desk, visit: Visit):
    """Deleted, or never there."""
    desk.studio.is_deleted = True

    host = await visit(desk.mine, **screen)

    await reads(host, "#gate-title", "There is no such show")
    await assert_in_order(host)


async def test_a_helper_looks_on(desk: Desk, visit: Visit):
    """A moderator reads everything, and has neither buttons nor keys."""
    _, bring_about = SITUATIONS["live"]
    async with desk.studio.broadcast.on_air():
        bring_about(desk)
        host = await visit(f"{desk.page}#token={HELPER}")
        await reads(host, "#headline", "You are live")

        await host.page.wait_for_selector("#end", state="hidden")
        await host.page.wait_for_selector("#dock", state="hidden")
        await host.page.wait_for_selector("#encoder", state="hidden")
        await assert_in_order(host)


# ------------------------------------------------------------------- going live and ending


async def test_a_show_from_the_green_room_to_its_end_by_keyboard(desk: Desk, visit: Visit):
    """Each button does what it says once, and is there when it makes sense."""
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")
    press = host.page.keyboard.press

    await host.page.focus("#open")
    await press("Enter")
    await reads(host, "#headline", "The green room is open, waiting for your picture")
    await host.page.focus("#go-live")
    await press("Space")
    await reads(host, "#headline", "On air, waiting for your picture")
    await host.page.wait_for_selector("#go-live", state="hidden")
    await host.page.focus("#end")
    await press("Enter")
    await host.page.wait_for_selector("#end-dialog", state="visible")
    await assert_in_order(host)
    await press("Escape")
    await host.page.wait_for_selector("#end-dialog", state="hidden")
    assert await host.page.evaluate("document.activeElement.id") == "end"
    await press("Enter")
    await press("Tab")
    await press("Enter")

    await reads(host, "#headline", "The show is over")
    assert [verb for _, verb, _ in desk.asked] == ["start", "go_live", "end"]
    keys = [key for _, _, key in desk.asked]
    assert all(keys)
    assert len(set(keys)) == len(keys)
    await reads(host, "#line", "It was on air for 2 min.")


async def test_staying_on_air_changes_nothing(desk: Desk, visit: Visit):
    """The dialog says who is watching, and its safe answer has the focus."""
    SITUATIONS["live"][1](desk)
    host = await visit(desk.mine)

    await host.page.click("#end")
    assert "1,284 people watch now." in await host.text("#end-line")
    assert await host.page.evaluate("document.activeElement.id") == "end-no"
    await host.page.keyboard.press("Enter")

    await host.page.wait_for_selector("#end-dialog", state="hidden")
    assert desk.asked == []


async def test_a_refusal_is_told_with_its_reason(desk: Desk, visit: Visit):
    """The catalogue's title, the reason, and where to read on; then it can be tried again."""
    desk.refusal = (503, "egress-full", "Every egress says that it can take no more.")
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")

    await host.page.click("#go-live")
    await host.page.wait_for_selector("#refusal", state="visible")
    assert await host.text("#refusal-title") == "Egress full"
    assert "take no more" in await host.text("#refusal-line")
    await assert_in_order(host)
    await host.page.keyboard.press("Escape")
    desk.refusal = None
    await host.page.click("#go-live")

    await reads(host, "#headline", "On air, waiting for your picture")


async def test_what_takes_long_is_followed(desk: Desk, visit: Visit):
    """After a 202 the state comes by the event stream, like everything else."""
    desk.is_slow = True
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")

    await host.page.click("#go-live")
    await until(lambda: desk.asked, what="the wish")
    desk.tell(phase="provisioning")
    await reads(host, "#headline", "Setting the stage")
    desk.is_slow = False
    desk.tell(phase="waiting_for_media", started_at=in_seconds(0))

    await reads(host, "#headline", "On air, waiting for your picture")
    await host.page.wait_for_selector("#addresses", state="visible")


# ------------------------------------------------------------------- when Greenroom is away


async def test_the_page_rides_out_an_api_that_is_away(desk: Desk, visit: Visit):
    """It says so, keeps broadcasting, and takes up the timeline where it was."""
    async with desk.studio.broadcast.on_air():
        SITUATIONS["live"][1](desk)
        host = await visit(desk.mine)
        await reads(host, "#headline", "You are live")
        await host.page.click("#camera")
        await host.page.wait_for_selector("#camera[aria-pressed=true]")
        heard = len(desk.events)

        desk.go_away()
        await host.page.wait_for_selector("#toast", state="visible")
        assert "Your picture goes on" in await host.text("#toast")
        assert await host.page.get_attribute("#camera", "aria-pressed") == "true"
        await assert_in_order(host)
        desk.happen("playback.stalled")
        desk.happen("playback.ready")
        desk.come_back()

        await host.page.wait_for_selector("#toast", state="hidden")
        assert desk.heard_from[-1] == heard
        told = (await host.text("#events")).count("Viewers are stuck")
        assert told == 1
        assert await host.page.evaluate("livekit.rooms.length") == 1
        assert await host.page.evaluate("livekit.rooms[0].isLeft") is None


async def test_a_button_that_nobody_answers_says_so(desk: Desk, visit: Visit):
    """The wish may have been heard: the page says what to look at."""
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")

    desk.is_cut = True
    await host.page.click("#go-live")

    await host.page.wait_for_selector("#refusal", state="visible")
    assert await host.text("#refusal-title") == "Greenroom does not answer"
    await assert_in_order(host)


async def test_a_page_that_finds_nobody_waits(desk: Desk, visit: Visit):
    """And opens by itself."""
    desk.go_away()
    host = await visit(desk.mine)
    await reads(host, "#gate-title", "No connection")
    await assert_in_order(host)

    desk.come_back()

    await reads(host, "#headline", "Nothing is open yet")


# ------------------------------------------------------------------- encoders


async def test_keys_are_hidden_until_asked_for(desk: Desk, visit: Visit):
    """Not even in the page's fields; and copied without being shown."""
    desk.tell(phase="open")
    host = await visit(desk.mine, permissions=["clipboard-read", "clipboard-write"])
    await host.page.wait_for_selector("#addresses", state="visible")
    assert await host.page.input_value("#rtmp-url") == "rtmp://ingress.example/live"
    assert not await tells(host, KEY)
    assert not await tells(host, WHIP)

    await host.page.click("[data-copies=rtmp-key]")
    await until(lambda: holds(host, KEY), what="the key on the clipboard")
    assert not await tells(host, KEY)
    await host.page.click("[data-copies=whip-url]")
    await until(lambda: holds(host, WHIP), what="the address on the clipboard")
    await host.page.click("#rtmp-reveal")
    assert await host.page.input_value("#rtmp-key") == KEY
    await host.page.click("#whip-reveal")
    assert await host.page.input_value("#whip-url") == WHIP
    await assert_in_order(host)
    await host.page.click("#rtmp-reveal")

    assert not await tells(host, KEY)


async def test_there_are_no_addresses_before_the_green_room(desk: Desk, visit: Visit):
    """Looking at the page opens nothing."""
    host = await visit(desk.mine)
    await reads(host, "#headline", "Nothing is open yet")

    assert not await host.is_shown("#addresses")
    assert await host.page.is_disabled("#camera")
    assert desk.asked == []


# ------------------------------------------------------------------- camera and microphone


async def test_camera_microphone_and_screen(desk: Desk, visit: Visit):
    """Switched on and off by click and by key; the picture is seen here, and goes to LiveKit."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#use-camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")
    await host.page.wait_for_selector("#microphone[aria-pressed=true]")
    await host.becomes("document.querySelector('#camera-view').videoWidth > 0")
    await host.becomes("+document.querySelector('#level').style.getPropertyValue('--level') > 0.2")
    await assert_in_order(host)
    room = await host.page.evaluate(
        "(({ url, token, connected }) => [url, token, connected])(livekit.rooms[0])"
    )
    assert room == ["ws://livekit.example", "a-livekit-token", {"autoSubscribe": False}]

    await host.page.keyboard.press("m")
    await host.page.wait_for_selector("#microphone[aria-pressed=false]")
    await host.page.keyboard.press("c")
    await host.page.wait_for_selector("#camera[aria-pressed=false]")
    await host.page.keyboard.press("s")
    await host.page.wait_for_selector("#share[aria-pressed=true]")
    await host.becomes("document.querySelector('#camera-view').videoWidth === 1280")
    assert await host.text("#share-label") == "Stop sharing"
    await host.page.keyboard.press("s")
    await host.page.wait_for_selector("#share[aria-pressed=false]")
    assert await host.page.evaluate("livekit.rooms.length") == 1


async def test_what_this_page_sends_is_measured_here(desk: Desk, visit: Visit):
    """LiveKit tells no bit rate of a browser's picture."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#use-camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")
    desk.arrive("browser", width=640, height=360)

    await until(lambda: is_measured(host), what="the bit rate that is sent")
    assert await gauge(host, "Resolution") == "1280 \u00d7 720"
    assert await gauge(host, "Frame rate") == "30 fps"


async def test_being_muted_from_afar_is_seen(desk: Desk, visit: Visit):
    """As host_audio_state does it; one key brings the sound back."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#microphone")
    await host.page.wait_for_selector("#microphone[aria-pressed=true]")

    await host.page.evaluate("livekit.rooms[0].localParticipant.mute('microphone', true)")
    await host.page.wait_for_selector("#microphone[aria-pressed=false]")
    await host.page.keyboard.press("m")

    await host.page.wait_for_selector("#microphone[aria-pressed=true]")


async def test_devices_can_be_chosen(desk: Desk, visit: Visit):
    """Of those the machine has."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")

    await host.page.click("#devices-toggle")
    await host.becomes("document.querySelector('#microphone-device').options.length > 1")
    await assert_in_order(host)
    await host.page.select_option("#microphone-device", index=1)

    await host.becomes("livekit.rooms[0].switched?.[0][0] === 'audioinput'")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("NotAllowedError", "Allow it in the address bar"),
        ("NotFoundError", "no camera on this machine"),
        ("NotReadableError", "another program"),
    ],
)
async def test_a_camera_that_cannot_be_had_is_said(
    failure: str, said: str, desk: Desk, visit: Visit
):
    """With what to do; nothing pretends to be on."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.wait_for_selector("#use-camera", state="visible")
    await host.page.click("#microphone")
    await host.page.wait_for_selector("#microphone[aria-pressed=true]")
    await host.page.evaluate(f"livekit.failures.push('{failure}')")

    await host.page.click("#camera")

    await until(lambda: contains(host, "#dock-hint", said), what="the reason")
    assert await host.page.get_attribute("#camera", "aria-pressed") == "false"


async def test_a_page_that_is_not_secure_says_so(desk: Desk, visit: Visit):
    """Browsers then give no camera: an encoder still works."""
    script = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })"
    desk.tell(phase="open")

    host = await visit(desk.mine, script=script)

    await until(lambda: contains(host, "#empty-line", "encoder"), what="the reason")
    assert await host.page.is_disabled("#camera")
    await host.page.wait_for_selector("#addresses", state="visible")


async def test_livekit_that_is_lost_comes_back_with_the_camera(desk: Desk, visit: Visit):
    """Whatever LiveKit's client gives up, the page does not."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")

    await host.page.evaluate("livekit.rooms[0].fire('reconnecting')")
    await reads(host, "#ribbon", "Connection lost. Coming back by itself")
    await host.page.evaluate("livekit.isAway = true, livekit.rooms[0].fire('disconnected', 3)")
    await host.becomes("livekit.rooms.length >= 3")
    await host.page.evaluate("livekit.isAway = false")

    await host.page.wait_for_selector("#camera[aria-pressed=true]")
    await host.page.wait_for_selector("#ribbon", state="hidden")


async def test_another_page_of_the_hosts_takes_over(desk: Desk, visit: Visit):
    """This one says so, and does not fight for the place."""
    desk.tell(phase="open")
    host = await visit(desk.mine)
    await host.page.click("#camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")

    await host.page.evaluate("livekit.rooms[0].fire('disconnected', 2)")

    await reads(host, "#ribbon", "Another page of yours sends now")
    await host.page.wait_for_selector("#camera[aria-pressed=false]")
    assert await host.page.evaluate("livekit.rooms.length") == 1


async def test_the_end_lets_go_of_the_camera(desk: Desk, visit: Visit):
    """However the show ended."""
    desk.tell(phase="waiting_for_media", started_at=in_seconds(-5))
    host = await visit(desk.mine)
    await host.page.click("#camera")
    await host.page.wait_for_selector("#camera[aria-pressed=true]")

    desk.tell(phase="ended", ended_at=in_seconds(0))

    await host.becomes("livekit.rooms[0].isLeft === true")
    await reads(host, "#headline", "The show is over")


async def test_an_encoders_show_is_seen_as_viewers_see_it(desk: Desk, visit: Visit):
    """And with a camera of one's own one can look at either."""
    async with desk.studio.broadcast.on_air():
        SITUATIONS["live"][1](desk)
        host = await visit(desk.mine)
        await reads(host, "#ribbon", "What viewers see")
        await host.becomes("document.querySelector('#program-view').currentTime > 0")
        assert await host.page.evaluate("document.querySelector('#program-view').muted")

        await host.page.click("#camera")
        await host.page.wait_for_selector("#screen[data-view=camera]")
        await host.page.click("#view-program")

        await host.page.wait_for_selector("#screen[data-view=program]")
        assert await host.page.get_attribute("#view-program", "aria-pressed") == "true"


# ------------------------------------------------------------------- the rest


async def test_everything_can_be_checked_ahead_of_time(desk: Desk, visit: Visit):
    """What is well, what is wrong and what to do, and what cannot be seen."""
    desk.preflight = [
        {"name": "livekit", "ok": True, "seen": "LiveKit answers", "todo": None},
        {"name": "egress", "ok": False, "seen": "every egress is full", "todo": "Start another."},
        {"name": "clock", "ok": None, "seen": "no time was told", "todo": None},
    ]
    host = await visit(desk.mine)
    await host.page.click("#preflight-run")

    await reads(host, "#preflight-line", "One thing is wrong.")
    assert "Start another." in await host.text("#checks")
    states = await host.page.evaluate(
        "[...document.querySelectorAll('#checks .step')].map((row) => row.dataset.state)"
    )
    assert states == ["done", "bad", "off"]
    await assert_in_order(host)


@pytest.mark.parametrize("width", [320, 768, 1024, 1920])
async def test_no_width_scrolls_sideways(width: int, desk: Desk, visit: Visit):
    """Also with the longest word a title can have, and with everything open."""
    async with desk.studio.broadcast.on_air():
        SITUATIONS["live"][1](desk)
        desk.tell(title="W" * 255, viewer_count=1_234_567)
        desk.tell(trouble={"slug": "x", "detail": "y" * 300})
        host = await visit(desk.mine, viewport={"width": width, "height": 800})
        await reads(host, "#headline", "You are live")
        await host.page.wait_for_selector("#addresses", state="visible")
        await host.page.click("#rtmp-reveal")
        await host.page.click("#camera")
        await host.page.wait_for_selector("#camera[aria-pressed=true]")
        await host.page.click("#devices-toggle")

        assert await host.sideways_pixels() == 0


async def test_nothing_moves_for_those_who_asked_for_that(desk: Desk, visit: Visit):
    """prefers-reduced-motion stops every animation of the page."""
    SITUATIONS["waiting"][1](desk)

    host = await visit(desk.mine, reduced_motion="reduce")

    await reads(host, "#headline", "On air, waiting for your picture")
    await host.becomes("document.getAnimations().length === 0")


async def test_a_screen_reader_is_told_what_changes(desk: Desk, visit: Visit):
    """The live region says each new situation once."""
    host = await visit(desk.mine)
    await until(lambda: says(host, "Nothing is open yet"), what="the first words")

    SITUATIONS["waiting"][1](desk)

    await until(lambda: says(host, "On air, waiting for your picture"), what="the next words")


async def assert_in_order(host: Viewer) -> None:
    """Nothing scrolls sideways, and axe finds nothing."""
    assert await host.sideways_pixels() == 0
    assert await host.axe_violations() == []


async def reads(host: Viewer, selector: str, text: str) -> None:
    """Wait until an element has this text."""
    await until(lambda: _is(host, selector, text), what=f"{selector} to say {text!r}", within=60)


async def _is(host: Viewer, selector: str, text: str) -> bool:
    seen = await host.text(selector)
    assert seen == text, f"it says {seen!r}"
    return True


async def contains(host: Viewer, selector: str, text: str) -> bool:
    return text in await host.text(selector)


async def says(host: Viewer, text: str) -> bool:
    return await host.page.text_content("#announcer") == text


async def gauge(host: Viewer, name: str) -> str:
    """Give the figure under a gauge's name."""
    return (await host.text(f"#gauges div:has(dt:text-is('{name}')) dd")).strip()


async def is_measured(host: Viewer) -> bool:
    return (await gauge(host, "Video")).startswith(("1.9", "2.0", "2.1"))


async def tells(host: Viewer, secret: str) -> bool:
    """Whether a secret stands anywhere on the page, shown or not."""
    page = await host.page.content()
    values = await host.page.evaluate(
        "[...document.querySelectorAll('input')].map((field) => field.value)"
    )
    return secret in page or any(secret in value for value in values)


async def holds(host: Viewer, text: str) -> bool:
    return await host.page.evaluate("navigator.clipboard.readText()") == text

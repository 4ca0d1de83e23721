"""Each scene of the watch page, on a phone and on a desktop: told, readable, in order."""

from typing import Final

import pytest

from tests.browser.conftest import Visit
from tests.browser.scenes import CURTAINS, PICTURES
from tests.browser.studio import Studio
from tests.browser.viewer import Viewer
from tests.system.chromium import DESKTOP, PHONE

pytestmark = pytest.mark.browser

SCREENS: Final = (
    {"viewport": PHONE, "is_mobile": True, "has_touch": True},
    {"viewport": DESKTOP},
)


@pytest.mark.parametrize("scene", CURTAINS)
async def test_a_curtain_tells_what_is_going_on(scene: str, studio: Studio, visit: Visit):
    """There is a headline or a countdown, nothing scrolls sideways, axe finds nothing."""
    CURTAINS[scene](studio)

    for screen in SCREENS:
        viewer = await visit(studio.page, **screen)

        await viewer.sees(scene)
        assert await viewer.text("#headline") or await viewer.text("#countdown")
        assert not await viewer.is_shown("#controls")
        await assert_in_order(viewer)


@pytest.mark.parametrize("scene", PICTURES)
async def test_a_picture_is_shown_with_what_is_the_matter(scene: str, studio: Studio, visit: Visit):
    """The picture is there, and when something is wrong with the show a notice says so."""
    async with studio.broadcast.on_air():
        PICTURES[scene](studio)

        for screen in SCREENS:
            viewer = await visit(studio.page, **screen)

            await viewer.sees(scene)
            await viewer.sees_picture()
            assert await viewer.text("#badge") == "LIVE"
            assert await viewer.text("#viewers") == "1,284 watching"
            assert bool(await viewer.text("#notice")) == (scene != "live")
            await assert_in_order(viewer)


async def test_the_replay_is_played_in_order(studio: Studio, visit: Visit):
    """The replay's own controls fit on a phone, and axe finds nothing there either."""
    CURTAINS["replay"](studio)

    for screen in SCREENS:
        viewer = await visit(studio.page, **screen)
        await viewer.sees("replay")
        await viewer.page.click("#action")

        await viewer.sees("replaying")
        await viewer.sees_motion()
        assert await viewer.is_shown("#seek")
        await assert_in_order(viewer)


async def test_a_wrong_address_has_a_page(studio: Studio, visit: Visit):
    """The server's own page for an address that leads nowhere is a page like the others."""
    for screen in SCREENS:
        viewer = await visit(f"{studio.url}/watch/not-an-id", **screen)

        assert await viewer.text("h1") == "There is nothing here"
        await assert_in_order(viewer)


@pytest.mark.parametrize("width", [320, 768, 1024, 1920])
async def test_no_width_scrolls_sideways(width: int, studio: Studio, visit: Visit):
    """Also with the longest word a title can have."""
    studio.tell(title="W" * 255, description="https://example.com/" + "x" * 400)
    studio.tell(viewer_count=1_234_567)
    async with studio.broadcast.on_air():
        studio.go_live()

        viewer = await visit(studio.page, viewport={"width": width, "height": 800})

        await viewer.sees("live")
        assert await viewer.sideways_pixels() == 0


async def test_a_phone_on_its_side_shows_the_whole_picture(studio: Studio, visit: Visit):
    """The stage is not taller than the screen."""
    async with studio.broadcast.on_air():
        studio.go_live()

        viewer = await visit(studio.page, viewport={"width": 844, "height": 390})

        await viewer.sees("live")
        assert await viewer.sideways_pixels() == 0
        assert await viewer.page.evaluate("document.querySelector('#stage').clientHeight") <= 390


async def test_nothing_moves_for_those_who_asked_for_that(studio: Studio, visit: Visit):
    """prefers-reduced-motion stops every animation of the page."""
    CURTAINS["waiting"](studio)

    viewer = await visit(studio.page, reduced_motion="reduce")

    await viewer.sees("waiting")
    await viewer.becomes("document.getAnimations().length === 0")


async def test_every_colour_a_host_may_pick_is_readable(studio: Studio, visit: Visit):
    """Accents, what is written on them and beside them, keep WCAG's contrasts."""
    viewer = await visit(studio.page)

    worst = await viewer.page.evaluate(
        """async () => {
            const { accentOf, contrast } = await import("/static/pages/color.js");
            const parts = (css) => css.match(/\\d+/g).map(Number);
            const worst = { over: 21, ink: 21, fill: 21, glow: 21 };
            const steps = ["00", "33", "66", "99", "cc", "ff"];
            for (const red of steps) for (const green of steps) for (const blue of steps) {
                const found = accentOf(`#${red}${green}${blue}`);
                const [fill, over, ink, glow] =
                    [found.fill, found.over, found.ink, found.glow].map(parts);
                worst.over = Math.min(worst.over, contrast(fill, over));
                worst.fill = Math.min(worst.fill, contrast(fill, [10, 11, 14]));
                worst.ink = Math.min(worst.ink, contrast(ink, [20, 22, 27]));
                worst.glow = Math.min(worst.glow, contrast(glow, [180, 184, 195]));
            }
            return worst;
        }"""
    )

    assert worst["over"] >= 4.5
    assert worst["ink"] >= 4.5
    assert worst["glow"] >= 4.5
    assert worst["fill"] >= 3


async def assert_in_order(viewer: Viewer) -> None:
    """Nothing scrolls sideways, and axe finds nothing."""
    assert await viewer.sideways_pixels() == 0
    assert await viewer.axe_violations() == []

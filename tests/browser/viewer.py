"""A viewer in front of the page: what stands there, what is seen and heard, is it in order."""

from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page

from deploy.testcard import CELLS, STRIP
from tests.system.waits import until

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

#: The number on the picture that is shown now (see deploy/testcard.py); -1 without one.
_FRAME = """([cells, strip]) => {
    const video = document.querySelector("video");
    const { videoWidth: width, videoHeight: height } = video;
    if (video.readyState < 2 || !width) return -1;
    const canvas = new OffscreenCanvas(width, height);
    const paper = canvas.getContext("2d", { willReadFrequently: true });
    paper.drawImage(video, 0, 0);
    const row = height - Math.floor(Math.floor(height / strip) / 2);
    const line = paper.getImageData(0, row, width, 1).data;
    const isWhite = (cell) => line[4 * Math.floor(((cell + 0.5) * width) / cells)] > 127;
    const [first, second, ...rest] = Array.from({ length: cells }, (_, cell) => isWhite(cell));
    const [last, parity, ...bits] = rest.reverse();
    const isOdd = bits.filter(Boolean).length % 2 === 1;
    if (!first || second || !last || parity !== isOdd) return -1;
    return bits.reduce((sum, bit, place) => sum + (bit ? 2 ** place : 0), 0);
}"""

#: Collects the number of every picture that is shown. The first and the last one are looked at
#: before the page hears of them: it may take the last one away at once.
_NOTE = f"""(card) => {{
    const video = document.querySelector("video");
    const numberShown = {_FRAME};
    window.shown = [];
    const note = () => window.shown.push(numberShown(card));
    const noteAll = () => {{
        note();
        video.requestVideoFrameCallback(noteAll);
    }};
    video.requestVideoFrameCallback(noteAll);
    for (const event of ["loadeddata", "ended"]) document.addEventListener(event, note, true);
}}"""

#: The picture that is shown now, small and grey: one number a pixel; nothing without a picture.
_GLANCE = """() => {
    const video = document.querySelector("video");
    if (video.readyState < 2 || !video.videoWidth) return [];
    const paper = new OffscreenCanvas(32, 18).getContext("2d", { willReadFrequently: true });
    paper.drawImage(video, 0, 0, 32, 18);
    const { data } = paper.getImageData(0, 0, 32, 18);
    return Array.from({ length: 32 * 18 }, (_, at) => data[4 * at + 1]);
}"""
#: Brighter or darker by this is another picture; encoding alone changes less.
_CHANGED = 24

#: Loudness of the last moment, 0 to 1: what the media element sends to the loudspeaker.
_LOUDNESS = """async () => {
    const video = document.querySelector("video");
    if (!window.ear) {
        const context = new AudioContext();
        const analyser = context.createAnalyser();
        context.createMediaElementSource(video).connect(analyser);
        analyser.connect(context.destination);
        window.ear = { context, analyser };
    }
    await window.ear.context.resume();
    const samples = new Float32Array(window.ear.analyser.fftSize);
    window.ear.analyser.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}"""

#: Every rule that axe has.
_AXE = """() => axe.run(document, { resultTypes: ["violations"] }).then((found) =>
    found.violations.map((broken) => [
        broken.id, broken.help, broken.nodes.map((node) => node.target.join(" ")),
    ]))"""


class Viewer:
    """One page, and questions to it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def sees(self, scene: str, *, within: float = 60) -> None:
        """Wait until this scene is shown."""
        await until(
            lambda: self._is_scene(scene), what=f"scene {scene!r}", within=within, every=0.1
        )

    async def scene(self) -> str:
        return await self.page.evaluate("document.body.dataset.scene")

    async def frame(self) -> int:
        """Return the number on the picture that is shown now; -1 without one."""
        return await self.page.evaluate(_FRAME, [CELLS, STRIP])

    async def sees_picture(self, *, within: float = 60) -> int:
        """Wait until there is a picture, running or not; return its number."""
        return await until(lambda: self._frame_after(0), what="a picture", within=within)

    async def sees_motion(self, *, beyond: int = -1, within: float = 60) -> int:
        """Wait until the picture runs, past frame `beyond`; return the number last seen."""
        first = await until(
            lambda: self._frame_after(beyond), what=f"frame after {beyond}", within=within
        )
        return await until(lambda: self._frame_after(first), what="the next frame", within=within)

    async def note_pictures(self) -> None:
        """Note the number of every picture from now on, in the page: nobody can ask so often."""
        await self.page.evaluate(_NOTE, [CELLS, STRIP])

    async def noted(self) -> list[int]:
        """Return the numbers of the pictures since `note_pictures`."""
        shown: list[int] = await self.page.evaluate("window.shown")
        return [number for number in shown if number >= 0]

    async def sees_changes(self, count: int, *, within: float = 60) -> None:
        """Wait until the picture has changed so often, where it bears no number."""
        seen: list[int] = []
        changes = 0

        async def another() -> bool:
            nonlocal seen, changes
            now: list[int] = await self.page.evaluate(_GLANCE)
            if now and (
                not seen or max(abs(a - b) for a, b in zip(seen, now, strict=True)) > _CHANGED
            ):
                changes += bool(seen)
                seen = now
            return changes >= count

        await until(another, what=f"{count} changes of the picture", within=within, every=0.2)

    async def hears(self, *, within: float = 30) -> float:
        """Wait until there is sound; return how loud it is."""
        return await until(self._sound, what="sound", within=within, every=0.2)

    async def becomes(self, script: str, *, within: float = 60) -> None:
        """Wait until an expression is true on the page."""
        await until(lambda: self.page.evaluate(script), what=script, within=within)

    async def text(self, selector: str) -> str:
        return (await self.page.inner_text(selector)).strip()

    async def is_shown(self, selector: str) -> bool:
        return await self.page.is_visible(selector)

    async def sideways_pixels(self) -> int:
        """How far the page can be scrolled sideways."""
        return await self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
        )

    async def axe_violations(self) -> list[Any]:
        """Return what axe finds: rule, sentence, elements."""
        await self.page.evaluate(AXE.read_text())
        return await self.page.evaluate(_AXE)

    async def _is_scene(self, scene: str) -> bool:
        seen = await self.scene()
        assert seen == scene, f"the page shows {seen!r}"
        return True

    async def _frame_after(self, frame: int) -> int:
        seen = await self.frame()
        assert seen > frame, f"frame {seen} is shown"
        return seen

    async def _sound(self) -> float:
        loudness: float = await self.page.evaluate(_LOUDNESS)
        return loudness if loudness > 0.01 else 0

    def _listen(self, message: ConsoleMessage) -> None:
        # A failed load is a fault that a test plants; everything else should not be said.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

"""SITUATIONS: what a desk does to bring each of a show's situations about for its host."""

from collections.abc import Callable
from typing import Final

from tests.browser.desk import Desk
from tests.browser.studio import in_seconds

NUMBERS: Final = {
    "width": 1920,
    "height": 1080,
    "frames_per_second": 29.97,
    "video_bits_per_second": 4_200_000,
    "audio_bits_per_second": 128_000,
}


def _green_empty(desk: Desk) -> None:
    desk.note(health="waiting")
    desk.tell(phase="open")


def _green_ready(desk: Desk) -> None:
    desk.arrive(**NUMBERS)
    desk.tell(phase="open")


def _waiting(desk: Desk) -> None:
    desk.note(health="waiting")
    desk.tell(phase="waiting_for_media", started_at=in_seconds(-4))


def _packing(desk: Desk) -> None:
    _waiting(desk)
    desk.arrive(**NUMBERS)
    desk.tell(phase="live")


def _live(desk: Desk) -> None:
    _packing(desk)
    desk.tell(phase="live", playback="ready", started_at=in_seconds(-754))
    desk.tell(viewer_count=1284, max_viewers=1502)
    desk.tell(viewers={"livekit": 84, "hls": 1200, "as_of": in_seconds(0), "stale": False})
    desk.note(
        take={"state": "active", "started_at": in_seconds(-750)},
        output={
            "newest_segment_at": in_seconds(-1),
            "age_seconds": 1.0,
            "bits_per_second": 3_100_000,
        },
    )
    desk.record("recording")


def _dark(desk: Desk) -> None:
    _live(desk)
    desk.note(notes=["picture-off"])


def _stalled(desk: Desk) -> None:
    _live(desk)
    desk.note(health="stalled", notes=["segments-late"])
    desk.tell(playback="stalled")


def _lost(desk: Desk) -> None:
    _live(desk)
    desk.lose()
    desk.tell(phase="reconnecting")


def _troubled(desk: Desk) -> None:
    _packing(desk)
    desk.tell(trouble={"slug": "egress-unavailable", "detail": "StartEgress: unavailable"})


def _ending(desk: Desk) -> None:
    _live(desk)
    desk.note(health="off")
    desk.tell(phase="ending")


def _ended(desk: Desk) -> None:
    _ending(desk)
    desk.tell(phase="ended", playback="ended", ended_at=in_seconds(0), duration=754)
    desk.record("completed", verdict="verified", duration=750, file_size=1_420_000_000)


def _failed(desk: Desk) -> None:
    _ending(desk)
    desk.tell(phase="failed", playback="ended", ended_at=in_seconds(0), duration=754)
    desk.tell(end_reason="lost")
    desk.record("failed", verdict="lost", verdict_reason="no_segments")


# fmt: off
#: What the host reads, and how it comes about.
SITUATIONS: Final[dict[str, tuple[str, Callable[[Desk], None]]]] = {
    "announced":   ("Nothing is open yet",                         lambda _: None),
    "opening":     ("Setting the stage",            lambda desk: desk.tell(phase="provisioning")),
    "green empty": ("The green room is open, waiting for your picture",    _green_empty),
    "green ready": ("Your picture is here",                                _green_ready),
    "waiting":     ("On air, waiting for your picture",                    _waiting),
    "packing":     ("Your picture is here, and on its way to viewers",     _packing),
    "live":        ("You are live",                                        _live),
    "dark":        ("You are live with your camera off",                   _dark),
    "stalled":     ("Viewers are stuck",                                   _stalled),
    "lost":        ("Your picture is gone",                                _lost),
    "troubled":    ("Your picture is here, and on its way to viewers",     _troubled),
    "ending":      ("Ending the show",                                     _ending),
    "ended":       ("The show is over",                                    _ended),
    "failed":      ("The show was lost",                                   _failed),
    "expired":     ("The show did not take place", lambda desk: desk.tell(phase="expired")),
}
# fmt: on

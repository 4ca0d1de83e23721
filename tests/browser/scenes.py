"""DIRECTIONS: for each scene of the watch page, what a studio does to bring it about."""

from collections.abc import Callable
from typing import Final

from tests.browser.studio import Studio, in_seconds

#: A show that ended longer ago than any recording takes to be prepared.
YESTERDAY: Final = -30 * 3600


def _missing(studio: Studio) -> None:
    studio.is_deleted = True


def _unreachable(studio: Studio) -> None:
    studio.is_down = True


def _scheduled(studio: Studio) -> None:
    studio.tell(phase="scheduled")


def _unscheduled(studio: Studio) -> None:
    studio.tell(scheduled_start_time=None)


def _late(studio: Studio) -> None:
    studio.tell(scheduled_start_time=in_seconds(-20))


def _backstage(studio: Studio) -> None:
    studio.tell(phase="open")


def _waiting(studio: Studio) -> None:
    studio.tell(phase="waiting_for_media", started_at=in_seconds(-5))


def _closing(studio: Studio) -> None:
    studio.tell(phase="ending")


def _preparing(studio: Studio) -> None:
    _air_a_show(studio)
    studio.end()


def _replay(studio: Studio) -> None:
    _preparing(studio)
    studio.has_full = True


def _over(studio: Studio) -> None:
    _replay(studio)
    studio.tell(recording_enabled=False)


def _never_began(studio: Studio) -> None:
    studio.tell(phase="ended", playback="ended", ended_at=in_seconds(0))


def _expired(studio: Studio) -> None:
    studio.tell(phase="expired", scheduled_start_time=in_seconds(YESTERDAY))


def _failed(studio: Studio) -> None:
    _preparing(studio)
    studio.tell(phase="failed", ended_at=in_seconds(YESTERDAY))


def _live(studio: Studio) -> None:
    studio.go_live()
    studio.tell(viewer_count=1284, max_viewers=1502)


def _reconnecting(studio: Studio) -> None:
    _live(studio)
    studio.broadcast.drop()
    studio.tell(phase="reconnecting")


def _stalled(studio: Studio) -> None:
    _live(studio)
    studio.broadcast.drop()
    studio.tell(playback="stalled")


def _ending(studio: Studio) -> None:
    _live(studio)
    studio.tell(phase="ending")


def _air_a_show(studio: Studio) -> None:
    for _ in range(10):
        studio.broadcast.air()


# fmt: off
#: Scenes that tell something instead of showing a picture.
CURTAINS: Final[dict[str, Callable[[Studio], None]]] = {
    "missing":     _missing,
    "unreachable": _unreachable,
    "scheduled":   _scheduled,
    "unscheduled": _unscheduled,
    "late":        _late,
    "backstage":   _backstage,
    "waiting":     _waiting,
    "closing":     _closing,
    "preparing":   _preparing,
    "replay":      _replay,
    "over":        _over,
    "neverBegan":  _never_began,
    "expired":     _expired,
    "failed":      _failed,
}
#: Scenes with a picture; they need a broadcast on the air.
PICTURES: Final[dict[str, Callable[[Studio], None]]] = {
    "live":         _live,
    "reconnecting": _reconnecting,
    "stalled":      _stalled,
    "ending":       _ending,
}
# fmt: on

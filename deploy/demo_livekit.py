"""Which LiveKit the demo runs: the stand-in, or the real one with its ingress and an egress."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deploy import testcard
from deploy.demo_children import Child, Children

#: A machine that is busy with something else takes this long to start a Python process.
START_SECONDS: Final = 60.0
#: Building the real one takes five minutes on two cores; it is not given up on a slower machine.
BUILD_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class Wish:
    """What a LiveKit is asked to be like."""

    folder: Path  #: absolute; for what it writes
    rtmp_port: int
    webhook_url: str
    api_key: str
    api_secret: str


@dataclass(frozen=True)
class Livekit:
    """One LiveKit: how it is started, and what it can do."""

    what: str  #: what the person reads behind its address
    ready_seconds: float
    takes_browsers: bool  #: whether rooms can be joined, so that the studio can send a camera
    command: Callable[[Wish], list[str]]
    environment: Callable[[Wish], dict[str, str]]


def _standin_command(wish: Wish) -> list[str]:
    return [
        *(sys.executable, "-m", "deploy.standin", "--port", "0"),
        *("--rtmp-port", str(wish.rtmp_port), "--log-level", "warning"),
    ]


def _standin_environment(wish: Wish) -> dict[str, str]:
    return {
        "STANDIN_API_KEY": wish.api_key,
        "STANDIN_API_SECRET": wish.api_secret,
        "STANDIN_WEBHOOK_URL": wish.webhook_url,
        "STANDIN_FFMPEG": testcard.encoder(),
    }


def _real_command(wish: Wish) -> list[str]:
    return [
        *(sys.executable, "-m", "deploy.livekit", "--json"),
        *("--folder", str(wish.folder), "--webhook-url", wish.webhook_url),
    ]


def _real_environment(wish: Wish) -> dict[str, str]:
    return {
        "LIVEKIT_API_KEY": wish.api_key,
        "LIVEKIT_API_SECRET": wish.api_secret,
        "LIVEKIT_RTMP_PORT": str(wish.rtmp_port),
    }


#: By the names that GREENROOM_DEMO_LIVEKIT knows.
LIVEKITS: Final[Mapping[Literal["standin", "real"], Livekit]] = {
    "standin": Livekit("a stand-in", START_SECONDS, False, _standin_command, _standin_environment),
    "real": Livekit(
        "the real one, with its ingress and an egress worker",
        *(BUILD_SECONDS, True, _real_command, _real_environment),
    ),
}

#: What both say of themselves in one line of JSON, and the setting that Greenroom reads it from.
#: What one does not say is not asked of another that the caller's environment may name.
SETTINGS: Final = {
    "url": "LIVEKIT_URL",
    "ingress_health": "GREENROOM_INGRESS_HEALTH_URL",
    "egress_health": "GREENROOM_EGRESS_HEALTH_URL",
    "egress_metrics": "GREENROOM_EGRESS_METRICS_URL",
}


async def start(
    livekit: Livekit, wish: Wish, children: Children, say: Callable[[str], None]
) -> dict[str, str]:
    """Start it and wait until it is ready; what Greenroom is to be told, as environment.

    What it says meanwhile, of building for minutes, is said on. Raises ChildDied.
    """
    child = children.start("livekit", livekit.command(wish), more=livekit.environment(wish))
    lines = _Lines(child)

    def is_ready() -> bool:
        for line in lines.new():
            say(line)
        return _told(child) is not None

    await child.until(is_ready, seconds=livekit.ready_seconds, what="ready")
    told = _told(child) or {}
    return {setting: str(told.get(name, "")) for name, setting in SETTINGS.items()}


def _told(child: Child) -> dict[str, object] | None:
    """Read what it says of itself, once that is whole."""
    for line in child.stdout.read_text(errors="replace").splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            told: dict[str, object] = json.loads(line)
            return told
    return None


class _Lines:
    """The lines of a log, each once, as they are written."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._read = 0

    def new(self) -> list[str]:
        whole, _, _ = self._child.log.read_text(errors="replace").rpartition("\n")
        lines = whole.splitlines()
        new = lines[self._read :]
        self._read = len(lines)
        return new

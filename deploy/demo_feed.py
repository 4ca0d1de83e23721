"""What the demo tells while the show runs: events as sentences, viewers, and the end report."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin

import aiohttp
import m3u8

#: A viewer's page beats as often; see api/pages/heartbeat.js.
BEAT_SECONDS: Final = 10.0
#: How often the demo's own viewer reads the playlist: about every half segment, as players do.
PLAYLIST_SECONDS: Final = 1.0
#: Carries a viewer's mark back and forth.
MARK_HEADER: Final = "X-Greenroom-Viewer"

Facts = Mapping[str, Any]
#: Tells a sentence, and when it came true (None: now).
Tell = Callable[[str, datetime | None], None]


def _source(facts: Facts) -> str:
    """Say by which way the picture comes: identities of encoders end in `#rtmp` or `#whip`."""
    _, _, way = str(facts.get("source") or "").partition("#")
    return f"by {way.upper()}" if way else "from the host's browser"


def _wish(facts: Facts) -> str:
    match facts.get("wanted"):
        case "open":
            return "the host wants the green room"
        case "live":
            return "the host wants to go live"
        case "ended":
            return f"the show shall end: {_words(facts.get('reason') or 'the host says so')}"
        case other:
            return f"the show shall be {other}"


# fmt: off
#: Events as sentences; one that is not here is told by its name and facts.
SENTENCES: Final[dict[str, Callable[[Facts], str]]] = {
    "session.created":      lambda _: "the show is announced",
    "session.wanted":       _wish,
    "session.phase":        lambda f: f"the show is {_words(f.get('after'))}",
    "session.trouble":      lambda f: f"trouble: {f.get('detail') or f.get('slug')}",
    "session.quarantined":  lambda _: "the show killed its workers and waits for a person",
    "job.done":             lambda f: f"the wish to {_words(f.get('kind'))} is fulfilled",
    "job.failed":           lambda f: f"{_words(f.get('kind'))} failed: {f.get('detail')}",
    "job.superseded":       lambda f: f"the wish to {_words(f.get('kind'))} was overtaken",
    "rtmp_ingress.ready":   lambda _: "encoders have an RTMP address and key",
    "whip_ingress.ready":   lambda _: "browsers have a WHIP address",
    "media.arrived":        lambda f: f"the picture arrives ({_source(f)})",
    "media.lost":           lambda _: "the picture is gone; the encoder may come back",
    "media.returned":       lambda f: f"the picture is back ({_source(f)})",
    "media.source_changed": lambda f: f"the picture now comes {_source(f)}",
    "take.reserved":        lambda f: f"take {f.get('take')} begins: {_words(f.get('reason'))}",
    "take.started":         lambda f: f"take {f.get('take')} is encoded for viewers, and recorded",
    "take.refused":         lambda f: f"take {f.get('take')} was refused: {f.get('error')}",
    "take.stopping":        lambda f: f"take {f.get('take')} is asked to stop",
    "take.ended":           lambda f: f"take {f.get('take')} is over: {_words(f.get('outcome'))}",
    "take.abandoned":       lambda f: f"take {f.get('take')} was given up",
    "playback.ready":       lambda _: "viewers can watch",
    "playback.stalled":     lambda _: "viewers see a frozen picture",
    "playback.ended":       lambda f: f"the playlist is complete: {f.get('segments')} segments",
    "recording.started":    lambda _: "the recording has begun",
    "recording.finished":   lambda f: f"the recording is {f.get('verdict')}",
    "part.abandoned":       lambda f: f"{f.get('part')} did not close: {f.get('why')}",
}
# fmt: on


def sentence(kind: str, facts: Facts) -> str:
    """Say an event in a few words."""
    if kind in SENTENCES:
        return SENTENCES[kind](facts)
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{kind.replace('.', ' ')}{f' ({told})' if told else ''}"


class Feed:
    """Tells each event once, and how many watch whenever that changes."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._after = 0
        self._watching = 0

    def events(self, answer: Mapping[str, Any]) -> None:
        """Tell the events of an answer of GET /sessions/{id}/events."""
        for event in answer["events"]:
            at = datetime.fromisoformat(event["at"])
            self._tell(sentence(event["kind"], event["facts"]), at)
        self._after = answer["next_after"]

    @property
    def after(self) -> int:
        """The number of the last event that was told."""
        return self._after

    def viewers(self, session: Mapping[str, Any]) -> None:
        """Tell how many watch, if that changed."""
        watching = session["viewer_count"]
        if watching != self._watching:
            watch = "viewer watches" if watching == 1 else "viewers watch"
            self._tell(f"{watching} {watch}", None)
        self._watching = watching


class Viewer:
    """A viewer of our own: reads the playlist and every segment, and says that it watches."""

    def __init__(self, http: aiohttp.ClientSession, session_url: str, hls_url: str) -> None:
        self._http = http
        self._session_url = session_url
        self._hls_url = hls_url
        self._mark: str | None = None
        self.played: set[str] = set()  #: addresses of the segments it has read whole

    async def watch(self) -> None:
        """Watch until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self._play())

    async def _beat(self) -> None:
        while True:
            headers = {MARK_HEADER: self._mark} if self._mark else {}
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.post(
                    f"{self._session_url}/heartbeat", headers=headers
                ) as answer:
                    self._mark = answer.headers.get(MARK_HEADER, self._mark)
            await asyncio.sleep(BEAT_SECONDS)

    async def _play(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.get(self._hls_url) as answer:
                    text = await answer.text() if answer.ok else ""
                for segment in m3u8.loads(text).segments if text else ():
                    await self._read(urljoin(self._hls_url, str(segment.uri)))
            await asyncio.sleep(PLAYLIST_SECONDS)

    async def _read(self, address: str) -> None:
        if address in self.played:
            return
        async with self._http.get(address) as answer:
            if answer.ok and await answer.read():
                self.played.add(address)


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Say the end report for a person."""
    recording = report["recording"] or {}
    verdict = recording.get("verdict") or "none"
    reason = recording.get("verdict_reason")
    told = f"{verdict}{f' ({_words(reason)})' if reason and verdict != 'verified' else ''}"
    if recording.get("file_size"):
        size = recording["file_size"] / 1_000_000
        told += f", {_clock(recording.get('duration') or 0)} long, {size:.1f} MB"
    first = _seconds(report["seconds_from_media_to_playback"])
    segments = f"{report['segments']}, {report['stalls']}, {len(report['takes'])}"
    return [
        f"recording                  {told}",
        f"on air                     {_clock(report['duration'])}",
        f"peak viewers               {report['max_viewers']}",
        f"time to go live            {_seconds(report['seconds_to_live'])}",
        f"time to first playable     {first} after the encoder's first picture",
        f"segments, stalls, takes    {segments}",
        *(f"given up                   {given_up}" for given_up in report["abandoned"]),
    ]


def _words(name: object) -> str:
    return str(name or "").replace("_", " ")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d} min"

"""Ask egress and ingress at their own addresses whether one can be had, before it is needed."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog
from prometheus_client.parser import text_string_to_metric_families

from orchestration.settings import Settings

log = structlog.get_logger(__name__)

#: A host waits for this answer before go_live begins; a neighbour answers in milliseconds.
ASK_SECONDS: Final = 1.0
#: An egress has some hundred metrics, 20 KB.
METRICS_BYTES_MAX: Final = 2_000_000
#: What a proxy says when nobody is behind it, and a worker that takes nothing.
ABSENT: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_BUSY: Final = HTTPStatus.SERVICE_UNAVAILABLE
#: LiveKit's ingress says at this path that it is there but has no room.
AVAILABILITY: Final = "/availability"
#: The egress' `can_accept_request` is about the dearest kind of egress, and it is 0 for good where
#: that kind cannot run: it is believed only of a worker that works, and has not half its CPU idle.
BUSY_LOAD: Final = 0.5

AVAILABLE: Final = "livekit_egress_available"
CAN_ACCEPT: Final = "livekit_egress_can_accept_request"
LEAVING: Final = ("livekit_egress_is_terminating", "livekit_egress_is_disabled")
CPU_LOAD: Final = "livekit_node_cpu_load"


class Room(StrEnum):
    """What the addresses of one kind of worker say."""

    FREE = "free"  #: one can be had
    FULL = "full"  #: they are there, and can take no more
    ABSENT = "absent"  #: none is there, or all are leaving
    UNKNOWN = "unknown"  #: nobody says anything


@dataclass(frozen=True)
class Told:
    """What was heard of one kind of worker; `seen` is for people, without addresses."""

    room: Room
    seen: str


class Admission:
    """Knows the addresses. Nothing is refused that was not said by one of them."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._ingress_health = settings.ingress_health_url
        self._egress_health = settings.egress_health_url
        self._egress_metrics = settings.egress_metrics_url
        self._http = http

    @property
    def is_asked(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._ingress_health or self._egress_health or self._egress_metrics)

    async def refusal(self, *, needs_ingress: bool) -> tuple[str, str] | None:
        """Give the problem's slug and what was heard, when going live would be in vain."""
        egress, ingress = await asyncio.gather(
            self.egress(), self.ingress() if needs_ingress else _nobody()
        )
        for name, told in (("egress", egress), ("ingress", ingress)):
            if told.room in {Room.FULL, Room.ABSENT}:
                return f"{name}-{told.room}", told.seen
        return None

    async def ingress(self) -> Told:
        """Say whether an encoder would find an ingress."""
        if not self._ingress_health:
            return await _nobody()
        room = _best(await self._each(self._ingress_health, self._health))
        return Told(room, _INGRESS_SEEN[room])

    async def egress(self) -> Told:
        """Say whether a take would find an egress: its metrics know more than its health."""
        if not self._egress_health and not self._egress_metrics:
            return await _nobody()
        measured, healthy = await asyncio.gather(
            self._each(self._egress_metrics, self._metrics),
            self._each(self._egress_health, self._health),
        )
        by_metrics, by_health = _best(measured), _best(healthy)
        room = by_health if by_metrics is Room.UNKNOWN else by_metrics
        return Told(room, _EGRESS_SEEN[room])

    async def _each(self, urls: Sequence[str], ask: Callable[[str], Awaitable[Room]]) -> list[Room]:
        return list(await asyncio.gather(*(ask(url) for url in urls)))

    async def _health(self, url: str) -> Room:
        status, _ = await self._get(url, bytes_max=0)
        if status is None:
            return Room.UNKNOWN
        if status in ABSENT:
            is_full = url.partition("?")[0].endswith(AVAILABILITY)
            return Room.FULL if is_full and status == _BUSY else Room.ABSENT
        # Anything else that is no success says only that the address is a wrong one.
        return Room.FREE if status < HTTPStatus.BAD_REQUEST else Room.UNKNOWN

    async def _metrics(self, url: str) -> Room:
        status, body = await self._get(url, bytes_max=METRICS_BYTES_MAX)
        if status in ABSENT:
            return Room.ABSENT
        return room_of(body) if status == HTTPStatus.OK else Room.UNKNOWN

    async def _get(self, url: str, *, bytes_max: int) -> tuple[int | None, str]:
        """Ask an address; without an answer nothing is known."""
        try:
            async with asyncio.timeout(ASK_SECONDS), self._http.get(url) as answer:
                body = b""
                while more := await answer.content.read(bytes_max - len(body)):
                    body += more
                return answer.status, body.decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.info("admission_silence", error=type(error).__name__)
            return None, ""


def room_of(metrics: str) -> Room:
    """Read from the metrics of one or more egress workers whether one of them has room."""
    workers: dict[str, dict[str, float]] = defaultdict(dict)
    loads: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                node = sample.labels.get("node_id", "")
                if sample.name in {AVAILABLE, CAN_ACCEPT, *LEAVING}:
                    workers[node][sample.name] = sample.value
                elif sample.name == CPU_LOAD and sample.labels.get("node_type") == "EGRESS":
                    loads[node] = sample.value
    except ValueError:
        return Room.UNKNOWN
    return _best([_room(facts, loads.get(node)) for node, facts in workers.items()])


def _room(facts: dict[str, float], load: float | None) -> Room:
    if any(facts.get(name) for name in LEAVING):
        return Room.ABSENT
    if CAN_ACCEPT not in facts:
        return Room.UNKNOWN
    if facts[CAN_ACCEPT] or facts.get(AVAILABLE):
        return Room.FREE
    return Room.UNKNOWN if load is not None and load < BUSY_LOAD else Room.FULL


def _best(rooms: Sequence[Room]) -> Room:
    """Say what several come to: one that has room, or may have it, is enough."""
    order = (Room.FREE, Room.UNKNOWN, Room.FULL, Room.ABSENT)
    return next((room for room in order if room in rooms), Room.UNKNOWN)


async def _nobody() -> Told:
    return Told(Room.UNKNOWN, "no address is set at which it could be asked")


_EGRESS_SEEN: Final = {
    Room.FREE: "an egress is there and takes one more show",
    Room.FULL: "every egress says that it can take no more",
    Room.ABSENT: "the egress' address says that none is there, or that it is being shut down",
    Room.UNKNOWN: "the egress' address does not answer, or says nothing about its room",
}
_INGRESS_SEEN: Final = {
    Room.FREE: "an ingress is there and takes encoders",
    Room.FULL: "every ingress says that it can take no more",
    Room.ABSENT: "the ingress' address says that none is there",
    Room.UNKNOWN: "the ingress' address does not answer",
}

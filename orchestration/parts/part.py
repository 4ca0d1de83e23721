"""What every part is: `ensure` and `remove`, and what they may use."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from orchestration.plane import (
    EgressSeen,
    IngressSeen,
    MediaPlane,
    ParticipantSeen,
    TakeOutputs,
)
from orchestration.settings import Settings
from orchestration.show import Show

T = TypeVar("T")


@dataclass(frozen=True)
class Ready:
    """It is as wanted."""


@dataclass(frozen=True)
class Waiting:
    """It is not as wanted yet, and nothing is wrong: look again then."""

    until: datetime
    why: str
    needs_slow: bool = False  #: the next step may take half a minute: a slow worker's business
    is_trouble: bool = False  #: what went wrong the last time is not mended yet
    trouble: dict[str, Any] | None = None  #: what is wrong now, as a problem: slug and detail


Outcome = Ready | Waiting
READY = Ready()


class Ledger(Protocol):
    """Every write of a look: fenced by the look's epoch, one short transaction each.

    Each answers the show as it is afterwards, and raises LeaseLost when the look lost its claim.
    """

    async def learn(self, *, event: str | None = None, **columns: Any) -> Show:
        """Write session columns, with an event when it is worth one."""
        ...

    async def reserve_take(self, *, source: str, reason: str, above: int = 0) -> Show:
        """Reserve the next take's number, `above` any, before LiveKit is asked for it."""
        ...

    async def learn_take(self, number: int, *, event: str | None = None, **columns: Any) -> Show:
        """Write columns of one take, with an event when it is worth one."""
        ...

    async def open_playback(self) -> Show:
        """See that the show has a playback row."""
        ...

    async def close_playback(self) -> bool:
        """Publish the last playlist; whether it has its ENDLIST now."""
        ...

    async def open_recording(self) -> Show:
        """See that the show has a recording row."""
        ...

    async def finish_recording(self) -> None:
        """Ask for the recording to be finished."""
        ...

    def sealed(self, secret: str) -> str:
        """Encrypt a secret for the ledger."""
        ...


class Glimpse:
    """What LiveKit lists for one room, asked at most once a look, however many parts ask."""

    def __init__(self, plane: MediaPlane, room: str) -> None:
        self._plane = plane
        self._room = room
        self._asked: dict[str, asyncio.Future[Any]] = {}

    async def ingresses(self) -> tuple[IngressSeen, ...]:
        return await self._once("ingress", lambda: self._plane.list_ingress(self._room))

    async def participants(self) -> tuple[ParticipantSeen, ...]:
        return await self._once("people", lambda: self._plane.list_participants(self._room))

    async def egresses(self) -> tuple[EgressSeen, ...]:
        """List those that are over, too: how a take ended is learned from them."""
        return await self._once("egress", lambda: self._plane.list_egress(self._room, active=False))

    def ask_ahead(self) -> None:
        """Begin to ask for what a show that opens needs first, while its ledger is written."""
        asking = self._begin("ingress", lambda: self._plane.list_ingress(self._room))
        # Whoever needs the answer is told of an error; nobody may, when the claim is lost.
        asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())

    def forget(self) -> None:
        """Ask again next time: something was changed."""
        self._asked.clear()

    async def _once(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        answer: T = await asyncio.shield(self._begin(what, ask))
        return answer

    def _begin(self, what: str, ask: Callable[[], Awaitable[T]]) -> "asyncio.Future[T]":
        if what not in self._asked:
            self._asked[what] = asyncio.ensure_future(ask())
        return self._asked[what]


@dataclass(frozen=True)
class Tools:
    """What a part may use."""

    plane: MediaPlane
    ledger: Ledger
    seen: Glimpse
    settings: Settings
    outputs: Callable[[Show, int], TakeOutputs]  #: where a take's files go
    may_be_slow: bool = True


Ensure = Callable[[Show, Tools], Awaitable[Outcome]]
Remove = Callable[[Show, Tools], Awaitable[Outcome]]

"""The two media planes of the plane contract: one in memory, one that speaks to a LiveKit.

Both are asked the same; what an encoder, a browser or a fault does is arranged in each one's way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from orchestration.livekit import LiveKit
from orchestration.plane import IngressSeen, MediaPlane, TakeOutputs
from tests.contract.control import Control
from tests.contract.encoders import Encoders
from tests.fakes.clock import Clock
from tests.fakes.plane import Fault, MemoryPlane
from tests.system.waits import until

T = TypeVar("T")

#: A minute of LiveKit's time passes in memory in no time.
MINUTE = 60.0


def outputs_in(folder: Path) -> TakeOutputs:
    """Ask for everything a take writes."""
    return TakeOutputs(
        segment_prefix=f"{folder}/seg",
        playlist_name=f"{folder}/vod.m3u8",
        live_playlist_name=f"{folder}/live.m3u8",
        segment_seconds=2,
        file_name=f"{folder}/take.mp4",
        image_prefix=None,
    )


class Studio(Protocol):
    """A media plane, and everybody around it."""

    plane: MediaPlane

    async def until(self, look: Callable[[], Awaitable[T]], *, what: str) -> T:
        """Wait for the first truthy answer, in this plane's time."""
        ...

    async def connect(self, ingress: IngressSeen) -> None:
        """Push with an ingress' key until the test is over or the encoder is dropped."""
        ...

    async def drop(self, ingress: IngressSeen) -> None:
        """Stop pushing, as an operator would."""
        ...

    async def join(self, room: str, identity: str, *, kind: str = "standard") -> None:
        """Let somebody who sends nothing into a room."""
        ...

    async def fail(self, kind: Fault, verb: str) -> None:
        """Let the next call of this method go wrong."""
        ...

    async def heal(self) -> None:
        """Take every fault away."""
        ...

    async def egress_dies(self, room: str) -> None:
        """Kill the egress' handler."""
        ...

    async def workers_gone(self) -> None:
        """Kill the egress workers."""
        ...

    async def without_v2(self) -> None:
        """Be a LiveKit that has no StartEgress."""
        ...

    async def forget_everything(self) -> None:
        """Lose rooms, ingresses and egresses."""
        ...


@dataclass
class InMemory:
    """The LiveKit in memory, and its clock."""

    clock: Clock
    plane: MemoryPlane

    async def until(self, look: Callable[[], Awaitable[T]], *, what: str) -> T:
        for _ in range(int(MINUTE)):
            if answer := await look():
                return answer
            await self.clock.advance(1)
            self.plane.run(1)
        raise AssertionError(f"a minute passed without {what}")

    async def connect(self, ingress: IngressSeen) -> None:
        self.plane.push(ingress.stream_key)

    async def drop(self, ingress: IngressSeen) -> None:
        self.plane.encoder_drops(ingress.identity)

    async def join(self, room: str, identity: str, *, kind: str = "standard") -> None:
        self.plane.join(room, identity, kind=kind)

    async def fail(self, kind: Fault, verb: str) -> None:
        self.plane.fail(kind, verb, times=None if kind is Fault.STALE else 1)

    async def heal(self) -> None:
        self.plane.heal()

    async def egress_dies(self, room: str) -> None:
        self.plane.egress_dies(room)

    async def workers_gone(self) -> None:
        self.plane.worker_gone()
        self.plane.has_workers = False

    async def without_v2(self) -> None:
        self.plane.has_v2 = False

    async def forget_everything(self) -> None:
        self.plane.forget_everything()


@dataclass
class AtLiveKit:
    """A LiveKit that is spoken to, with real encoders; only the stand-in can be controlled."""

    plane: LiveKit
    _control: Control | None
    encoders: Encoders
    _running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def control(self) -> Control:
        assert self._control is not None
        return self._control

    async def until(self, look: Callable[[], Awaitable[T]], *, what: str) -> T:
        return await until(look, what=what)

    async def connect(self, ingress: IngressSeen) -> None:
        address = f"{ingress.url}/{ingress.stream_key}"
        self._running[ingress.identity] = await self.encoders.push(address)

    async def drop(self, ingress: IngressSeen) -> None:
        await self.encoders.stop(self._running.pop(ingress.identity))

    async def join(self, room: str, identity: str, *, kind: str = "standard") -> None:
        await self.control.join(room, identity, kind=kind.upper())

    async def fail(self, kind: Fault, verb: str) -> None:
        match kind:
            case Fault.REFUSED:
                await self.control.arm("refuse", method=verb, code="invalid_argument", count=1)
            case Fault.UNAVAILABLE:
                await self.control.arm("refuse", method=verb, code="unavailable", count=1)
            case Fault.ANSWER_LOST:
                await self.control.arm("answer_lost", method=verb, count=1)
            case Fault.STALE:
                await self.control.arm("stale_list", method=verb)
            case _:
                raise AssertionError(f"the stand-in has no {kind}")

    async def heal(self) -> None:
        await self.control.clear()

    async def egress_dies(self, room: str) -> None:
        await self.control.arm("egress_dies", room=room)

    async def workers_gone(self) -> None:
        await self.control.arm("worker_gone")

    async def without_v2(self) -> None:
        await self.control.arm("unimplemented", method="StartEgress")

    async def forget_everything(self) -> None:
        await self.control.arm("forget_everything")

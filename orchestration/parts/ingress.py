"""An ingress of a show: where an encoder sends to."""

import asyncio
from dataclasses import dataclass
from typing import Final

from orchestration import names
from orchestration.parts.part import READY, Outcome, Tools, Waiting
from orchestration.plane import IngressSeen, Input, MediaPlane, NotThere
from orchestration.show import Show
from orchestration.states import Wanted

#: A disabled ingress lets go of its encoder in 0.01 to 0.95 s; a dead one never does.
IDLE_SECONDS_MAX: Final = 3.0
IDLE_POLL_SECONDS: Final = 0.1
#: How soon an ingress that sends and is not listed is looked for again.
UNLISTED_SECONDS: Final = 2.0


@dataclass(frozen=True)
class IngressPart:
    """The RTMP or the WHIP ingress; two identities, because one would evict the other."""

    input: Input

    async def ensure(self, show: Show, tools: Tools) -> Outcome:
        """Adopt the one that is there, remove surplus ones, create it when there is none.

        Before the green room opens it exists disabled, so that its key can be set up in an encoder.
        """
        enabled = show.wants(Wanted.OPEN)
        if self.input in await _unlisted(show, tools):
            # Another one has another key: what one list leaves out is not gone yet.
            tools.seen.forget()
            unlisted = await _unlisted(show, tools)
            if self.input in unlisted and await _sends(show, unlisted, tools):
                return Waiting(show.after(UNLISTED_SECONDS), "LiveKit does not list what sends")
        kept, surplus = self._sorted_out(show, await tools.seen.ingresses())
        for extra in surplus:
            await close(extra, tools.plane)
        if kept is None:
            kept = await tools.plane.create_ingress(
                self.input,
                name=names.ingress_name(show.room, show.key_number),
                room=show.room,
                identity=names.identity_of(show.host_id, self.input),
                title=show.title,
                enabled=enabled,
            )
        elif kept.enabled != enabled:
            kept = await tools.plane.enable_ingress(kept.ingress_id, enabled=enabled)
        if show.ingress_ids[self.input] != kept.ingress_id:
            await tools.ledger.learn(
                event=f"{self.input}_ingress.ready"
                if show.ingress_ids[self.input] is None
                # Its key is another one: an encoder that has the old key cannot come back.
                else f"{self.input}_ingress.replaced",
                **{
                    f"{self.input}_ingress_id": kept.ingress_id,
                    f"{self.input}_url": kept.url,
                    f"{self.input}_key_sealed": tools.ledger.sealed(kept.stream_key),
                },
            )
        return READY

    async def remove(self, show: Show, tools: Tools) -> Outcome:
        """Delete every ingress of this kind in the show's room, and forget its key."""
        kept, surplus = self._sorted_out(show, await tools.seen.ingresses())
        for ingress in (*surplus, *((kept,) if kept else ())):
            await close(ingress, tools.plane)
        if show.ingress_ids[self.input] is not None:
            forgotten = ("ingress_id", "url", "key_sealed")
            await tools.ledger.learn(**{f"{self.input}_{fact}": None for fact in forgotten})
        return READY

    def _sorted_out(
        self, show: Show, seen: tuple[IngressSeen, ...]
    ) -> tuple[IngressSeen | None, tuple[IngressSeen, ...]]:
        """Tell the one to keep (the recorded one, else the first) from the surplus.

        One whose key was replaced is never kept.
        """
        mine = [item for item in seen if item.input is self.input and item.room == show.room]
        name = names.ingress_name(show.room, show.key_number)
        mine.sort(key=lambda item: item.ingress_id != show.ingress_ids[self.input])
        kept = next((item for item in mine if item.name == name), None)
        return kept, tuple(item for item in mine if item is not kept)


async def _unlisted(show: Show, tools: Tools) -> set[Input]:
    """Say which of the recorded ingresses LiveKit leaves out of its list."""
    listed = {None, *(item.ingress_id for item in await tools.seen.ingresses())}
    return {kind for kind, known in show.ingress_ids.items() if known not in listed}


async def _sends(show: Show, kinds: set[Input], tools: Tools) -> bool:
    """Whether the participant of one of these ingresses is in the room, whatever is listed."""
    there = {person.identity for person in await tools.seen.participants()}
    return any(names.identity_of(show.host_id, kind) in there for kind in kinds)


async def close(ingress: IngressSeen, plane: MediaPlane) -> None:
    """Disable, wait until it is idle, delete.

    Deleting a busy one in one step was seen to kill livekit-server
    (a nil state in UpdateIngressState when the encoder stops at that very moment).
    """
    try:
        if ingress.enabled or ingress.is_busy:
            ingress = await plane.enable_ingress(ingress.ingress_id, enabled=False)
        waited = 0.0
        while ingress.is_busy and waited < IDLE_SECONDS_MAX:
            await asyncio.sleep(IDLE_POLL_SECONDS)
            waited += IDLE_POLL_SECONDS
            listed = await plane.list_ingress(ingress.room)
            ingress = next(
                (item for item in listed if item.ingress_id == ingress.ingress_id), ingress
            )
            if all(item.ingress_id != ingress.ingress_id for item in listed):
                return
        await plane.delete_ingress(ingress.ingress_id)
    except NotThere:
        return

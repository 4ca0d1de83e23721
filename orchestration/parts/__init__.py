"""PARTS: what going live means, in order, and how each thing is done and undone."""

from dataclasses import dataclass
from typing import Final

from orchestration.parts import broadcast, ingress, playback, recording, room
from orchestration.parts.part import Ensure, Remove
from orchestration.plane import Input
from orchestration.states import Wanted


@dataclass(frozen=True)
class Part:
    """One thing that must exist while a session wants it.

    Parts with the same number are walked side by side; lower numbers first.
    """

    name: str
    needed_from: Wanted  #: the least wish that needs it
    opens: int  #: when it is ensured, on the way down
    closes: int  #: when it is removed, on the way up
    ensure: Ensure
    remove: Remove


RTMP: Final = ingress.IngressPart(Input.RTMP)
WHIP: Final = ingress.IngressPart(Input.WHIP)

# fmt: off
PARTS: Final[tuple[Part, ...]] = (
    #    name            needed from      opens closes  ensure            remove
    Part("room",         Wanted.OPEN,     1,    5,      room.ensure,      room.remove),
    Part("rtmp_ingress", Wanted.PREPARED, 1,    4,      RTMP.ensure,      RTMP.remove),
    Part("whip_ingress", Wanted.OPEN,     1,    4,      WHIP.ensure,      WHIP.remove),
    Part("playback",     Wanted.LIVE,     2,    3,      playback.ensure,  playback.remove),
    Part("broadcast",    Wanted.LIVE,     3,    1,      broadcast.ensure, broadcast.remove),
    Part("recording",    Wanted.LIVE,     4,    2,      recording.ensure, recording.remove),
)
# fmt: on

#: With these a show is on air: go_live answers when they are ready. The later ones wait for media.
ANSWERED_AT: Final = 1

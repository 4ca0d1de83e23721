"""Shows whose walks reach every part: what the generated strikes are struck in."""

from typing import Final

from tests.fakes.plane import Fault
from tests.integration.engine.boundaries import Script, Step
from tests.integration.engine.house import House


async def _nothing(house: House, show: object) -> None:
    """Let time pass."""


async def _browser_sends(house: House, show: object) -> None:
    for room in list(house.plane.rooms):
        house.plane.join(room, str(house.company.host.id), sends=True)


async def _encoder_connects(house: House, show: object) -> None:
    house.connect()


async def _encoder_drops(house: House, show: object) -> None:
    house.drop()


async def _egress_dies(house: House, show: object) -> None:
    house.plane.egress_dies()


async def _livekit_forgets(house: House, show: object) -> None:
    house.plane.forget_everything()


async def _whip_is_refused(house: House, show: object) -> None:
    house.plane.fail(Fault.REFUSED, "CreateIngress")


ANNOUNCED: Final = Step("announced", _nothing)
GO_LIVE: Final = Step("go live", House.go_live)
ENDED: Final = Step("end", House.end)

# fmt: off
SCRIPTS: Final = (
    Script("show", (
        ANNOUNCED,
        Step("start",            House.start),
        GO_LIVE,
        Step("encoder connects", _encoder_connects, 8),
        ENDED,
    )),
    Script("refused", (
        ANNOUNCED,
        Step("refusal armed",    _whip_is_refused, 0),
        GO_LIVE,
        ENDED,
    )),
    Script("changes", (
        ANNOUNCED,
        GO_LIVE,
        Step("browser sends",    _browser_sends, 6),
        Step("encoder connects", _encoder_connects, 16),
        Step("egress dies",      _egress_dies, 10),
        Step("encoder drops",    _encoder_drops, 6),
        ENDED,
    )),
    Script("forgotten", (
        ANNOUNCED,
        GO_LIVE,
        Step("encoder connects", _encoder_connects, 6),
        Step("all forgotten",    _livekit_forgets, 20),
        Step("encoder connects", _encoder_connects, 6),
        ENDED,
    )),
)
# fmt: on

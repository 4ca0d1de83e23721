"""A wish that comes while a look is under way is the next look's to answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from typing_extensions import override

from orchestration import converge
from orchestration.leases import Lease
from orchestration.ledger import SqlLedger
from orchestration.lookout import Lookout
from orchestration.models import Job
from orchestration.resources import Resources
from orchestration.show import Show
from orchestration.states import JobStatus, Phase
from tests.integration.engine.house import House


class Interrupted(Lookout):
    """A look during which somebody wishes, just before it writes what it has come to."""

    def __init__(
        self, resources: Resources, write: str, wish: Callable[[], Awaitable[Job]]
    ) -> None:
        super().__init__(resources)
        self._write = write
        self._wish = wish
        self.job: Job | None = None

    @override
    def ledger(self, lease: Lease) -> SqlLedger:
        ledger = super().ledger(lease)
        write = getattr(ledger, self._write)

        async def interrupted(*arguments: Any, **columns: Any) -> Show:
            self.job = self.job or await self._wish()
            show: Show = await write(*arguments, **columns)
            return show

        setattr(ledger, self._write, interrupted)
        return ledger


async def test_a_start_while_a_prepared_show_is_looked_at_is_not_done_yet(house: House) -> None:
    """Its job is done when the green room is open, not when what was there is put in order."""
    show = await house.create()
    await house.calm()
    await house.hint(show)
    looking = Interrupted(house.resources, "reach", lambda: house.start(show))

    looked = await converge.look(show, looking)
    assert looking.job is not None
    meanwhile = await house.job(looking.job.id)
    await house.calm()
    afterwards = await house.job(looking.job.id)

    assert looked.due_now
    assert meanwhile.status is JobStatus.PENDING
    assert afterwards.status is JobStatus.DONE
    assert (await house.session(show)).phase is Phase.OPEN


async def test_an_end_while_a_show_begins_to_open_is_not_done_yet(house: House) -> None:
    """Nothing was opened yet, and still the end is only done when that was seen to."""
    show = await house.create()
    await house.calm()
    gone_live = await house.go_live(show)
    looking = Interrupted(house.resources, "become", lambda: house.end(show))

    looked = await converge.look(show, looking)
    assert looking.job is not None
    meanwhile = await house.job(looking.job.id)
    await house.calm()
    afterwards = await house.job(looking.job.id)

    assert looked.due_now
    assert meanwhile.status is JobStatus.PENDING
    assert afterwards.status is JobStatus.DONE
    assert (await house.job(gone_live.id)).status is JobStatus.SUPERSEDED
    assert (await house.session(show)).phase is Phase.ENDED
    assert not house.plane.rooms
    assert not house.plane.ingresses

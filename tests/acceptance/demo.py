"""The demo as somebody who types its command sees it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.ports import free_port
from tests.system import processes
from tests.system.processes import Process


def start(command: Sequence[str], folder: Path, **more: str) -> Process:
    """Start the demo on free ports, with its logs where the test can read them."""
    return processes.start(
        command,
        name="demo",
        environment={
            "GREENROOM_DEMO_FOLDER": str(folder),
            "GREENROOM_API_PORT": str(free_port()),
            "GREENROOM_METRICS_PORT": str(free_port()),
            **more,
        },
    )


async def worked(show: Process, words: Iterable[str], *, within: float) -> None:
    """See that a show that ends by itself worked, told all these words, and left nothing."""
    code = await show.ended(within=within)

    told = show.log()
    assert code == 0, told
    for word in words:
        assert word in told
    show.assert_nothing_left()

"""Viewers who watch by HLS: each beats, as the watch page does, until it leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.acceptance.caller import Caller
from tests.acceptance.show import Show

#: As often as the watch page beats.
BEAT_SECONDS = 10.0
#: So seldom that a test sees each viewer's first beat only.
ONCE_SECONDS = 600.0
#: Carries a viewer's mark, there and back.
MARK = "X-Greenroom-Viewer"


@asynccontextmanager
async def watching(
    show: Show, viewer: Caller, *, count: int, every: float = BEAT_SECONDS
) -> AsyncIterator[None]:
    """Let so many viewers watch for the length of a block; they leave without a word."""
    beating = [asyncio.create_task(_beat(show, viewer, every)) for _ in range(count)]
    try:
        yield
    finally:
        for one in beating:
            one.cancel()
        await asyncio.gather(*beating, return_exceptions=True)


async def _beat(show: Show, viewer: Caller, every: float) -> None:
    mark: str | None = None
    while True:
        headers = {MARK: mark} if mark else {}
        answer = await viewer.ask("POST", f"/sessions/{show.id}/heartbeat", headers=headers)
        mark = answer.expect(204).headers.get(MARK, mark)
        await asyncio.sleep(every)

"""Row `heartbeat`: a viewer's beat with its mark, against the same server's empty 204."""

import asyncio

from tests.bench import house
from tests.bench.api import EMPTY
from tests.bench.figures import Measured
from tests.bench.load import CONNECTIONS, load, request
from tests.bench.turns import Measure, take_turns

TURNS = 8
SECONDS = 1.5


async def measure() -> list[Measured]:
    """Beat for as many viewers as there are connections."""
    line = Measured("viewer heartbeat", "the same server's empty 204", "/s", at_least=0.85)
    seen = Measured(
        "the same", "an empty 204 that is named, logged and counted like every request", "/s"
    )
    async with house.opened() as ours:
        session_id = await ours.announce()
        await ours.ask("POST", f"/sessions/{session_id}/go_live")
        path = f"/sessions/{session_id}/heartbeat"
        marks = await asyncio.gather(*(_mark(ours, path) for _ in range(CONNECTIONS)))
        busy: list[float] = []

        def rate(url: str, path: str) -> Measure:
            beats = [request("POST", path, url, X_Greenroom_Viewer=mark) for mark in marks]

            async def measured() -> float:
                counted = await load(url, beats, status=204, seconds=SECONDS)
                busy.append(counted.busy)
                return counted.per_second

            return measured

        await take_turns(line, rate(ours.api, path), rate(ours.bare, EMPTY), turns=TURNS)
        await take_turns(seen, rate(ours.api, path), rate(ours.seen, EMPTY), turns=TURNS // 2)
        line.notes.append(f"the load client used at most {max(busy):.0%} of a core")
    return [line, seen]


async def _mark(ours: house.House, path: str) -> str:
    async with ours.http.post(ours.api + path) as answer:
        return str(answer.headers["X-Greenroom-Viewer"])

"""Row `read`: GET /sessions/{id} as the public, against the same server's empty 200."""

from itertools import count

from tests.bench import house
from tests.bench.api import EMPTY
from tests.bench.figures import Measured
from tests.bench.load import CONNECTIONS, load, request
from tests.bench.turns import Measure, take_turns

TURNS = 8
SECONDS = 1.5
#: Reads that ask the ledger are a tenth as many; fewer turns say enough.
TURNS_SLOW = 4
#: As many of them side by side as the ledger has connections for.
CONNECTIONS_SLOW = 8
#: Ways to write one address that are asked for before the first is asked again.
WRITINGS = 6_000


async def measure() -> list[Measured]:
    """Read a live show from the answer cache, past it, and as its host."""
    floor = "the same server's empty 200"
    hit = Measured("public read of a session", floor, "/s", at_least=0.9)
    seen = Measured(
        "the same", "an empty 200 that is named, logged and counted like every request", "/s"
    )
    miss = Measured("the same, past the answer cache", floor, "/s")
    host = Measured("the host's read of a session", floor, "/s")
    async with house.opened() as ours:
        session_id = await ours.announce()
        await ours.ask("POST", f"/sessions/{session_id}/go_live")
        path = f"/sessions/{session_id}"
        busy: list[float] = []
        writings = count()

        def rate(url: str, *requests: bytes, connections: int = CONNECTIONS) -> Measure:
            async def measured() -> float:
                counted = await load(
                    url, requests, status=200, seconds=SECONDS, connections=connections
                )
                busy.append(counted.busy)
                return counted.per_second

            return measured

        async def past_the_cache() -> float:
            first = next(writings) * WRITINGS
            requests = [
                request("GET", f"/sessions/{_written(session_id, first + number)}", ours.api)
                for number in range(WRITINGS)
            ]
            return await rate(ours.api, *requests, connections=CONNECTIONS_SLOW)()

        public = request("GET", path, ours.api)
        own = request("GET", path, ours.api, Authorization=f"Bearer {ours.token}")
        empty = rate(ours.bare, request("GET", EMPTY, ours.bare))
        seen_empty = rate(ours.seen, request("GET", EMPTY, ours.seen))
        few = rate(ours.bare, request("GET", EMPTY, ours.bare), connections=CONNECTIONS_SLOW)
        await take_turns(hit, rate(ours.api, public), empty, turns=TURNS)
        await take_turns(seen, rate(ours.api, public), seen_empty, turns=TURNS_SLOW)
        await take_turns(miss, past_the_cache, few, turns=TURNS_SLOW)
        await take_turns(
            host, rate(ours.api, own, connections=CONNECTIONS_SLOW), few, turns=TURNS_SLOW
        )
        hit.notes.append(f"the load client used at most {max(busy):.0%} of a core")
    return [hit, seen, miss, host]


def _written(text: str, number: int) -> str:
    """Write an address in another way: which of its first characters are percent-encoded.

    The cache knows answers by the address as it was written; the door reads all of them alike.
    """
    return "".join(
        f"%{ord(letter):02X}" if number >> place & 1 else letter
        for place, letter in enumerate(text)
    )

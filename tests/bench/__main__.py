"""`make bench`: measure every row of ROWS, or those that are named, and print the table."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import go_live, heartbeats, playable, processor, reads, real, ring
from tests.bench.figures import Measured, table
from tests.bench.turns import say

# fmt: off
#: Every row by its name.
ROWS: dict[str, Callable[[], Awaitable[list[Measured]]]] = {
    "go_live":   go_live.measure,
    "ring":      ring.measure,
    "read":      reads.measure,
    "heartbeat": heartbeats.measure,
    "playable":  playable.measure,
    "processor": processor.measure,
    "real":      real.measure,
}
# fmt: on


def main() -> int:
    """Print the table on stdout; 1 only when something did not work: slow is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"of: {', '.join(ROWS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every pair there, too")
    told = parser.parse_args()
    if unknown := set(told.only) - set(ROWS):
        parser.error(f"there is no row {unknown.pop()}, but: {', '.join(ROWS)}")
    # A machine without a redis-server uses the one of the virtual environment.
    os.environ["PATH"] += f"{os.pathsep}{Path(sys.executable).parent}"
    lines = asyncio.run(_measured(told.only or list(ROWS)))
    sys.stdout.write(f"\n{table(lines)}\n")
    if told.json:
        told.json.write_text(json.dumps([line.as_json() for line in lines], indent=2) + "\n")
    return 0


async def _measured(names: list[str]) -> list[Measured]:
    lines = []
    began_at = time.monotonic()
    for number, name in enumerate(names, start=1):
        say(f"{number}/{len(names)} {name}")
        lines += await ROWS[name]()
    say(f"measured in {time.monotonic() - began_at:.0f} s")
    return lines


if __name__ == "__main__":
    sys.exit(main())

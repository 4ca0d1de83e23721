"""Measure in turns: figure, floor, figure, floor, so that a busy machine slows both alike."""

import sys
import time
from collections.abc import Awaitable, Callable

from tests.bench.figures import Measured, Pair, amount

Measure = Callable[[], Awaitable[float]]


def say(text: str = "", *, end: str = "\n") -> None:
    """Tell how it goes; the table alone goes to stdout."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


async def take_turns(
    line: Measured, figure: Measure, floor: Measure, *, turns: int, warm_up: int = 1
) -> Measured:
    """Measure so many pairs, after some that do not count; progress is told about each second."""
    for _ in range(warm_up):
        await figure()
        await floor()
    told_at = time.monotonic()
    for turn in range(1, turns + 1):
        line.pairs.append(Pair(await figure(), await floor()))
        if time.monotonic() - told_at > 1 or turn == turns:
            told_at = time.monotonic()
            say(
                f"    {line.what}: {turn}/{turns}, {amount(line.figure, line.unit)}, "
                f"floor {amount(line.floor_figure, line.unit)}, ratio {line.ratio:.2f}"
            )
    return line

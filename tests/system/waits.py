"""Wait for something to become true, with a deadline and a reason to read when it does not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

Found = TypeVar("Found")

#: Seconds between two looks: short against what is waited for, long against what a look costs.
BETWEEN_LOOKS = 0.05
#: Patience for what takes a second on an idle machine: the tests share two cores.
PATIENCE = 60.0


@overload
async def until(
    look: Callable[[], Awaitable[Found]], *, what: str, within: float = ..., every: float = ...
) -> Found: ...
@overload
async def until(
    look: Callable[[], Found], *, what: str, within: float = ..., every: float = ...
) -> Found: ...
async def until(
    look: Callable[[], Any],
    *,
    what: str,
    within: float = PATIENCE,
    every: float = BETWEEN_LOOKS,
) -> Any:
    """Return the first truthy answer of `look`, which may be async; `within` is in seconds.

    An exception that `look` raises counts as "not yet". Raises AssertionError, with the last
    answer or exception, when the time is over.
    """
    deadline = time.monotonic() + within
    while True:
        error = None
        answer = None
        try:
            answer = look()
            if isawaitable(answer):
                answer = await answer
            if answer:
                return answer
        except Exception as raised:  # noqa: BLE001 - told below when the time is over
            error = raised
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {within:g} s for {what}; last seen: {answer if error is None else error!r}"
            ) from error
        await asyncio.sleep(every)


def until_sync(
    look: Callable[[], object], *, what: str, within: float = PATIENCE, every: float = BETWEEN_LOOKS
) -> None:
    """Do the same where no event loop runs: in fixtures that live as long as the session."""
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s for {what}")
        time.sleep(every)

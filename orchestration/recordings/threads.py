"""Threads for what takes long: joining and reading films must not hold up live playlists."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

#: asyncio's own threads read and write live playlists: a few shows that end together would take
#: all of them for minutes.
THREADS: Final = 2


async def apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run blocking work in one of a few threads of its own; it waits for its turn."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pool(), lambda: context.run(work, *arguments))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="recordings")

"""Films are read and joined in threads of their own."""

import asyncio
import threading

from orchestration.recordings import threads


async def test_films_that_are_joined_leave_the_other_threads_free():
    """However many shows end together, a live playlist is written at once."""
    done = threading.Event()
    joining = [asyncio.create_task(threads.apart(done.wait)) for _ in range(50)]
    await asyncio.sleep(0)

    try:
        written = await asyncio.wait_for(asyncio.to_thread(lambda: "a playlist"), 10)
    finally:
        done.set()

    assert written == "a playlist"
    assert await asyncio.gather(*joining) == [True] * 50

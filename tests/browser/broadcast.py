"""Publish filmed takes as a live playlist that grows, drops, goes on and ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from orchestration.playlists import Segment, Window, extend, render, render_full
from tests.browser.footage import SEGMENT_SECONDS, Footage

#: How much of the show the live playlist holds, in seconds.
WINDOW_SECONDS = 60


class Broadcast:
    """What a worker's publisher does, without a worker: one stable playlist over the takes."""

    def __init__(self, takes: Sequence[Footage]) -> None:
        self.takes = takes
        self.is_dropped = False
        self.is_ended = False
        self.window = Window()
        self.aired: list[list[Segment]] = [[]]
        self._take = 0
        self._sequence = 0

    @asynccontextmanager
    async def on_air(self, *, already: int = 3) -> AsyncIterator[None]:
        """Air a segment every two seconds for the length of a block; `already` are there.

        Raises what went wrong with it, such as that the footage was too short.
        """
        for _ in range(already):
            self.air()
        clock = asyncio.create_task(self._run())
        try:
            yield
        finally:
            clock.cancel()
            with suppress(asyncio.CancelledError):
                await clock

    def drop(self) -> None:
        """Lose the encoder: nothing new arrives."""
        self.is_dropped = True

    def come_back(self) -> None:
        """Get the encoder back, in a new take whose timestamps begin anew."""
        self._take += 1
        self._sequence = 0
        self.aired.append([])
        self.is_dropped = False

    def end(self) -> None:
        """Write ENDLIST; nothing comes after it."""
        self.is_ended = True

    def air(self) -> None:
        """Append the next segment."""
        footage = self.takes[self._take]
        assert self._sequence < len(footage.segments), "the footage is over: film more of it"
        uri, seconds = footage.segments[self._sequence]
        segment = Segment(
            take=self._take + 1,
            sequence=self._sequence,
            uri=uri,
            duration_seconds=seconds,
            program_date_time=datetime.now(UTC) - timedelta(seconds=seconds),
        )
        self._sequence += 1
        self.aired[-1].append(segment)
        self.window = extend(self.window, [segment], WINDOW_SECONDS)

    @property
    def segments(self) -> int:
        """How many segments were aired."""
        return sum(len(take) for take in self.aired)

    @property
    def live(self) -> str:
        """Text of `index.m3u8`."""
        return render(self.window, ended=self.is_ended)

    @property
    def full(self) -> str:
        """Text of `full.m3u8`."""
        return render_full(self.aired)

    async def _run(self) -> None:
        while not self.is_ended:
            await asyncio.sleep(SEGMENT_SECONDS)
            if not self.is_dropped and not self.is_ended:
                self.air()

"""A viewer's player: reads a show's playlists and segments, and sees that they keep their word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

import m3u8

from tests.acceptance.caller import Answer, Caller

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
SEGMENT_TYPE = "video/mp2t"
#: Twice in a segment, as players do.
POLL_SECONDS = 0.7


@dataclass
class Player:
    """Plays one address; whatever it sees that no player could play is an AssertionError."""

    viewer: Caller
    address: str
    polls: int = 0
    #: Segments that were read whole, in the order they were first named: address -> bytes.
    segments: dict[str, int] = field(default_factory=dict)
    is_over: bool = False  #: ENDLIST was seen
    _sequence: int = -1
    _target: int | None = None

    async def poll(self) -> m3u8.M3U8 | None:
        """Read the playlist, and every segment in it that is new; None while there is none."""
        answer = await self.viewer.ask("GET", self.address)
        if answer.status == 404 and not self.segments:
            assert answer.slug == "playback-not-ready"
            assert answer.headers["Cache-Control"] == "no-store"
            return None
        check_file(answer.expect(200), PLAYLIST_TYPE, "public, max-age=1")
        playlist = m3u8.loads(answer.body.decode())
        self._check(playlist)
        for segment in playlist.segments:
            await self._read(urljoin(self.address, segment.uri))
        self.is_over = bool(playlist.is_endlist)
        self.polls += 1
        return playlist

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Poll beside a block; what went wrong meanwhile is raised at its end."""

        async def play() -> None:
            while not self.is_over:
                await self.poll()
                await asyncio.sleep(POLL_SECONDS)

        playing = asyncio.create_task(play())
        try:
            yield
        finally:
            playing.cancel()
            (outcome,) = await asyncio.gather(playing, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    def _check(self, playlist: m3u8.M3U8) -> None:
        """See what RFC 8216 says about a playlist and the one before it."""
        target = playlist.target_duration
        assert self._target in {None, target}
        assert all(round(segment.duration) <= target for segment in playlist.segments)
        assert all(segment.program_date_time for segment in playlist.segments[:1])
        assert playlist.media_sequence >= self._sequence
        assert not self.is_over or playlist.is_endlist
        self._target, self._sequence = target, playlist.media_sequence

    async def _read(self, address: str) -> None:
        """Read a new segment whole; ask for one that is known by its first bytes."""
        if address in self.segments:
            part = await self.viewer.ask("GET", address, headers={"Range": "bytes=0-3"})
            assert (part.status, len(part.body)) == (206, 4), (address, part.status)
            return
        whole = await self.viewer.ask("GET", address)
        check_file(whole.expect(200), SEGMENT_TYPE, "public, max-age=31536000, immutable")
        # An MPEG transport stream is packets of 188 bytes, each beginning with G.
        assert whole.body[:1] == b"G"
        assert len(whole.body) % 188 == 0
        self.segments[address] = len(whole.body)


def check_file(answer: Answer, content_type: str, cache: str) -> None:
    """See the headers that players, caches and pages of other origins go by."""
    assert answer.headers["Content-Type"].partition(";")[0] == content_type
    assert answer.headers["Cache-Control"] == cache
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Accept-Ranges"] == "bytes"

"""One stream of media while it is published: what a late listener needs, and who listens."""

import asyncio
import time
from collections.abc import AsyncIterator

from deploy.standin.flv import Tag, TagType

#: Forget the pictures since the last key frame when they grow beyond this: an encoder with a
#: very long distance between key frames must not fill the memory.
CACHE_BYTES_MAX = 24 * 1024 * 1024

#: A listener who lags this many tags behind is cut off.
LAG_TAGS_MAX = 20_000


class Subscription:
    """A listener: first what happened since the last key frame, then what comes."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._queue: asyncio.Queue[Tag | None] = asyncio.Queue()
        self.closed = False

    def put(self, tag: Tag | None) -> None:
        if self.closed:
            return
        if tag is None or self._queue.qsize() > LAG_TAGS_MAX:
            self.closed = True
            tag = None
        self._queue.put_nowait(tag)

    async def tags(self) -> AsyncIterator[Tag]:
        """Give one tag after another until the stream ends."""
        while (tag := await self._queue.get()) is not None:
            yield tag

    def close(self) -> None:
        """Listen no longer; `tags` ends."""
        self._stream.drop(self)
        self.put(None)


class Stream:
    """The media of one publish."""

    def __init__(self) -> None:
        self.metadata: Tag | None = None
        self.video_header: Tag | None = None
        self.audio_header: Tag | None = None
        self.has_video = False
        self.sound_came = asyncio.Event()
        self.ended = False
        self.video_bytes = 0
        self.audio_bytes = 0
        self.started_at = time.time()
        #: When the cached key frame arrived, Unix seconds.
        self.key_frame_at = 0.0
        self._cache: list[Tag] = []
        self._cache_bytes = 0
        self._listeners: list[Subscription] = []

    def put(self, tag: Tag) -> None:
        """Take a tag from the encoder and pass it on."""
        if tag.type is TagType.SCRIPT:
            self.metadata = tag
            return
        if tag.type is TagType.VIDEO:
            self.has_video = True
            self.video_bytes += len(tag.payload)
        else:
            self.sound_came.set()
            self.audio_bytes += len(tag.payload)
        if tag.is_header:
            self._keep_header(tag)
        elif tag.is_key_frame:
            self._cache = [tag]
            self._cache_bytes = len(tag.payload)
            self.key_frame_at = time.time()
        elif self._cache:
            self._keep(tag)
        for listener in self._listeners:
            listener.put(tag)

    @property
    def has_audio(self) -> bool:
        return self.sound_came.is_set()

    def end(self) -> None:
        self.ended = True
        for listener in list(self._listeners):
            listener.close()

    def listen(self) -> tuple[list[Tag], Subscription]:
        """Give the tags since the last key frame, and everything after them."""
        subscription = Subscription(self)
        if self.ended:
            subscription.put(None)
        else:
            self._listeners.append(subscription)
        return list(self._cache), subscription

    def headers(self) -> list[Tag]:
        """Give what sets decoders up."""
        return [tag for tag in (self.video_header, self.audio_header) if tag is not None]

    def drop(self, subscription: Subscription) -> None:
        if subscription in self._listeners:
            self._listeners.remove(subscription)

    def bitrates(self) -> tuple[int, int]:
        """Give the average bits per second of video and of audio since the start."""
        seconds = max(time.time() - self.started_at, 0.001)
        return int(self.video_bytes * 8 / seconds), int(self.audio_bytes * 8 / seconds)

    def _keep_header(self, tag: Tag) -> None:
        if tag.type is TagType.VIDEO:
            if self.video_header is not None and self.video_header.payload != tag.payload:
                # What is cached was made for another decoder.
                self._cache, self._cache_bytes = [], 0
            self.video_header = tag
        else:
            self.audio_header = tag

    def _keep(self, tag: Tag) -> None:
        self._cache.append(tag)
        self._cache_bytes += len(tag.payload)
        if self._cache_bytes > CACHE_BYTES_MAX:
            self._cache, self._cache_bytes = [], 0

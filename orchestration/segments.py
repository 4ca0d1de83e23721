"""Read from storage which segments a take has written so far."""

from uuid import UUID

import structlog

from orchestration import names
from orchestration.playlists import Segment, UnreadablePlaylist, read_take
from orchestration.storage import Storage

log = structlog.get_logger(__name__)


async def newest(storage: Storage, session_id: UUID, take: int) -> tuple[Segment, ...]:
    """Read the take's live playlist: the last five segments."""
    return await _read(storage, f"{names.take_folder(session_id, take)}live.m3u8", take)


async def all_named(storage: Storage, session_id: UUID, take: int) -> tuple[Segment, ...]:
    """Read every segment that the take's two playlists name, in order.

    In a long show the full playlist is uploaded only once a minute; the live one knows the rest.
    """
    folder = names.take_folder(session_id, take)
    known = {
        segment.sequence: segment
        for name in ("live.m3u8", "vod.m3u8")
        for segment in await _read(storage, folder + name, take)
    }
    return tuple(known[sequence] for sequence in sorted(known))


async def all_readable(
    storage: Storage, session_id: UUID, take: int, segments: tuple[Segment, ...]
) -> tuple[Segment, ...]:
    """Keep the segments of a take that is over that are really there, by one listing."""
    listed = await storage.list(names.take_folder(session_id, take))
    there = {found.key for found in listed if found.size > 0}
    return tuple(segment for segment in segments if key_of(session_id, segment) in there)


async def readable(
    storage: Storage, session_id: UUID, segments: tuple[Segment, ...]
) -> tuple[Segment, ...]:
    """Keep the newest segments that are really there, up to the first that is not.

    A playlist must never name a segment that cannot be read.
    """
    there = []
    for segment in segments:
        found = await storage.head(key_of(session_id, segment))
        if found is None or found.size == 0:
            break
        there.append(segment)
    return tuple(there)


def key_of(session_id: UUID, segment: Segment) -> str:
    """Key of a segment in storage."""
    return f"{names.take_folder(session_id, segment.take)}{segment.uri}"


async def _read(storage: Storage, key: str, take: int) -> tuple[Segment, ...]:
    text = await storage.read(key)
    if text is None:
        return ()
    try:
        return read_take(text.decode("utf-8", "replace"), take)
    except UnreadablePlaylist as error:
        # The next reading is a second away, and an egress may have been writing it.
        log.warning("playlist_unreadable", key=key, error=str(error))
        return ()

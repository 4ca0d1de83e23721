"""Read from storage which segments a take has written so far."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from orchestration import names
from orchestration.playlists import Segment, UnreadablePlaylist, read_take
from orchestration.storage import Storage

#: Segments asked for one by one; after an outage there are more, and one listing has them all.
HEADS_MAX: Final = 16
#: An egress uploads its segments one after the other, and each again when it failed.
GIVEN_UP_BEHIND: Final = 2
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
    there = await _listed(storage, session_id, take)
    return tuple(segment for segment in segments if key_of(session_id, segment) in there)


async def readable(
    storage: Storage, session_id: UUID, take: int, segments: tuple[Segment, ...]
) -> tuple[Segment, ...]:
    """Keep the newest segments of a take that are really there.

    A playlist must never name a segment that cannot be read. One that is not there yet is waited
    for, and with it those behind it; with two behind it, it will not come any more.
    """
    keys = [key_of(session_id, segment) for segment in segments]
    if len(keys) > HEADS_MAX:
        there = await _listed(storage, session_id, take)
    else:
        heads = await asyncio.gather(*map(storage.head, keys))
        there = {found.key for found in heads if found is not None and found.size > 0}
    behind, waited_for = 0, len(segments)
    for index in reversed(range(len(segments))):
        if keys[index] in there:
            behind += 1
        elif behind < GIVEN_UP_BEHIND:
            waited_for = index
    return tuple(segments[index] for index in range(waited_for) if keys[index] in there)


async def _listed(storage: Storage, session_id: UUID, take: int) -> set[str]:
    """List the keys of a take's files that are not empty."""
    listed = await storage.list(names.take_folder(session_id, take))
    return {found.key for found in listed if found.size > 0}


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

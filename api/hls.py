"""Serve what is public of a show's media: playlists, segments and thumbnails."""

from pathlib import PurePosixPath
from typing import Final

from aiohttp import web

from api import media
from api.problems import Problem
from api.routes import Call, Replay, Route, Speaks, Who
from orchestration.names import HLS, THUMBNAILS

#: A player asks for a playlist every target duration; a second old is as good as new.
PLAYLIST_CACHE: Final = "public, max-age=1"
#: A segment's name never means other bytes.
SEGMENT_CACHE: Final = "public, max-age=31536000, immutable"
#: Pages of any origin may play a show: a file that is sent in pieces says so itself.
OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Date, ETag",
    "X-Content-Type-Options": "nosniff",
}
#: What is not there now may be there in a moment: no cache may keep saying so.
MISSING_CACHE: Final = "no-store"

# fmt: off
#: Which files are served, and as what: anything else that lies in storage is not public.
TYPES: Final[dict[str, media.Sent]] = {
    ".m3u8": media.Sent("application/vnd.apple.mpegurl", {"Cache-Control": PLAYLIST_CACHE, **OPEN}),
    ".ts":   media.Sent("video/mp2t",                    {"Cache-Control": SEGMENT_CACHE, **OPEN}),
    ".m4s":  media.Sent("video/mp4",                     {"Cache-Control": SEGMENT_CACHE, **OPEN}),
    ".mp4":  media.Sent("video/mp4",                     {"Cache-Control": SEGMENT_CACHE, **OPEN}),
    ".jpg":  media.Sent("image/jpeg",                    {"Cache-Control": SEGMENT_CACHE, **OPEN}),
    ".jpeg": media.Sent("image/jpeg",                    {"Cache-Control": SEGMENT_CACHE, **OPEN}),
}
# fmt: on


async def get_hls(call: Call) -> web.StreamResponse:
    """Send a playlist or a segment."""
    return await _public(call, HLS)


async def get_thumbnail(call: Call) -> web.StreamResponse:
    """Send a thumbnail."""
    return await _public(call, THUMBNAILS)


async def _public(call: Call, folder: str) -> web.StreamResponse:
    path = call.words["path"]
    sent = TYPES.get(PurePosixPath(path).suffix.lower())
    if sent is None:
        raise _missing(path)
    try:
        # The id is written as we write it, whatever way the caller spelled it.
        return await media.send(
            call.request, call.resources.storage, f"{folder}/{call.ids['session_id']}/{path}", sent
        )
    except Problem as problem:
        if problem.slug == "media-not-found":
            raise _missing(path) from None
        raise


def _missing(path: str) -> Problem:
    if path == "index.m3u8":
        return Problem("playback-not-ready", headers={"Cache-Control": MISSING_CACHE})
    return Problem("media-not-found", headers={"Cache-Control": MISSING_CACHE})


ROUTES: Final = tuple(
    Route(
        "GET",
        f"/{folder}/{{session_id}}/{{path:.+}}",
        handler,
        Who.PUBLIC,
        summary,
        problems=("media-not-found", "range-not-satisfiable", "service-unavailable", *more),
        replay=Replay.NONE,
        speaks=Speaks.RAW,
        is_limited=False,
        is_open=True,
        content_type=content_type,
    )
    for folder, handler, summary, content_type, more in (
        (HLS, get_hls, "Play a show", TYPES[".m3u8"].content_type, ("playback-not-ready",)),
        (THUMBNAILS, get_thumbnail, "See a show's thumbnail", TYPES[".jpg"].content_type, ()),
    )
)

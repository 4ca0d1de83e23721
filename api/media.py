"""Send a stored object: its type, its tag, one byte range, and never more than was asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.problems import Problem
from orchestration.storage import (
    InvalidKey,
    InvalidRange,
    Storage,
    StorageUnavailable,
    Stored,
    Streamed,
)

#: One range with a first byte. Anything else (a suffix, several ranges, other units, digits of
#: other scripts) is ignored, as RFC 9110 allows: the answer is then the whole object.
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")

#: Sent in one piece, and only once all of it is here: every playlist and most segments.
WHOLE_BYTES_MAX: Final = 1024 * 1024
#: Storage that does not answer now may answer in a moment.
RETRY_SECONDS: Final = 2


@dataclass(frozen=True)
class Sent:
    """How an object is to be sent."""

    content_type: str
    headers: Mapping[str, str]


async def send(request: web.Request, storage: Storage, key: str, sent: Sent) -> web.StreamResponse:
    """Answer GET or HEAD with the object, or the part of it that Range asks for.

    Raises Problem media-not-found, range-not-satisfiable, service-unavailable.
    """
    try:
        return await _send(request, storage, key, sent)
    except InvalidKey:
        raise Problem("media-not-found") from None
    except InvalidRange as error:
        raise Problem(
            "range-not-satisfiable", headers={"Content-Range": f"bytes */{error.size}"}
        ) from error
    except StorageUnavailable as error:
        raise Problem(
            "service-unavailable", "The storage does not answer.", retry_after=RETRY_SECONDS
        ) from error


async def _send(request: web.Request, storage: Storage, key: str, sent: Sent) -> web.StreamResponse:
    wanted, tags = request.headers.get("Range"), request.headers.get("If-None-Match")
    byte_range: tuple[int, int] | None = None
    if request.method == "HEAD" or wanted is not None or tags is not None:
        stored = await storage.head(key)
        if stored is None:
            raise Problem("media-not-found")
        if tags is not None and _matches(tags, etag_of(stored)):
            return web.Response(status=304, headers=_headers(stored, sent))
        if wanted is not None and _still(request.headers.get("If-Range"), stored):
            byte_range = parse_range(wanted, stored.size)
        if request.method == "HEAD":
            return _head(stored, sent, byte_range)
    streamed = await storage.stream(key, byte_range)
    if streamed is None:
        raise Problem("media-not-found")
    return await _stream(request, streamed, sent, is_part=byte_range is not None)


async def _stream(
    request: web.Request, streamed: Streamed, sent: Sent, *, is_part: bool
) -> web.StreamResponse:
    headers, status = _headers(streamed.stored, sent), 200
    if is_part:
        headers["Content-Range"] = (
            f"bytes {streamed.start}-{streamed.end - 1}/{streamed.stored.size}"
        )
        status = 206
    if streamed.end - streamed.start <= WHOLE_BYTES_MAX:
        body = b"".join([chunk async for chunk in streamed.chunks])
        return web.Response(body=body, status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = streamed.end - streamed.start
    await response.prepare(request)
    try:
        async for chunk in streamed.chunks:
            await response.write(chunk)
    except StorageUnavailable:
        # The head is out: cutting the connection is the only way left to say that this is not all.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def parse_range(wanted: str, size: int) -> tuple[int, int] | None:
    """Read a Range header as first byte and the one after the last; None asks for everything.

    Raises InvalidRange when it begins behind the end.
    """
    match = _RANGE.fullmatch(wanted.strip())
    if match is None:
        return None
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    if first >= size:
        raise InvalidRange(size)
    return first, min(last, size - 1) + 1


def etag_of(stored: Stored) -> str:
    """Say an object's tag as HTTP quotes it."""
    tag = (stored.etag or f"{stored.size}-{stored.modified_at.timestamp():.6f}").removeprefix("W/")
    return f'"{tag.strip(chr(34))}"'


def _head(stored: Stored, sent: Sent, byte_range: tuple[int, int] | None) -> web.Response:
    headers = _headers(stored, sent)
    length, status = stored.size, 200
    if byte_range is not None:
        first, behind = byte_range
        length, status = behind - first, 206
        headers["Content-Range"] = f"bytes {first}-{behind - 1}/{stored.size}"
    headers["Content-Length"] = str(length)
    return web.Response(status=status, headers=headers)


def _headers(stored: Stored, sent: Sent) -> dict[str, str]:
    return {
        "Content-Type": sent.content_type,
        "ETag": etag_of(stored),
        "Last-Modified": stored.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Accept-Ranges": "bytes",
        **sent.headers,
    }


def _matches(tags: str, tag: str) -> bool:
    return tags.strip() == "*" or tag in {
        each.strip().removeprefix("W/") for each in tags.split(",")
    }


def _still(if_range: str | None, stored: Stored) -> bool:
    """Say whether the part belongs to the object the caller has: a date never proves that."""
    return if_range is None or if_range.strip() == etag_of(stored)

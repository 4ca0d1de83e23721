"""Send a file of our own: the pages' and the docs' scripts, styles and pictures."""

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web

from api.problems import Problem

#: Headers by which a caller says which state of a file it has; RFC 9110, section 13.1.
_DATED: Final = ("if_modified_since", "if_unmodified_since", "if_range")


async def send(
    request: web.Request, path: Path, *, content_type: str, cache: str
) -> web.StreamResponse:
    """Answer GET or HEAD with a file, or 304 for who has it.

    Raises Problem media-not-found where it was never installed, bad-request for a date of no year.
    """
    for name in _DATED:
        try:
            getattr(request, name)
        except OverflowError:
            # aiohttp ignores dates that it cannot read, but not this kind, and only when it sends.
            header = name.replace("_", "-").title()
            raise Problem("bad-request", f"{header} names a year that no calendar has.") from None
    if not await asyncio.to_thread(path.is_file):
        raise Problem("media-not-found", f"{path.name} is not installed here: run `make demo`.")
    headers = {
        "Cache-Control": cache,
        "Content-Type": content_type,
        "X-Content-Type-Options": "nosniff",
    }
    return web.FileResponse(path, headers=headers)

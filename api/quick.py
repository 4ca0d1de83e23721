"""Answer what is asked most before it costs a task, a request, a route and a response object.

Two questions come thousands of times a second during a large show, and need no wait: how is this
session (its answer was kept within the last second), and I am still watching (the mark is good).
They are answered here, whole; everything else goes on to the application, also these when anything
about them is unusual. Every answer has its line and its metrics.
"""

import re
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from time import monotonic, time
from typing import Final, NamedTuple
from uuid import UUID

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage

from api import heartbeats
from api.cache import Kept, may_be_kept
from api.heartbeats import VIEWER
from observability import http
from observability.metrics import CACHE_HITS, MARKS_COUNTED
from orchestration.marks import Marks

#: Sessions whose ids need not be parsed again.
_IDS_MAX: Final = 4_096
#: What a good beat is answered; pages of any origin may beat.
_BEATEN: Final = (
    b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n"
)
#: A session's id, as links and pages of ours write it.
_ID: Final = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_id_of = lru_cache(_IDS_MAX)(UUID)


class Said(NamedTuple):
    """An answer without what belongs to one request alone: its name and its date."""

    route: str  #: the template, for line and metrics
    status: int
    head: bytes  #: status line and headers
    body: bytes = b""


class Quick:
    """What one application's quick answers are made of."""

    def __init__(self, kept: Mapping[str, Kept], marks: Marks, base_path: str) -> None:
        self._kept = kept  #: public answers by path and query, as the answer cache keeps them
        self._marks = marks
        (beat,) = heartbeats.ROUTES
        route = base_path + beat.path
        self._beat = re.compile(re.escape(route).replace(re.escape("{id}"), _ID))
        self._beaten = Said(route, 204, _BEATEN)
        self._second = 0
        self._date = b""

    def answer(self, asked: RawRequestMessage) -> bytes | None:
        """Answer a request without a body, as it goes over the wire; None: not here."""
        began = monotonic()
        if asked.method == hdrs.METH_GET:
            said = self._read(asked, began)
        elif asked.method == hdrs.METH_POST:
            said = self._note(asked)
        else:
            said = None
        return None if said is None else self._wire(asked, said, began)

    def _read(self, asked: RawRequestMessage, moment: float) -> Said | None:
        """Give the public answer that is kept for this address, or say that the caller has it."""
        kept = self._kept.get(asked.path)
        if kept is None or kept.until < moment:
            return None
        if not may_be_kept(asked.headers) or not _is_usual(asked):
            return None
        CACHE_HITS.inc()
        if kept.is_known_by(asked.headers):
            return Said(kept.route, 304, kept.not_modified)
        return Said(kept.route, 200, kept.head, kept.body)

    def _note(self, asked: RawRequestMessage) -> Said | None:
        """Note that a viewer watches whose mark is good."""
        match = self._beat.fullmatch(asked.path)
        mark = asked.headers.get(VIEWER)
        if match is None or not mark or not _is_usual(asked):
            return None
        if not self._marks.seen(_id_of(match[1]), mark):
            return None
        MARKS_COUNTED.inc()
        return self._beaten

    def _wire(self, asked: RawRequestMessage, said: Said, began: float) -> bytes:
        """Put an answer together, write its line, and count it."""
        offered = asked.headers.get(http.NAME)
        name = http.name_of(offered)
        second = int(time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode()
        http.answered(
            name,
            asked.method,
            said.route,
            said.status,
            monotonic() - began,
            size=len(said.body),
            is_offered=offered is not None,
        )
        return b"%bX-Request-ID: %b\r\nDate: %b\r\n\r\n%b" % (
            said.head,
            name.encode(),
            self._date,
            said.body,
        )


def _is_usual(asked: RawRequestMessage) -> bool:
    """Whether the connection goes on after this request, as it does nearly always."""
    return (
        not asked.should_close
        and asked.version == HttpVersion11
        and hdrs.EXPECT not in asked.headers
    )

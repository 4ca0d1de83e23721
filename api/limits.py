"""Bound how often one caller may ask: a bucket of requests per user or address."""

from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from aiohttp import web

from api.problems import Problem
from orchestration.settings import Settings

#: Buckets one process remembers; a forgotten one is a full one.
BUCKETS_MAX: Final = 20_000


@dataclass(slots=True)
class Limit:
    """So many requests at once, and so many a second."""

    per_second: float
    burst: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, who: str) -> None:
        """Take one request out of the bucket. Raises Problem rate-limited (429)."""
        now = monotonic()
        left, since = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_second)
        if left < 1:
            self._left[who] = (left, now)
            wait_seconds = int((1 - left) / self.per_second) + 1
            raise Problem("rate-limited", retry_after=wait_seconds)
        self._left[who] = (left - 1, now)
        if len(self._left) > BUCKETS_MAX:
            self._left.popitem(last=False)


def address_of(request: web.Request, settings: Settings) -> str:
    """Say where a request comes from; a header is believed only when the operator says so."""
    if settings.trust_forwarded_for:
        # The last one is what the operator's own proxy saw; those before it are hearsay.
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded[:64]
    return request.remote or "unknown"

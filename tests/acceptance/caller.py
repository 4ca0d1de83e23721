"""Ask the public API as somebody, and read what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDictProxy

#: Longer than the API holds a request (60 s), so that a hanging answer is seen as one.
ANSWER_SECONDS = 90.0


def browser() -> aiohttp.ClientSession:
    """Open an HTTP client; whoever opens it closes it."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def slug(self) -> str:
        """Name the problem."""
        return str(self.json["error"])

    def expect(self, *statuses: int) -> "Answer":
        """Raise AssertionError, with what was said, when it is none of these."""
        assert self.status in statuses, f"{self.status}: {self.body[:2000]!r}"
        return self


@dataclass(frozen=True)
class Caller:
    """Somebody who asks."""

    http: aiohttp.ClientSession
    url: str  #: of the API, without a final slash
    token: str | None = None  #: with neither this nor a key it is a stranger
    api_key: str | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        prefer: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for a path, or for a whole address; `key` is an Idempotency-Key."""
        sent = {**(headers or {})}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.api_key is not None:
            sent["X-API-Key"] = self.api_key
        if key is not None:
            sent["Idempotency-Key"] = key
        if prefer is not None:
            sent["Prefer"] = prefer
        address = path if "://" in path else f"{self.url}{path}"
        async with self.http.request(method, address, json=body, headers=sent) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Any:
        """Read something that is there; its `data`."""
        return (await self.ask("GET", path, **options)).expect(200).data

    async def post(self, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Do something that works at once; its `data`."""
        return (await self.ask("POST", path, body, **options)).expect(200, 201).data

"""Listen to an event stream as a browser does: events, their numbers, and comments."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from orchestration.models import User
from tests.integration.api.sessions.conftest import Shows
from tests.system.waits import PATIENCE


@dataclass(frozen=True)
class Heard:
    """One event of a stream."""

    name: str
    data: Any
    event_id: int | None = None


@dataclass
class Listener:
    """One open stream; what was heard so far is kept."""

    response: aiohttp.ClientResponse
    events: list[Heard] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retry_ms: int = 0

    async def next(self) -> Heard | None:
        """Give the next event; None when the stream has ended."""
        told: dict[str, str] = {}
        while line := await self.response.content.readline():
            text = line.decode().rstrip("\n")
            name, _, value = text.partition(": ")
            if text.startswith(":"):
                self.comments.append(text)
            elif name == "retry":
                self.retry_ms = int(value)
            elif text:
                told[name] = value
            elif told:
                number = int(told["id"]) if "id" in told else None
                self.events.append(Heard(told["event"], json.loads(told["data"]), number))
                return self.events[-1]
        return None

    async def hears(self, name: str, **expected: Any) -> Heard:
        """Listen until an event of this name has these members; fail when the stream ends.

        Raises TimeoutError for a stream that lives on and never says it.
        """
        async with asyncio.timeout(PATIENCE):
            while heard := await self.next():
                if heard.name == name and expected.items() <= flat(heard.data).items():
                    return heard
        raise AssertionError(f"the stream ended without {name} {expected}")

    async def ends(self) -> None:
        """Listen until the stream ends. Raises TimeoutError for one that does not."""
        async with asyncio.timeout(PATIENCE):
            while await self.next():
                pass

    @property
    def numbers(self) -> list[int]:
        return [one.event_id for one in self.events if one.event_id is not None]


def flat(data: dict[str, Any]) -> dict[str, Any]:
    """Put a state's parts beside its session's members."""
    session = data.get("session")
    return {**data, **session} if isinstance(session, dict) else data


@asynccontextmanager
async def listening(
    shows: Shows,
    show: str,
    query: str = "",
    *,
    by: User | None = None,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Listener]:
    """Open a show's stream while the block runs."""
    token = shows.api.token(by or shows.host)
    async with shows.api.http.get(
        f"{shows.api.url}/sessions/{show}/events/stream{query}",
        headers={"Authorization": f"Bearer {token}", **(headers or {})},
        timeout=aiohttp.ClientTimeout(total=None, sock_read=60),
    ) as response:
        assert response.status == 200, await response.text()
        yield Listener(response)

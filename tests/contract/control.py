"""The stand-in's control address, as a test uses it."""

from types import TracebackType
from typing import Any, Self

import aiohttp


class Control:
    """Arms faults, looks at the state, lets people join."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def arm(self, kind: str, **terms: Any) -> dict[str, Any]:
        """Arm a fault; gives it and what it struck at once."""
        return await self._ask("POST", "/faults", {"kind": kind, **terms}, status=201)

    async def clear(self) -> None:
        await self._ask("DELETE", "/faults")

    async def state(self) -> dict[str, Any]:
        return await self._ask("GET", "/state")

    async def calls(self) -> list[str]:
        """Give the methods that were called, in order."""
        return [call["method"] for call in (await self.state())["calls"]]

    async def join(self, room: str, identity: str, **terms: Any) -> dict[str, Any]:
        terms = {"room": room, "identity": identity, **terms}
        return (await self._ask("POST", "/participants", terms, status=201))["participant"]

    async def leave(self, room: str, identity: str) -> None:
        await self._ask("DELETE", f"/participants?room={room}&identity={identity}")

    async def send_webhooks_to(self, *urls: str) -> None:
        await self._ask("POST", "/webhooks", {"urls": list(urls)})

    async def refused(self, body: Any) -> tuple[int, dict[str, Any]]:
        """Post a fault as it is; gives status and answer."""
        async with self._session.post(f"{self._url}/faults", json=body) as answer:
            return answer.status, await answer.json()

    async def _ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200
    ) -> dict[str, Any]:
        async with self._session.request(method, self._url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return await answer.json()

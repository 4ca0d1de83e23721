"""The public keys of the operator's own issuer, fetched beside the requests that need them."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import aiohttp
import jwt
import structlog
from jwt import PyJWK, PyJWKSet

from api.problems import Problem

log = structlog.get_logger(__name__)

#: Issuers rotate keys in days; this only bounds how long a withdrawn one is believed.
FRESH_SECONDS: Final = 300
#: Strangers' tokens with made-up key ids must not make us ask the issuer each time.
PAUSE_SECONDS: Final = 10
#: An issuer that takes longer is down.
FETCH_SECONDS: Final = 3
#: Fifty keys are 50 KB.
BYTES_MAX: Final = 262_144
#: The only kinds of key that are believed, whatever a token says of itself.
ALGORITHMS: Final = ("RS256", "ES256")


class KeysUnread(Exception):
    """The issuer's keys cannot be had; the message says why."""


@dataclass(slots=True)
class Jwks:
    """What the issuer publishes, at most five minutes old while it answers."""

    url: str
    http: aiohttp.ClientSession
    _keys: dict[str, PyJWK] = field(default_factory=dict)
    _fetched_at: float | None = None
    _tried_at: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def key(self, key_id: str) -> PyJWK | None:
        """Give the key of that id; None when the issuer has none.

        Raises Problem service-unavailable (503) when the issuer was never reached.
        """
        if key_id not in self._keys or self._is_stale():
            async with self._lock:
                if (key_id not in self._keys or self._is_stale()) and self._may_try():
                    await self._fetch()
        if self._fetched_at is None:
            raise Problem("service-unavailable", "The issuer's keys cannot be read.", retry_after=5)
        return self._keys.get(key_id)

    def _is_stale(self) -> bool:
        return self._fetched_at is None or monotonic() - self._fetched_at > FRESH_SECONDS

    def _may_try(self) -> bool:
        return self._tried_at is None or monotonic() - self._tried_at > PAUSE_SECONDS

    async def _fetch(self) -> None:
        """Read the keys; when that fails, those we have stay good."""
        self._tried_at = monotonic()
        try:
            self._keys = await fetch(self.http, self.url)
        except KeysUnread as error:
            log.warning("issuer_keys_unread", error=str(error))
            return
        self._fetched_at = monotonic()


async def fetch(http: aiohttp.ClientSession, url: str) -> dict[str, PyJWK]:
    """Read the usable keys that an issuer publishes, by their ids. Raises KeysUnread."""
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    try:
        async with http.get(url, allow_redirects=False, timeout=timeout) as response:
            response.raise_for_status()
            raw = await _read(response.content)
        return await asyncio.to_thread(_keys_of, raw)
    except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
        raise KeysUnread(f"{type(error).__name__}: {error}") from error


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read a list of keys whole: it comes in as many pieces as the network likes."""
    raw = bytearray()
    async for piece in content.iter_any():
        raw += piece
        if len(raw) > BYTES_MAX:
            raise ValueError(f"more than {BYTES_MAX} bytes of keys")
    return bytes(raw)


def _keys_of(raw: bytes) -> dict[str, PyJWK]:
    """Read a JWK set; keys of other kinds or for other uses are left out."""
    keys = PyJWKSet.from_json(raw.decode()).keys
    return {
        key.key_id: key
        for key in keys
        if key.key_id and key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"}
    }

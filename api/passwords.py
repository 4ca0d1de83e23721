"""Hash and check passwords: argon2id, beside the event loop, a few at a time."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: Each takes 64 MiB and a core: more at once would be a way to take the server down.
AT_ONCE: Final = 2
#: Of no password: what is checked for a user who is not there, so that both take as long.
_NOBODYS_PASSWORD: Final = "nobody has this password"  # noqa: S105  # it opens nothing


@dataclass(slots=True)
class Passwords:
    """argon2id with the library's current parameters (RFC 9106, low memory)."""

    _hasher: PasswordHasher = field(default_factory=PasswordHasher)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _nobodys: str | None = None

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, password: str, hashed: str | None) -> bool:
        """Check a password; for a user without one, or no user at all, it takes as long."""
        if self._nobodys is None:
            self._nobodys = await self.hash(_NOBODYS_PASSWORD)
        async with self._turns:
            matches = await asyncio.to_thread(self._verify, hashed or self._nobodys, password)
        return matches and hashed is not None

    def is_stale(self, hashed: str) -> bool:
        """Say whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

"""A bell that only remembers, and a player that reads the public address from the folder."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID


@dataclass
class SilentBell:
    """Takes every ring, wakes nobody."""

    rung: list[tuple[str, UUID, bool]] = field(default_factory=list)
    told: list[UUID] = field(default_factory=list)
    takes: bool = True  #: False: Redis is gone

    async def ring(self, table: str, row_id: UUID, *, slow: bool = False) -> bool:
        if self.takes:
            self.rung.append((table, row_id, slow))
        return self.takes

    async def finished(self, job_id: UUID) -> None:
        self.told.append(job_id)


@dataclass(frozen=True)
class Answer:
    """What a player needs to know of an answer."""

    status: int


@dataclass
class FolderServer:
    """Answers GET for what lies in a folder, as the address that viewers use."""

    base: str  #: the public address
    folder: Path
    is_down: bool = False

    @asynccontextmanager
    async def get(self, address: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        del headers
        path = self.folder / address.removeprefix(self.base).lstrip("/")
        yield Answer(503 if self.is_down else 206 if path.is_file() else 404)

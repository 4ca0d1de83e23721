"""What a worker process needs around it: a database with one announced show, and a stand-in."""

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from orchestration import commands
from orchestration.database import Database
from orchestration.models import Job, Organization, Preset, Room, Session, User
from orchestration.settings import Settings
from orchestration.states import JobKind
from tests.system import processes

KEY = "workers-key"
SECRET = "workers-secret-workers-secret-workers"


@dataclass
class Stage:
    """The environment of a worker process, and the ledger it works on."""

    db: Database
    environment: dict[str, str]
    host: User
    room: Room
    preset: Preset
    settings: Settings = field(default_factory=Settings)

    async def announce(self) -> uuid.UUID:
        """Announce a show, as the API does, without ringing."""
        async with self.db.begin() as tx:
            session = await commands.create_session(
                tx,
                room=self.room,
                host=self.host,
                preset=self.preset,
                preset_document={},
                title="A show",
                description=None,
                mode="rtmp",
                scheduled_start_time=None,
                settings=self.settings,
            )
            return session.id

    async def wish(self, session_id: uuid.UUID, kind: JobKind) -> Job:
        """Wish for something, as the API does, without ringing."""
        async with self.db.begin() as tx:
            return await commands.wish(tx, session_id, kind, user_id=self.host.id)

    async def session(self, session_id: uuid.UUID) -> Session:
        async with self.db.read() as tx:
            return await tx.get_one(Session, session_id)

    async def phase(self, session_id: uuid.UUID) -> str:
        return str((await self.session(session_id)).phase)

    async def job_status(self, job_id: uuid.UUID) -> str:
        async with self.db.read() as tx:
            return str((await tx.get_one(Job, job_id)).status)


@asynccontextmanager
async def standing(database_url: str, redis_url: str, folder: Path) -> AsyncIterator[Stage]:
    """Put a host, a room and a preset into a database with empty tables, and run a stand-in."""
    arguments = ["--port", "0", "--rtmp-port", "0", "--api-key", KEY, "--api-secret", SECRET]
    command = [sys.executable, "-m", "deploy.standin", *arguments]
    db = Database.open(database_url)
    try:
        async with processes.running(command, name="standin", ready='"ready": true') as standin:
            ready = next(line for line in standin.log().splitlines() if '"ready": true' in line)
            organization = Organization(name=f"Org {uuid.uuid4()}")
            async with db.begin() as tx:
                tx.add(organization)
                await tx.flush()
                host = User(organization_id=organization.id, username="host", role="host")
                tx.add(host)
                await tx.flush()
                room = Room(organization_id=organization.id, host_id=host.id, title="The room")
                preset = Preset(
                    organization_id=organization.id, user_id=host.id, name="Preset", type="rtmp"
                )
                tx.add_all([room, preset])
            environment = {
                "GREENROOM_DATABASE_URL": database_url,
                "GREENROOM_REDIS_URL": redis_url,
                "GREENROOM_MEDIA_URL": f"file://{folder / 'media'}",
                "GREENROOM_WORK_PATH": str(folder / "work"),
                "GREENROOM_JWT_SECRET": "a secret of these tests that opens nothing else",
                "GREENROOM_METRICS_PORT": "0",
                "LIVEKIT_URL": orjson.loads(ready)["url"],
                "LIVEKIT_API_KEY": KEY,
                "LIVEKIT_API_SECRET": SECRET,
            }
            yield Stage(db, environment, host, room, preset)
    finally:
        await db.close()

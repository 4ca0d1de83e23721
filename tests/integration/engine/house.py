"""A whole Greenroom without its processes: what is due is looked at when a test says so."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr
from sqlalchemy import select

from orchestration import commands, due, finishing, lookout, names, publish
from orchestration.converge import Looked
from orchestration.database import Database
from orchestration.models import (
    Event,
    Job,
    Organization,
    Playback,
    Preset,
    Recording,
    Room,
    Session,
    Take,
    User,
)
from orchestration.plane import Input, PlaneError
from orchestration.resources import Resources
from orchestration.secrets import Secrets
from orchestration.settings import Settings
from orchestration.states import JobKind
from orchestration.storage import Storage
from orchestration.world import World
from tests.fakes.clock import Clock
from tests.fakes.doors import FolderServer, SilentBell
from tests.fakes.plane import MemoryPlane

SECRET = "a secret of these tests that opens nothing else"
#: A step of the clock while a test lets time pass: workers look for what is due so often.
STEP_SECONDS = 1.0
#: The machine that runs the tests may stand still for longer than a worker would wait.
PATIENCE_SECONDS = 60.0
#: So many looks in a row without anything becoming calm is a loop.
ROUNDS_MAX = 60


class Walker(Protocol):
    """Looks at a session."""

    async def __call__(self, session_id: uuid.UUID, *, slow: bool) -> Looked: ...


@dataclass
class Company:
    """Who is there before any show."""

    organization: Organization
    host: User
    room: Room
    preset: Preset


@dataclass
class House:
    """One ledger, one LiveKit, one clock; as many workers as a test wants."""

    settings: Settings
    db: Database
    clock: Clock
    plane: MemoryPlane
    storage: Storage
    folder: Path
    company: Company
    resources: Resources
    bell: SilentBell
    player: FolderServer
    compares: bool = True  #: whether LiveKit's lists are compared while time passes
    walker: "Walker | None" = None  #: who looks at sessions, when it is not just anybody
    _compared_at: datetime | None = None
    _world: World = field(default_factory=World)

    # Commands

    async def create(self, *, room: Room | None = None, **columns: Any) -> uuid.UUID:
        """Announce a show; columns of the session row may be set."""
        at = columns.pop("scheduled_start_time", None)
        async with self.db.begin() as tx:
            session = await commands.create_session(
                tx,
                room=room or self.company.room,
                host=self.company.host,
                preset=self.company.preset,
                preset_document={},
                title="A show",
                description=None,
                mode=columns.pop("mode", "rtmp"),
                scheduled_start_time=at,
                settings=self.settings,
            )
            for name, value in columns.items():
                setattr(session, name, value)
            return session.id

    async def wish(self, session_id: uuid.UUID, kind: JobKind) -> Job:
        async with self.db.begin() as tx:
            return await commands.wish(tx, session_id, kind, user_id=self.company.host.id)

    async def start(self, session_id: uuid.UUID) -> Job:
        return await self.wish(session_id, JobKind.START)

    async def go_live(self, session_id: uuid.UUID) -> Job:
        return await self.wish(session_id, JobKind.GO_LIVE)

    async def end(self, session_id: uuid.UUID) -> Job:
        return await self.wish(session_id, JobKind.END)

    async def hint(self, session_id: uuid.UUID) -> None:
        """Do what a webhook does."""
        async with self.db.begin() as tx:
            await commands.nudge(tx, session_id)

    async def new_room(self) -> Room:
        async with self.db.begin() as tx:
            room = Room(
                organization_id=self.company.organization.id,
                host_id=self.company.host.id,
                title="Another room",
            )
            tx.add(room)
            return room

    # What workers do

    def worker(self, name: str) -> Resources:
        """Give the resources of another worker."""
        return Resources(**{**vars(self.resources), "owner": name})

    async def look(self, session_id: uuid.UUID, *, slow: bool = True) -> Looked:
        if self.walker is not None:
            return await self.walker(session_id, slow=slow)
        return await lookout.look(session_id, self.resources, may_be_slow=slow)

    async def compare(self) -> Any:
        return await self._world.compare(self.resources)

    async def publish(self, session_id: uuid.UUID) -> bool:
        return await publish.publish(session_id, self.resources)

    async def work(self, *tables: str) -> int:
        """Do once whatever is due, or what of these tables is; how many rows that was."""
        rows = [row for row in await due.due(self.db) if not tables or row.table in tables]
        for row in rows:
            match row.table:
                case "sessions":
                    looked = await self.look(row.id, slow=False)
                    if looked.ring_slow:
                        await self.look(row.id)
                case "playbacks":
                    await self.publish(row.id)
                case "recordings":
                    await finishing.finish_recording(row.id, self.resources)
        return len(rows)

    async def calm(self) -> None:
        """Work until nothing is due at this moment."""
        for _ in range(ROUNDS_MAX):
            if not await self.work():
                return
        rows = await due.due(self.db)
        raise AssertionError(f"still due after {ROUNDS_MAX} rounds without a tick: {rows}")

    async def tick(self, seconds: float = STEP_SECONDS) -> None:
        """Let a moment pass, in LiveKit and here."""
        await self.clock.advance(seconds)
        self.plane.run(seconds)
        every = timedelta(seconds=self.settings.observe_seconds)
        now = self.clock.at
        if self.compares and (self._compared_at is None or now - self._compared_at >= every):
            self._compared_at = now
            # As the schedule does: the next comparison is seconds away.
            with suppress(PlaneError):
                await self.compare()
        await self.calm()

    async def pass_time(self, seconds: float, *, step: float = STEP_SECONDS) -> None:
        """Let time pass while workers work."""
        until = self.clock.at + timedelta(seconds=seconds)
        await self.calm()
        while self.clock.at < until:
            await self.tick(min(step, (until - self.clock.at).total_seconds()))

    async def until(
        self,
        is_true: Callable[[], Awaitable[bool]],
        *,
        what: str,
        within: float = 60,
        step: float = STEP_SECONDS,
    ) -> float:
        """Let time pass until something is so; how many seconds that took."""
        begun = self.clock.at
        await self.calm()
        while not await is_true():
            if (self.clock.at - begun).total_seconds() > within:
                raise AssertionError(f"{within} s passed, and still not: {what}")
            await self.tick(step)
        return (self.clock.at - begun).total_seconds()

    # What can be seen

    async def session(self, session_id: uuid.UUID) -> Session:
        async with self.db.read() as tx:
            row = await tx.get(Session, session_id)
            assert row is not None
            return row

    async def job(self, job_id: uuid.UUID) -> Job:
        async with self.db.read() as tx:
            row = await tx.get(Job, job_id)
            assert row is not None
            return row

    async def playback(self, session_id: uuid.UUID) -> Playback | None:
        async with self.db.read() as tx:
            return await tx.get(Playback, session_id)

    async def recording(self, session_id: uuid.UUID) -> Recording | None:
        async with self.db.read() as tx:
            return (
                await tx.execute(select(Recording).where(Recording.session_id == session_id))
            ).scalar_one_or_none()

    async def takes(self, session_id: uuid.UUID) -> list[Take]:
        async with self.db.read() as tx:
            rows = await tx.execute(
                select(Take).where(Take.session_id == session_id).order_by(Take.number)
            )
            return list(rows.scalars())

    async def events(self, session_id: uuid.UUID) -> list[Event]:
        async with self.db.read() as tx:
            rows = await tx.execute(
                select(Event).where(Event.session_id == session_id).order_by(Event.seq)
            )
            return list(rows.scalars())

    async def jobs(self, session_id: uuid.UUID) -> list[Job]:
        async with self.db.read() as tx:
            rows = await tx.execute(select(Job).where(Job.session_id == session_id))
            return list(rows.scalars())

    def livekit_room(self, session_id: uuid.UUID) -> str:
        return names.room_name(self.settings.livekit_prefix, session_id)

    def identity(self, kind: Input = Input.RTMP) -> str:
        return names.identity_of(self.company.host.id, kind)

    def connect(self, kind: Input = Input.RTMP) -> bool:
        """Let the host's encoder connect with its newest key."""
        return self.plane.encoder_connects(self.identity(kind))

    def drop(self, kind: Input = Input.RTMP) -> None:
        self.plane.encoder_drops(self.identity(kind))

    def file(self, key: str) -> str | None:
        path = self.folder / key
        return path.read_text() if path.is_file() else None

    def playlist(self, session_id: uuid.UUID) -> str | None:
        return self.file(names.playlist_key(session_id))


@asynccontextmanager
async def open_house(database_url: str, folder: Path, **changes: Any) -> AsyncIterator[House]:
    """Let a company move into a database with empty tables; changes are settings."""
    settings = Settings(
        database_url=database_url,
        media_url=f"file://{folder / 'media'}",
        work_path=str(folder / "work"),
        jwt_secret=SecretStr(SECRET),
        public_url="http://greenroom.test",
        **changes,
    )
    db = Database.open(database_url, patience_seconds=PATIENCE_SECONDS)
    clock = Clock()
    try:
        await clock.govern(db)
        storage = Storage.open(settings.media_url)
        bell = SilentBell()
        player = FolderServer(settings.hls_base, folder / "media" / names.HLS)
        plane = MemoryPlane(clock.now)
        resources = Resources(
            settings=settings,
            db=db,
            secrets=Secrets.load(settings),
            plane=plane,
            storage=storage,
            bell=bell,  # type: ignore[arg-type]  # a fake
            marks=None,  # type: ignore[arg-type]  # nobody watches here
            http=player,  # type: ignore[arg-type]  # a fake
            owner="worker-1",
        )
        yield House(
            settings=settings,
            db=db,
            clock=clock,
            plane=plane,
            storage=storage,
            folder=folder / "media",
            company=await _move_in(db),
            resources=resources,
            bell=bell,
            player=player,
        )
    finally:
        await db.close()


async def _move_in(db: Database) -> Company:
    async with db.begin() as tx:
        organization = Organization(name=f"Org {uuid.uuid4()}")
        tx.add(organization)
        await tx.flush()
        host = User(organization_id=organization.id, username="host", role="host")
        tx.add(host)
        await tx.flush()
        room = Room(organization_id=organization.id, host_id=host.id, title="The room")
        preset = Preset(
            organization_id=organization.id, user_id=host.id, name="A preset", type="rtmp"
        )
        tx.add_all([room, preset])
    return Company(organization, host, room, preset)

"""The API with the real engine behind it: only LiveKit and Redis are played by fakes."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from orchestration.models import Session, User
from orchestration.names import room_name
from orchestration.plane import MediaPlane
from orchestration.resources import Resources
from tests.integration.api.client import Api, Got, People
from tests.integration.api.sessions.bell import LookingBell
from tests.integration.api.sessions.plane import RememberingPlane

PRESET = {"name": "Keynote", "type": "rtmp", "primary_color": "#4f46e5"}


@dataclass
class Shows:
    """Makes shows over HTTP, as a host does."""

    api: Api
    people: People
    plane: RememberingPlane
    bell: LookingBell

    @property
    def host(self) -> User:
        return self.people.host

    async def room(self, by: User | None = None) -> str:
        got = await self.api("POST", "/rooms", by=by or self.host, json={"title": "Launches"})
        return str(got.data["room"]["id"])

    async def preset(self, by: User | None = None, **terms: object) -> str:
        asked = {**PRESET, **terms}
        got = await self.api("POST", "/presets", by=by or self.host, json=asked)
        assert got.status == 201, got.json
        return str(got.data["preset"]["id"])

    async def ask(self, room: str | None = None, preset: str | None = None, **members: Any) -> Got:
        """Ask for a show; the answer may be a problem."""
        body = {
            "title": "Spring launch",
            "preset_id": preset or await self.preset(),
            **members,
        }
        where = f"/rooms/{room or await self.room()}/sessions"
        return await self.api("POST", where, by=self.host, json=body)

    async def announce(self, **members: Any) -> str:
        """Make a show; give its id."""
        got = await self.ask(**members)
        assert got.status == 201, got.json
        return str(got.data["session"]["id"])

    async def live(self, **members: Any) -> str:
        """Make a show and go live; give its id."""
        show = await self.announce(**members)
        got = await self.post(show, "go_live")
        assert got.status == 200, got.json
        return show

    async def over(self, **members: Any) -> str:
        """Make a show, go live and end it; give its id."""
        show = await self.live(**members)
        got = await self.post(show, "end")
        assert got.status == 200, got.json
        return show

    async def post(self, show: str, verb: str, by: User | None = None, **options: Any) -> Got:
        return await self.api("POST", f"/sessions/{show}/{verb}", by=by or self.host, **options)

    async def get(self, show: str, what: str = "", by: User | None = None) -> Got:
        where = f"/sessions/{show}/{what}" if what else f"/sessions/{show}"
        return await self.api("GET", where, by=by or self.host)

    async def row(self, show: str) -> Session:
        async with self.api.resources.db.read() as tx:
            return await tx.get_one(Session, uuid.UUID(show))

    async def write(self, show: str, **columns: object) -> None:
        """Write what the engine would have learned."""
        async with self.api.resources.db.begin() as tx:
            session = await tx.get_one(Session, uuid.UUID(show))
            for name, value in columns.items():
                setattr(session, name, value)

    def livekit_room(self, show: str) -> str:
        prefix = self.api.resources.settings.livekit_prefix
        return room_name(prefix, uuid.UUID(show))


@pytest.fixture
def plane() -> RememberingPlane:
    """Play LiveKit."""
    return RememberingPlane()


@pytest.fixture
async def resources(resources: Resources, plane: RememberingPlane) -> AsyncIterator[Resources]:
    """Put the fakes where LiveKit and Redis would be."""
    resources.plane = cast("MediaPlane", plane)
    real_bell, bell = resources.bell, LookingBell(resources)
    resources.bell = cast("Any", bell)
    yield resources
    await bell.close()
    resources.bell = real_bell


@pytest.fixture
def bell(resources: Resources) -> LookingBell:
    """Give the bell that is heard in this process."""
    return cast("LookingBell", resources.bell)


@pytest.fixture
def shows(api: Api, people: People, plane: RememberingPlane, bell: LookingBell) -> Shows:
    """Give the maker of shows."""
    return Shows(api, people, plane, bell)


def at(api: Api, people: People) -> Shows:
    """Make shows at an API that a test runs itself, with settings of its own."""
    plane = cast("RememberingPlane", api.resources.plane)
    return Shows(api, people, plane, cast("LookingBell", api.resources.bell))

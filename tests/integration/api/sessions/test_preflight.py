"""Whether a show could go live: everything is tried, over a LiveKit in memory and the stand-in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from api import app, limits, sessions
from deploy.standin.app import Standin
from deploy.standin.options import Options
from orchestration import admission, preflight
from orchestration.livekit import open_livekit
from orchestration.models import SeenWebhook, Tick
from orchestration.plane import MediaPlane, PlaneError, Refused, RoomSeen, Unavailable
from orchestration.storage import Storage, StorageUnavailable
from tests.fakes import workers as addresses
from tests.fakes.workers import Workers
from tests.integration.api.client import Api, Got, People
from tests.integration.api.conftest import Running
from tests.integration.api.sessions.conftest import Shows, at
from tests.integration.api.sessions.plane import RememberingPlane
from tests.integration.api.sessions.test_webhook import event, post, signed

KEY, SECRET = "preflight-key", "preflight-secret-preflight-secret-00"
NAMES = ["livekit", "key", "worker", "ingress", "egress", "storage", "webhook", "clock"]


class HookingPlane(RememberingPlane):
    """A LiveKit whose webhook about a new room comes at once, unless a test keeps it."""

    def __init__(self, shows: Shows) -> None:
        super().__init__()
        self._shows = shows
        self.names: list[str] = []
        self.event: str | None = "room_started"
        self.is_forged = False

    async def create_room(self, name: str, **options: Any) -> RoomSeen:
        made = await super().create_room(name, **options)
        self.names.append(name)
        if self.event is not None:
            body = event(name, self.event)
            secret = {"secret": "another secret of thirty-two bytes"} if self.is_forged else {}
            await post(self._shows.api, body, signed(body, **secret))
        return made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever answers be in time, however slow this machine is."""
    for name in ("WEBHOOK_SECONDS", "ROOM_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(preflight, name, 20)
    monkeypatch.setattr(preflight, "CHECK_SECONDS", 60)
    monkeypatch.setattr(admission, "ASK_SECONDS", 20)
    monkeypatch.setattr(sessions, "KEY_SECONDS_MAX", 20)
    monkeypatch.setattr(app, "BURST", 1_000)


def wait_for_no_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than in production: none will come."""
    monkeypatch.setattr(preflight, "WEBHOOK_SECONDS", 0.6)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """Play egress and ingress."""
    async with addresses.running() as playing:
        yield playing


@pytest.fixture
def ready(
    running: Running, people: People, workers: Workers
) -> Callable[..., AbstractAsyncContextManager[tuple[Shows, HookingPlane]]]:
    """Give a way to run an API with which everything is well, and changes to that."""

    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[tuple[Shows, HookingPlane]]:
        async with running(**{**workers.settings, **changes}) as api:
            shows = at(api, people)
            plane = HookingPlane(shows)
            api.resources.plane = cast("MediaPlane", plane)
            shows.plane = plane
            await work(api)
            yield shows, plane

    return run


Ready = Callable[..., AbstractAsyncContextManager[tuple[Shows, HookingPlane]]]


async def work(api: Api, *, seconds_ago: float = 0) -> None:
    """Let a worker have done something."""
    async with api.resources.db.begin() as tx:
        moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        await tx.merge(Tick(name="sweep", due_at=moment, last_done_at=moment))


def checks(got: Got) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in got.data["checks"]}


async def fly(shows: Shows) -> tuple[Got, dict[str, dict[str, Any]]]:
    got = await shows.get(await shows.announce(), "preflight")
    assert got.status == 200, got.json
    return got, checks(got)


async def test_when_all_is_well_it_says_so_and_leaves_nothing(ready: Ready) -> None:
    """The clock alone has nothing to be compared with where LiveKit has no address."""
    async with ready() as (shows, plane):
        got, told = await fly(shows)
        async with shows.api.resources.db.read() as tx:
            notes = list(await tx.scalars(select(SeenWebhook)))

    assert [check["name"] for check in got.data["checks"]] == NAMES
    assert {name for name in told if told[name]["ok"] is not True} == {"clock"}
    assert (got.data["ok"], told["clock"]["ok"]) == (None, None)
    assert len(plane.names) == 1
    assert plane.names[0].startswith("preflight-")
    assert plane.rooms == {}
    assert notes == []
    assert plane.ingresses.keys() == {"IN_1"}  # the announced show's own


@dataclass(frozen=True)
class Wrong:
    """What is wrong, which checks say so, and a word of what they say to do."""

    says: dict[str, bool | None]
    todo: str
    #: With which error LiveKit answers.
    livekit: PlaneError | None = None
    webhook: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)
    worker_seconds: float = 0


AWAY: dict[str, bool | None] = {"livekit": False, "key": None, "webhook": None}
# fmt: off
WRONG = {
    "LiveKit is away":     Wrong(AWAY, "LIVEKIT_URL", livekit=Unavailable("x", "unreachable")),
    "it is no LiveKit":    Wrong(AWAY, "LIVEKIT_URL", livekit=Refused("x", "bad_route")),
    "the key is refused":  Wrong({"key": False, "webhook": None}, "LIVEKIT_API_SECRET",
                                 livekit=Refused("x", "unauthenticated")),
    "no worker works":     Wrong({"worker": False}, "greenroom worker", worker_seconds=120),
    "no ingress":          Wrong({"ingress": False}, "ingress", workers={"ingress": 503}),
    "the egress is full":  Wrong({"egress": False}, "egress", workers={"has_room": False}),
    "no webhook":          Wrong({"webhook": False}, "/livekit/webhook", webhook={"event": None}),
    "a forged webhook":    Wrong({"webhook": False}, "/livekit/webhook",
                                 webhook={"is_forged": True}),
    "another webhook":     Wrong({"webhook": False}, "/livekit/webhook",
                                 webhook={"event": "room_finished"}),
}
# fmt: on


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_said_with_what_to_do(
    ready: Ready, workers: Workers, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Each check for itself; the others are not spoilt by it."""
    wrong = WRONG[case]
    if wrong.webhook:
        wait_for_no_webhook(monkeypatch)
    for name, value in wrong.workers.items():
        setattr(workers, name, value)
    async with ready() as (shows, plane):
        for name, value in wrong.webhook.items():
            setattr(plane, name, value)
        if wrong.livekit is not None:
            plane.fails.update(list_rooms=wrong.livekit, create_room=wrong.livekit)
        await work(shows.api, seconds_ago=wrong.worker_seconds)
        got, told = await fly(shows)

    found = {name: told[name]["ok"] for name in told if told[name]["ok"] is not True}
    assert found == {"clock": None, **wrong.says}
    assert got.data["ok"] is False
    assert wrong.todo in " ".join(told[name]["todo"] for name in wrong.says)


async def test_storage_that_cannot_be_written_is_said(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words without its address, which is the operator's."""

    async def broken(_: Storage) -> None:
        raise StorageUnavailable("s3://secret-bucket is not there")

    monkeypatch.setattr(Storage, "ping", broken)
    async with ready() as (shows, _):
        got, told = await fly(shows)

    assert told["storage"]["ok"] is False
    assert b"secret-bucket" not in got.raw


async def test_without_addresses_it_says_what_it_cannot_see(ready: Ready) -> None:
    """Neither well nor wrong; LiveKit's list of egresses is better than nothing."""
    nowhere = dict.fromkeys(("ingress_health_url", "egress_health_url", "egress_metrics_url"), ())
    async with ready(**nowhere) as (shows, _):
        _, told = await fly(shows)

    assert (told["ingress"]["ok"], told["egress"]["ok"]) == (None, None)
    assert "GREENROOM_EGRESS_METRICS_URL" in told["egress"]["todo"]
    assert "0 at work" in told["egress"]["seen"]


async def test_a_livekit_without_egress_is_said(ready: Ready) -> None:
    """It lists none when it has no Redis."""
    nowhere = dict.fromkeys(("egress_health_url", "egress_metrics_url"), ())
    async with ready(**nowhere) as (shows, plane):
        plane.fails["list_egress"] = Refused("ListEgress", "internal")
        _, told = await fly(shows)

    assert told["egress"]["ok"] is False


async def test_a_caller_flies_now_and_then(
    running: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each makes a room at LiveKit."""
    wait_for_no_webhook(monkeypatch)
    monkeypatch.setattr(limits, "monotonic", lambda: 0.0)
    monkeypatch.setattr(app, "BURST", 1)
    async with running() as api:
        shows = at(api, people)
        show = await shows.announce()
        await shows.get(show, "preflight")

        again = await shows.get(show, "preflight")

    assert again.problem == (429, "rate-limited")


async def test_a_signed_room_of_somebody_else_is_not_noted(shows: Shows) -> None:
    """Only a name that we made up ourselves is written down."""
    for name in ("preflight-x", f"preflight-{'0' * 32}", f"preflight-{'f' * 31}g"):
        body = event(name, "room_started")
        assert (await post(shows.api, body, signed(body))).status == 200

    async with shows.api.resources.db.read() as tx:
        assert list(await tx.scalars(select(SeenWebhook))) == []


async def test_over_a_livekit_that_speaks_everything_is_seen(
    running: Running, people: People
) -> None:
    """The stand-in: its webhook really comes, its clock is read, its ingress takes connections."""
    where: dict[str, Any] = {
        "livekit_api_key": KEY,
        "livekit_api_secret": SecretStr(SECRET),
        "livekit_seconds": 20,
    }
    async with running(**where) as api:
        hook = f"{api.url}/livekit/webhook"
        options = Options(api_key=KEY, api_secret=SECRET, webhook_urls=(hook,))
        async with Standin(options) as standin:
            api.resources.settings = api.resources.settings.model_copy(
                update={"livekit_url": standin.url.replace("http", "ws")}
            )
            async with open_livekit(api.resources.settings) as plane:
                api.resources.plane = cast("MediaPlane", plane)
                await work(api)
                shows = at(api, people)

                _, told = await fly(shows)
                left = [room.info.name for room in standin.rooms.all()]

    expected = dict.fromkeys(NAMES, True) | {"egress": None}
    assert {name: told[name]["ok"] for name in told} == expected, told
    assert left == []

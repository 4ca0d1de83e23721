"""Who gets what: every line of ROUTES, asked by owner, other organization, viewer and stranger.

A route that is not in WHOSE fails the first test here, so that nobody adds one without saying.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from api.app import ROUTES
from api.routes import Route, Speaks
from orchestration.models import Job, Recording, User
from tests.integration.api.client import Got
from tests.integration.api.sessions.conftest import PRESET, Shows

OWN = "own"  #: its host's; another organization finds nothing, a viewer and a colleague may not
OURS = "ours"  #: the organization's hosts'; another organization finds nothing, a viewer may not
MINE = "mine"  #: what every host has of its own; a viewer may not
ANY = "any"  #: every caller's
PUBLIC = "public"  #: everybody's

# fmt: off
WHOSE = {
    "login": PUBLIC, "refresh": PUBLIC, "logout": PUBLIC, "register_viewer": PUBLIC,
    "device_login": PUBLIC, "exchange_code": PUBLIC, "generate_code": ANY,
    "list_api_keys": MINE, "create_api_key": MINE,
    "get_api_key": OURS, "update_api_key": OURS, "revoke_api_key": OURS,
    "list_rooms": PUBLIC, "get_room": PUBLIC, "list_my_rooms": ANY, "create_room": MINE,
    "update_room": OWN, "delete_room": OWN, "list_room_sessions": OWN, "create_session": OWN,
    "list_presets": MINE, "create_preset": MINE,
    "get_preset": OURS, "update_preset": OWN, "delete_preset": OWN,
    "list_sessions": PUBLIC, "list_live_sessions": PUBLIC, "get_session": PUBLIC,
    "get_stats": ANY, "join": ANY,
    "delete_session": OWN, "reschedule_session": OWN, "update_settings": OWN,
    "replace_stream_key": OWN,
    "start": OWN, "go_live": OWN, "end": OWN, "ensure_hls_egress": OWN, "start_webcam_hls": OWN,
    "preflight": OWN,
    "host_video_state": OWN, "host_audio_state": OWN, "stream_health": OWN, "monitor": OWN,
    "list_participants": OWN, "add_participant": OWN, "remove_participant": OWN,
    "list_recordings": OWN, "get_recording": OWN, "rename_recording": OWN,
    "delete_recording": OWN, "download_recording": OWN, "get_file": PUBLIC,
    "get_job": OURS, "list_events": OWN, "stream_events": OWN, "get_report": OWN,
    "heartbeat": PUBLIC, "get_hls": PUBLIC, "get_thumbnail": PUBLIC, "take_webhook": PUBLIC,
    "watch": PUBLIC, "studio": PUBLIC, "page_file": PUBLIC, "vendor_file": PUBLIC,
    "healthz": PUBLIC, "readyz": PUBLIC, "metrics": PUBLIC,
    "list_problems": PUBLIC, "show_problem": PUBLIC,
    "openapi": PUBLIC, "docs": PUBLIC, "swagger_file": PUBLIC,
}

#: What each is told: 0 is an answer that is about the thing, not about the caller.
EXPECTED = {
    #        owner  stranger colleague viewer anonymous
    OWN:    (0,     404,     403,      403,   401),
    OURS:   (0,     404,     None,     403,   401),
    MINE:   (0,     0,       0,        403,   401),
    ANY:    (0,     0,       0,        0,     401),
}
# fmt: on
CALLERS = ("host", "stranger", "colleague", "viewer", None)
ABOUT_THE_CALLER = {401, 403, 404}


@dataclass
class World:
    """One of everything that can be owned."""

    shows: Shows
    ids: dict[str, str]

    async def ask(self, route: Route, by: User | None, *, unknown: bool = False) -> Got:
        """Send a route's request about the world's things, or about one that never was."""
        kind = route.path.split("/")[1]
        thing = str(uuid.uuid4()) if unknown else self.ids.get(kind, self.ids["sessions"])
        path = (
            route.path.replace("{id}", thing)
            .replace("{participant_id}", self.ids["participants"])
            .replace("{session_id}", self.ids["sessions"])
            .replace("{show}", self.ids["sessions"])
            .replace("{path:.+}", "index.m3u8")
            .replace("{slug}", "not-found")
            .replace("{name}", "watch.js")
            .replace("{file}", "docs.js")
        )
        if route.name == "stream_events":
            path += "?seconds=0"
        options: dict[str, Any] = {}
        if route.body is not None:
            options["json"] = self.bodies.get(route.name, {})
        return await self.shows.api(route.method, path, by=by, **options)

    @property
    def bodies(self) -> dict[str, dict[str, Any]]:
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        return {
            "create_room": {"title": "Launches"},
            "create_preset": dict(PRESET),
            "create_api_key": {"name": "machine"},
            "create_session": {"title": "Launch", "preset_id": self.ids["presets"]},
            "reschedule_session": {"scheduled_start_time": soon},
            "add_participant": {"user_id": str(self.shows.people.viewer.id), "role": "moderator"},
            "rename_recording": {"name": "Other"},
            "generate_code": {"session_id": self.ids["sessions"]},
            "update_api_key": {"name": "other"},
            "update_room": {"title": "Other"},
            "update_preset": {"name": "Other"},
        }


@pytest.fixture
async def world(shows: Shows) -> World:
    """Make one of everything, owned by the host."""
    room, preset = await shows.room(), await shows.preset()
    show = await shows.live(room=room, preset=preset)
    given = await shows.post(show, "participants", json={"user_id": str(shows.people.colleague.id)})
    # The colleague's role is taken away again: a colleague without one is what is asked about.
    participant = given.data["participant"]["id"]
    await shows.api("DELETE", f"/sessions/{show}/participants/{participant}", by=shows.host)
    key = await shows.api("POST", "/api-keys", by=shows.host, json={"name": "machine"})
    row = await shows.row(show)
    path = f"recordings/{show}/take-1.mp4"
    await shows.api.resources.storage.write(path, b"film", content_type="video/mp4")
    facts = {"name": "Launch", "status": "completed", "storage_type": "local", "file_path": path}
    async with shows.api.resources.db.begin() as tx:
        job = (await tx.scalars(select(Job))).first()
        recording = await tx.scalar(select(Recording))
        if recording is None:
            recording = Recording(organization_id=row.organization_id, session_id=row.id, **facts)
            tx.add(recording)
        for name, value in facts.items():
            setattr(recording, name, value)
        recording.look_at = None
    return World(
        shows,
        {
            "rooms": room,
            "presets": preset,
            "sessions": show,
            "participants": participant,
            "api-keys": str(key.data["api_key"]["id"]),
            "recordings": str(recording.id),
            "jobs": str(job.id),
        },
    )


def test_every_route_says_whose_it_is() -> None:
    """A new line of ROUTES needs a word here."""
    assert set(WHOSE) == {route.name for route in ROUTES}
    assert len(WHOSE) == len(ROUTES)


@pytest.mark.parametrize("caller", [1, 2, 3, 4], ids=lambda number: str(CALLERS[number]))
async def test_nobody_gets_what_is_not_theirs(world: World, caller: int) -> None:
    """Asked for everything, in the table's order; what is refused also changes nothing."""
    name = CALLERS[caller]
    by = getattr(world.shows.people, name) if name else None
    before = (await world.shows.get(world.ids["sessions"])).data

    expected, told = {}, {}
    for route in ROUTES:
        whose = WHOSE[route.name]
        if whose is PUBLIC or EXPECTED[whose][caller] is None:
            continue
        status = (await world.ask(route, by)).status
        expected[route.name] = EXPECTED[whose][caller]
        told[route.name] = status if status in ABOUT_THE_CALLER else 0

    assert told == expected
    after = (await world.shows.get(world.ids["sessions"])).data
    for changing in ("duration", "updated_at", "viewers"):
        del before[changing], after[changing]
    assert after == before


@pytest.mark.parametrize("name", [name for name, whose in WHOSE.items() if whose in {OWN, OURS}])
async def test_the_owner_gets_it(world: World, name: str) -> None:
    """So that a table of refusals is not passed by refusing everybody."""
    route = next(route for route in ROUTES if route.name == name)

    got = await world.ask(route, world.shows.host)

    assert got.status not in ABOUT_THE_CALLER
    assert got.status < 500


async def test_what_is_foreign_looks_like_what_never_was(world: World) -> None:
    """The same body, but for the request's id and the time."""
    for route in ROUTES:
        if WHOSE[route.name] not in {OWN, OURS}:
            continue
        foreign = await world.ask(route, world.shows.people.stranger)
        never = await world.ask(route, world.shows.people.stranger, unknown=True)
        bare = [{**got.json, "instance": "", "timestamp": 0} for got in (foreign, never)]
        assert bare[0] == bare[1], route.name


async def test_public_routes_ask_nobody_who_they_are(world: World) -> None:
    """Everybody gets the same status; none shows an e-mail, a key or an ingress id."""
    people, row = world.shows.people, await world.shows.row(world.ids["sessions"])
    secrets = (people.host.email, "canary-stream-key", row.rtmp_ingress_id, row.whip_ingress_id)
    for route in ROUTES:
        # How well this process is, /readyz says in words of its own.
        if WHOSE[route.name] is not PUBLIC or route.tag == "operation":
            continue
        answers = [await world.ask(route, by) for by in (None, people.viewer, people.stranger)]
        assert len({got.status for got in answers}) == 1, route.name
        if route.speaks is Speaks.JSON and route.method == "GET":
            for got in (answers[0], answers[2]):
                assert not [one for one in secrets if str(one).encode() in got.raw], route.name

"""Presets over HTTP."""

import asyncio
import uuid
from typing import Any

from api.shapes.presets import DEFAULTS
from tests.integration.api.client import Api, People

KEYNOTE = {"name": "Keynote", "type": "rtmp", "primary_color": "#4f46e5"}


async def make(api: Api, people: People, **members: Any) -> dict[str, Any]:
    got = await api("POST", "/presets", by=people.host, json={**KEYNOTE, **members})
    assert got.status == 201
    return got.data["preset"]


async def test_what_is_left_out_has_a_sensible_default(api: Api, people: People) -> None:
    """Every member is there; those of ours that are null follow the installation's settings."""
    preset = await make(api, people)

    assert {name: preset[name] for name in DEFAULTS} == {**DEFAULTS, "primary_color": "#4f46e5"}
    assert preset["user_id"] == str(people.host.id)


async def test_a_preset_keeps_what_it_was_told(api: Api, people: People) -> None:
    """Whatever differs from the default, and reads it back."""
    told = {name: not value for name, value in DEFAULTS.items() if isinstance(value, bool)} | {
        "max_join_limit": 100,
        "logo": "https://example.com/a.png",
        "no_media_seconds": 60,
    }

    preset = await make(api, people, **told)
    read = (await api("GET", f"/presets/{preset['id']}", by=people.colleague)).data

    assert read == preset
    assert {name: preset[name] for name in told} == told


async def test_changing_a_preset_leaves_the_rest(api: Api, people: People) -> None:
    preset = await make(api, people, chat_enabled=False, no_media_seconds=60)
    path = f"/presets/{preset['id']}"
    changes = {"name": "Gala", "type": "whip", "max_join_limit": 100, "no_media_seconds": None}

    changed = (await api("PATCH", path, by=people.host, json=changes)).data

    expected = {**preset, **changes, "updated_at": changed["updated_at"]}
    assert changed == expected
    assert changed["updated_at"] > preset["updated_at"]


async def test_nothing_changed_is_no_new_version(api: Api, people: People) -> None:
    preset = await make(api, people)
    path = f"/presets/{preset['id']}"
    before = await api("GET", path, by=people.host)

    for nothing in ({}, {"name": "Keynote"}):
        got = await api("PATCH", path, by=people.host, json=nothing)
        assert got.headers["ETag"] == before.headers["ETag"]
        assert got.data == before.data


async def test_a_user_has_one_default(api: Api, people: People) -> None:
    """The first is it; saying it of another takes it from the first."""
    first = await make(api, people)
    second = await make(api, people, is_default=True)
    third = await make(api, people)
    await api("PATCH", f"/presets/{third['id']}", by=people.host, json={"is_default": True})

    listed = (await api("GET", "/presets", by=people.host)).data

    assert first["is_default"]
    assert second["is_default"]
    assert not third["is_default"]
    assert [each["id"] for each in listed["presets"] if each["is_default"]] == [third["id"]]
    assert listed["presets"][0]["id"] == third["id"]
    assert listed["total"] == 3


async def test_two_at_once_leave_one_default(api: Api, people: People) -> None:
    """However two requests meet."""
    await asyncio.gather(*(make(api, people, is_default=True) for _ in range(6)))

    listed = (await api("GET", "/presets", by=people.host)).data

    assert [each["is_default"] for each in listed["presets"]].count(True) == 1


async def test_a_preset_is_its_owners_to_change(api: Api, people: People) -> None:
    """A colleague may read it, another organization finds nothing."""
    preset = await make(api, people)
    path = f"/presets/{preset['id']}"

    for method, body in (("PATCH", {"name": "Mine"}), ("DELETE", None)):
        got = await api(method, path, by=people.colleague, json=body)
        assert got.problem == (403, "insufficient-scope")
        got = await api(method, path, by=people.stranger, json=body)
        assert got.problem == (404, "preset-not-found")
    foreign = await api("GET", path, by=people.stranger)
    assert foreign.problem == (404, "preset-not-found")
    assert (await api("GET", f"/presets/{uuid.uuid4()}", by=people.host)).status == 404


async def test_a_deleted_preset_is_gone(api: Api, people: People) -> None:
    preset = await make(api, people)
    path = f"/presets/{preset['id']}"
    stale = {"If-Match": '"7-0"'}
    refused = await api("DELETE", path, by=people.host, headers=stale)
    assert refused.problem == (412, "version-mismatch")

    assert (await api("DELETE", path, by=people.host)).status == 200

    assert (await api("DELETE", path, by=people.host)).problem == (404, "preset-not-found")
    assert (await api("GET", "/presets", by=people.host)).data["total"] == 0

"""API keys over HTTP."""

import uuid

from sqlalchemy import select

from api.keys import KEYS_MAX
from orchestration.models import ApiKey
from tests.integration.api.client import Api, People


async def test_a_key_is_shown_once_and_kept_hashed(api: Api, people: People) -> None:
    made = await api("POST", "/api-keys", by=people.host, json={"name": "Studio 2"})
    key, told = made.data["key"], made.data["api_key"]

    listed = await api("GET", "/api-keys", by=people.host)
    read = await api("GET", f"/api-keys/{told['id']}", by=people.host)

    assert key.startswith(f"grk_{told['prefix']}_")
    assert listed.data["api_keys"] == [told] == [read.data]
    assert key.encode() not in listed.raw + read.raw
    async with api.resources.db.read() as tx:
        row = (await tx.scalars(select(ApiKey))).one()
    assert key not in row.key_hash


async def test_a_key_can_be_renamed_and_revoked(api: Api, people: People) -> None:
    made = (await api("POST", "/api-keys", by=people.host, json={"name": "Old"})).data
    path = f"/api-keys/{made['api_key']['id']}"

    renamed = await api("PATCH", path, by=made["key"], json={"name": "New"})
    first = await api("DELETE", path, by=people.host)
    second = await api("DELETE", path, by=people.host)

    assert renamed.data["name"] == "New"
    assert first.status == 200
    assert second.problem == (404, "api-key-not-found")
    assert (await api("GET", path, by=people.host)).problem == (404, "api-key-not-found")
    assert (await api("GET", "/api-keys", by=people.host)).data["total"] == 0


async def test_a_key_is_its_owners_alone(api: Api, people: People) -> None:
    """Not even a colleague's."""
    made = (await api("POST", "/api-keys", by=people.host, json={"name": "Mine"})).data
    path = f"/api-keys/{made['api_key']['id']}"

    for other in (people.colleague, people.stranger):
        for method, body in (("GET", None), ("PATCH", {"name": "Yours"}), ("DELETE", None)):
            got = await api(method, path, by=other, json=body)
            assert got.problem == (404, "api-key-not-found")
    assert (await api("GET", "/api-keys", by=people.colleague)).data["total"] == 0
    unknown = await api("GET", f"/api-keys/{uuid.uuid4()}", by=people.host)
    assert unknown.problem == (404, "api-key-not-found")


async def test_keys_are_bounded(api: Api, people: People) -> None:
    """So many valid ones a user; a revoked one makes place for another."""
    async with api.resources.db.begin() as tx:
        keys = [
            ApiKey(user_id=people.host.id, name="k", prefix=f"p{number}", key_hash="x")
            for number in range(KEYS_MAX)
        ]
        tx.add_all(keys)

    refused = await api("POST", "/api-keys", by=people.host, json={"name": "One more"})
    await api("DELETE", f"/api-keys/{keys[0].id}", by=people.host)
    taken = await api("POST", "/api-keys", by=people.host, json={"name": "One more"})

    assert refused.problem == (429, "quota-exceeded")
    assert taken.status == 201

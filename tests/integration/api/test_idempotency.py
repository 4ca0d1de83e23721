"""A repeated Idempotency-Key gets the first request's answer, whatever kind of answer it is."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.shapes.rooms import CreateRoomRequest
from orchestration.models import ApiKey, IdempotencyKey, Organization, Room
from tests.integration.api.client import Api, People
from tests.integration.api.conftest import Running

KEY = {"Idempotency-Key": "the same each time"}


async def count(api: Api, table: Any) -> int:
    async with api.resources.db.read() as tx:
        return await tx.scalar(select(func.count()).select_from(table)) or 0


async def test_a_stored_answer_is_given_again(api: Api, people: People) -> None:
    """Nothing is done twice, and the answer says that it was given before."""
    body = {"title": "Launches", "description": None}

    first = await api("POST", "/rooms", by=people.host, json=body, headers=KEY)
    # The same members in another order and spelling are the same request.
    spelled = b'{"description": null, "title":"Launch\\u0065s"}'
    second = await api(
        "POST",
        "/rooms",
        by=people.host,
        data=spelled,
        headers={**KEY, "Content-Type": "application/json"},
    )

    assert (first.status, second.status) == (201, 201)
    assert second.data == first.data
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert await count(api, Room) == 1


async def test_another_request_with_the_key_is_refused(api: Api, people: People) -> None:
    """Another body, path or caller of the organization."""
    await api("POST", "/rooms", by=people.host, json={"title": "One"}, headers=KEY)

    other_body = await api("POST", "/rooms", by=people.host, json={"title": "Two"}, headers=KEY)
    other_caller = await api(
        "POST", "/rooms", by=people.colleague, json={"title": "One"}, headers=KEY
    )
    other_path = await api("POST", "/api-keys", by=people.host, json={"name": "k"}, headers=KEY)

    refused = {got.problem for got in (other_body, other_caller, other_path)}
    assert refused == {(422, "idempotency-key-reused")}
    assert await count(api, Room) == 1


async def test_another_organizations_key_is_another_key(api: Api, people: People) -> None:
    for host in (people.host, people.stranger):
        got = await api("POST", "/rooms", by=host, json={"title": "Ours"}, headers=KEY)
        assert got.status == 201
        assert "Idempotency-Replayed" not in got.headers

    assert await count(api, Room) == 2


async def test_a_secret_is_not_shown_again(api: Api, people: People) -> None:
    """409 says what to do; neither the secret nor the answer was stored."""
    first = await api("POST", "/api-keys", by=people.host, json={"name": "k"}, headers=KEY)
    second = await api("POST", "/api-keys", by=people.host, json={"name": "k"}, headers=KEY)

    assert first.status == 201
    assert second.problem == (409, "idempotency-answer-not-kept")
    assert await count(api, ApiKey) == 1
    async with api.resources.db.read() as tx:
        row = (await tx.scalars(select(IdempotencyKey))).one()
    assert row.body is None
    assert row.done_at is not None


async def test_a_refused_request_leaves_its_key_free(api: Api, people: People) -> None:
    """What changed nothing is not remembered: corrected, the same key is good."""
    path = f"/rooms/{uuid.uuid4()}/sessions"
    body = {"title": "Show", "preset_id": str(uuid.uuid4())}
    refused = await api("POST", path, by=people.host, json=body, headers=KEY)
    assert refused.status == 404

    taken = await api("POST", "/rooms", by=people.host, json={"title": "Room"}, headers=KEY)

    assert taken.status == 201


async def test_an_old_key_is_forgotten(api: Api, people: People) -> None:
    await api("POST", "/rooms", by=people.host, json={"title": "One"}, headers=KEY)
    async with api.resources.db.begin() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(update(IdempotencyKey).values(expires_at=past))

    got = await api("POST", "/rooms", by=people.host, json={"title": "Two"}, headers=KEY)

    assert got.status == 201


async def test_strangers_keys_are_kept_apart(running: Running, people: People) -> None:
    """Who shows no credentials is known by address; two of them may use the same key."""
    async with running(trust_forwarded_for=True) as api:

        async def register(name: str, address: str) -> Any:
            headers = {**KEY, "X-Forwarded-For": address}
            body = {"display_name": name}
            return await api("POST", "/auth/viewer/register", json=body, headers=headers)

        first = await register("Ada", "192.0.2.1")
        other = await register("Bob", "192.0.2.2")
        again = await register("Ada", "192.0.2.1")

        assert (first.status, other.status) == (201, 201)
        assert again.problem == (409, "idempotency-answer-not-kept")


class Slow:
    """Routes whose requests stay in flight until they are let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.made: list[str] = []
        self.job = uuid.uuid4()

    async def store(self, call: Call) -> Answer:
        async with call.begin() as tx:
            self.begun.set()
            await self.go_on.wait()
            tx.add(Organization(name=call.body.title))
            return await call.keep(tx, Answer({"made": call.body.title}))

    async def rebuild(self, call: Call) -> Answer:
        async with call.begin() as tx:
            if call.key.kept is None:
                self.made.append(call.body.title)
                await call.key.keep_ids(tx, {"secret_of": 7})
                return Answer({"built": "first"})
        return Answer({"built": call.key.kept})

    async def attach(self, call: Call) -> Answer:
        async with call.begin() as tx:
            if (job := call.key.kept_job) is None:
                job = self.job
                self.made.append(call.body.title)
                await call.key.keep_job(tx, job)
        self.begun.set()
        await self.go_on.wait()
        return Answer({"job": str(job)})

    async def refuse(self, call: Call) -> Answer:
        async with call.begin() as tx:
            await call.keep(tx, Answer({}))
            raise Problem("conflict")

    async def forget(self, call: Call) -> Answer:
        async with call.begin():
            pass
        return Answer({})

    @property
    def routes(self) -> tuple[Route, ...]:
        def post(path: str, handler: Any, replay: Replay) -> Route:
            return Route(
                "POST",
                path,
                handler,
                Who.HOST,
                "",
                body=CreateRoomRequest,
                answer=dict[str, Any],
                replay=replay,
            )

        return (
            post("/store", self.store, Replay.STORE),
            post("/rebuild", self.rebuild, Replay.REBUILD),
            post("/attach", self.attach, Replay.JOB),
            post("/refuse", self.refuse, Replay.STORE),
            post("/forget", self.forget, Replay.STORE),
        )


BODY = {"title": "Made"}


async def test_a_request_in_flight_is_not_begun_again(running: Running, people: People) -> None:
    """409 with Retry-After; when the first is done, its answer."""
    slow = Slow()
    async with running(slow.routes) as api:
        first = asyncio.create_task(api("POST", "/store", by=people.host, json=BODY, headers=KEY))
        await slow.begun.wait()

        meanwhile = await api("POST", "/store", by=people.host, json=BODY, headers=KEY)
        slow.go_on.set()
        done = await first
        after = await api("POST", "/store", by=people.host, json=BODY, headers=KEY)

        assert meanwhile.problem == (409, "idempotency-in-progress")
        assert meanwhile.headers["Retry-After"]
        assert done.data == after.data == {"made": "Made"}


async def test_many_at_once_are_done_once(running: Running, people: People) -> None:
    """Whatever each is answered, one thing is made."""
    slow = Slow()
    slow.go_on.set()
    async with running(slow.routes) as api:
        asked = (api("POST", "/store", by=people.host, json=BODY, headers=KEY) for _ in range(10))

        found = await asyncio.gather(*asked)

        assert {got.status for got in found} <= {200, 409}
        assert any(got.status == 200 for got in found)
        async with api.resources.db.read() as tx:
            made = select(func.count()).select_from(Organization)
            assert await tx.scalar(made.where(Organization.name == "Made")) == 1


async def test_an_answer_with_secrets_is_built_anew(running: Running, people: People) -> None:
    """From the ids that were kept, and nothing is done again."""
    slow = Slow()
    async with running(slow.routes) as api:
        first = await api("POST", "/rebuild", by=people.host, json=BODY, headers=KEY)
        second = await api("POST", "/rebuild", by=people.host, json=BODY, headers=KEY)

        assert first.data == {"built": "first"}
        assert second.data == {"built": {"secret_of": "7"}}
        assert slow.made == ["Made"]


async def test_a_job_is_attached_to_while_it_is_in_flight(running: Running, people: People) -> None:
    slow = Slow()
    async with running(slow.routes) as api:
        first = asyncio.create_task(api("POST", "/attach", by=people.host, json=BODY, headers=KEY))
        await slow.begun.wait()
        second = asyncio.create_task(api("POST", "/attach", by=people.host, json=BODY, headers=KEY))
        slow.go_on.set()

        assert (await first).data == (await second).data == {"job": str(slow.job)}
        assert slow.made == ["Made"]
        other = await api("POST", "/attach", by=people.host, json={"title": "Other"}, headers=KEY)
        assert other.problem == (422, "idempotency-key-reused")


async def test_a_refusal_inside_takes_its_key_with_it(running: Running, people: People) -> None:
    """The key and the effect are one transaction."""
    slow = Slow()
    async with running(slow.routes) as api:
        for _ in range(2):
            got = await api("POST", "/refuse", by=people.host, json=BODY, headers=KEY)
            assert got.problem == (409, "conflict")
        assert await count(api, IdempotencyKey) == 0


@pytest.mark.filterwarnings("ignore")
async def test_a_handler_that_keeps_nothing_is_our_bug(running: Running, people: People) -> None:
    """It is found by the first request with a key, not by the first repetition."""
    slow = Slow()
    async with running(slow.routes) as api:
        assert (await api("POST", "/forget", by=people.host, json=BODY)).status == 200
        got = await api("POST", "/forget", by=people.host, json=BODY, headers=KEY)
        assert got.problem == (500, "internal-error")
        assert await count(api, IdempotencyKey) == 0

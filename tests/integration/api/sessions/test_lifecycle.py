"""Start, go live and end over HTTP: everything in one answer, whoever asks how often."""

import asyncio
import uuid

import jwt
import pytest
from sqlalchemy import select

from orchestration.models import Event, IdempotencyKey, Job
from orchestration.plane import Input, Refused, Unavailable
from orchestration.states import JobStatus, Phase
from tests.integration.api.sessions import contract
from tests.integration.api.sessions.conftest import Shows
from tests.integration.api.sessions.plane import KEY

ASYNC = {"Prefer": "respond-async"}


def grants(token: str) -> dict:
    """Read what a LiveKit token allows, without its secret."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


@pytest.mark.parametrize("kind", ["rtmp", "whip"])
@pytest.mark.parametrize("verb", ["start", "go_live"])
async def test_one_answer_has_everything_in_every_mode(shows: Shows, verb: str, kind: str) -> None:
    """Session, token, RTMP address and key, set-up in three sentences, WHIP address."""
    show = await shows.announce(preset=await shows.preset(type=kind))

    got = await shows.post(show, verb)

    assert got.status == 200
    contract.check_started(got.data)
    rtmp, whip = sorted(shows.plane.ingresses.values(), key=lambda one: one.input)
    assert (rtmp.input, whip.input) == (Input.RTMP, Input.WHIP)
    assert got.data["rtmp"] == {
        "ingress_id": rtmp.ingress_id,
        "url": rtmp.url,
        "stream_key": rtmp.stream_key,
    }
    assert got.data["rtmp_setup"]["server"] == rtmp.url
    assert got.data["rtmp_setup"]["stream_key"] == rtmp.stream_key
    assert got.data["whip_url"] == f"{whip.url}/{whip.stream_key}"
    assert got.data["livekit_url"] == "ws://127.0.0.1:1"
    token = grants(got.data["livekit_token"])
    assert token["sub"] == str(shows.host.id)
    assert token["video"]["room"] == shows.livekit_room(show)
    assert token["video"]["canPublish"] is True
    assert {rtmp.identity, whip.identity} == {f"{shows.host.id}#rtmp", f"{shows.host.id}#whip"}


async def test_start_opens_the_green_room_only(shows: Shows) -> None:
    """The status stays scheduled, and the audience is told no address."""
    show = await shows.announce()

    session = (await shows.post(show, "start")).data["session"]

    assert (session["status"], session["phase"]) == ("scheduled", "open")
    assert session["hls_url"] is None
    assert session["started_at"] is None


async def test_go_live_makes_the_show_live(shows: Shows) -> None:
    """Its HLS address is known from now on, and playback is pending."""
    show = await shows.announce()

    session = (await shows.post(show, "go_live")).data["session"]

    assert (session["status"], session["phase"]) == ("live", "waiting_for_media")
    assert session["hls_url"] == f"http://127.0.0.1:8000/hls/{show}/index.m3u8"
    assert session["playback"]["state"] == "pending"
    assert session["started_at"] is not None
    assert session["room"]["active_session_id"] == show
    assert all(one.enabled for one in shows.plane.ingresses.values())


async def test_go_live_again_gives_the_same_answer(shows: Shows) -> None:
    """Without a key, with one, and side by side: one room, one ingress of each kind."""
    show = await shows.announce()
    keyed = {"headers": {"Idempotency-Key": "again"}}

    answers = await asyncio.gather(
        shows.post(show, "go_live"),
        shows.post(show, "go_live"),
        shows.post(show, "go_live", **keyed),
        shows.post(show, "go_live", **keyed),
    )
    answers.append(await shows.post(show, "go_live"))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.data["rtmp"]["stream_key"] for answer in answers}) == 1
    assert len({answer.data["whip_url"] for answer in answers}) == 1
    assert len(shows.plane.rooms) == 1
    assert sorted(one.input for one in shows.plane.ingresses.values()) == [Input.RTMP, Input.WHIP]
    assert shows.plane.calls["create_ingress"] == 2


async def test_one_key_means_one_request(shows: Shows) -> None:
    """Another show with the same key is 422; another organization's same key is its own."""
    one, other = await shows.announce(), await shows.announce()
    keyed = {"headers": {"Idempotency-Key": "mine"}}

    first = await shows.post(one, "go_live", **keyed)
    second = await shows.post(other, "go_live", **keyed)

    assert first.status == 200
    assert second.problem == (422, "idempotency-key-reused")
    assert (await shows.get(other)).data["status"] == "scheduled"


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed"])
async def test_a_bad_key_starts_nothing(shows: Shows, key: str) -> None:
    """Empty, too long, or with control characters."""
    show = await shows.announce()

    got = await shows.post(show, "go_live", headers={"Idempotency-Key": key})

    assert got.problem == (400, "idempotency-key-invalid")
    assert (await shows.get(show)).data["phase"] == "scheduled"


async def test_two_keys_are_no_key(shows: Shows) -> None:
    """Nobody knows which of the two was meant."""
    show = await shows.announce()

    async with shows.api.http.post(
        f"{shows.api.url}/sessions/{show}/go_live",
        headers=[
            ("Idempotency-Key", "a"),
            ("Idempotency-Key", "b"),
            ("Authorization", f"Bearer {shows.api.token(shows.host)}"),
        ],
    ) as got:
        problem = await got.json(content_type=None)

    assert (got.status, problem["error"]) == (400, "idempotency-key-invalid")
    assert (await shows.get(show)).data["phase"] == "scheduled"


async def test_who_does_not_wait_gets_a_job(shows: Shows) -> None:
    """202 with its address; when it is done, asking again answers with everything."""
    show = await shows.announce()
    shows.bell.is_heard = False

    got = await shows.post(show, "go_live", headers={**ASYNC, "Idempotency-Key": "slow"})

    assert got.status == 202
    assert got.headers["Preference-Applied"] == "respond-async"
    assert int(got.headers["Retry-After"]) >= 1
    job = got.data["job"]
    assert got.headers["Location"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["status"], job["session_id"]) == ("go_live", "pending", show)
    pending = await shows.api("GET", got.headers["Location"], by=shows.host)
    assert pending.data["status"] == "pending"
    assert pending.headers["Retry-After"]
    # When a worker hears of it at last
    shows.bell.is_heard = True
    again = await shows.post(show, "go_live", headers={"Idempotency-Key": "slow"})
    done = await shows.api("GET", got.headers["Location"], by=shows.host)
    assert again.status == 200
    contract.check_started(again.data)
    assert (done.data["status"], done.data["problem"]) == ("done", None)
    assert done.data["finished_at"] is not None


async def test_a_caller_may_wait_shorter(shows: Shows) -> None:
    """`wait=N` is obeyed, within bounds, and said to be."""
    show = await shows.announce()
    shows.bell.is_heard = False

    got = await shows.post(show, "go_live", headers={"Prefer": "wait=1"})

    assert got.status == 202
    assert got.headers["Preference-Applied"] == "wait=1"


async def test_a_lost_word_costs_half_a_second(shows: Shows) -> None:
    """The job's row is read again, whatever the bell says."""
    show = await shows.announce()

    async def deaf(job_id: uuid.UUID, seconds: float) -> bool:
        del job_id
        await asyncio.sleep(seconds)
        return False

    shows.bell.wait = deaf  # type: ignore[method-assign]  # a bell whose words are lost

    assert (await shows.post(show, "go_live")).status == 200


async def test_a_refusal_leaves_nothing_behind(shows: Shows) -> None:
    """LiveKit will not: back to scheduled, the cause told, and a later go_live works."""
    show = await shows.announce()
    shows.plane.fails["create_room"] = Refused("CreateRoom", "invalid_argument", "no such node")

    refused = await shows.post(show, "go_live")
    await shows.bell.rest()

    assert refused.problem == (502, "livekit-refused")
    assert "no such node" in refused.json["detail"]
    session = (await shows.get(show)).data
    assert (session["status"], session["phase"]) == ("scheduled", "scheduled")
    assert session["trouble"]["slug"] == "livekit-refused"
    stranger = (await shows.api("GET", f"/sessions/{show}")).data["trouble"]
    assert "no such node" not in stranger["detail"]
    shows.plane.fails.clear()
    assert (await shows.post(show, "go_live")).status == 200


async def test_a_repeated_key_gets_the_same_refusal(shows: Shows) -> None:
    """The job has failed; a new key makes a new one."""
    show = await shows.announce()
    shows.plane.fails["create_room"] = Refused("CreateRoom", "unauthenticated")
    keyed = {"headers": {"Idempotency-Key": "refused"}}

    first = await shows.post(show, "go_live", **keyed)
    await shows.bell.rest()
    shows.plane.fails.clear()
    again = await shows.post(show, "go_live", **keyed)
    anew = await shows.post(show, "go_live", headers={"Idempotency-Key": "anew"})

    assert first.problem == again.problem == (502, "livekit-key-refused")
    assert first.json["job"] == again.json["job"]
    assert anew.status == 200


async def test_a_livekit_that_is_away_is_asked_again(shows: Shows) -> None:
    """The caller holds a job while it is retried, and the show goes live by itself."""
    show = await shows.announce()
    shows.plane.fails["create_room"] = Unavailable("CreateRoom", "unreachable")

    waiting = await shows.post(show, "go_live", headers={"Prefer": "wait=1"})
    shows.plane.fails.clear()
    done = await shows.post(show, "go_live")

    assert waiting.status == 202
    assert done.status == 200


async def test_end_overtakes_a_go_live_that_waits(shows: Shows) -> None:
    """Who waits for the show to go live is told that it was overtaken."""
    show = await shows.announce()
    shows.plane.fails["create_room"] = Unavailable("CreateRoom", "unreachable")
    waiting = asyncio.create_task(shows.post(show, "go_live", headers={"Prefer": "wait=20"}))
    while (await shows.row(show)).wanted != "live":  # noqa: ASYNC110  # the row says it, nobody else
        await asyncio.sleep(0.05)

    ended = await shows.post(show, "end", headers=ASYNC)
    overtaken = await waiting

    assert ended.status in {200, 202}
    assert overtaken.problem == (409, "job-superseded")


@pytest.mark.parametrize("before", ["announce", "started", "live", "over"])
async def test_end_works_from_every_phase(shows: Shows, before: str) -> None:
    """Also twice; nothing is left at LiveKit."""
    match before:
        case "started":
            show = await shows.announce()
            await shows.post(show, "start")
        case _:
            show = await getattr(shows, before)()

    first = await shows.post(show, "end")
    again = await shows.post(show, "end")

    assert (first.status, again.status) == (200, 200)
    contract.check_session(first.data["session"])
    assert again.data["session"]["status"] == "ended"
    assert again.data["session"]["end_reason"] == "requested"
    assert shows.plane.rooms == shows.plane.ingresses == {}


@pytest.mark.parametrize("verb", ["start", "go_live"])
async def test_what_is_over_stays_over(shows: Shows, verb: str) -> None:
    """go_live on an ended show is 409."""
    show = await shows.over()

    assert (await shows.post(show, verb)).problem == (409, "session-ended")


async def test_a_room_has_one_live_show(shows: Shows) -> None:
    """The second one is refused, and can go live when the first is over."""
    room = await shows.room()
    first, second = await shows.live(room=room), await shows.announce(room=room)

    refused = await shows.post(second, "go_live")
    await shows.post(first, "end")
    allowed = await shows.post(second, "go_live")

    assert refused.problem == (409, "room-already-live")
    assert allowed.status == 200


@pytest.mark.parametrize("verb", ["ensure_hls_egress", "start_webcam_hls"])
async def test_ensuring_rings_and_answers(shows: Shows, verb: str) -> None:
    """While the show is on air a worker is rung for; before and after it is 409."""
    show = await shows.announce()
    early = await shows.post(show, verb)
    await shows.post(show, "go_live")
    shows.bell.rings.clear()

    got = await shows.post(show, verb)
    rung = list(shows.bell.rings)
    await shows.post(show, "end")
    late = await shows.post(show, verb)

    assert got.status == 200
    contract.check_session(got.data["session"])
    assert got.data["playback"] == got.data["session"]["playback"]
    assert rung == [("sessions", uuid.UUID(show))]
    assert early.problem == late.problem == (409, "session-not-live")


async def test_no_secret_is_stored_in_plain(shows: Shows) -> None:
    """Keys are sealed; answers with secrets are never kept under a key; events tell none."""
    show = await shows.announce()
    await shows.post(show, "go_live", headers={"Idempotency-Key": "secret"})

    async with shows.api.resources.db.read() as tx:
        kept = (await tx.scalars(select(IdempotencyKey))).all()
        jobs = (await tx.scalars(select(Job))).all()
        events = (await tx.scalars(select(Event))).all()
    row = await shows.row(show)

    assert any(each.job_id for each in kept)
    for stored in (*kept, *jobs, *events, row):
        assert KEY not in str(stored.model_dump())
    assert {job.status for job in jobs} == {JobStatus.DONE}
    assert row.phase is Phase.WAITING_FOR_MEDIA


async def test_a_body_that_says_something_is_refused(shows: Shows) -> None:
    """These take none; an empty object is none."""
    show = await shows.announce()

    said = await shows.post(show, "go_live", json={"title": "Mine"})
    empty = await shows.post(show, "go_live", json={})

    assert said.problem == (422, "validation-error")
    assert empty.status == 200


async def test_another_organizations_job_is_not_there(shows: Shows) -> None:
    """Like one that never was."""
    show = await shows.announce()
    location = (await shows.post(show, "go_live", headers=ASYNC)).headers.get("Location")
    await shows.post(show, "go_live")
    async with shows.api.resources.db.read() as tx:
        job = (await tx.scalars(select(Job))).first()
    path = location or f"/jobs/{job.id}"

    foreign = await shows.api("GET", path, by=shows.people.stranger)
    unknown = await shows.api("GET", f"/jobs/{uuid.uuid4()}", by=shows.people.stranger)

    assert (await shows.api("GET", path, by=shows.host)).status == 200
    assert foreign.problem == unknown.problem == (404, "job-not-found")

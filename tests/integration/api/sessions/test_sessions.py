"""Sessions over HTTP: announced, listed, read, rescheduled, set, counted, deleted."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from orchestration.states import EndReason, Phase, Status
from tests.integration.api.client import Api, People
from tests.integration.api.sessions import contract
from tests.integration.api.sessions.conftest import Shows
from tests.integration.api.sessions.plane import KEY

IN_A_WEEK = (datetime.now(UTC) + timedelta(days=7)).isoformat()


async def test_a_new_show_has_its_stream_key_before_it_is_live(shows: Shows) -> None:
    """An encoder can be set up days before: the ingress is there, and disabled."""
    got = await shows.ask(description="All of it", scheduled_start_time=IN_A_WEEK)

    contract.check(got.data, contract.CREATED)
    contract.check_session(got.data["session"])
    assert got.data["rtmp_url"] == "rtmp://ingress.test/live"
    assert got.data["stream_key"].startswith(KEY)
    assert [one.enabled for one in shows.plane.ingresses.values()] == [False]
    session = got.data["session"]
    assert (session["status"], session["phase"]) == ("scheduled", "scheduled")
    assert session["hls_url"] is None
    assert session["room"]["host"]["email"] == shows.host.email


async def test_a_show_is_made_although_livekit_is_away(shows: Shows) -> None:
    """Its key is null, and told by a later answer."""
    shows.bell.is_heard = False

    got = await shows.api(
        "POST",
        f"/rooms/{await shows.room()}/sessions",
        by=shows.host,
        json={"title": "Launch", "preset_id": await shows.preset()},
        headers={"Prefer": "respond-async"},
    )

    assert got.status == 201
    assert got.data["stream_key"] is None
    assert got.data["rtmp_url"] is None


async def test_a_repeated_creation_makes_one_show(shows: Shows) -> None:
    """The same Idempotency-Key gives the same show, with its key, built anew."""
    room, preset = await shows.room(), await shows.preset()
    options = {
        "by": shows.host,
        "json": {"title": "Launch", "preset_id": preset},
        "headers": {"Idempotency-Key": "one show"},
    }

    first = await shows.api("POST", f"/rooms/{room}/sessions", **options)
    second = await shows.api("POST", f"/rooms/{room}/sessions", **options)
    other = await shows.api(
        "POST",
        f"/rooms/{room}/sessions",
        **{**options, "json": {"title": "X-y", "preset_id": preset}},
    )

    assert first.data["session"]["id"] == second.data["session"]["id"]
    assert first.data["stream_key"] == second.data["stream_key"]
    assert (await shows.api("GET", "/sessions")).data["total"] == 1
    assert other.problem == (422, "idempotency-key-reused")


@pytest.mark.parametrize(("kind", "mode"), [("whip", "webcam"), ("rtmp", "rtmp")])
async def test_the_mode_comes_from_the_preset(shows: Shows, kind: str, mode: str) -> None:
    """And can be said otherwise."""
    preset = await shows.preset(type=kind)

    plain = await shows.ask(preset=preset)
    said = await shows.ask(preset=preset, mode="webcam")

    assert plain.data["session"]["mode"] == mode
    assert said.data["session"]["mode"] == "webcam"


async def test_editing_a_preset_changes_no_announced_show(shows: Shows) -> None:
    """The preset is copied into the session when it is created."""
    preset = await shows.preset(chat_enabled=True, max_join_limit=4, recording_enabled=False)
    show = await shows.announce(preset=preset)

    changed = await shows.api(
        "PATCH", f"/presets/{preset}", by=shows.host, json={"chat_enabled": False, "name": "New"}
    )

    assert changed.status == 200
    session = (await shows.get(show)).data
    assert session["preset"]["chat_enabled"] is True
    assert session["preset"]["name"] == "Keynote"
    assert session["effective_chat_enabled"] is True
    assert session["effective_max_join_limit"] == 4
    assert session["recording_enabled"] is False


async def test_public_reads_carry_no_secret_and_no_email(shows: Shows) -> None:
    """Neither single nor listed, neither to strangers nor to other organizations."""
    show = await shows.live()
    row = await shows.row(show)

    for reader in (None, shows.people.stranger, shows.people.viewer):
        for path in (f"/sessions/{show}", "/sessions", "/sessions/live"):
            got = await shows.api("GET", path, by=reader)
            assert got.status == 200
            for secret in (
                KEY,
                shows.host.email,
                str(row.rtmp_ingress_id),
                str(row.whip_ingress_id),
            ):
                assert secret.encode() not in got.raw
    assert shows.host.email.encode() in (await shows.get(show)).raw


async def test_lists_show_what_they_say(shows: Shows) -> None:
    """All, live, and a room's; in pages, the newest first."""
    room, preset = await shows.room(), await shows.preset()
    announced = [await shows.announce(room=room, preset=preset) for _ in range(3)]
    live = await shows.live()

    every = (await shows.api("GET", "/sessions?limit=2")).data
    second = (await shows.api("GET", "/sessions?limit=2&page=2")).data
    now = (await shows.api("GET", "/sessions/live")).data
    mine = (await shows.api("GET", f"/rooms/{room}/sessions", by=shows.host)).data

    for told in (every, now, mine):
        contract.check(told, contract.SESSIONS)
    assert (every["total"], every["page"], every["limit"]) == (4, 1, 2)
    assert [one["id"] for one in every["sessions"]] == [live, announced[2]]
    assert [one["id"] for one in second["sessions"]] == [announced[1], announced[0]]
    assert [one["id"] for one in now["sessions"]] == [live]
    assert [one["id"] for one in mine["sessions"]] == announced[::-1]


async def test_stats_count_the_callers_organization(shows: Shows) -> None:
    """Another organization's shows are not in it; deleted ones neither."""
    await shows.announce()
    await shows.live()
    await shows.over()
    gone = await shows.announce()
    await shows.api("DELETE", f"/sessions/{gone}", by=shows.host)

    ours = (await shows.api("GET", "/sessions/stats", by=shows.people.viewer)).data
    theirs = (await shows.api("GET", "/sessions/stats", by=shows.people.stranger)).data

    contract.check(ours, contract.STATS)
    assert ours == {"total_sessions": 3, "live_now": 1, "scheduled": 1, "ended": 1}
    assert set(theirs.values()) == {0}


async def test_a_single_read_has_an_etag(shows: Shows) -> None:
    """And answers 304 to who has it already."""
    show = await shows.announce()
    first = await shows.get(show)

    again = await shows.api(
        "GET",
        f"/sessions/{show}",
        by=shows.host,
        headers={"If-None-Match": first.headers["ETag"]},
    )

    assert again.status == 304
    assert again.raw == b""


async def test_a_show_can_be_moved_until_it_starts(shows: Shows) -> None:
    """Then it is too late."""
    show = await shows.announce(scheduled_start_time=IN_A_WEEK)
    path, body = f"/sessions/{show}/reschedule", {"scheduled_start_time": IN_A_WEEK}

    moved = await shows.api("PATCH", path, by=shows.host, json=body)
    past = await shows.api(
        "PATCH", path, by=shows.host, json={"scheduled_start_time": "2023-11-07T05:31:56Z"}
    )
    await shows.post(show, "start")
    late = await shows.api("PATCH", path, by=shows.host, json=body)
    await shows.post(show, "end")
    over = await shows.api("PATCH", path, by=shows.host, json=body)

    assert moved.status == 200
    contract.check_session(moved.data)
    assert past.problem == (422, "validation-error")
    assert past.json["errors"][0]["pointer"] == "/scheduled_start_time"
    assert late.problem == (409, "session-started")
    assert over.problem == (409, "session-ended")


async def test_a_stream_key_that_others_have_seen_is_replaced(shows: Shows) -> None:
    """The old one is gone at LiveKit; a repetition of the request gives the same new one."""
    made = (await shows.ask()).data
    show = made["session"]["id"]

    first = await shows.post(show, "stream_key", headers={"Idempotency-Key": "leaked"})
    again = await shows.post(show, "stream_key", headers={"Idempotency-Key": "leaked"})
    other = await shows.post(show, "stream_key")

    contract.check(first.data, contract.CREATED)
    assert first.data["rtmp_url"] == made["rtmp_url"]
    assert again.data["stream_key"] == first.data["stream_key"]
    keys = [made["stream_key"], first.data["stream_key"], other.data["stream_key"]]
    assert len(set(keys)) == 3
    (left,) = shows.plane.ingresses.values()
    assert (left.stream_key, left.enabled) == (keys[-1], False)
    live = (await shows.post(show, "go_live")).data
    assert live["rtmp"]["stream_key"] == keys[-1]


async def test_a_key_is_taken_back_although_livekit_is_away(shows: Shows) -> None:
    """The new one is null until it is made; the old one is told nobody any more."""
    made = (await shows.ask()).data
    show = made["session"]["id"]
    shows.bell.is_heard = False
    headers = {"Idempotency-Key": "leaked", "Prefer": "respond-async"}

    early = await shows.post(show, "stream_key", headers=headers)
    shows.bell.is_heard = True
    later = await shows.post(show, "stream_key", headers=headers | {"Prefer": "wait=60"})

    assert early.data["stream_key"] is None
    assert later.data["stream_key"] not in {None, made["stream_key"]}


async def test_a_show_that_is_over_has_no_key_to_replace(shows: Shows) -> None:
    got = await shows.post(await shows.over(), "stream_key")

    assert got.problem == (409, "session-ended")


async def test_settings_override_the_preset_and_let_go_of_it_again(shows: Shows) -> None:
    """What is not said stays; null is the preset's."""
    show = await shows.announce(preset=await shows.preset(chat_enabled=True, max_join_limit=3))
    path = f"/sessions/{show}/settings"

    set_ = await shows.api(
        "PATCH", path, by=shows.host, json={"chat_enabled": False, "max_join_limit": 100}
    )
    freed = await shows.api("PATCH", path, by=shows.host, json={"chat_enabled": None})

    contract.check_session(set_.data)
    assert set_.data["chat_enabled_override"] is False
    assert set_.data["effective_chat_enabled"] is False
    assert set_.data["effective_max_join_limit"] == 100
    assert set_.data["stage_enabled_override"] is None
    assert freed.data["chat_enabled_override"] is None
    assert freed.data["effective_chat_enabled"] is True
    assert freed.data["max_join_limit_override"] == 100


async def test_a_stale_version_changes_nothing(shows: Shows) -> None:
    """If-Match guards settings, reschedule and delete."""
    show = await shows.announce()
    stale = {"If-Match": (await shows.get(show)).headers["ETag"]}
    path = f"/sessions/{show}/settings"
    await shows.api("PATCH", path, by=shows.host, json={"chat_enabled": False})

    refused = await shows.api(
        "PATCH", path, by=shows.host, json={"chat_enabled": True}, headers=stale
    )
    kept = await shows.api("DELETE", f"/sessions/{show}", by=shows.host, headers=stale)

    assert refused.problem == kept.problem == (412, "version-mismatch")
    assert (await shows.get(show)).data["effective_chat_enabled"] is False


async def test_a_live_show_cannot_be_deleted(shows: Shows) -> None:
    """A show that is over, or never began, can: it is hidden and its keys are taken back."""
    live, announced = await shows.live(), await shows.announce()

    refused = await shows.api("DELETE", f"/sessions/{live}", by=shows.host)
    deleted = await shows.api("DELETE", f"/sessions/{announced}", by=shows.host)
    await shows.bell.rest()

    assert refused.problem == (409, "session-live")
    assert deleted.data is None
    assert (await shows.get(announced)).problem == (404, "session-not-found")
    assert not [
        one for one in shows.plane.ingresses.values() if one.room == shows.livekit_room(announced)
    ]
    row = await shows.row(announced)
    assert (row.phase, row.end_reason) == (Phase.ENDED, EndReason.DELETED)


async def test_duration_runs_while_the_show_is_on_air(shows: Shows) -> None:
    """Before it is 0, afterwards it stands still."""
    show = await shows.live()
    begun = datetime.now(UTC) - timedelta(seconds=90)
    await shows.write(show, started_at=begun)

    running = (await shows.get(show)).data["duration"]
    await shows.write(
        show, phase=Phase.ENDED, status=Status.ENDED, ended_at=begun + timedelta(seconds=60)
    )
    over = (await shows.get(show)).data["duration"]

    assert running >= 90
    assert over == 60


async def test_viewer_counts_say_how_fresh_they_are(shows: Shows) -> None:
    """Older than 30 s while on air is stale."""
    show = await shows.live()
    now = datetime.now(UTC)
    columns = {"viewer_count": 3, "viewers_livekit": 1, "viewers_hls": 2, "max_viewers": 5}

    await shows.write(show, viewers_as_of=now, **columns)
    fresh = (await shows.get(show)).data
    await shows.write(show, viewers_as_of=now - timedelta(seconds=31))
    stale = (await shows.get(show)).data

    assert (fresh["viewer_count"], fresh["max_viewers"]) == (3, 5)
    assert fresh["viewers"]["stale"] is False
    assert (fresh["viewers"]["livekit"], fresh["viewers"]["hls"]) == (1, 2)
    assert stale["viewers"]["stale"] is True


WHEN = "/scheduled_start_time"


def when(value: object) -> dict:
    return {"scheduled_start_time": value}


#: Bodies that are no CreateSessionRequest: what is changed, and which member is pointed at.
BAD = [
    pytest.param({"title": ""}, "/title", id="no-title"),
    pytest.param({"title": "ab"}, "/title", id="short-title"),
    pytest.param({"title": "x" * 256}, "/title", id="long-title"),
    pytest.param({"title": "x" * 10_000}, "/title", id="very-long-title"),
    pytest.param({"title": "     "}, "/title", id="blank-title"),
    pytest.param({"title": "two\r\nlines"}, "/title", id="line-break"),
    pytest.param({"title": "\x1b[31mred"}, "/title", id="escape"),
    pytest.param({"title": None}, "/title", id="null-title"),
    pytest.param({"title": 7}, "/title", id="number-title"),
    pytest.param({"mode": "carrier-pigeon"}, "/mode", id="mode"),
    pytest.param({"mode": ["rtmp"]}, "/mode", id="mode-list"),
    pytest.param({"preset_id": "1"}, "/preset_id", id="preset-id"),
    pytest.param({"preset_id": None}, "/preset_id", id="null-preset"),
    pytest.param(when("2026-02-30T10:00:00Z"), WHEN, id="30-february"),
    pytest.param(when("2030-01-01T10:00:00"), WHEN, id="no-zone"),
    pytest.param(when("0000-01-01T10:00:00Z"), WHEN, id="year-0"),
    pytest.param(when("9999-12-31T23:59:59Z"), WHEN, id="year-9999"),
    pytest.param(when("2030-06-30T23:59:60Z"), WHEN, id="leap-second"),
    pytest.param(when(1_900_000_000), WHEN, id="number-time"),
    pytest.param(when("2023-11-07T05:31:56Z"), WHEN, id="past"),
    pytest.param({"is_admin": True}, "/is_admin", id="is-admin"),
    pytest.param({"organization_id": str(uuid.uuid4())}, "/organization_id", id="tenant"),
    pytest.param({"status": "live"}, "/status", id="status"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "pointer"), BAD)
async def test_a_bad_show_is_refused(shows: Shows, change: dict, pointer: str) -> None:
    """422, pointing at the member; and no show is made."""
    got = await shows.ask(**change)

    assert got.problem == (422, "validation-error")
    assert pointer in {each["pointer"] for each in got.json["errors"]}
    assert (await shows.api("GET", "/sessions")).data["total"] == 0


BAD_SETTINGS = [
    {"max_join_limit": 0},
    {"max_join_limit": -1},
    {"max_join_limit": 101},
    {"max_join_limit": 2**63},
    {"max_join_limit": "1"},
    {"max_join_limit": 1.5},
    {"max_join_limit": True},
    {"chat_enabled": "true"},
    {"chat_enabled": 1},
    {"stage_enabled": {}},
    {"viewer_count": 1_000_000},
]


@pytest.mark.parametrize("body", BAD_SETTINGS, ids=str)
async def test_bad_settings_change_nothing(shows: Shows, body: dict) -> None:
    """422, and the show is as it was."""
    show = await shows.announce()
    before = (await shows.get(show)).headers["ETag"]

    got = await shows.api("PATCH", f"/sessions/{show}/settings", by=shows.host, json=body)

    assert got.problem == (422, "validation-error")
    assert (await shows.get(show)).headers["ETag"] == before


HOSTILE = [
    "'; DROP TABLE sessions; --",
    '{"$gt": ""}',
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "Ünïcödé 表 🎬",
]


@pytest.mark.parametrize("title", HOSTILE)
async def test_hostile_titles_are_only_titles(shows: Shows, title: str) -> None:
    """Stored as they are, told as they are."""
    show = await shows.announce(title=title, description=title)

    session = (await shows.get(show)).data

    assert (session["title"], session["description"]) == (title, title)


async def test_a_preset_or_room_of_others_makes_no_show(shows: Shows) -> None:
    """A foreign one is not there; a colleague's preset may be used, a colleague's room not."""
    people = shows.people

    foreign_preset = await shows.ask(preset=await shows.preset(by=people.stranger))
    foreign_room = await shows.ask(room=await shows.room(by=people.stranger))
    colleagues_preset = await shows.ask(preset=await shows.preset(by=people.colleague))
    colleagues_room = await shows.ask(room=await shows.room(by=people.colleague))

    assert foreign_preset.problem == (404, "preset-not-found")
    assert foreign_room.problem == (404, "room-not-found")
    assert colleagues_preset.status == 201
    assert colleagues_room.problem == (403, "insufficient-scope")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=101", "limit=abc", "page=0", "page=1&page=2", "id=1"]
)
async def test_a_bad_query_is_refused(api: Api, people: People, query: str) -> None:
    """Unknown, repeated or out of range."""
    for path in ("/sessions", "/sessions/live"):
        assert (await api("GET", f"{path}?{query}")).problem == (400, "invalid-query")

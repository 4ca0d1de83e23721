"""Logging in and staying in, over HTTP."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from api import limits
from api.accounts import GUESSES_A_MINUTE
from api.passwords import Passwords
from orchestration.models import AuthCode, Organization, RefreshToken, Room, Session, User
from tests.integration.api.client import Api, Got, People

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def host(api: Api, people: People) -> User:
    """Give the host a password."""
    hashed = await Passwords().hash(PASSWORD)
    async with api.resources.db.begin() as tx:
        user = await tx.get_one(User, people.host.id)
        user.password_hash = hashed
    return user


async def log_in(api: Api, email: str | None, password: str = PASSWORD) -> Got:
    return await api("POST", "/auth/login", json={"email": email, "password": password})


async def refresh(api: Api, token: str) -> Got:
    return await api("POST", "/auth/refresh", json={"refresh_token": token})


async def opens(api: Api, access_token: str) -> bool:
    headers = {"Authorization": f"Bearer {access_token}"}
    return (await api("GET", "/rooms/my", headers=headers)).status == 200


async def test_logging_in_opens_the_api(api: Api, host: User) -> None:
    """By e-mail, however it is spelled, and password."""
    assert host.email is not None

    got = await log_in(api, host.email.upper())

    assert got.data["user"]["id"] == str(host.id)
    assert await opens(api, got.data["access_token"])
    assert got.headers["Cache-Control"] == "no-store"


async def test_what_is_wrong_is_not_said(api: Api, people: People, host: User) -> None:
    """A wrong password, a user without one and nobody at all get the same answer."""
    answers = [
        await log_in(api, host.email, "wrong"),
        await log_in(api, people.colleague.email),
        await log_in(api, "nobody@example.com"),
    ]

    assert {got.problem for got in answers} == {(401, "invalid-credentials")}
    assert len({got.json["detail"] for got in answers}) == 1


async def test_the_inactive_and_the_suspended_do_not_log_in(
    api: Api, people: People, host: User
) -> None:
    async with api.resources.db.begin() as tx:
        (await tx.get_one(Organization, people.organization.id)).is_suspended = True
    assert (await log_in(api, host.email)).problem == (403, "tenant-suspended")

    async with api.resources.db.begin() as tx:
        (await tx.get_one(User, host.id)).is_active = False
    assert (await log_in(api, host.email)).problem == (401, "invalid-credentials")


async def test_a_refresh_token_is_good_once(api: Api, host: User) -> None:
    """Using it again revokes every token of that login, and of no other login."""
    first = (await log_in(api, host.email)).data
    other = (await log_in(api, host.email)).data
    second = (await refresh(api, first["refresh_token"])).data
    assert await opens(api, second["access_token"])

    reused = await refresh(api, first["refresh_token"])
    heir = await refresh(api, second["refresh_token"])

    assert reused.problem == (401, "token-reused")
    assert heir.problem == (401, "invalid-token")
    assert (await refresh(api, other["refresh_token"])).status == 200


async def test_refreshing_needs_no_valid_access_token(api: Api, host: User) -> None:
    """Clients send their old one along; it is not looked at."""
    token = (await log_in(api, host.email)).data["refresh_token"]

    got = await api(
        "POST",
        "/auth/refresh",
        json={"refresh_token": token},
        headers={"Authorization": "Bearer a.b.c"},
    )

    assert got.status == 200


async def test_an_old_refresh_token_is_refused(api: Api, host: User) -> None:
    token = (await log_in(api, host.email)).data["refresh_token"]
    async with api.resources.db.begin() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(update(RefreshToken).values(expires_at=past))

    assert (await refresh(api, token)).problem == (401, "invalid-token")


async def test_logging_out_ends_the_login(api: Api, host: User) -> None:
    """Repeating it, or with a token nobody knows, is no mistake."""
    first = (await log_in(api, host.email)).data["refresh_token"]
    second = (await refresh(api, first)).data["refresh_token"]

    for token in (second, second, "grr_unknown"):
        got = await api("POST", "/auth/logout", json={"refresh_token": token})
        assert got.status == 200

    assert (await refresh(api, second)).problem == (401, "invalid-token")


async def test_a_viewer_gets_in_with_a_name(api: Api) -> None:
    """And again from the same device; a viewer is nobody's host."""
    viewer = (await api("POST", "/auth/viewer/register", json={"display_name": "Zoë"})).data

    assert viewer["user"]["username"] == "Zoë"
    assert viewer["user"]["role"] == "viewer"
    assert await opens(api, viewer["access_token"])
    headers = {"Authorization": f"Bearer {viewer['access_token']}"}
    refused = await api("POST", "/rooms", json={"title": "Mine"}, headers=headers)
    assert refused.problem == (403, "insufficient-scope")
    device = {"device_token": viewer["device_token"]}
    again = (await api("POST", "/auth/viewer/device-login", json=device)).data
    assert again["user"]["id"] == viewer["user"]["id"]
    unknown = await api("POST", "/auth/viewer/device-login", json={"device_token": "grd_x"})
    assert unknown.problem == (401, "invalid-token")


async def test_a_code_carries_a_login_once(api: Api, people: People) -> None:
    """To another device, for a session that is there, within its time."""
    async with api.resources.db.begin() as tx:
        room = Room(
            organization_id=people.organization.id, host_id=people.host.id, title="Launches"
        )
        tx.add(room)
        await tx.flush()
        session = Session(
            organization_id=people.organization.id,
            room_id=room.id,
            host_id=people.host.id,
            title="Show",
            mode="rtmp",
        )
        tx.add(session)
    asked = {"session_id": str(session.id)}

    made = (await api("POST", "/auth/code", by=people.viewer, json=asked)).data
    exchanged = await api("POST", "/auth/code/exchange", json={"code": made["code"].lower()})
    again = await api("POST", "/auth/code/exchange", json={"code": made["code"]})

    assert made["expires_in"] > 0
    assert exchanged.data["user"]["id"] == str(people.viewer.id)
    assert exchanged.data["session_id"] == str(session.id)
    assert again.problem == (401, "invalid-code")
    late = (await api("POST", "/auth/code", by=people.viewer, json=asked)).data["code"]
    async with api.resources.db.begin() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(
            update(AuthCode).where(col(AuthCode.used_at).is_(None)).values(expires_at=past)
        )
    assert (await api("POST", "/auth/code/exchange", json={"code": late})).status == 401
    nowhere = {"session_id": str(uuid.uuid4())}
    refused = await api("POST", "/auth/code", by=people.viewer, json=nowhere)
    assert refused.problem == (404, "session-not-found")


async def test_guessing_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one address; what is refused for that reason is not even looked up."""
    monkeypatch.setattr(limits, "monotonic", lambda: 0.0)
    guess = {"code": "AAAAAAAAAAAA"}
    for _ in range(GUESSES_A_MINUTE):
        assert (await api("POST", "/auth/code/exchange", json=guess)).status == 401

    got = await api("POST", "/auth/code/exchange", json=guess)

    assert got.problem == (429, "rate-limited")
    assert int(got.headers["Retry-After"]) >= 1
    spoofed = {"X-Forwarded-For": "192.0.2.1"}
    got = await api("POST", "/auth/code/exchange", json=guess, headers=spoofed)
    assert got.status == 429


async def test_nobody_takes_as_long_as_somebody(
    api: Api, people: People, host: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash is checked each time, so that time does not tell who is known here."""
    checked: list[str] = []
    verify = Passwords._verify

    def counting(self: Passwords, hashed: str, password: str) -> bool:
        checked.append(hashed.split("$")[3])
        return verify(self, hashed, password)

    monkeypatch.setattr(Passwords, "_verify", counting)

    for email in (host.email, people.colleague.email, "nobody@example.com"):
        assert (await log_in(api, email, "wrong")).status == 401

    assert len(checked) == 3
    assert len(set(checked)) == 1, "the same parameters, so the same work"

"""Who gets in: tokens of ours, tokens of an issuer, API keys; and everything that is none."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import structlog
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from multidict import CIMultiDict
from sqlalchemy import func, select

from api.auth import new_api_key
from api.server import serving
from orchestration.models import ApiKey, Organization, User
from orchestration.secrets import sha256_of
from orchestration.tokens import mint_livekit_token
from tests.integration.api.client import Api, People
from tests.integration.api.conftest import Running

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ISSUER = "https://login.example.com/"


def pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem() -> bytes:
    return RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def claims_of(user: User, **changes: Any) -> dict[str, Any]:
    claims = {
        "iss": "greenroom",
        "aud": "greenroom",
        "sub": str(user.id),
        "type": "access",
        "exp": int(time.time()) + 60,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def raw_token(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """Sign whatever it says, past any library that would not."""

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part(header) + b"." + part(claims)
    signature = hmac.new(key, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


# fmt: off
#: Headers of tokens with a right signature that are not ours all the same.
HEADERS = {
    "B43 none":          {"alg": "none"},
    "B43 None":          {"alg": "nOnE"},
    "B44 RS256":         {"alg": "RS256"},
    "B45 jwk":           {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}},
    "B45 jku":           {"alg": "HS256", "jku": "https://evil.example/keys"},
    "B45 x5u":           {"alg": "HS256", "x5u": "https://evil.example/cert"},
    "B45 kid":           {"alg": "HS256", "kid": "../../dev/null"},
    "B45 crit":          {"alg": "HS256", "crit": ["exp"]},
    "B45 HS512":         {"alg": "HS512"},
}

#: Claims that are not those of an access token of ours.
CLAIMS: dict[str, dict[str, Any]] = {
    "B46 no exp":        {"exp": ...},
    "B46 exp 2^63":      {"exp": 2**63},
    "B46 exp fraction":  {"exp": time.time() + 36_000.5},
    "B46 exp text":      {"exp": str(int(time.time()) + 36_000)},
    "B46 exp null":      {"exp": None},
    "B46 nbf future":    {"nbf": int(time.time()) + 3600},
    "B47 other iss":     {"iss": "somebody"},
    "B47 no iss":        {"iss": ...},
    "B47 part of iss":   {"iss": "green"},
    "B47 other aud":     {"aud": "somebody"},
    "B47 no aud":        {"aud": ...},
    "B47 refresh":       {"type": "refresh"},
    "B47 no type":       {"type": ...},
    "B47 no sub":        {"sub": ...},
    "B47 sub is no id":  {"sub": "host"},
    "B47 unknown user":  {"sub": str(uuid.uuid4())},
}
# fmt: on


async def asked(api: Api, token: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"}
    return (await api("GET", "/rooms/my", headers=headers)).problem


@pytest.mark.parametrize("case", HEADERS)
async def test_a_header_that_is_not_ours_is_refused(api: Api, people: People, case: str) -> None:
    key = api.resources.secrets.jwt_key

    token = raw_token(HEADERS[case], claims_of(people.host), key)

    assert await asked(api, token) == (401, "invalid-token")


@pytest.mark.parametrize("case", CLAIMS)
async def test_claims_that_are_not_ours_are_refused(api: Api, people: People, case: str) -> None:
    key = api.resources.secrets.jwt_key
    claims = claims_of(people.host, **CLAIMS[case])

    assert await asked(api, raw_token({"alg": "HS256"}, claims, key)) == (401, "invalid-token")


async def test_other_tokens_are_refused(api: Api, people: People) -> None:
    """B44, B46, B47: a public key as secret, an old one, LiveKit's, and nonsense."""
    settings, key = api.resources.settings, api.resources.secrets.jwt_key
    livekit = mint_livekit_token(
        settings, role="host", identity=str(people.host.id), name="", room="r", preset={}
    )
    claims = claims_of(people.host)

    assert await asked(api, raw_token({"alg": "HS256"}, claims, public_pem())) == (
        401,
        "invalid-token",
    )
    assert await asked(api, livekit) == (401, "invalid-token")
    old = claims_of(people.host, exp=int(time.time()) - 1)
    assert await asked(api, raw_token({"alg": "HS256"}, old, key)) == (401, "token-expired")
    for nonsense in ("a", "a.b.c", "....", "é", "a" * 8_100, raw_token({}, {}, key)):
        got = await api("GET", "/rooms/my", headers={"Authorization": f"Bearer {nonsense}"})
        assert got.status in {401, 431}
    assert (await api("GET", "/rooms/my", by=people.host)).status == 200


async def test_bad_credentials_are_refused_on_public_reads_too(api: Api) -> None:
    """Who shows a token means to be somebody: a silent answer to nobody would hide the mistake."""
    got = await api("GET", "/rooms", headers={"Authorization": "Bearer a.b.c"})

    assert got.problem == (401, "invalid-token")


async def test_the_log_says_who_was_let_in_and_who_was_refused(api: Api, people: People) -> None:
    """One line each: an operator finds out who tried what."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        await api("GET", "/rooms/my", by=people.host)
        await api("POST", "/rooms", by=people.viewer, json={"title": "Not mine to make"})
        await api("GET", "/rooms/my", headers={"Authorization": "Bearer a.b.c"})

    told = [line for line in lines if line["event"] == "request_done"]
    assert [(line["status"], line.get("user_id"), line.get("problem")) for line in told] == [
        (200, str(people.host.id), None),
        (403, str(people.viewer.id), "insufficient-scope"),
        (401, None, "invalid-token"),
    ]


async def test_two_credentials_are_refused(api: Api, people: People) -> None:
    """B42."""
    token = f"Bearer {api.token(people.host)}"
    headers = CIMultiDict([("Authorization", token), ("Authorization", token)])
    async with api.http.get(f"{api.url}/rooms/my", headers=headers) as response:
        assert response.status == 401
        assert (await response.json(content_type=None))["error"] == "unauthenticated"


async def test_an_api_key_lets_in_until_it_is_revoked(api: Api, people: People) -> None:
    """B48."""
    made = (await api("POST", "/api-keys", by=people.host, json={"name": "Studio"})).data

    assert (await api("GET", "/rooms/my", by=made["key"])).status == 200
    wrong = made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")
    assert (await api("GET", "/rooms/my", by=wrong)).problem == (401, "unauthenticated")
    await api("DELETE", f"/api-keys/{made['api_key']['id']}", by=made["key"])
    assert (await api("GET", "/rooms/my", by=made["key"])).problem == (401, "unauthenticated")


async def test_the_suspended_read_and_change_nothing(api: Api, people: People) -> None:
    """B50."""
    async with api.resources.db.begin() as tx:
        (await tx.get_one(Organization, people.organization.id)).is_suspended = True

    assert (await api("GET", "/rooms/my", by=people.host)).status == 200
    got = await api("POST", "/rooms", by=people.host, json={"title": "Room"})
    assert got.problem == (403, "tenant-suspended")


async def test_the_inactive_do_not_get_in(api: Api, people: People) -> None:
    async with api.resources.db.begin() as tx:
        key, prefix = new_api_key()
        tx.add(ApiKey(user_id=people.host.id, name="k", prefix=prefix, key_hash=sha256_of(key)))
        (await tx.get_one(User, people.host.id)).is_active = False

    for by in (people.host, key):
        assert (await api("GET", "/rooms/my", by=by)).problem == (401, "unauthenticated")


# ------------------------------------------------------------------------- an issuer's tokens


class Issuer:
    """Somebody else's login, with two keys and a count of who asked for them."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False
        self.in_pieces = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/keys", self.keys)
        return app

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.is_down:
            raise web.HTTPInternalServerError
        rsa_key = json.loads(RSAAlgorithm.to_jwk(RSA.public_key()))
        ec_key = json.loads(ECAlgorithm.to_jwk(EC.public_key()))
        keys = [
            {**rsa_key, "kid": "rsa", "use": "sig", "alg": "RS256"},
            {**ec_key, "kid": "ec", "use": "sig"},
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"},
        ]
        if not self.in_pieces:
            return web.json_response({"keys": keys})
        whole = json.dumps({"keys": keys}).encode()
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (whole[:100], whole[100:]):
            await response.write(piece)
            await asyncio.sleep(0.05)  # so that they are two packets
        return response


@pytest.fixture
async def issuer() -> AsyncIterator[tuple[Issuer, str]]:
    """Run an issuer."""
    issuer = Issuer()
    async with serving(issuer.app(), "127.0.0.1", 0) as port:
        yield issuer, f"http://127.0.0.1:{port}/keys"


def issued(
    kid: str = "rsa",
    algorithm: str = "RS256",
    key: Any = RSA,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    claims = {
        "iss": ISSUER,
        "aud": "shows",
        "sub": "auth0|42",
        "exp": int(time.time()) + 60,
        "role": "host",
        "name": "Ada",
        "email": "Ada@Example.com",
        "organization": "Lovelace",
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(claims, pem(key), algorithm=algorithm, headers={"kid": kid, **(header or {})})


async def test_an_issuers_users_exist_from_their_first_token_on(
    running: Running, issuer: tuple[Issuer, str]
) -> None:
    """Made once, found again, and in their organization; the issuer is asked once."""
    settings = {"jwks_url": issuer[1], "jwks_issuer": ISSUER, "jwks_audience": "shows"}
    async with running(**settings) as api:

        async def make(token: str, title: str) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            return (await api("POST", "/rooms", headers=headers, json={"title": title})).data

        first = (await make(issued(), "First"))["room"]["host"]
        again = (await make(issued("ec", "ES256", EC), "Again"))["room"]["host"]
        other = (await make(issued(sub="auth0|43", email=...), "Other"))["room"]["host"]

        assert first == again
        assert (first["username"], first["email"], first["role"]) == (
            "Ada",
            "ada@example.com",
            "host",
        )
        assert other["id"] != first["id"]
        assert other["organization_id"] == first["organization_id"]
        assert issuer[0].asked == 1
        demoted = {"Authorization": f"Bearer {issued(role=...)}"}
        got = await api("POST", "/rooms", headers=demoted, json={"title": "No more"})
        assert got.problem == (403, "insufficient-scope")


async def test_an_issuers_keys_may_come_in_pieces(
    running: Running, issuer: tuple[Issuer, str]
) -> None:
    """A longer list is several packets, as the network likes."""
    issuer[0].in_pieces = True
    settings = {"jwks_url": issuer[1], "jwks_issuer": ISSUER, "jwks_audience": "shows"}
    async with running(**settings) as api:
        got = await api("GET", "/rooms/my", headers={"Authorization": f"Bearer {issued()}"})

    assert got.status == 200


async def test_an_issuers_first_tokens_at_once_make_one_user(
    running: Running, issuer: tuple[Issuer, str]
) -> None:
    settings = {"jwks_url": issuer[1], "jwks_issuer": ISSUER, "jwks_audience": "shows"}
    async with running(**settings) as api:
        headers = {"Authorization": f"Bearer {issued()}"}

        found = await asyncio.gather(*(api("GET", "/rooms/my", headers=headers) for _ in range(8)))

        assert {got.status for got in found} == {200}
        async with api.resources.db.read() as tx:
            assert await tx.scalar(select(func.count()).select_from(User)) == 1


async def test_what_an_issuer_did_not_say_is_refused(
    running: Running, issuer: tuple[Issuer, str]
) -> None:
    """B43 to B47 for an issuer's tokens, and its keys are not asked for each time."""
    settings = {"jwks_url": issuer[1], "jwks_issuer": ISSUER, "jwks_audience": "shows"}
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    confused = raw_token({"alg": "HS256", "kid": "rsa"}, {"sub": "x"}, public_pem())
    bad = [
        issued(key=other),
        issued("unknown"),
        issued("ec"),
        issued("shared"),
        issued(iss="https://evil.example/"),
        issued(aud="others"),
        issued(aud=...),
        issued(sub=...),
        issued(exp=...),
        issued(sub="a" * 600),
        # B45: a key, or where to fetch one, of the token's own choosing.
        issued(header={"jwk": {"kty": "oct", "k": "AAAA"}}),
        issued(header={"jku": "https://evil.example/keys"}),
        issued(header={"x5u": "https://evil.example/cert"}),
        issued(header={"x5c": ["AAAA"]}),
        confused,
    ]
    async with running(**settings) as api:
        for token in bad:
            assert await asked(api, token) == (401, "invalid-token")
        assert await asked(api, issued(exp=1)) == (401, "token-expired")
        assert issuer[0].asked == 1


async def test_an_issuer_that_is_down_is_nobodys_mistake(
    running: Running, issuer: tuple[Issuer, str]
) -> None:
    """503 with Retry-After, not 401: the token may be good."""
    issuer[0].is_down = True
    async with running(jwks_url=issuer[1], jwks_issuer=ISSUER) as api:
        headers = {"Authorization": f"Bearer {issued()}"}

        got = await api("GET", "/rooms/my", headers=headers)

        assert got.problem == (503, "service-unavailable")
        assert got.headers["Retry-After"]

"""Speak to an API that listens for real, and hold every answer against the shapes it promised."""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from pydantic import TypeAdapter

from api.app import ROUTES
from api.auth import mint_access_token
from api.problems import CATALOGUE, MEDIA_TYPE
from api.routes import Route, Speaks
from api.shapes.common import ErrorResponse
from orchestration.models import Organization, User
from orchestration.resources import Resources


@dataclass
class Got:
    """An answer, read whole."""

    status: int
    headers: "aiohttp.typedefs.LooseHeaders"
    raw: bytes
    json: Any = None

    @property
    def data(self) -> Any:
        assert self.json["success"] is True, self.json
        return self.json["data"]

    @property
    def slug(self) -> str:
        assert self.json["success"] is False, self.json
        return str(self.json["error"])

    @property
    def problem(self) -> tuple[int, str]:
        """What a bad request is about to be compared by: status and slug."""
        return self.status, self.slug


@dataclass
class Api:
    """A listening API and what it stands on."""

    resources: Resources
    port: int
    http: aiohttp.ClientSession
    routes: tuple[Route, ...] = ROUTES
    base: str = ""
    seen: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        by: User | str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Got:
        """Send a request as a user (by its token) or with an API key; check what comes back."""
        sent = dict(headers or {})
        if isinstance(by, User):
            sent["Authorization"] = f"Bearer {self.token(by)}"
        elif by is not None:
            sent["X-API-Key"] = by
        async with self.http.request(
            method, self.url + path, headers=sent, allow_redirects=False, **options
        ) as response:
            raw = await response.read()
            got = Got(response.status, response.headers, raw)
            is_json = "json" in response.headers.get("Content-Type", "")
            if is_json and raw:
                got.json = await response.json(content_type=None)
        check(got, self.route_of(method, path))
        return got

    def token(self, user: User) -> str:
        return mint_access_token(self.resources.settings, self.resources.secrets, user)

    def route_of(self, method: str, path: str) -> Route | None:
        """Find the line of ROUTES that a request meets; fixed paths come before parameters."""
        bare = path.partition("?")[0]
        for route in sorted(self.routes, key=lambda each: each.path.count("{")):
            pattern = re.sub(r"\{\w+:([^{}]+)\}", r"(\1)", route.path)
            pattern = re.sub(r"\{\w+\}", r"[^/]+", pattern)
            if route.method == method and re.fullmatch(pattern, bare):
                return route
        return None


def check(got: Got, route: Route | None) -> None:
    """Hold an answer against the envelope, the catalogue and the route's own shape."""
    assert got.headers.get("X-Request-ID"), "every answer has a name"
    if got.status >= 400:
        assert got.headers["Content-Type"] == MEDIA_TYPE, got.raw
        ErrorResponse.model_validate(got.json)
        kind = CATALOGUE[got.json["error"]]
        assert (kind.status, kind.title) == (got.status, got.json["title"])
        assert got.json["instance"] == got.headers["X-Request-ID"]
        assert got.json["message"] == got.json["detail"]
        if got.status == 401:
            assert got.headers.get("WWW-Authenticate")
        if got.status == 405:
            assert got.headers.get("Allow")
        return
    if route is None or route.speaks is Speaks.RAW or not got.raw:
        return
    assert set(got.json) == {"success", "data", "timestamp"}
    shape = {route.status: route.answer, **route.also}[got.status]
    if shape is None:
        assert got.json["data"] is None
    else:
        TypeAdapter(shape).validate_python(got.json["data"])


@dataclass
class People:
    """Two organizations and who is in them."""

    organization: Organization
    host: User
    colleague: User
    viewer: User
    stranger: User  #: host of another organization

    @classmethod
    async def move_in(cls, resources: Resources) -> Self:
        ours, theirs = Organization(name="Ours"), Organization(name="Theirs")

        def person(organization: Organization, name: str, role: str) -> User:
            email = f"{name}-{uuid.uuid4().hex[:8]}@example.com"
            return User(organization_id=organization.id, username=name, role=role, email=email)

        people = cls(
            ours,
            person(ours, "host", "host"),
            person(ours, "colleague", "host"),
            person(ours, "viewer", "viewer"),
            person(theirs, "stranger", "host"),
        )
        async with resources.db.begin() as tx:
            tx.add_all([ours, theirs])
            await tx.flush()
            tx.add_all([people.host, people.colleague, people.viewer, people.stranger])
        return people

"""The description is of what is served, and what is served is as described."""

import re
from collections import Counter
from typing import Any

from api.app import ROUTES, make_app
from api.problems import CATALOGUE
from api.routes import Replay, Speaks
from orchestration.resources import Resources
from tests.integration.api.client import Api


def bare(path: str) -> str:
    return re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", path)


def test_what_is_served_is_routes(resources: Resources) -> None:
    """Every line of ROUTES has a handler, and nothing else has but HEAD and refusals."""
    app = make_app(resources)

    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method not in {"*", "HEAD"}
    }

    assert served == {(route.method, bare(route.path)) for route in ROUTES}


async def test_what_is_described_is_routes(api: Api) -> None:
    """One operation for each listed line, under a name of its own."""
    got = await api("GET", "/openapi.json")
    paths: dict[str, Any] = got.json["paths"]

    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}

    assert described == {(route.method, bare(route.path)) for route in ROUTES if route.is_listed}
    names = Counter(
        operation["operationId"] for methods in paths.values() for operation in methods.values()
    )
    assert max(names.values()) == 1
    assert got.json["openapi"].startswith("3.1")
    used = {
        tag
        for methods in paths.values()
        for operation in methods.values()
        for tag in operation["tags"]
    }
    assert used == {tag["name"] for tag in got.json["tags"]}


async def test_links_lead_to_operations(api: Api) -> None:
    """So that a made thing can be followed to what can be done with it."""
    document = (await api("GET", "/openapi.json")).json
    operations = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }

    links = [
        (link["operationId"], set(link.get("parameters", {})))
        for operation in operations.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) > 10
    for name, given in links:
        assert given <= {each["name"] for each in operations[name]["parameters"]}


def test_every_line_is_whole() -> None:
    """Its problems are in the catalogue, its POSTs say what a repetition gets."""
    for route in ROUTES:
        assert set(route.problems) <= CATALOGUE.keys(), route.path
        assert (route.replay is not Replay.NONE) == (route.method == "POST"), route.path
        assert route.summary, route.path
        if route.speaks is Speaks.RAW and route.is_listed:
            assert route.content_type or route.method == "POST", route.path
        if route.is_cached:
            assert route.method == "GET", route.path

"""Describe the API as OpenAPI 3.1, from ROUTES and the very types that validate."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter

from api import problems
from api.answers import JSON
from api.problems import CATALOGUE
from api.routes import Replay, Route, Speaks, Who
from api.shapes.common import ErrorResponse, Page

_REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_KEY: Final = "^[!-~]([ -~]{0,253}[!-~])?$"
_UUID: Final = {"type": "string", "format": "uuid"}

#: Members of an answer that are a thing, and where the thing is found.
_MADE: Final = {
    "room": "/rooms/{id}/",
    "preset": "/presets/{id}/",
    "session": "/sessions/{id}/",
    "api_key": "/api-keys/{id}/",
    "job": "/jobs/{id}/",
}

#: What every route can answer.
_ALWAYS: Final = (
    "bad-request",
    "uri-too-long",
    "headers-too-large",
    "rate-limited",
    "internal-error",
    "service-unavailable",
)
_WITH_BODY: Final = (
    "malformed-json",
    "json-too-deep",
    "number-out-of-range",
    "invalid-encoding",
    "duplicate-key",
    "malformed-encoding",
    "unsupported-media-type",
    "unsupported-charset",
    "unsupported-encoding",
    "payload-too-large",
    "request-timeout",
    "validation-error",
    "invalid-string",
)
_WITH_KEY: Final = ("idempotency-key-invalid", "idempotency-key-reused", "idempotency-in-progress")
_WITH_CALLER: Final = ("unauthenticated", "invalid-token", "token-expired")

_TAGS: Final = {
    "auth": "Getting in, and staying in.",
    "rooms": "A host's lasting places for shows.",
    "presets": "A host's templates for shows.",
    "sessions": "Shows: announced, live, over.",
    "lifecycle": "Opening, going live, joining, ending.",
    "stage": "What the host's cameras and encoders do.",
    "participants": "Who helps the host in a show.",
    "recordings": "What a show leaves behind.",
    "jobs": "Receipts for what takes a while.",
    "api-keys": "What machines show instead of logging in.",
    "viewers": "Who watches.",
    "playback": "What players load.",
    "pages": "What people look at.",
    "livekit": "What LiveKit tells us.",
    "operation": "For those who run this installation.",
}

_SECURITY: Final[dict[Who, list[dict[str, list[str]]]]] = {
    Who.STRANGER: [{}],
    Who.PUBLIC: [{}, {"bearer": []}, {"api_key": []}],
    Who.ANY: [{"bearer": []}, {"api_key": []}],
    Who.HOST: [{"bearer": []}, {"api_key": []}],
}


def document(routes: Iterable[Route], *, base_path: str, version: str) -> dict[str, Any]:
    """Make the whole document."""
    listed = [route for route in routes if route.is_listed]
    shapes, definitions = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        operation = _operation(route, shapes, _links(route, listed))
        paths.setdefault(_bare(route.path), {})[route.method.lower()] = operation
    tags = {route.tag or "playback" for route in listed}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Greenroom",
            "version": version,
            "description": "Run live shows on LiveKit: announce, go live, watch, record, end. "
            "Every answer is `{success, data, timestamp}`; every error is a problem document "
            "(RFC 9457) whose `type` is a page that says what to do.",
        },
        "servers": [{"url": base_path or "/"}],
        "tags": [
            {"name": name, "description": text} for name, text in _TAGS.items() if name in tags
        ],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _schemas(routes: list[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Make the schemas of everything that routes take and answer, each named once."""
    wanted: dict[Any, TypeAdapter[Any]] = {("error", "told"): TypeAdapter(ErrorResponse)}
    for route in routes:
        if route.body is not None:
            wanted[route.name, "asked"] = TypeAdapter(route.body)
        for status, shape in ((route.status, route.answer), *route.also.items()):
            if shape is not None:
                wanted[route.name, status] = TypeAdapter(shape)
    inputs: list[Any] = [
        (key, "validation" if key[1] == "asked" else "serialization", adapter)
        for key, adapter in wanted.items()
    ]
    found, rest = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    shapes = {key: schema for (key, _mode), schema in found.items()}
    return shapes, dict(rest.get("$defs", {}))


def _links(route: Route, listed: list[Route]) -> dict[int, dict[str, Any]]:
    """Lead from what a POST makes to everything that can be done with it, by status."""
    links: dict[int, dict[str, Any]] = {}
    for status, shape in ((route.status, route.answer), *route.also.items()):
        found = links.setdefault(status, {})
        members = getattr(shape, "model_fields", {}) if route.method == "POST" else {}
        for member in _MADE.keys() & members:
            values = {"id": f"$response.body#/data/{member}/id"}
            for other in listed:
                if other is not route and f"{_bare(other.path)}/".startswith(_MADE[member]):
                    found[other.name] = {"operationId": other.name, "parameters": values}
        for name, (operation, told) in route.links.items():
            found[name] = {"operationId": operation, "parameters": dict(told)}
    return links


def _bare(path: str) -> str:
    """Write a path without its parameters' patterns."""
    return _PARAMETER.sub(r"{\1}", path)


def _operation(
    route: Route, shapes: dict[Any, Any], links: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag or "playback"],
        "security": _SECURITY[route.who],
        "parameters": _parameters(route),
        "responses": _responses(route, shapes, links),
    }
    if text := route.description or (route.handler.__doc__ or ""):
        operation["description"] = " ".join(text.split())
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.is_body_optional,
            "content": {JSON: {"schema": shapes[route.name, "asked"]}},
        }
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _PARAMETER.findall(route.path):
        schema = _UUID if name == "id" or name.endswith("_id") else {"type": "string"}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        shape = TypeAdapter(route.query).json_schema(ref_template=_REF)
        for name, schema in shape["properties"].items():
            described = {key: value for key, value in schema.items() if key != "title"}
            text = described.pop("description", "")
            is_required = name in shape.get("required", ())
            found.append(
                {
                    "name": name,
                    "in": "query",
                    "required": is_required,
                    "schema": described,
                    "description": text,
                }
            )
    found.extend(_header(*each) for each in _headers(route))
    return found


def _headers(route: Route) -> Iterable[tuple[str, dict[str, Any], str]]:
    if route.speaks is Speaks.RAW:
        return
    if _is_kept(route):
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _KEY}
        yield "Idempotency-Key", schema, "Repeating the request with it gives the same answer."
    if route.replay is Replay.JOB:
        schema = {"type": "string", "examples": ["wait=10", "respond-async"]}
        yield "Prefer", schema, "How long to wait for the job: `respond-async` or `wait=N` seconds."
    if "version-mismatch" in route.problems:
        yield "If-Match", {"type": "string"}, "The ETag that was read: 412 if it has changed since."
    if _has_etag(route):
        yield "If-None-Match", {"type": "string"}, "The ETag that is known: 304 if it still holds."


def _header(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": text}


def _responses(
    route: Route, shapes: dict[Any, Any], links: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in (route.status, *route.also):
        said = _success(route, status, shapes.get((route.name, status)))
        if links.get(status):
            said["links"] = links[status]
        found[str(status)] = said
    if _has_etag(route):
        found["304"] = {"description": "Not modified.", "headers": _told("ETag")}
    by_status: dict[int, list[str]] = {}
    for slug in _slugs(route):
        by_status.setdefault(CATALOGUE[slug].status, []).append(slug)
    for status, slugs in sorted(by_status.items()):
        if str(status) not in found:
            found[str(status)] = _refusal(status, slugs, shapes["error", "told"])
    return found


def _success(route: Route, status: int, shape: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _told()}
    if route.speaks is Speaks.RAW:
        if route.content_type:
            is_text = route.content_type.startswith("text/")
            schema = {"type": "string"} if is_text else {}
            said["content"] = {route.content_type: {"schema": schema}}
        return said
    if status == HTTPStatus.NO_CONTENT:
        return said
    envelope = {
        "type": "object",
        "properties": {
            "success": {"type": "boolean", "const": True},
            "data": shape if shape is not None else {"type": "null"},
            "timestamp": {"type": "integer", "format": "int64"},
        },
        "required": ["success", "data", "timestamp"],
        "additionalProperties": False,
    }
    said["content"] = {JSON: {"schema": envelope}}
    names = [
        *(["ETag"] if _has_etag(route) else []),
        *(["Idempotency-Replayed"] if route.replay is Replay.STORE else []),
        *(["Location"] if status in {HTTPStatus.CREATED, HTTPStatus.ACCEPTED} else []),
    ]
    said["headers"] = _told(*names)
    return said


def _refusal(status: int, slugs: list[str], schema: Any) -> dict[str, Any]:
    lines = [f"* `{slug}` - {CATALOGUE[slug].meaning}" for slug in slugs]
    more = {
        401: ("WWW-Authenticate",),
        429: ("Retry-After",),
        503: ("Retry-After",),
    }
    return {
        "description": f"{HTTPStatus(status).phrase}:\n" + "\n".join(lines),
        "headers": _told(*more.get(status, ())),
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


def _told(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in ("X-Request-ID", *names)}


def _slugs(route: Route) -> list[str]:
    """Give every slug the route can answer, each once."""
    slugs = [*route.problems, *_ALWAYS]
    if any(name == "id" or name.endswith("_id") for name in _PARAMETER.findall(route.path)):
        slugs.append("invalid-id")
    if route.speaks is Speaks.JSON:
        slugs += ["not-acceptable", "invalid-query"]
        if route.method not in {"GET", "HEAD"}:
            slugs += _WITH_BODY
        if route.who is not Who.STRANGER:
            slugs += _WITH_CALLER
        if route.who is Who.HOST:
            slugs.append("insufficient-scope")
        if route.who in {Who.ANY, Who.HOST} and route.method != "GET":
            slugs.append("tenant-suspended")
        if _is_kept(route):
            slugs += _WITH_KEY
    else:
        if route.query is not None:
            slugs.append("invalid-query")
        if route.who in {Who.ANY, Who.HOST}:
            slugs += _WITH_CALLER
    return list(dict.fromkeys(slugs))


def _is_kept(route: Route) -> bool:
    return route.replay not in {Replay.NONE, Replay.HARMLESS}


def _has_etag(route: Route) -> bool:
    """Say whether the route reads one thing."""
    is_one = route.query is None or not issubclass(route.query, Page)
    return route.method == "GET" and route.speaks is Speaks.JSON and is_one and "{" in route.path

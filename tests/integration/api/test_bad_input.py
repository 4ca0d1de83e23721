"""Bad input, case by case: every one gets the answer named here, and changes nothing.

The cases of the tables run over every line of ROUTES that can meet them, so that a new route is
held against all of them without a word here.
"""

import gzip
import json
import uuid
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import SQLModel
from yarl import URL

from api.app import ROUTES
from api.bodies import DEPTH_MAX, DIGITS_MAX
from api.routes import Replay, Route, Speaks, Who
from api.shapes.common import Page
from orchestration.resources import Resources
from tests.integration.api.client import Api, People

JSON = {"Content-Type": "application/json"}
KIB_64 = 65_536
JSON_ROUTES = tuple(route for route in ROUTES if route.speaks is Speaks.JSON)
TAKES_BODY = tuple(route for route in JSON_ROUTES if route.body is not None)
TAKES_NONE = tuple(
    route for route in JSON_ROUTES if route.body is None and route.method in {"POST", "DELETE"}
)
WITH_ID = tuple(route for route in ROUTES if "{id}" in route.path or "_id}" in route.path)
WITH_CALLER = tuple(route for route in JSON_ROUTES if route.who in {Who.ANY, Who.HOST})


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, an_id: str | None = None) -> str:
    """Fill a route's path with ids of nothing, or with one of the test's choosing."""
    path = route.path.replace("{path:.+}", "index.m3u8")
    while "{" in path:
        before, _, rest = path.partition("{")
        parameter, _, after = rest.partition("}")
        is_id = parameter == "id" or parameter.endswith("_id")
        word = (an_id or str(uuid.uuid4())) if is_id else "nothing"
        path = f"{before}{word}{after}"
    return path


async def rows(resources: Resources) -> dict[str, int]:
    """Count every row of every table."""
    async with resources.db.read() as tx:
        return {
            table.name: (await tx.execute(select(func.count()).select_from(table))).scalar_one()
            for table in SQLModel.metadata.sorted_tables
        }


@pytest.fixture(autouse=True)
async def nothing_changes(people: People, resources: Resources) -> AsyncIterator[None]:
    """Hold the tables after each test against the tables before it."""
    before = await rows(resources)
    yield
    assert await rows(resources) == before


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def many(text: bytes, times: int) -> bytes:
    return b'{"a":"' + text * times + b'"}'


def typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


Bodies = dict[str, tuple[bytes, dict[str, str], tuple[int, str]]]

# Answers, by a short name.
MALFORMED = (400, "malformed-json")
TOO_DEEP = (400, "json-too-deep")
TOO_LONG = (400, "number-out-of-range")
NOT_UTF8 = (400, "invalid-encoding")
CHARSET = (415, "unsupported-charset")
TWICE = (400, "duplicate-key")
STRING = (422, "invalid-string")
INVALID = (422, "validation-error")
NOT_JSON = (415, "unsupported-media-type")
ENCODING = (415, "unsupported-encoding")
BROKEN = (400, "malformed-encoding")
TOO_LARGE = (413, "payload-too-large")

# What is said of a body.
FORM = typed("application/x-www-form-urlencoded")
MULTIPART = typed("multipart/form-data; boundary=x")
UTF16 = typed("application/json; charset=utf-16")
GZIP, DEFLATE, BR = ({**JSON, "Content-Encoding": name} for name in ("gzip", "deflate", "br"))
#: 10 KB that become 10 MB.
BOMB = gzip.compress(b" " * 10_000_000)
#: More than a body may have, before it is opened.
LARGE_BOMB = gzip.compress(b" " * 80_000_000)

# fmt: off
#: What is sent, and what every route that takes a body says to it.
BODIES: Bodies = {
    "B01 empty":                   (b"", JSON, MALFORMED),
    "B01 blank":                   (b" \n", JSON, MALFORMED),
    "B02 truncated":               (b"{", JSON, MALFORMED),
    "B02 two values":              (b"{} {}", JSON, MALFORMED),
    "B02 trailing comma":          (b'{"a":1,}', JSON, MALFORMED),
    "B02 single quotes":           (b"{'a':1}", JSON, MALFORMED),
    "B02 comment":                 (b'{"a":1 /* */}', JSON, MALFORMED),
    "B02 raw line break in text":  (b'{"a":"\n"}', JSON, MALFORMED),
    "B03 nested":                  (b"[" * 60_000, JSON, TOO_DEEP),
    "B03 nested and closed":       (nested(30_000), JSON, TOO_DEEP),
    "B03 nested objects":          (b'{"a":' * 10_000, JSON, TOO_DEEP),
    "B03 one too deep":            (nested(DEPTH_MAX), JSON, TOO_DEEP),
    "B04 digits":                  (b'{"a":' + b"9" * 5_000 + b"}", JSON, TOO_LONG),
    "B04 one digit too many":      (b'{"a":' + b"9" * (DIGITS_MAX + 1) + b"}", JSON, TOO_LONG),
    "B05 not UTF-8":               (b'{"a":"\xff"}', JSON, NOT_UTF8),
    "B05 overlong":                (b'{"a":"\xc0\xaf"}', JSON, NOT_UTF8),
    "B05 raw surrogate":           (b'{"a":"\xed\xa0\x80"}', JSON, NOT_UTF8),
    "B06 charset nope":            (b"{}", typed("application/json; charset=nope"), CHARSET),
    "B07 UTF-16":                  ("{}".encode("utf-16"), UTF16, CHARSET),
    "B08 byte order mark":         (b"\xef\xbb\xbf{}", JSON, MALFORMED),
    "B09 NaN":                     (b'{"a":NaN}', JSON, MALFORMED),
    "B09 Infinity":                (b'{"a":Infinity}', JSON, MALFORMED),
    "B09 -Infinity":               (b'{"a":-Infinity}', JSON, MALFORMED),
    "B09 1e400":                   (b'{"a":1e400}', JSON, MALFORMED),
    "B10 key twice":               (b'{"a":1,"a":2}', JSON, TWICE),
    "B10 key twice, deep":         (b'{"b":[{"a":1,"a":1}]}', JSON, TWICE),
    "B10 key twice, escaped":      (b'{"a":1,"\\u0061":2}', JSON, TWICE),
    "B11 lone surrogate":          (b'{"a":"\\ud800"}', JSON, STRING),
    "B11 lone surrogate in a key": (b'{"\\udc00":1}', JSON, STRING),
    "B12 NUL":                     (b'{"a":["\\u0000"]}', JSON, STRING),
    "B12 NUL in a key":            (b'{"a":{"\\u0000":1}}', JSON, STRING),
    "B13 array":                   (b"[]", JSON, INVALID),
    "B13 text":                    (b'"text"', JSON, INVALID),
    "B13 number":                  (b"7", JSON, INVALID),
    "B13 null":                    (b"null", JSON, INVALID),
    "B14 text/plain":              (b"{}", typed("text/plain"), NOT_JSON),
    "B14 no type":                 (b"{}", typed(""), NOT_JSON),
    "B14 almost":                  (b"{}", typed("application/jsonp"), NOT_JSON),
    "B15 form":                    (b"a=1", FORM, NOT_JSON),
    "B15 multipart":               (b"--x--", MULTIPART, NOT_JSON),
    "B15 XML":                     (b"<a/>", typed("application/xml"), NOT_JSON),
    "B16 gzip":                    (gzip.compress(b"{}"), GZIP, ENCODING),
    "B16 deflate":                 (zlib.compress(b"{}"), DEFLATE, ENCODING),
    "B16 br":                      (b"\x0b\x01\x80{}\x03", BR, ENCODING),
    "B17 not gzip":                (b"garbage", GZIP, BROKEN),
    "B17 half of gzip":            (gzip.compress(b"{}" * 100)[:15], GZIP, BROKEN),
    "B18 bomb":                    (BOMB, GZIP, TOO_LARGE),
    "B18 large bomb":              (LARGE_BOMB, GZIP, TOO_LARGE),
    "B19 one byte too large":      (many(b"a", KIB_64 - 7), JSON, TOO_LARGE),
    "B61 is_admin":                (b'{"is_admin":true}', JSON, INVALID),
    "B61 __proto__":               (b'{"__proto__":{}}', JSON, INVALID),
}

#: The same for routes that take no body: they do not mind its type, only that it says something.
NO_BODIES: Bodies = {
    "B02 truncated":        (b"{", JSON, MALFORMED),
    "B03 nested":           (b"[" * 60_000, JSON, TOO_DEEP),
    "B05 not UTF-8":        (b"\xff", typed("text/plain"), NOT_UTF8),
    "B13 array":            (b"[]", JSON, INVALID),
    "B14 form":             (b"a=1", FORM, MALFORMED),
    "B17 not gzip":         (b"garbage", GZIP, BROKEN),
    "B18 bomb":             (BOMB, GZIP, TOO_LARGE),
    "B19 too large":        (b" " * (KIB_64 + 1), JSON, TOO_LARGE),
    "B61 state":            (b'{"state":"live"}', JSON, INVALID),
}

#: Ids that are none. What a client's library would tidy away is in test_bad_http.py.
IDS = {
    "B36 NUL":             "%00",
    "B37 folders":         "..%2f..%2fetc",
    "B37 back slashes":    "..%5C..%5Cetc",
    "B38 short":           "1",
    "B38 ULID":            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "B38 without dashes":  "3c90c3cc0d444b5088888dd25736052a",
    "B38 braces":          "%7B3c90c3cc-0d44-4b50-8888-8dd25736052a%7D",
    "B38 URN":             "urn:uuid:3c90c3cc-0d44-4b50-8888-8dd25736052a",
    "B38 space":           "3c90c3cc-0d44-4b50-8888-8dd25736052a%20",
    "B38 line break":      "3c90c3cc-0d44-4b50-8888-8dd25736052a%0A",
    "B38 unicode digits":  "%D9%A3c90c3cc-0d44-4b50-8888-8dd25736052a",
    "B38 emoji":           "%F0%9F%98%80",
    "B38 right to left":   "%E2%80%AE3c90c3cc",
    "B38 3 KB":            "a" * 3_000,
    "B68 SQL":             "1'%20OR%20'1'='1",
}

#: Query strings of lists that are none.
QUERIES = {
    "B66 limit 0":              "limit=0",
    "B66 limit -1":             "limit=-1",
    "B66 limit 101":            "limit=101",
    "B66 limit 1e9":            "limit=1e9",
    "B66 limit abc":            "limit=abc",
    "B66 limit empty":          "limit=",
    "B66 limit 1.0":            "limit=1.0",
    "B66 limit +1":             "limit=%2B1",
    "B66 limit unicode digit":  "limit=%D9%A3",
    "B66 limit huge":           "limit=" + "9" * 400,
    "B66 page 0":               "page=0",
    "B66 page 2^63":            "page=9223372036854775808",
    "B66 page NUL":             "page=%00",
    "B67 limit twice":          "limit=1&limit=2",
    "B67 unknown":              "colour=red",
    "B67 case":                 "Limit=1",
}

#: Idempotency-Keys that are none.
KEYS = {
    "B53 256 characters":     "k" * 256,
    "B53 empty":              "",
    "B53 not ASCII":          "ké",
    "B53 control character":  "a\tb",
}
# fmt: on


@pytest.mark.parametrize("route", TAKES_BODY, ids=name)
async def test_a_bad_body_is_refused(api: Api, people: People, route: Route) -> None:
    """What cannot be read is 400, 413 or 415; what can be read and is wrong is 422."""
    found = {}
    for case, (raw, headers, _) in BODIES.items():
        if route.is_body_optional and not raw:
            continue
        path = path_of(route)
        got = await api(route.method, path, by=people.host, data=raw, headers=headers)
        found[case] = got.problem

    assert found == {case: BODIES[case][2] for case in found}
    assert len(found) >= len(BODIES) - 2


@pytest.mark.parametrize("route", TAKES_NONE, ids=name)
async def test_a_body_where_none_is_taken_is_refused(
    api: Api, people: People, route: Route
) -> None:
    """Nothing and `{}` will do, whatever their type; what says something is refused."""
    found = {}
    for case, (raw, headers, _) in NO_BODIES.items():
        path = path_of(route)
        got = await api(route.method, path, by=people.host, data=raw, headers=headers)
        found[case] = got.problem

    assert found == {case: expected for case, (_, _, expected) in NO_BODIES.items()}
    for raw, headers in ((b"", {}), (b" ", {}), (b"{}", JSON), (b"{}", {"Content-Type": "a/b"})):
        got = await api(route.method, path_of(route), by=people.host, data=raw, headers=headers)
        assert got.status not in {400, 413, 415, 422}, got.raw


@pytest.mark.parametrize("route", TAKES_BODY, ids=name)
async def test_an_endless_body_is_cut(api: Api, people: People, route: Route) -> None:
    """B20: chunks without end are read up to the limit and no further."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 8_192

    got = await api(
        route.method, path_of(route), by=people.host, data=endless(), headers=dict(JSON)
    )

    assert got.problem == (413, "payload-too-large")


@pytest.mark.parametrize("route", WITH_ID, ids=name)
async def test_an_id_that_is_none_is_refused(api: Api, people: People, route: Route) -> None:
    """B36 to B38: said to be no id, not looked up."""
    found = {}
    for case, text in IDS.items():
        url = URL(api.url + path_of(route, text), encoded=True)
        headers = {"Authorization": f"Bearer {api.token(people.host)}"}
        async with api.http.request(route.method, url, headers=headers) as response:
            found[case] = (response.status, (await response.json(content_type=None))["error"])

    assert found == dict.fromkeys(IDS, (400, "invalid-id"))


@pytest.mark.parametrize(
    "route", [route for route in WITH_ID if route.who is Who.HOST and not route.body], ids=name
)
async def test_an_unknown_id_is_not_found(api: Api, people: People, route: Route) -> None:
    """B39: 404, by the thing's name."""
    got = await api(route.method, path_of(route), by=people.host)

    assert got.status == 404
    assert got.slug.endswith("-not-found")


@pytest.mark.parametrize(
    "route", [route for route in JSON_ROUTES if route.method == "GET"], ids=name
)
async def test_a_bad_query_is_refused(api: Api, people: People, route: Route) -> None:
    """B66, B67: unknown, repeated and senseless parameters."""
    is_list = route.query is not None and issubclass(route.query, Page)
    cases = QUERIES if is_list else {"B67 unknown": "colour=red", "B67 twice": "a=1&a=2"}

    found = {
        case: (await api("GET", f"{path_of(route)}?{text}", by=people.host)).problem
        for case, text in cases.items()
    }

    assert found == dict.fromkeys(cases, (400, "invalid-query"))


@pytest.mark.parametrize("route", JSON_ROUTES, ids=name)
async def test_a_caller_that_takes_no_json_is_told(api: Api, people: People, route: Route) -> None:
    """B35."""
    for accept in ("text/html", "application/json;q=0", "image/*, text/plain;q=0.5"):
        headers = {"Accept": accept}
        got = await api(route.method, path_of(route), by=people.host, headers=headers)
        assert got.problem == (406, "not-acceptable")


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_paths_are_exact_and_methods_are_told(api: Api, path: str) -> None:
    """B31 to B33: other methods are 405 with Allow; a slash more is another path."""
    siblings = [route for route in ROUTES if route.path == path]
    methods = {route.method for route in siblings} | {"OPTIONS"}
    methods |= {"HEAD"} if "GET" in methods else set()
    concrete = path_of(siblings[0])

    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - methods:
        got = await api(method, concrete)
        assert got.problem == (405, "method-not-allowed")
        assert set(got.headers["Allow"].split(", ")) == methods
    for other in (f"{concrete}/", f"/{concrete}", concrete.replace("/", "//")):
        # A file's path may have any number of slashes; then the file is not there.
        got = await api(siblings[0].method, other)
        assert got.status in {404, 405, 400} if "{path" in path else got.status == 404


@pytest.mark.parametrize("route", WITH_CALLER, ids=name)
async def test_who_shows_nothing_is_refused_before_all_else(api: Api, route: Route) -> None:
    """B41, B42: whatever else is wrong with the request."""
    for headers in (
        {},
        {"Authorization": "Basic aG9zdDpob3N0"},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"X-API-Key": ""},
        {"X-API-Key": "grk_unknown"},
        {"X-API-Key": f"grk_{'a' * 12}_{'b' * 43}"},
    ):
        got = await api(route.method, path_of(route), headers=headers, data=b"{")
        assert got.problem == (401, "unauthenticated")


@pytest.mark.parametrize(
    "route", [route for route in WITH_CALLER if route.who is Who.HOST], ids=name
)
async def test_a_viewer_is_no_host(api: Api, people: People, route: Route) -> None:
    """B49."""
    got = await api(route.method, path_of(route), by=people.viewer)

    assert got.problem == (403, "insufficient-scope")


@pytest.mark.parametrize(
    "route",
    [route for route in JSON_ROUTES if route.replay not in {Replay.NONE, Replay.HARMLESS}],
    ids=name,
)
async def test_a_bad_idempotency_key_is_refused(api: Api, people: People, route: Route) -> None:
    """B53: before the body is looked at for sense, after it could be read."""
    body: dict[str, Any] = {} if route.body is None else {"json": example(route)}
    found = {}
    for case, text in KEYS.items():
        headers = {"Idempotency-Key": text}
        got = await api(route.method, path_of(route), by=people.host, headers=headers, **body)
        found[case] = got.problem

    assert found == dict.fromkeys(KEYS, (400, "idempotency-key-invalid"))


def example(route: Route) -> dict[str, Any]:
    """Give a body that the route takes."""
    some_id = str(uuid.uuid4())
    bodies = {
        "login": {"email": "a@example.com", "password": "wrong"},
        "refresh": {"refresh_token": "grr_x"},
        "logout": {"refresh_token": "grr_x"},
        "register_viewer": {"display_name": "Alice"},
        "device_login": {"device_token": "grd_x"},
        "generate_code": {"session_id": some_id},
        "exchange_code": {"code": "X"},
        "create_api_key": {"name": "Studio"},
        "create_room": {"title": "Launches"},
        "create_preset": {"name": "Keynote", "type": "rtmp", "primary_color": "#4f46e5"},
        "create_session": {"title": "Show", "preset_id": some_id},
        "host_video_state": {"enabled": True},
        "host_audio_state": {"enabled": True},
        "add_participant": {"user_id": some_id, "role": "co_host"},
    }
    return bodies[route.name]


def tag_manager(**members: Any) -> dict[str, Any]:
    return {"google_tag_manager": {"container_id": "GTM-A", "enabled": True, **members}}


# fmt: off
ROOM, PRESET, KEY = ("create_room", "create_preset", "create_api_key")
#: One member of a good body changed: route, member, value.
MEMBERS: dict[str, tuple[str, str, Any]] = {
    "B62 title empty":               (ROOM, "title", ""),
    "B62 title too short":           (ROOM, "title", "ab"),
    "B62 title too long":            (ROOM, "title", "a" * 256),
    "B62 title 10,000 long":         (ROOM, "title", "a" * 10_000),
    "B62 title blank":               (ROOM, "title", "     "),
    "B62 title blank, other space":  (ROOM, "title", "\u2003\u2003\u2003"),
    "B62 title control":             (ROOM, "title", "abc\u0007"),
    "B62 title CR LF":               (ROOM, "title", 'abc\r\n{"level":"info"}'),
    "B62 title ANSI":                (ROOM, "title", "\u001b[31mred"),
    "B62 title C1":                  (ROOM, "title", "abc\u0085"),
    "B62 title turns around":        (ROOM, "title", "abc\u202edef"),
    "B63 title null":                (ROOM, "title", None),
    "B63 title number":              (ROOM, "title", 12345),
    "B63 title list":                (ROOM, "title", ["abc"]),
    "B62 description control":       (ROOM, "description", "\u001b[2J"),
    "B62 description too long":      (ROOM, "description", "a" * 10_001),
    "B63 analytics text":            (ROOM, "analytics", "GTM-XXXXXX"),
    "B63 analytics empty":           (ROOM, "analytics", {}),
    "B61 analytics unknown":         (ROOM, "analytics", tag_manager(x=1)),
    "B62 analytics script":          (ROOM, "analytics", tag_manager(container_id="GTM-<b>")),
    "B62 analytics line break":      (ROOM, "analytics", tag_manager(container_id="GTM-A\n")),
    "B61 host_id":                   (ROOM, "host_id", str(uuid.uuid4())),
    "B61 organization_id":           (ROOM, "organization_id", str(uuid.uuid4())),
    "B62 name empty":                (PRESET, "name", ""),
    "B63 type unknown":              (PRESET, "type", "srt"),
    "B63 colour name":               (PRESET, "primary_color", "red"),
    "B63 colour short":              (PRESET, "primary_color", "#fff"),
    "B63 colour line break":         (PRESET, "primary_color", "#ffffff\n"),
    "B63 switch number":             (PRESET, "chat_enabled", 1),
    "B63 switch text":               (PRESET, "chat_enabled", "true"),
    "B63 switch null":               (PRESET, "chat_enabled", None),
    "B63 limit text":                (PRESET, "max_join_limit", "5"),
    "B63 limit fraction":            (PRESET, "max_join_limit", 1.5),
    "B63 limit bool":                (PRESET, "max_join_limit", True),
    "B64 limit 0":                   (PRESET, "max_join_limit", 0),
    "B64 limit -1":                  (PRESET, "max_join_limit", -1),
    "B64 limit 101":                 (PRESET, "max_join_limit", 101),
    "B64 limit 2^63":                (PRESET, "max_join_limit", 2**63),
    "B64 limit 100 digits":          (PRESET, "max_join_limit", 10**99),
    "B64 window -1":                 (PRESET, "reconnect_window_seconds", -1),
    "B64 duration 2^31":             (PRESET, "max_duration_seconds", 2**31),
    "B76 logo file":                 (PRESET, "logo", "file:///etc/passwd"),
    "B76 logo data":                 (PRESET, "logo", "data:image/svg+xml,<svg onload=alert(1)>"),
    "B76 logo ftp":                  (PRESET, "logo", "ftp://example.com/logo.png"),
    "B76 logo script":               (PRESET, "logo", "javascript:alert(1)"),
    "B76 logo breaks out":           (PRESET, "logo", 'https://example.com/"onload="alert(1)'),
    "B74 logo with a user":          (PRESET, "logo", "https://good@evil.example/logo.png"),
    "B74 logo back slash":           (PRESET, "logo", "https://good.example\\@evil.example/"),
    "B76 link script":               (PRESET, "logo_destination_url", "javascript:alert(1)"),
    "B76 logo bad address":          (PRESET, "logo", "https://[::1"),
    "B62 key name blank":            (KEY, "name", "  "),
    "B63 key name null":             (KEY, "name", None),
    "B62 display name too long":     ("register_viewer", "display_name", "a" * 51),
    "B62 display name ANSI":         ("register_viewer", "display_name", "\u001b[1mBoss"),
    "B63 e-mail without at":         ("login", "email", "host.example.com"),
    "B62 password too long":         ("login", "password", "a" * 1_025),
    "B63 code number":               ("exchange_code", "code", 123456),
    "B63 session id":                ("generate_code", "session_id", "not-an-id"),
}
# fmt: on


@pytest.mark.parametrize("case", MEMBERS)
async def test_a_wrong_member_is_pointed_at(api: Api, people: People, case: str) -> None:
    """The answer says which member it is, and never repeats what was in it."""
    operation, member, value = MEMBERS[case]
    route = next(route for route in ROUTES if route.name == operation)

    got = await api(
        route.method, path_of(route), by=people.host, json={**example(route), member: value}
    )

    assert got.problem == (422, "validation-error")
    assert {error["pointer"].split("/")[1] for error in got.json["errors"]} == {member}
    if isinstance(value, str) and len(value) > 5:
        assert json.dumps(value)[1:-1] not in got.raw.decode()


@pytest.mark.parametrize(
    ("operation", "member"),
    [("create_room", "title"), ("create_preset", "primary_color"), ("login", "password")],
)
async def test_a_missing_member_is_pointed_at(
    api: Api, people: People, operation: str, member: str
) -> None:
    route = next(route for route in ROUTES if route.name == operation)
    body = {key: value for key, value in example(route).items() if key != member}

    got = await api("POST", route.path, by=people.host, json=body)

    assert got.problem == (422, "validation-error")
    assert [(each["pointer"], each["code"]) for each in got.json["errors"]] == [
        (f"/{member}", "missing")
    ]

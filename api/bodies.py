"""Read a request's body: bounded in bytes, seconds and depth, and JSON as strict as RFC 8259."""

import asyncio
import json
import math
import re
import zlib
from typing import Any, Final, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from api.problems import Problem

Model = TypeVar("Model", bound=BaseModel)

#: A slower sender than this holds a connection for nothing.
READ_SECONDS: Final = 10
#: No body of ours nests deeper than four.
DEPTH_MAX: Final = 32
#: More digits than any number of ours, fewer than what makes int() slow or refuse.
DIGITS_MAX: Final = 100
#: A NUL, which PostgreSQL cannot store, or half of a surrogate pair, which UTF-8 cannot.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
#: What opens, closes or quotes, for counting depth.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
#: A media type's parameter (RFC 9110, section 5.6.6), or nothing behind a last semicolon.
_PARAMETER: Final = re.compile(r"|[!#$%&'*+.^_`|~\w-]+=([!#$%&'*+.^_`|~\w-]+|\"[^\"]*\")", re.ASCII)
#: What zlib is told for gzip and for deflate.
_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: Beyond it a double cannot tell a whole number from its neighbour.
_WHOLE_MAX: Final = 2**53
_JSON_SPACE: Final = b" \t\r\n"


async def read(request: web.Request, *, bytes_max: int) -> bytes:
    """Read the body whole. Raises Problem payload-too-large (413) or request-timeout (408)."""
    if (request.content_length or 0) > bytes_max:
        raise Problem("payload-too-large", f"The body may have {bytes_max} bytes.")
    if not request.can_read_body:
        return b""
    parts = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in request.content.iter_any():
                parts += part
                if len(parts) > bytes_max:
                    raise Problem("payload-too-large", f"The body may have {bytes_max} bytes.")
    except TimeoutError as late:
        raise Problem("request-timeout") from late
    except web.RequestPayloadError as broken:
        raise Problem("bad-request", "The body is not framed as its headers say.") from broken
    return bytes(parts)


async def read_json(request: web.Request, *, bytes_max: int) -> Any:
    """Read the body of a route that takes JSON. Raises Problem for everything B01 to B17 name."""
    _check_content_type(request)
    raw = await read(request, bytes_max=bytes_max)
    _check_content_encoding(request, raw, bytes_max=bytes_max)
    return parse(raw)


async def read_nothing(request: web.Request, *, bytes_max: int) -> None:
    """Read the body of a route that takes none: nothing or `{}` will do, whatever its type.

    Raises Problem validation-error (422) for anything that was meant to say something.
    """
    if not request.can_read_body:
        return
    raw = await read(request, bytes_max=bytes_max)
    _check_content_encoding(request, raw, bytes_max=bytes_max)
    if not raw.strip(_JSON_SPACE):
        return
    value = parse(raw)
    if not isinstance(value, dict):
        raise not_an_object()
    if value:
        errors = [
            {"pointer": pointer_to(name), "code": "extra_forbidden", "message": _EXTRA}
            for name in value
        ]
        raise Problem("validation-error", errors=errors)


def parse(raw: bytes) -> Any:
    """Parse JSON. Raises Problem with the slug of what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Problem("invalid-encoding") from error
    if text.startswith("\ufeff"):
        raise Problem("malformed-json", "The body begins with a byte order mark.")
    _check_depth(raw)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Problem("malformed-json", f"{error.msg} at character {error.pos}.") from error
    if errors := list(_unstorable(value, "")):
        raise Problem("invalid-string", errors=errors)
    return value


def validated(model: type[Model], value: Any) -> Model:
    """Make the route's object of a parsed body. Raises Problem validation-error (422)."""
    if not isinstance(value, dict):
        raise not_an_object()
    try:
        # Parsed JSON is checked as JSON: strict, and still a text for a UUID or a time.
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise Problem("validation-error", errors=errors_of(error)) from error


def not_an_object() -> Problem:
    errors = [{"pointer": "", "code": "dict_type", "message": "The body must be an object."}]
    return Problem("validation-error", errors=errors)


def errors_of(error: ValidationError) -> list[dict[str, str]]:
    """Say pydantic's errors as `{pointer, code, message}`; the input itself is never repeated."""
    return [
        {
            "pointer": "".join(pointer_to(part) for part in each["loc"]),
            "code": each["type"],
            "message": each["msg"],
        }
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def pointer_to(name: object) -> str:
    """Write one step of a JSON pointer (RFC 6901), in characters that any log can hold."""
    text = str(name).replace("~", "~0").replace("/", "~1")
    return "/" + _UNSTORABLE.sub("\ufffd", text[:_POINTER_CHARACTERS_MAX])


_EXTRA: Final = "Extra inputs are not permitted"
#: A caller's member name is told back to it, but not at any length.
_POINTER_CHARACTERS_MAX: Final = 100


def _check_content_type(request: web.Request) -> None:
    given = request.headers.getall("Content-Type", ())
    kind, *parameters = (part.strip() for part in given[0].split(";")) if len(given) == 1 else ("",)
    # Not by aiohttp's `content_type`: the mail parser behind it fails on some headers.
    if kind.lower() != "application/json" or not all(map(_PARAMETER.fullmatch, parameters)):
        raise Problem("unsupported-media-type", headers={"Accept": "application/json"})
    for parameter in parameters:
        name, _, value = parameter.lower().partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8"}:
            raise Problem("unsupported-charset")


def _check_content_encoding(request: web.Request, raw: bytes, *, bytes_max: int) -> None:
    """Take bodies as they are; what is compressed is opened only to say what is wrong with it."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return
    if wbits := _WBITS.get(encoding):
        opener = zlib.decompressobj(wbits)
        try:
            opener.decompress(raw, bytes_max + 1)
        except zlib.error as error:
            raise Problem("malformed-encoding") from error
        if opener.unconsumed_tail:
            raise Problem("payload-too-large")
        if not opener.eof:
            raise Problem("malformed-encoding")
    raise Problem("unsupported-encoding", headers={"Accept-Encoding": "identity"})


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKETS.finditer(raw):
        mark = raw[match.start()]
        if mark in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise Problem("json-too-deep", f"The body may nest {DEPTH_MAX} deep.")
        elif mark in b"]}":
            depth -= 1


def _unstorable(value: Any, pointer: str) -> Any:
    """Give an error for every text, name or value, that cannot be stored."""
    match value:
        case str():
            if _UNSTORABLE.search(value):
                yield _string_error(pointer)
        case list():
            for index, each in enumerate(value):
                yield from _unstorable(each, f"{pointer}/{index}")
        case dict():
            for name, each in value.items():
                here = pointer + pointer_to(name)
                if _UNSTORABLE.search(name):
                    yield _string_error(here)
                yield from _unstorable(each, here)
        case _:
            pass


def _string_error(pointer: str) -> dict[str, str]:
    message = "The text holds a NUL or half of a surrogate pair."
    return {"pointer": pointer, "code": "invalid_string", "message": message}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Problem("duplicate-key")
    return members


def _int(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise Problem("number-out-of-range", f"A number may have {DIGITS_MAX} digits.")
    return int(digits)


def _float(text: str) -> float | int:
    number = float(text)
    if not math.isfinite(number):
        raise Problem("malformed-json", "A number is beyond what a double can hold.")
    # JSON has one kind of number: 5.0 is the whole number 5.
    if number.is_integer() and abs(number) <= _WHOLE_MAX:
        return int(number)
    return number


def _constant(word: str) -> NoReturn:
    raise Problem("malformed-json", f"{word} is not JSON.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant
)

"""Put data into the envelope, and name what was read by an ETag."""

import hashlib
from time import time
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel

JSON: Final = "application/json"


def encode(data: Any) -> bytes:
    """Write data as JSON: UUIDs and words as text, times in UTC with a Z."""
    return orjson.dumps(data, default=_plain, option=orjson.OPT_UTC_Z)


def envelope(data: bytes) -> bytes:
    """Wrap encoded data as the contract wants it, with the time in whole seconds."""
    return b'{"success":true,"data":%b,"timestamp":%d}' % (data, time())


def etag_of(version: int, data: bytes) -> str:
    """Name an answer: the row's version, for If-Match, and its bytes, for If-None-Match."""
    return f'"{version}-{hashlib.blake2b(data, digest_size=8).hexdigest()}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Say whether the caller has this answer already (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match == etag:
        return True
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="python")
    if isinstance(value, UUID):
        # asyncpg's own kind of UUID, which orjson does not know.
        return str(value)
    raise TypeError(type(value).__name__)

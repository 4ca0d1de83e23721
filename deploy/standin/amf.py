"""AMF0: the values inside RTMP's commands and metadata."""

import struct
from collections.abc import Callable
from typing import Any

#: Markers of AMF0's types.
NUMBER, BOOLEAN, STRING, OBJECT, NULL, UNDEFINED = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06
ECMA_ARRAY, OBJECT_END, STRICT_ARRAY, DATE, LONG_STRING = 0x08, 0x09, 0x0A, 0x0B, 0x0C

#: A decoder of a stranger's bytes must not follow nesting for ever.
DEPTH_MAX = 16

#: A key of no characters, then this marker, ends an object.
END = bytes([0, 0, OBJECT_END])


class AmfError(ValueError):
    """Bytes that are no AMF0."""


def decode_all(data: bytes) -> list[Any]:
    """Read one value after another; what cannot be read ends the list."""
    reader = _Reader(data)
    values: list[Any] = []
    while reader.more():
        try:
            values.append(reader.value(0))
        except (AmfError, struct.error, IndexError):
            break
    return values


def encode(*values: Any) -> bytes:
    """Write values one after another: numbers, booleans, strings, None, and dicts of them."""
    return b"".join(_encode(value) for value in values)


def _encode(value: Any) -> bytes:
    match value:
        case None:
            return bytes([NULL])
        case bool():
            return bytes([BOOLEAN, value])
        case int() | float():
            return struct.pack(">Bd", NUMBER, value)
        case str():
            text = value.encode()
            return struct.pack(">BH", STRING, len(text)) + text
        case dict():
            body = b"".join(
                struct.pack(">H", len(key.encode())) + key.encode() + _encode(item)
                for key, item in value.items()
            )
            return bytes([OBJECT]) + body + END
        case _:
            raise AmfError(f"cannot write {type(value).__name__}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise AmfError("nested too deep")
        marker = self._take(1)[0]
        read = READERS.get(marker)
        if read is None:
            raise AmfError(f"unknown marker {marker}")
        return read(self, depth)

    def number(self, _depth: int) -> float:
        value: float = struct.unpack(">d", self._take(8))[0]
        return value

    def boolean(self, _depth: int) -> bool:
        return self._take(1) != b"\0"

    def string(self, _depth: int) -> str:
        return self._text(2)

    def long_string(self, _depth: int) -> str:
        return self._text(4)

    def ecma_array(self, depth: int) -> dict[str, Any]:
        self._take(4)
        return self.object(depth)

    def strict_array(self, depth: int) -> list[Any]:
        count = int.from_bytes(self._take(4), "big")
        return [self.value(depth + 1) for _ in range(min(count, len(self._data)))]

    def date(self, _depth: int) -> float:
        milliseconds: float = struct.unpack(">dh", self._take(10))[0]
        return milliseconds

    def nothing(self, _depth: int) -> None:
        return None

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            if self._data[self._at : self._at + 3] == END:
                self._at += 3
                return found
            key = self._text(2)
            found[key] = self.value(depth + 1)

    def _text(self, size_bytes: int) -> str:
        size = int.from_bytes(self._take(size_bytes), "big")
        return self._take(size).decode(errors="replace")

    def _take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise AmfError("ends too early")
        self._at += count
        return piece


#: How each type is read.
READERS: dict[int, Callable[[_Reader, int], Any]] = {
    NUMBER: _Reader.number,
    BOOLEAN: _Reader.boolean,
    STRING: _Reader.string,
    LONG_STRING: _Reader.long_string,
    OBJECT: _Reader.object,
    ECMA_ARRAY: _Reader.ecma_array,
    STRICT_ARRAY: _Reader.strict_array,
    DATE: _Reader.date,
    NULL: _Reader.nothing,
    UNDEFINED: _Reader.nothing,
}

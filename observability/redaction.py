"""What no log line may hold: recognised by its name, by its shape, or by being known."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

#: What stands in a secret's place.
HIDDEN = "[redacted]"

#: More than all stream keys and viewer marks of a busy day in one process; the oldest are let go.
REMEMBERED_MAX = 20_000
#: A shorter secret would hide ordinary words; its name must hide it.
REMEMBERED_LENGTH_MIN = 8
#: A line is for reading.
TEXT_LENGTH_MAX = 16_384
#: More is not even looked at. What is cut here may end in half a secret, so that much of the end of
#: what is left goes too.
LOOKED_AT_MAX, HALF_A_SECRET = 2 * TEXT_LENGTH_MAX, 512
#: Names, methods, routes and ids come again and again: what became of them is kept.
SHORT_LENGTH_MAX = 64
#: As deep and as wide as anything that is worth a line.
DEPTH_MAX, MEMBERS_MAX = 6, 100
#: JSON's reader, and ours, know no integers beyond 64 bits.
INTEGER_MAX = 2**63 - 1

#: Compared with a name without its `_` and `-`, in lower case: stream_key, X-API-Key, accessToken.
_SECRET_NAME = re.compile(
    "password|passwd|passphrase|secret|token|authorization|cookie|apikey|streamkey|privatekey"
    "|accesskey|credential|jwt|signature|onetimecode|^otp$|^mark$|^auth$"
)
#: The end of a name in a text; what stands before is of no account. Bounded, here and below, so
#: that no text can be made on purpose to take long.
_NAME = (
    r"(?:password|passwd|passphrase|secret|token|api[_-]?key|stream[_-]?key|access[_-]?key"
    r"|private[_-]?key|credential|jwt|signature|one_time_code)[\w-]{0,32}"
)
_ESCAPES = r"\\{0,8}"
#: Quoted (escaped any number of times), a list or tuple, or up to the next separator.
_VALUE = (
    rf"""(?:{_ESCAPES}[bru]?{_ESCAPES}(?:"[^"]*"|'[^']*')"""
    r"""|[\[(][^\])]*|[^\s"',;&)}\]]+)"""
)
_SCHEME = r"\b[a-z][a-z0-9+.-]{0,15}://"

# fmt: off
#: Shapes of secrets inside a text, and what is left of them.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A private key, however long.
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
                r"(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]*)", re.DOTALL), HIDDEN),
    # A whole header line.
    (re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(\s*:\s*)[^\r\n]+",
                re.IGNORECASE), rf"\1\2{HIDDEN}"),
    # HTTP credentials.
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # JWTs, cut ones too: base64 of `{"`.
    (re.compile(r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}"), HIDDEN),
    # Greenroom's API keys.
    (re.compile(r"grk_[A-Za-z0-9_.-]+"), HIDDEN),
    # Password hashes.
    (re.compile(r"\$argon2[a-z]+\$[^\s\"']+"), HIDDEN),
    # SQLAlchemy's parameters of a failed statement.
    (re.compile(r"\[parameters: [^\n]*"), f"[parameters: {HIDDEN}]"),
    # The stream key at the end of an RTMP address.
    (re.compile(r"\b(rtmps?://[^\s/\"']+/[^\s/\"']+/)[^\s\"'<>]+"), rf"\1{HIDDEN}"),
    # User and password in an address.
    (re.compile(rf"({_SCHEME})[^\s/\"'<>]*@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # The query of an address: presigned links, tokens, marks.
    (re.compile(rf"({_SCHEME}[^\s\"'<>?]{{0,2048}}\?)[^\s\"'<>]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # name=value, and "name": value as in a printed dict.
    (re.compile(rf"({_NAME}\s{{0,8}}=\s{{0,8}}){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"({_NAME}{_ESCAPES}[\"']\s{{0,8}}:\s{{0,8}}){_VALUE}", re.IGNORECASE),
     rf"\1{HIDDEN}"),
)
# fmt: on
#: A text without any of these needs none of the shapes: most are short words and ids.
_SUSPECT = re.compile(r"eyJ|grk_|=|:|\$argon2|-----BEGIN|[Bb]earer|BEARER|[Bb]asic|BASIC")
#: What a terminal may obey or hide although JSON leaves it as it is.
_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class _Remembered:
    """Known secrets, found inside any text by their first characters; the oldest are let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._by_start: dict[str, tuple[str, ...]] = {}

    def add(self, secret: str) -> bool:
        """Remember it; False if it was known."""
        start = secret[:REMEMBERED_LENGTH_MIN]
        with self._lock:
            if secret in self._known:
                self._known.move_to_end(secret)
                return False
            self._known[secret] = None
            same = (*self._by_start.get(start, ()), secret)
            # The longest first: one may be the beginning of another.
            self._by_start[start] = tuple(sorted(same, key=len, reverse=True))
            if len(self._known) > REMEMBERED_MAX:
                self._forget(self._known.popitem(last=False)[0])
            return True

    def _forget(self, secret: str) -> None:
        start = secret[:REMEMBERED_LENGTH_MIN]
        left = tuple(other for other in self._by_start[start] if other != secret)
        if left:
            self._by_start[start] = left
        else:
            del self._by_start[start]

    def hide(self, text: str) -> str:
        by_start = self._by_start
        if not by_start:
            return text
        at, width = 0, REMEMBERED_LENGTH_MIN
        while at <= len(text) - width:
            for secret in by_start.get(text[at : at + width], ()):
                if text.startswith(secret, at):
                    text = text[:at] + HIDDEN + text[at + len(secret) :]
                    at += len(HIDDEN) - 1
                    break
            at += 1
        return text


_remembered = _Remembered()


def remember_secret(secret: str | None) -> None:
    """Hide this value from now on wherever it turns up; shorter than 8 characters it is ignored."""
    if secret and len(secret) >= REMEMBERED_LENGTH_MIN and _remembered.add(secret):
        _redact_short.cache_clear()


def redact(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911  # a table of types
    """Give `value` as plain JSON types (text, numbers, lists, objects) without secrets."""
    match value:
        case None | bool():
            return value
        case str():
            return redact_text(value)
        case int():
            return int(value) if -INTEGER_MAX <= value <= INTEGER_MAX else str(value)
        case float():
            return float(value)
        case bytes() | bytearray() | memoryview():
            return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
        case datetime() | date():
            return value.isoformat()
        case Mapping() if depth < DEPTH_MAX:
            return redact_members(value, depth + 1)
        case list() | tuple() | set() | frozenset() if depth < DEPTH_MAX:
            return [redact(member, depth + 1) for member in islice(value, MEMBERS_MAX)]
        case BaseException():
            return redact_text(f"{type(value).__name__}: {_text_of(value)}")
        case _:
            return redact_text(_text_of(value))


def redact_members(members: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Redact an object's members; a secret's name hides any value but None and a boolean."""
    redacted: dict[str, Any] = {}
    for name, value in list(members.items())[:MEMBERS_MAX]:
        text = name if isinstance(name, str) else _text_of(name)
        if is_secret_name(text) and value is not None and not isinstance(value, bool):
            redacted[redact_text(text)] = HIDDEN
        else:
            redacted[redact_text(text)] = redact(value, depth)
    return redacted


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name.replace("_", "").replace("-", "").lower()) is not None


def redact_text(text: str) -> str:
    """Hide what is known or looks like a secret, and make visible what a terminal would obey."""
    return _redact_short(text) if len(text) <= SHORT_LENGTH_MAX else _redact(text)


def _redact(text: str) -> str:
    length = len(text)
    if length > LOOKED_AT_MAX:
        text = text[:LOOKED_AT_MAX]
    text = _remembered.hide(text)
    if _SUSPECT.search(text):
        for shape, left in _SHAPES:
            text = shape.sub(left, text)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
        text = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    elif "\x7f" in text:
        text = text.replace("\x7f", "\\u007f")
    if length > LOOKED_AT_MAX:
        text = text[:-HALF_A_SECRET]
    if length > TEXT_LENGTH_MAX:
        text = f"{text[:TEXT_LENGTH_MAX]}... ({length} characters)"
    return text


_redact_short = lru_cache(maxsize=4096)(_redact)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # a broken __str__ must not cost the line that tells of it
        return f"<{type(value).__name__} that cannot be printed>"

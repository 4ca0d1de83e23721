"""Log lines: one JSON object each, joined by ids, and never a secret in them."""

import datetime as dt
import io
import json
import logging
import os
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from observability import logs, redaction
from observability.logs import log

#: Looks like nothing in particular, so that only its name or our memory can hide it.
CANARY = "Zx9canaryQ7vR2"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnk"
ESC, CSI = "\x1b", "\x9b"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give what is logged, and put back everything that configuring changes in the process."""
    root = logging.getLogger()
    kept = root.handlers, root.level
    libraries = {
        name: (one.level, one.handlers, one.propagate)
        for name in logs.LIBRARIES
        for one in [logging.getLogger(name)]
    }
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    monkeypatch.setattr(redaction, "_remembered", redaction._Remembered())
    monkeypatch.setattr(logs, "_plain_lines", [])
    redaction._redact_short.cache_clear()
    stream = io.StringIO()
    logs.configure("debug", stream, role="test")
    yield stream
    logs.clear()
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    redaction._redact_short.cache_clear()
    root.handlers, root.level = kept
    for name, (level, handlers, propagate) in libraries.items():
        one = logging.getLogger(name)
        one.setLevel(level)
        one.handlers, one.propagate = handlers, propagate


@pytest.fixture
def lines(written: io.StringIO) -> Lines:
    """Give the lines logged so far, parsed; every one must be a JSON object."""
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_says_when_what_and_about_whom(lines: Lines):
    """Time, level and event come first; then what is told, the bound ids, the process."""
    logs.bind(request_id="r-1")

    with logs.bound(session_id="s-1"):
        log.info("step_done", step="room", seconds=0.25)
    log.warning("later")

    first, second = lines()
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert dt.datetime.fromisoformat(first.pop("timestamp")).tzinfo is not None
    assert {
        "level": "info",
        "event": "step_done",
        "step": "room",
        "seconds": 0.25,
        "request_id": "r-1",
        "session_id": "s-1",
        "role": "test",
        "pid": os.getpid(),
    } == first
    assert (second["level"], second["event"], second["request_id"]) == ("warning", "later", "r-1")
    assert "session_id" not in second


def test_a_caller_cannot_forge_time_level_or_process(lines: Lines):
    """What a line says of itself is ours, whatever keys it is given."""
    log.info("told", timestamp="never", level="critical", pid=1, role="root")

    (line,) = lines()
    assert ("info", os.getpid(), "test") == (line["level"], line["pid"], line["role"])
    assert line["timestamp"] != "never"


def test_what_is_below_the_level_is_not_written(written: io.StringIO, lines: Lines):
    """The level of the settings holds for us and for libraries."""
    logs.configure("warning", written)

    log.info("quiet")
    logging.getLogger("somebody").info("quiet")
    log.error("loud")

    assert [line["event"] for line in lines()] == ["loud"]


def test_a_plain_line_is_like_any_other(lines: Lines):
    """It costs less, and nobody who reads it can tell."""
    log.info("request_done", request_id="r-1", status=200)
    logs.plain("request_done", request_id="r-1", status=200)

    slow, plain = lines()
    times = [dt.datetime.fromisoformat(line.pop("timestamp")) for line in (slow, plain)]
    assert plain == slow
    assert dt.timedelta(0) <= times[1] - times[0] < dt.timedelta(minutes=1)


def test_a_plain_line_below_the_level_is_not_written(written: io.StringIO, lines: Lines):
    """It is one of level info."""
    logs.configure("warning", written)

    logs.plain("quiet")

    assert lines() == []


class Leaky:
    """An object of a library, with a secret in what it prints."""

    def __repr__(self) -> str:
        return f"Leaky(stream_key='{CANARY}', id=7)"


# fmt: off
PLANTED: dict[str, dict[str, Any]] = {
    "a password by name":              {"password": CANARY},
    "a stream key by name":            {"stream_key": CANARY},
    "a name in camel case":            {"streamKey": CANARY},
    "a header's name":                 {"X-API-Key": CANARY},
    "a header of bytes":               {"headers": [(b"A", f"Bearer {CANARY}".encode())]},
    "a name with something around":    {"livekit_api_secret_value": CANARY},
    "a secret that is a list":         {"tokens": [CANARY, CANARY]},
    "a secret that is bytes":          {"jwt": CANARY.encode()},
    "a nested dict":                   {"call": {"json": [{"ingress": {"stream_key": CANARY}}]}},
    "a token in a text":               {"text": f"sent {JWT} to LiveKit"},
    "a token cut short":               {"text": JWT[:40]},
    "a token in a list in a dict":     {"deep": {"er": [[{"and": ("er", JWT)}]]}},
    "a token as bytes":                {"body": JWT.encode()},
    "a token as a key":                {"counts": {JWT: 1}},
    "an API key of ours":              {"text": f"used grk_live_{CANARY} twice"},
    "a bearer header":                 {"text": f"Authorization: Bearer {CANARY}"},
    "a bearer header, lower case":     {"text": f"authorization:bearer {CANARY}"},
    "a basic header":                  {"text": f"proxy said Basic {CANARY}=="},
    "a cookie header":                 {"text": f"Cookie: theme=dark; sid={CANARY}\r\nHost: a"},
    "a database address":              {"url": f"postgresql://greenroom:{CANARY}@db/greenroom"},
    "a Redis address":                 {"url": f"redis://:{CANARY}@127.0.0.1:6379/0"},
    "an RTMP address":                 {"url": f"rtmp://127.0.0.1:1935/live/{CANARY}"},
    "a presigned link":                {"url": f"https://bucket/r.mp4?X-Amz-Signature={CANARY}&a=b"},
    "a link with a mark":              {"url": f"http://127.0.0.1/watch/1?mark={CANARY}"},
    "a printed dict":                  {"text": str({"title": "a", "stream_key": CANARY})},
    "a dict printed inside JSON":      {"text": json.dumps({"a": json.dumps({"token": CANARY})})},
    "an assignment":                   {"text": f"connect(host='db', password='{CANARY}', port=1)"},
    "an environment":                  {"text": f"LIVEKIT_API_SECRET={CANARY} PORT=1"},
    "an object that prints it":        {"thing": Leaky()},
    "an object that prints it, deep":  {"things": {"a": [Leaky()]}},
    "an exception as a value":         {"error": ValueError(f"secret={CANARY}")},
    "a password's hash":               {"text": f"$argon2id$v=19$m=65536,t=3${CANARY}${CANARY}"},
    "a private key":                   {"text": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n{CANARY}"},
    "parameters of a statement":       {"text": f"[SQL: INSERT ...]\n[parameters: ('{CANARY}',)]"},
}
# fmt: on


@pytest.mark.parametrize("told", PLANTED.values(), ids=PLANTED)
def test_a_planted_secret_is_not_written(told: dict[str, Any], written: io.StringIO, lines: Lines):
    """Hidden by its name or by its shape, at any depth; the line itself is still there."""
    log.info("told", **told)

    assert CANARY not in written.getvalue()
    assert JWT.split(".")[1] not in written.getvalue()
    assert JWT[4:40] not in written.getvalue()
    (line,) = lines()
    assert redaction.HIDDEN in json.dumps(line)


@pytest.mark.parametrize("told", PLANTED.values(), ids=PLANTED)
def test_a_secret_is_not_written_by_a_library(told: dict[str, Any], written: io.StringIO):
    """The same holds for what comes through `logging`, as message, arguments and exception."""
    library = logging.getLogger("aiohttp.server")

    library.error("told %s", told)
    library.error(str(told))
    library.error("failed", exc_info=RuntimeError(str(told)))

    assert CANARY not in written.getvalue()
    assert JWT[4:40] not in written.getvalue()
    assert len(written.getvalue().splitlines()) == 3


@pytest.mark.parametrize("told", PLANTED.values(), ids=PLANTED)
def test_a_secret_is_not_written_with_a_traceback(told: dict[str, Any], written: io.StringIO):
    """Neither with an error's own words, nor with its cause's or its notes."""
    error = RuntimeError("it failed", told)
    error.__cause__ = ValueError(str(told))
    error.__cause__.add_note(str(told))

    log.error("failed", exc_info=error)

    assert CANARY not in written.getvalue()
    assert JWT[4:40] not in written.getvalue()
    assert "RuntimeError" in written.getvalue()


@pytest.mark.parametrize(
    "crash",
    [
        lambda error: sys.excepthook(type(error), error, error.__traceback__),
        lambda error: threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
        ),
    ],
    ids=["the process", "a thread"],
)
def test_a_crash_is_one_line_without_secrets(crash: Callable[[Exception], None], lines: Lines):
    """What nobody caught is told like everything else, not printed with its secrets."""
    crash(ValueError(f"password={CANARY}"))

    (line,) = lines()
    assert line["level"] == "critical"
    assert "ValueError: password=[redacted]" in line["exception"]


def test_a_warning_is_a_line_without_secrets(lines: Lines):
    """Warnings go through `logging`, and so through us."""
    warnings.showwarning(f"token={CANARY} is old", UserWarning, "file.py", 1)

    (line,) = lines()
    assert (line["logger"], CANARY in json.dumps(line)) == ("py.warnings", False)


def test_a_remembered_secret_is_hidden_wherever_it_turns_up(lines: Lines):
    """A stream key has no shape of its own: whoever makes one tells us."""
    log.info("before", text=f"<{CANARY}>")

    logs.remember_secret(CANARY)
    log.info("event " + CANARY, text=f"key {CANARY}{CANARY}!", deep=[{CANARY: f"_{CANARY}_"}])

    before, after = lines()
    assert CANARY in before["text"]
    assert CANARY not in json.dumps(after)
    assert after["text"] == "key [redacted][redacted]!"


def test_of_two_remembered_secrets_with_one_beginning_both_are_hidden(lines: Lines):
    """The longer one is hidden whole: no end of it is left over."""
    logs.remember_secret(CANARY)
    logs.remember_secret(CANARY + "-longer")

    log.info("told", long=CANARY + "-longer", short=CANARY + "-long")

    (line,) = lines()
    assert (line["long"], line["short"]) == ("[redacted]", "[redacted]-long")


def test_only_so_many_secrets_are_remembered(monkeypatch: pytest.MonkeyPatch, lines: Lines):
    """Memory is bounded; what was used last stays."""
    monkeypatch.setattr(redaction, "REMEMBERED_MAX", 2)

    for secret in ("first-secret", "second-secret", "first-secret", "third-secret"):
        logs.remember_secret(secret)
    log.info("told", a="first-secret", b="second-secret", c="third-secret")

    (line,) = lines()
    assert (line["a"], line["b"], line["c"]) == ("[redacted]", "second-secret", "[redacted]")


def test_a_short_or_missing_secret_is_not_remembered(lines: Lines):
    """Hiding every `secret` would make the log unreadable; nothing to hide is nothing to do."""
    logs.remember_secret("secret")
    logs.remember_secret("")
    logs.remember_secret(None)

    log.info("told", text="no secret here")

    assert lines()[0]["text"] == "no secret here"


def test_what_is_no_secret_stays_readable(lines: Lines):
    """Hiding too much is a fault too: ids, routes, addresses and absences are for reading."""
    told = {
        "route": "/sessions/{id}/go_live",
        "session_id": "6b9e1d52-6a55-4f2c-9d0e-0f6b8d7f3a11",
        "url": "http://127.0.0.1:8000/hls/6b9e1d52/index.m3u8",
        "stream_key": None,
        "has_token": False,
        "text": "room: ListRooms answered 200 in 0.004 s (2 rooms), key=value",
        "title": "Müllers Show: 東京",
        "seconds": 0.5,
        "bytes": 0,
    }

    log.info("told", **told)

    (line,) = lines()
    assert told == {name: line[name] for name in told}


INJECTIONS = {
    "a new line": 'a\n{"level":"critical","event":"forged"}',
    "carriage return and line feed": 'a\r\n{"level":"critical","event":"forged"}',
    "colours of a terminal": f"{ESC}[31mred{ESC}[0m{ESC}]0;title\x07",
    "colours by C1": f"{CSI}31mred",
    "other line separators": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "text that turns round": "abc\u202etxt.exe\u2066",
    "a null and a delete": "a\x00b\x7fc",
    "half a character": "a\ud800b",
}


@pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS)
def test_nobody_writes_lines_or_colours_into_the_log(text: str, written: io.StringIO, lines: Lines):
    """Whatever a stranger sends, each call is one line, and no line moves a cursor."""
    log.info("told", text=text, deep={text: [text]})
    log.info(text)
    logging.getLogger("aiohttp.server").warning("%s", text)

    # splitlines() knows more separators than readers of logs do: all are escaped.
    assert len(written.getvalue().splitlines()) == 3
    assert len(lines()) == 3
    assert not [c for c in written.getvalue() if c != "\n" and (c < " " or "\x7f" <= c <= "\x9f")]
    assert "forged" not in [line["event"] for line in lines()]


def test_anything_can_be_told(lines: Lines):
    """A value that JSON does not know becomes text; a line is never lost because of one."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    cycle: list[Any] = []
    cycle.append(cycle)

    log.info(
        "told",
        id=uuid.UUID(int=1),
        at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        large=2**70,
        nan=float("nan"),
        members={1},
        broken=Broken(),
        cycle=cycle,
        long="x" * 100_000,
        many=list(range(1000)),
        none=None,
    )

    (line,) = lines()
    assert line["id"] == "00000000-0000-0000-0000-000000000001"
    assert line["at"] == "2026-01-02T00:00:00+00:00"
    assert (str(2**70), None, [1], None) == (
        line["large"],
        line["nan"],
        line["members"],
        line["none"],
    )
    assert line["broken"] == "<Broken that cannot be printed>"
    assert len(line["long"]) < 20_000
    assert len(line["many"]) == 100


LONG = {
    "one word": "a" * 1_000_000,
    "words with dots": "a." * 500_000,
    "names": "token" * 200_000,
    "names and lists": "token=[" * 150_000,
    "names and quotes": "token='\"" * 100_000,
    "backslashes": "token=" + "\\" * 1_000_000,
    "addresses": "a://" * 250_000,
    "addresses with users": "a://b@" * 150_000,
    "broadcasts": "rtmp://a/" * 100_000,
    "spaces": "basic" + " " * 1_000_000 + "cookie" + " " * 1_000_000,
    "beginnings of tokens": "eyJ" * 300_000,
    "beginnings of keys": "-----BEGIN PRIVATE KEY" * 50_000,
    "separators": "\u2028" * 1_000_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_no_text_is_made_to_take_long(text: str, lines: Lines):
    """A megabyte that was made to keep our patterns busy becomes a line like any other."""
    log.info("told", text=text, body=text.encode())

    (line,) = lines()
    assert len(line["text"]) < 20_000
    assert f"({len(text)} characters)" in line["text"]


def test_a_secret_is_not_cut_in_two(lines: Lines):
    """Where a long text is cut, no half of a remembered secret is left."""
    logs.remember_secret(CANARY)

    for length in range(redaction.LOOKED_AT_MAX - 15, redaction.LOOKED_AT_MAX):
        log.info("told", text=" ".join([f"token={'x' * 999}"] * 40)[:length] + CANARY * 9)

    assert CANARY[:4] not in json.dumps(lines())


def test_a_library_that_formats_badly_is_still_heard(lines: Lines):
    """Its message comes as it is, its name and our ids beside it."""
    logs.bind(request_id="r-1")

    record = logging.LogRecord("livekit", logging.ERROR, "file.py", 1, "%d rooms", ("no",), None)
    logs._Records().handle(record)

    (line,) = lines()
    assert {
        "event": "library_said",
        "logger": "livekit",
        "request_id": "r-1",
    }.items() <= line.items()
    assert line["message"] == "%d rooms"


def _lost() -> float:
    return REGISTRY.get_sample_value("greenroom_log_lines_lost_total") or 0.0


def test_a_reader_that_is_gone_costs_the_line_and_nothing_else(written: io.StringIO):
    """The service goes on when whoever read its output has died, and counts what it lost."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        before = _lost()
        logs.configure("info", gone)

        log.info("unheard")
        logging.getLogger("somebody").warning("unheard")

        assert before + 2 == _lost()


def test_a_full_disk_costs_the_line_and_nothing_else(written: io.StringIO):
    """The same when there is no room for it."""
    before = _lost()
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        logs.configure("info", full)

        log.info("unwritten")

    assert before + 1 == _lost()


def test_a_closed_stream_costs_the_line_and_nothing_else(written: io.StringIO):
    """The same when the stream was closed under us, as at the end of a process."""
    before = _lost()
    written.close()

    log.info("unwritten")

    assert before + 1 == _lost()


texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=20) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(before=texts, after=texts, around=values, depth=st.integers(0, 8))
def test_a_remembered_secret_is_hidden_in_any_surroundings(
    before: str, after: str, around: Any, depth: int
):
    """Whatever stands around it and however deep it lies: one line, readable, and not in it."""
    secret = "s7:/known \N{GREEK SMALL LETTER ALPHA}secret"
    redaction.remember_secret(secret)
    value: Any = before + secret + after
    for _ in range(depth):
        value = {"around": around, "inner": [value]}

    line = logs._line(None, "info", {"event": "told", "value": value, "around": around})

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert secret not in json.loads(line).__repr__()
    assert "known " not in line.decode()

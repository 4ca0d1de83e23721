"""One JSON line per thing that happened, with the ids of what it happened to and without secrets.

    from observability.logs import log
    log.info("step_done", step=step.name, seconds=0.03)

Events are constant; what varies goes into keys. Everything that reaches a line has been through
`observability.redaction`, whoever logged it: libraries that use `logging`, warnings and uncaught
exceptions included.
"""

import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars
from structlog.typing import FilteringBoundLogger, Processor
from typing_extensions import override

from observability import redaction
from observability.metrics import LOG_LINES_LOST
from observability.redaction import remember_secret

__all__ = ["bind", "bound", "clear", "configure", "log", "remember_secret"]

#: Import this one; what `configure` decides holds for it at once.
log: FilteringBoundLogger = structlog.get_logger()

#: Add ids (request_id, session_id, job_id, organization_id) to every later line of this task.
bind = bind_contextvars
#: The same for the length of a `with`.
bound = bound_contextvars
#: Forget them: a worker's thread and a kept connection are used again for somebody else.
clear = clear_contextvars

# fmt: off
#: What libraries may say below which we do not listen, and why.
LIBRARIES = {
    "aiohttp.access":    logging.CRITICAL,  # our own line says more and leaks less
    "asyncio":           logging.WARNING,   # selector choice
    "sqlalchemy":        logging.WARNING,   # statements with their parameters
    "aiosqlite":         logging.WARNING,   # every statement
    "botocore":          logging.WARNING,   # signed requests
    "dramatiq":          logging.INFO,      # its DEBUG prints whole messages
    "dramatiq.worker.WorkerThread": logging.CRITICAL,  # our line has the same traceback
    "livekit":           logging.INFO,
    "alembic":           logging.INFO,
}
# fmt: on


def configure(
    level: str = "info", stream: TextIO | None = None, *, role: str | None = None
) -> None:
    """Send every log line of this process to `stream` (stdout), as JSON, from `level` on.

    `role` (api, worker, ...) is put into each line. Call it before processes are forked: the
    children inherit it. Calling it again replaces what was set.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    lines = _Lines(stream or sys.stdout)
    _plain_lines[:] = [_plain_to(lines, role)] if threshold <= logging.INFO else []
    structlog.configure(
        processors=_processors(role),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Records()]
    root.setLevel(threshold)
    for name, at_least in LIBRARIES.items():
        library = logging.getLogger(name)
        library.setLevel(max(at_least, threshold))
        library.handlers, library.propagate = [], True
    logging.captureWarnings(capture=True)
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable


def plain(event: str, **members: str | float | None) -> None:
    """Write a line at level info of members that hold no secret, ids of ours and closed sets.

    The same line as `log.info`'s, without what is bound, for a tenth of the price: for what happens
    thousands of times a second.
    """
    for write in _plain_lines:
        write(event, members)


_plain_lines: list[Callable[[str, dict[str, Any]], None]] = []


def _plain_to(lines: "_Lines", role: str | None) -> Callable[[str, dict[str, Any]], None]:
    always: dict[str, Any] = {} if role is None else {"role": role}
    # Many lines fall into one millisecond, and writing it down costs as much as the rest.
    last, written = 0, ""

    def write(event: str, members: dict[str, Any]) -> None:
        nonlocal last, written
        millisecond = time.time_ns() // 1_000_000
        if millisecond != last:
            second, rest = divmod(millisecond, 1_000)
            moment = datetime.fromtimestamp(second, UTC).replace(microsecond=rest * 1_000)
            last, written = millisecond, moment.isoformat(timespec="milliseconds")
        line = {
            "timestamp": written,
            "level": "info",
            "event": event,
            **members,
            "pid": os.getpid(),
            **always,
        }
        lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    return write


def _processors(role: str | None) -> list[Processor]:
    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # Here and not at the end: a caller's key of the same name must not forge these.
        event["pid"] = os.getpid()
        if role is not None:
            event["role"] = role
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
        _line,
    ]


def _line(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    """Make the line: time, level and event first, all of it redacted."""
    # The time is ours and needs no redaction; a caller's `timestamp` is overwritten.
    line: dict[str, Any] = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": event.pop("level", "info"),
        "event": redaction.redact(event.pop("event", "")),
    }
    event.pop("timestamp", None)
    return orjson.dumps(line | redaction.redact_members(event)) + b"\n"


class _Lines:
    """Where lines go. A full disk or a reader that has gone costs the line, never the caller."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._fd = _fd_of(stream)

    def write(self, line: bytes) -> None:
        try:
            if self._fd is None:
                with self._lock:
                    self._stream.write(line.decode())
                    self._stream.flush()
            else:
                while line:
                    line = line[os.write(self._fd, line) :]
        except (OSError, ValueError):
            LOG_LINES_LOST.inc()

    debug = info = warning = error = critical = write


def _fd_of(stream: TextIO) -> int | None:
    """Give the descriptor behind a real text stream.

    Lines are written around the stream's buffer: a line written in one call stays whole beside
    other processes' lines, and nothing stays in a buffer that could fail once more at exit.
    """
    try:
        # Dramatiq's pipe looks like a stream, but its descriptor wants frames.
        return stream.fileno() if isinstance(stream, io.TextIOBase) else None
    except (OSError, ValueError):
        return None


class _Records(logging.Handler):
    """Takes what libraries say through `logging` into the same lines."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # a library's bad format string must not become our crash
            message = str(record.msg)
        told: dict[str, Any] = {"logger": record.name, "message": message}
        if record.exc_info:
            told["exc_info"] = record.exc_info
        level = min(record.levelno // 10 * 10, logging.CRITICAL) or logging.DEBUG
        log.log(level, "library_said", **told)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("crashed", exc_info=(kind, error, trace))


def _thread_crashed(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        thread = args.thread.name if args.thread else None
        log.critical(
            "thread_crashed",
            thread=thread,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        log.error(
            "unraisable",
            message=args.err_msg,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )

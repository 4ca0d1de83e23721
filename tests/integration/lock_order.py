"""Watch in which order transactions lock the rows of PostgreSQL: two orders make a deadlock."""

import re
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

#: Whoever locks rows of several of these does so in this order.
ORDER = ("users", "rooms", "presets", "sessions")
#: A session's own: whoever locks rows of several of these has the session's first.
OF_A_SESSION = {"playbacks", "takes", "recordings"}

#: What a statement locks: FOR UPDATE OF one table, or of the one it selects from; UPDATE; DELETE.
_LOCKS = (
    re.compile(r"\bFOR UPDATE OF (?P<table>\w+)"),
    re.compile(r"^SELECT .*?\bFROM (?P<table>\w+)\b.*\bFOR UPDATE$", re.DOTALL),
    re.compile(r"^UPDATE (?P<table>\w+)"),
    re.compile(r"^DELETE FROM (?P<table>\w+)"),
)


@dataclass
class LockOrder:
    """What the transactions of one test have locked, and in which they went back."""

    #: Tables by connection.
    held: dict[int, list[str]] = field(default_factory=dict)
    trespasses: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to look at the statements of every engine."""
        event.listen(Engine, "before_cursor_execute", self.locks)
        event.listen(Engine, "commit", self.ended)
        event.listen(Engine, "rollback", self.ended)

    def leave(self) -> None:
        event.remove(Engine, "before_cursor_execute", self.locks)
        event.remove(Engine, "commit", self.ended)
        event.remove(Engine, "rollback", self.ended)

    def locks(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.dialect.name != "postgresql":
            return  # SQLite has one lock for all
        table = locked_by(statement)
        held = self.held.setdefault(id(connection), [])
        if table in held or table not in {*ORDER, *OF_A_SESSION}:
            return
        if table in OF_A_SESSION:
            too_early = [] if "sessions" in held else sorted(OF_A_SESSION & set(held))
        else:
            later = {*ORDER[ORDER.index(table) :], *OF_A_SESSION}
            too_early = [name for name in held if name in later]
        if too_early:
            self.trespasses.append(f"{table} after {', '.join(too_early)}: {statement[:400]}")
        held.append(table)

    def ended(self, connection: Connection) -> None:
        self.held.pop(id(connection), None)


def locked_by(statement: str) -> str | None:
    """Name the table whose rows a statement locks for writing."""
    for form in _LOCKS:
        if found := form.search(statement.strip()):
            return found["table"]
    return None

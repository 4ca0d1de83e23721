"""What can be made to go wrong, and what is armed right now."""

import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from deploy.standin.ids import guid


class Kind(StrEnum):
    """Every fault, with what it does."""

    REFUSE = "refuse"  #: the call answers with `code` and `msg` and is not obeyed
    ANSWER_LOST = "answer_lost"  #: obeyed, then the connection closes, or hangs for ever
    SLOW = "slow"  #: `delay_seconds` before obeying (`when: before`) or after it (`after`)
    GARBLED_ANSWER = "garbled_answer"  #: obeyed, then 200 with a body that cannot be decoded
    EMPTY_LIST = "empty_list"  #: List* answers as if there were nothing
    STALE_LIST = "stale_list"  #: List* keeps giving what it gave at the first call after arming
    UNIMPLEMENTED = "unimplemented"  #: the method does not exist: 404 bad_route, or `code`
    STUCK_STATE = "stuck_state"  #: `resource` (egress | ingress) never gets past `state`
    EGRESS_DIES = "egress_dies"  #: the handler is killed: FAILED "signal: killed"
    INGRESS_DIES = "ingress_dies"  #: the handler is killed: the status lies PUBLISHING for ever
    WORKER_GONE = "worker_gone"  #: no egress worker: statuses lie, stops and starts time out
    WEBHOOKS_DROPPED = "webhooks_dropped"  #: never sent
    WEBHOOKS_DUPLICATED = "webhooks_duplicated"  #: sent `copies` times, with the same id
    WEBHOOKS_DELAYED = "webhooks_delayed"  #: sent `delay_seconds` late
    FORGET_EVERYTHING = "forget_everything"  #: rooms, ingresses, egresses: lost, as by a restart


@dataclass(slots=True)
class Fault:
    """One armed fault. `count` is how many more times it strikes; None is without end."""

    kind: Kind
    id: str = field(default_factory=lambda: guid("FA_"))
    #: A method's name (`StartEgress`), or None for every method.
    method: str | None = None
    #: For webhooks: only these events; empty means all.
    events: list[str] = field(default_factory=list)
    count: int | None = None
    #: How many times it is let pass before it strikes.
    skip: int = 0
    code: str = ""
    msg: str = ""
    status: int | None = None
    delay_seconds: float | None = None
    when: str = "before"
    mode: str = "close"
    resource: str = "egress"
    state: str = ""
    room: str | None = None
    egress_id: str | None = None
    ingress_id: str | None = None
    copies: int = 2
    hits: int = 0
    armed_at: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def concerns(
        self,
        *,
        method: str | None,
        event: str | None,
        room: str | None,
        resource_id: str | None,
    ) -> bool:
        """Say whether this fault is about that call, event or thing."""
        wanted = self.egress_id or self.ingress_id
        return (
            (self.method is None or self.method == method)
            and (not self.events or event in self.events)
            and (self.room is None or self.room == room)
            and (wanted is None or wanted == resource_id)
        )


class Faults:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        self._armed.append(fault)

    def clear(self, fault_id: str | None = None) -> None:
        """Take one fault away, or all of them."""
        self._armed = [f for f in self._armed if fault_id is not None and f.id != fault_id]

    def armed(self) -> list[Fault]:
        return [fault for fault in self._armed if fault.count is None or fault.count > 0]

    def look(
        self,
        kind: Kind,
        *,
        method: str | None = None,
        event: str | None = None,
        room: str | None = None,
        resource_id: str | None = None,
    ) -> Fault | None:
        """Find the fault that would strike, without using it up."""
        for fault in self.armed():
            if fault.kind is kind and fault.concerns(
                method=method, event=event, room=room, resource_id=resource_id
            ):
                return fault
        return None

    def strike(
        self,
        kind: Kind,
        *,
        method: str | None = None,
        event: str | None = None,
        room: str | None = None,
        resource_id: str | None = None,
    ) -> Fault | None:
        """Find the fault that strikes now, and count the stroke."""
        fault = self.look(kind, method=method, event=event, room=room, resource_id=resource_id)
        if fault is None:
            return None
        if fault.skip > 0:
            fault.skip -= 1
            return None
        fault.hits += 1
        if fault.count is not None:
            fault.count -= 1
        return fault

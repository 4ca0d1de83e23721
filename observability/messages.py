"""One log line, the caller's request id and the metrics for every queue message: a middleware."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, time
from typing import Any

import dramatiq
from structlog.contextvars import get_contextvars
from typing_extensions import override

from observability import logs, metrics

#: What a message carries from who rang to who works, beside its arguments.
CARRIED = ("request_id", "job_id")
#: The actor of a message that names none of ours: whoever can write the queue can write anything.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Begun:
    at: float
    waited: float


class Messages(dramatiq.Middleware):
    """Gives each message its line and its ids; goes first, so that it sees what all others did."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    @override
    def before_enqueue(
        self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None
    ) -> None:
        """Put the ids of the task that rings into the message."""
        carry(message.options)

    @override
    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        """Bind the message's ids for everything the actor logs, on the event loop too."""
        waited = max(0.0, time() - message.message_timestamp / 1000)
        self._begun[message.message_id] = _Begun(monotonic(), waited)
        logs.clear()
        logs.bind(
            message_id=message.message_id,
            **{name: message.options[name] for name in CARRIED if name in message.options},
            **_ids_of(broker, message),
        )

    @override
    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write the line, count, and forget the ids: the thread is used again."""
        self._done(broker, message, "failed" if exception else "done", exception)

    @override
    def after_skip_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        """Do the same for a message that another middleware decided not to process."""
        self._done(broker, message, "skipped", None)

    def _done(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        outcome: str,
        error: BaseException | None,
    ) -> None:
        begun = self._begun.pop(message.message_id, None) or _Begun(monotonic(), 0.0)
        seconds = monotonic() - begun.at
        actor = message.actor_name if message.actor_name in broker.actors else UNKNOWN
        metrics.message_done(actor, outcome, seconds, begun.waited)
        told: dict[str, Any] = {
            "actor": actor,
            "queue": message.queue_name,
            "outcome": outcome,
            "seconds": round(seconds, 6),
            "waited_seconds": round(begun.waited, 3),
        }
        if error is not None:
            logs.log.error("message_done", **told, exc_info=error)
        else:
            logs.log.info("message_done", **told)
        logs.clear()


def carry(options: dict[str, Any]) -> dict[str, Any]:
    """Put the ids that travel with a message into its options; a doorbell of its own calls this."""
    bound = get_contextvars()
    for name in CARRIED:
        if name in bound:
            options.setdefault(name, bound[name])
    return options


def _ids_of(broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> dict[str, Any]:
    """Give the arguments whose names end in `_id`, by the actor's signature."""
    actor = broker.actors.get(message.actor_name)
    names = _parameters(actor.fn) if actor is not None else ()
    arguments = dict(zip(names, message.args, strict=False)) | message.kwargs
    return {
        name: value
        for name, value in arguments.items()
        if name.endswith("_id") and isinstance(value, str) and name != "message_id"
    }


@lru_cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)

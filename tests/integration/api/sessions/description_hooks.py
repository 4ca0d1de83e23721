"""What Schemathesis cannot guess: keys nobody used before, and ids of things that are there."""

import os
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import schemathesis

_VALID_KEY = re.compile("[!-~]([ -~]{0,253}[!-~])?")
_STREAM = "/events/stream"
#: Members of bodies that name something: where the name of one that is there stands.
_NAMES = {"preset_id": "SOME_PRESET", "user_id": "SOME_USER"}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Give each valid Idempotency-Key a value of its own, and let streams end at once."""
    headers = case.headers or {}
    for name in list(headers):
        if name.lower() == "idempotency-key" and _VALID_KEY.fullmatch(str(headers[name])):
            headers[name] = uuid.uuid4().hex
    if case.operation.path.endswith(_STREAM):
        # A stream lasts as long as its reader wants: what there is now is enough.
        case.query = {**(case.query or {})}
        if str(case.query.get("seconds", "0")).isdecimal():
            case.query["seconds"] = "0"


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Put the id of something that is there where a valid one stands; plan nothing for the past."""
    if isinstance(body, dict):
        if is_past(body.get("scheduled_start_time")):
            body["scheduled_start_time"] = "2100-01-01T20:00:00Z"
        for name, known in _NAMES.items():
            if is_id(body.get(name)):
                body[name] = os.environ[known]
    return body


def is_past(value: Any) -> bool:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return moment.tzinfo is not None and moment.year < datetime.now(UTC).year + 1


def is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False

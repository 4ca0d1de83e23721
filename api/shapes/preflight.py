"""What is told about whether a show could go live now."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from api.shapes.common import Told

#: What is looked at; the order is that of the answer.
CheckName = Literal["livekit", "key", "worker", "ingress", "egress", "storage", "webhook", "clock"]


class CheckResponse(Told):
    """One thing that a show needs."""

    name: CheckName
    ok: bool | None = Field(description="null: it cannot be seen from here.")
    seen: str = Field(description="In words.")
    todo: str | None = Field(description="What to do about it.")


class PreflightResponse(Told):
    """Whether a show could go live now, and what stands in its way."""

    session_id: uuid.UUID
    ok: bool | None = Field(
        description="false: something is wrong; null: nothing is, and not everything can be seen."
    )
    checked_at: datetime
    seconds: float
    checks: list[CheckResponse]

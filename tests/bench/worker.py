"""The real worker process, whose look only says when it began: what is rung for is not claimed.

CLOCK_MONOTONIC is one clock for all processes of a machine, so that two of them can measure a way.
"""

import sys
import time
from typing import Any
from uuid import UUID

from observability import logs
from orchestration import lookout
from orchestration.converge import Looked
from orchestration.settings import Settings
from workers import process

#: Stands before each line that says when a look began.
BEGAN = "began"


async def look(session_id: UUID, *_: Any, **__: Any) -> Looked:
    """Say when this, the first thing an actor does, was reached."""
    reached_at = time.monotonic_ns()
    sys.stderr.write(f"{BEGAN} {session_id} {reached_at}\n")
    sys.stderr.flush()
    return Looked()


if __name__ == "__main__":
    its_settings = Settings()
    logs.configure(its_settings.log_level, role="worker")
    lookout.look = look
    sys.exit(process.run(its_settings))

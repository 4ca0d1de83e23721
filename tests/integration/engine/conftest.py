"""What every test of the engine begins with."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestration.parts import ingress
from tests.integration.engine.house import House, open_house
from tests.integration.engine.invariants import Invariants

#: Histories make thousands of databases and always use SQLite: once is enough.
collect_ignore = (
    ["test_any_order.py"] if os.environ.get("GREENROOM_TEST_DATABASE") == "postgres" else []
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses within a look short: LiveKit in memory answers at once."""
    monkeypatch.setattr("orchestration.parts.broadcast.STOP_POLL_SECONDS", 0.001)
    monkeypatch.setattr(ingress, "IDLE_POLL_SECONDS", 0.001)
    monkeypatch.setattr(ingress, "IDLE_SECONDS_MAX", 0.02)


@pytest.fixture
async def house(tables_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Give a Greenroom with one host, one room, one preset; at the end its invariants hold."""
    async with open_house(tables_url, tmp_path) as house:
        yield house
        await Invariants(house).hold()

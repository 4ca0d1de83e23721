"""Every boundary of every part's ensure and remove, struck in every way; generated from PARTS."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from orchestration.parts import PARTS, Part
from orchestration.parts.part import READY, Outcome, Tools
from orchestration.show import Show
from orchestration.states import Wanted
from tests.integration.engine.boundaries import Case, Strike, Uncovered, cases
from tests.integration.engine.scripts import SCRIPTS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Walk once through every script, and make a case of every strike at every boundary."""
    if "case" in metafunc.fixturenames:
        with tempfile.TemporaryDirectory() as folder:
            generated = asyncio.run(cases(SCRIPTS, PARTS, Path(folder)))
        if os.environ.get("GREENROOM_TEST_DATABASE") == "postgres":
            # What LiveKit does is the same for both: once is enough, on SQLite.
            generated = tuple(case for case in generated if case.writes)
        metafunc.parametrize("case", generated, ids=str)


async def test_all_comes_right(case: Case, tables_url: str, tmp_path: Path) -> None:
    """No orphan, nothing twice, what was wanted is there; and afterwards the show ends."""
    await case.play(PARTS, tables_url, tmp_path)


async def test_a_part_that_no_script_reaches_fails_the_collection(tmp_path: Path) -> None:
    """A new part must be struck like the others: without a boundary there is nothing to strike."""

    async def idle(show: Show, tools: Tools) -> Outcome:
        return READY

    lights = Part("lights", Wanted.LIVE, 4, 2, idle, idle)

    with pytest.raises(Uncovered, match=r"lights\.ensure crosses no boundary"):
        await cases(SCRIPTS[:1], (*PARTS, lights), tmp_path)


async def test_a_new_part_is_struck_like_the_others(tmp_path: Path) -> None:
    """Its boundaries are found by walking; nobody has to list them."""

    async def listed(show: Show, tools: Tools) -> Outcome:
        await tools.plane.list_rooms([show.room])
        return READY

    lights = Part("lights", Wanted.LIVE, 4, 2, listed, listed)

    generated = await cases(SCRIPTS[:1], (*PARTS, lights), tmp_path)

    mine = {(c.boundary.verb, c.strike) for c in generated if c.boundary.part == "lights"}
    assert mine == {(verb, strike) for verb in ("ensure", "remove") for strike in Strike}

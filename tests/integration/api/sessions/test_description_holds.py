"""Schemathesis reads the description and tries to find an answer that it does not allow."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from api import app
from orchestration import preflight
from tests.integration.api.client import Api
from tests.integration.api.sessions.conftest import Shows

HOOKS = "tests.integration.api.sessions.description_hooks"
#: What a good request may be answered beside what Schemathesis allows: a version that is not the
#: newest, a link that is not ours; and a recording's name follows rules that no pattern tells.
CONFIG = """
[checks]
enabled = true

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 410, 412, 429]

[[operations]]
include-operation-id = "rename_recording"
checks.positive_data_acceptance.enabled = false

[phases.stateful]
max-steps = 12
generation.max-examples = 30
"""
#: Enough to meet every member of every body; more finds the same for longer.
EXAMPLES = 8


@pytest.fixture(autouse=True)
def free_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one address try as much as it likes, and wait for no webhook: nobody sends one here."""
    monkeypatch.setattr(app, "GUESSES_A_MINUTE", 1_000_000)
    monkeypatch.setattr(app, "BURST", 1_000_000)
    monkeypatch.setattr(preflight, "WEBHOOK_SECONDS", 0.05)


async def test_no_answer_is_outside_the_description(api: Api, shows: Shows, tmp_path: Path) -> None:
    """Good and bad requests, alone and in the order of links, with every check there is."""
    await shows.live()
    log, config = tmp_path / "schemathesis.txt", tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)

    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{api.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {api.token(shows.host)}",
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--max-examples",
            str(EXAMPLES),
            "--seed",
            "2026",
            "--request-timeout",
            "60",
            "--continue-on-failure",
            stdout=out,
            stderr=out,
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": HOOKS,
                "PYTHONPATH": str(Path.cwd()),
                "SOME_PRESET": await shows.preset(),
                "SOME_USER": str(shows.people.viewer.id),
            },
        )
        code = await process.wait()

    said = log.read_text()
    assert code == 0, said
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in said or f"⏭  {phase}" in said, said

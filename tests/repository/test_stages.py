"""`make test` is red when a stage is broken, hangs, or leaves something running."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.setup import stages

ROOT = Path(__file__).parents[2]
SLEEPER = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True)"
SCRIPT = """
import sys
from deploy.setup import stages
stages.GRACE = 0.2
stage = stages.Stage("one", "a stage", {minutes}, (sys.executable, "-c", {code!r}))
stages.GROUPS["all"] = (stage, stages.Stage("two", "never run after a broken one", 1, ("true",)))
sys.argv[1:] = []
sys.exit(stages.main())
"""


@pytest.mark.parametrize(
    ("code", "minutes", "exit_code", "said"),
    [
        ("pass", 1, 0, "stages: 2 passed, 0 failed"),
        ("raise SystemExit(3)", 1, 1, "one  exit code 3"),
        ("raise SystemExit(3)", 1, 1, "two  not run"),
        ("import time; time.sleep(600)", 0.01, 1, "took more than 0.01 minutes"),
        (SLEEPER, 1, 1, "sleep 600"),
    ],
)
def test_the_exit_code_and_the_last_lines_tell(
    code: str, minutes: float, exit_code: int, said: str
):
    """Neither a reader of the log nor CI can overlook a broken stage."""
    script = SCRIPT.format(code=code, minutes=minutes)

    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert run.returncode == exit_code, run.stdout + run.stderr
    assert said in run.stdout


def test_a_lane_that_ends_without_a_word_is_broken():
    """A lane whose process dies must not be taken for one without troubles."""
    lane = (stages.Stage("no such stage", "nobody knows it", 1, ("true",)),)

    results = stages.side_by_side((lane, lane))

    assert [trouble for _, trouble, _ in results] == ["its lane ended without a word"] * 2


def test_lanes_are_told_apart_and_their_results_are_told(capfd: pytest.CaptureFixture[str]):
    """Two stages side by side: whose line is whose, and how each ended."""
    lanes = ((stages.CHECK[0],), (stages.CHECK[3],))

    results = stages.side_by_side(lanes)

    said = capfd.readouterr().out.splitlines()
    assert [stage.name for stage, _, _ in results] == ["format", "imports"]
    assert any(line.startswith("1| === 1/1 format") for line in said)
    assert any(line.startswith("2| === 1/1 imports") for line in said)


def test_a_broken_stage_names_the_tests_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The end of the log is all that some readers see: it says which test, and why."""
    tests = tmp_path / "test_something.py"
    tests.write_text("def test_sums():\n    assert 1 + 1 == 3, 'sums are wrong'\n")
    stage = stages.Stage("sums", "one test", 1, (*stages.PYTEST, "--rootdir", tmp_path, tests))

    trouble = stages.run(stage)
    stages.report([stage], [(stage, trouble, 1.0)], 1.0)

    lines = capsys.readouterr().out.splitlines()
    (broken,) = (number for number, line in enumerate(lines) if "BROKEN" in line)
    assert lines[broken].endswith("sums  exit code 1")
    assert "test_sums: AssertionError: sums are wrong" in lines[broken + 1]

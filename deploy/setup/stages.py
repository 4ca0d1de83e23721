"""Run the stages of `make test`, one after the other; the checks all, the tests until one breaks.

Standing here, in order, is everything that says Greenroom can be trusted. `make test only=NAME`
runs one stage. Most of the long stages run in two lanes side by side, because one of them computes
while the other mostly waits; whole shows on the real LiveKit come last and have the machine alone.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree as ET

import psutil
from typing_extensions import override

PROGRAMS = Path(sys.executable).parent
#: A test that hangs prints where it stands before its stage's time is over.
PYTEST = (PROGRAMS / "pytest", "-o", "faulthandler_timeout=240")


@dataclass(frozen=True)
class Stage:
    """One command that must succeed."""

    name: str
    what: str  #: a few words for the heading
    minutes: int  #: a limit that only a hanging stage meets, not an aim
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    may_be_empty: bool = False  #: whether pytest may find no tests there

    @override
    def __hash__(self) -> int:
        return hash(self.name)


#: A stage, what is wrong with it in a few words or nothing, and its seconds.
Result = tuple[Stage, str, float]


# fmt: off
#: Seconds each; `make check` is these.
CHECK = (
    Stage("format",  "the code is formatted",                     2, (PROGRAMS / "ruff", "format", "--check", "--quiet")),
    Stage("lint",    "ruff has nothing to say",                   2, (PROGRAMS / "ruff", "check", "--quiet")),
    Stage("types",   "mypy, strict",                              5, (PROGRAMS / "mypy",)),
    Stage("imports", "who may import whom",                       2, (PROGRAMS / "lint-imports", "--no-cache")),
)
#: Directories of tests/ that have stages of their own; whatever else is there is run by `rest`.
NAMED = ("repository", "unit", "system", "contract", "integration", "browser", "acceptance", "plane")
TESTS = (
    Stage("repository",             "locks, files and addresses in step",              2, (*PYTEST, "tests/repository")),
    Stage("unit",                   "what decides, without I/O",                       5, (*PYTEST, "tests/unit")),
    Stage("system",                 "the servers that the other tests use",            5, (*PYTEST, "tests/system")),
    Stage("rest",                   "tests in no directory named above",              10, (*PYTEST, "tests", *(f"--ignore=tests/{name}" for name in NAMED)), may_be_empty=True),
)
#: Of acceptance, what no webhook has any part in: commands, the demo, what Prometheus sees.
WITHOUT_HOOKS = ("test_cli.py", "test_demo.py", "test_observed.py")
#: Of integration, what is enough once: what touches no database, and what guesses for a long time,
#: whose guesses PostgreSQL takes less kindly than SQLite.
ON_SQLITE_ONLY = ("test_recording_media.py", "test_storage.py")
ON_POSTGRES_ONLY = ("api/sessions/test_description_holds.py",)
#: Side by side: the first lane computes, the second starts programs and waits for segments.
LANES = (
    (
        Stage("integration-sqlite",     "the pieces together, on SQLite",                 45, (*PYTEST, "tests/integration", *(f"--ignore=tests/integration/{name}" for name in ON_POSTGRES_ONLY)), {"GREENROOM_TEST_DATABASE": "sqlite"}),
        Stage("integration-postgres",   "what meets the database, on PostgreSQL",                   45, (*PYTEST, "tests/integration", *(f"--ignore=tests/integration/{name}" for name in ON_SQLITE_ONLY)), {"GREENROOM_TEST_DATABASE": "postgres"}),
        Stage("livekit",                "LiveKit's own programs, built once",             25, ("deploy/livekit/run", "--build-only")),
        Stage("contract-real",          "the contract's cases on the real LiveKit",       25, (sys.executable, "-m", "tests.plane.contract")),
    ),
    (
        Stage("contract",               "every LiveKit of ours behaves like the real one", 25, (*PYTEST, "tests/contract")),
        Stage("browser",                "the pages in Chromium, on a phone and a desktop", 30, (*PYTEST, "tests/browser")),
        Stage("acceptance",             "whole shows, real processes, killed on purpose", 45, (*PYTEST, "tests/acceptance")),
        Stage("acceptance-no-webhooks", "the same shows with every webhook lost",         45, (*PYTEST, "tests/acceptance", *(f"--ignore=tests/acceptance/{name}" for name in WITHOUT_HOOKS)), {"GREENROOM_TEST_WEBHOOKS": "dropped"}),
    ),
)
#: Two cores just suffice for one real encoder, ingress, egress and browser.
ALONE = (
    Stage("plane",                  "whole shows on the real LiveKit",                40, (*PYTEST, "tests/plane")),
)
# fmt: on
IN_LANES = tuple(stage for lane in LANES for stage in lane)
GROUPS = {
    "all": (*CHECK, *TESTS, *IN_LANES, *ALONE),
    "check": CHECK,
    "tests": (*TESTS, *IN_LANES, *ALONE),
}

#: pytest's exit code for "no test was found".
NOTHING_COLLECTED = 5
#: Seconds for a stage's last processes to go by themselves, and for an interrupted one to clean up.
GRACE = 15.0
#: From prctl(2): orphans among our descendants become our children, so that none is overlooked.
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the stages that were asked for; return 0 when all are well."""
    known = {**{stage.name: (stage,) for stage in GROUPS["all"]}, **GROUPS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"one of: {', '.join(known)}")
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)  # a lane's, for its caller
    given = parser.parse_args()
    wanted = given.only or ["all"]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"there is no stage {unknown[0]}, but: {', '.join(known)}")
    stages = list(dict.fromkeys(stage for name in wanted for stage in known[name]))
    adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupt)
    began_at = time.monotonic()
    lanes = [lane for lane in LANES if set(lane) <= set(stages)]
    in_lanes = {stage for lane in lanes for stage in lane} if len(lanes) > 1 else set()
    later = {*in_lanes, *ALONE} if in_lanes else set()
    results = in_turn([stage for stage in stages if stage not in later])
    if in_lanes and not any(trouble for _, trouble, _ in results):
        results += side_by_side(lanes)
        if not any(trouble for _, trouble, _ in results):
            results += in_turn([stage for stage in stages if stage in ALONE])
    if given.results is not None:
        told = [(stage.name, trouble, seconds) for stage, trouble, seconds in results]
        given.results.write_text(json.dumps(told))
    report(stages, results, time.monotonic() - began_at)
    return 1 if any(trouble for _, trouble, _ in results) else 0


def in_turn(stages: Sequence[Stage]) -> list[Result]:
    """Run stages one after the other: the checks all, the tests until one breaks."""
    results: list[Result] = []
    for number, stage in enumerate(stages, start=1):
        if stage not in CHECK and any(trouble for _, trouble, _ in results):
            break
        print(f"\n=== {number}/{len(stages)} {stage.name}: {stage.what}", flush=True)
        started_at = time.monotonic()
        trouble = run(stage)
        results.append((stage, trouble, time.monotonic() - started_at))
    return results


def side_by_side(lanes: Sequence[Sequence[Stage]]) -> list[Result]:
    """Run each lane in a process of its own, and print its lines with its number before them."""
    with tempfile.TemporaryDirectory(prefix="greenroom-stages-") as folder:
        running = []
        for number, lane in enumerate(lanes, start=1):
            told = Path(folder) / f"{number}.json"
            process = subprocess.Popen(
                (
                    sys.executable,
                    "-m",
                    "deploy.setup.stages",
                    "--results",
                    str(told),
                    *(stage.name for stage in lane),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            reader = threading.Thread(target=_echo, args=(process, number))
            reader.start()
            running.append((lane, process, reader, told))
        try:
            for _, process, reader, _ in running:
                process.wait()
                reader.join()
        finally:
            for _, process, _, _ in running:
                if process.poll() is None:
                    process.terminate()
                    process.wait(2 * GRACE)
        return [result for lane, _, _, told in running for result in _told(lane, told)]


def _echo(process: subprocess.Popen[str], number: int) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            print(f"{number}| {line}", end="", flush=True)


def _told(lane: Sequence[Stage], told: Path) -> list[Result]:
    """Read what became of a lane; one that could not even say so is broken."""
    if not told.exists():
        return [(lane[0], "its lane ended without a word", 0.0)]
    by_name = {stage.name: stage for stage in lane}
    return [
        (by_name[name], trouble, seconds) for name, trouble, seconds in json.loads(told.read_text())
    ]


def run(stage: Stage) -> str:
    """Run one stage; return what is wrong, in a few words, or nothing."""
    # Settings of whoever calls `make test` do not reach the tests; nor does the wish of some
    # images to compile everything anew at every start of a process.
    ours = ("GREENROOM_", "LIVEKIT_", "AWS_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with tempfile.TemporaryDirectory(prefix="greenroom-stage-") as folder:
        told = Path(folder) / "tests.xml"
        process = subprocess.Popen(
            [str(part) for part in stage.command],
            stdin=subprocess.DEVNULL,
            env={
                **inherited,
                "PYTHONUNBUFFERED": "1",
                "PYTEST_ADDOPTS": f"--junit-xml={told}",
                **stage.environment,
            },
            start_new_session=True,
        )
        try:
            code = process.wait(stage.minutes * 60)
        except subprocess.TimeoutExpired:
            end(process)
            return f"took more than {stage.minutes} minutes"
        except KeyboardInterrupt:
            end(process)
            return "interrupted"
        finally:
            left = left_behind()
        if code == NOTHING_COLLECTED and stage.may_be_empty:
            code = 0
        if code:
            return "\n".join((f"exit code {code}", *failed(told)))
    return f"left processes behind: {'; '.join(left)}" if left else ""


def failed(told: Path) -> list[str]:
    """Name the tests that failed, each with the beginning of why, from pytest's JUnit file."""
    if not told.exists():
        return []  # no pytest, or one that was killed
    lines = []
    for case in ET.parse(told).iter("testcase"):  # noqa: S314  # our own pytest wrote it
        for wrong in (*case.iter("failure"), *case.iter("error")):
            why = " ".join(wrong.get("message", "").split())
            lines.append(f"{case.get('classname')}::{case.get('name')}: {why[:1000]}")
    return lines


def end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a stage, so that its tests clean up, and kill it if it does not listen."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    process.kill()
    process.wait()


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent dies, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def left_behind() -> list[str]:
    """Wait a little for what the stage started, kill what is still there, and return its names."""
    everyone = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs(everyone, timeout=GRACE)
    names = []
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            names.append(f"{one.pid} {' '.join(one.cmdline())[:120]}")
            one.kill()
    psutil.wait_procs(alive, timeout=GRACE)
    return names


def report(stages: Sequence[Stage], results: Sequence[Result], total: float) -> None:
    """Print a line for each stage: its seconds, and what is wrong."""
    print()
    for stage, trouble, seconds in results:
        first, *others = trouble.split("\n")
        print(
            f"  {'BROKEN' if trouble else 'ok':6} {seconds:6.0f} s  {stage.name}  {first}".rstrip()
        )
        for line in others:
            print(f"{'':19}{line}")
    ran = {stage for stage, _, _ in results}
    for stage in (stage for stage in stages if stage not in ran):
        print(f"  {'-':6} {'':6}    {stage.name}  not run")
    broken = [stage.name for stage, trouble, _ in results if trouble]
    print(f"\nstages: {len(results) - len(broken)} passed, {len(broken)} failed")
    if broken:
        print(f"Broken at {broken[0]}, after {total:.0f} s. Again: make test only={broken[0]}")
    else:
        print(f"All is well, after {total:.0f} s.")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

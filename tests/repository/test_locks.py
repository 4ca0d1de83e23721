"""The locks say the same as what they were made from, so that set-up installs what was meant."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "deploy" / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
SETUP = PROJECT["dependency-groups"]["setup"]
GO = PROJECT["dependency-groups"]["go"]
#: What each lock is made from; see `make lock`.
SOURCES = {
    "setup": SETUP,
    "go": GO,
    "demo": [*SETUP, *RUNTIME, *EXTRAS["demo"]],
    "dev": [*SETUP, *RUNTIME, *EXTRAS["demo"], *EXTRAS["dev"]],
}


def pins(name: str) -> dict[str, Requirement]:
    """Read a lock: each package's one version."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    found = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[a-z0-9]", line)]
    return {canonicalize_name(one.name): one for one in found}


@pytest.mark.parametrize("name", SOURCES)
def test_every_requirement_is_locked_at_a_version_it_allows(name: str):
    """A dependency that was added or raised without `make lock` is named here."""
    locked = pins(name)
    wanted = [Requirement(source) for source in SOURCES[name]]

    missing = [
        str(one)
        for one in wanted
        if one.name != "greenroom"
        and not (
            (pin := locked.get(canonicalize_name(one.name)))
            and one.specifier.contains(next(iter(pin.specifier)).version, prereleases=True)
        )
    ]

    assert missing == [], "run: make lock"


@pytest.mark.parametrize("name", SOURCES)
def test_every_pin_has_a_hash(name: str):
    """Nothing is installed that was not seen when the lock was made."""
    blocks = re.split(r"\n(?=[a-z0-9])", (REQUIREMENTS / f"{name}.txt").read_text())

    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize(("smaller", "larger"), [("setup", "demo"), ("demo", "dev")])
def test_the_smaller_lock_is_part_of_the_larger(smaller: str, larger: str):
    """The tests run what the demo runs."""
    there = pins(larger)

    assert {k: str(v) for k, v in pins(smaller).items()} == {
        k: str(there[k]) for k in pins(smaller)
    }


def test_the_pages_lock_is_made_from_what_they_ask_for():
    """`npm ci` refuses a lock that is out of step; this says so sooner."""
    asked = json.loads((ROOT / "package.json").read_text())
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]

    for kind in ("dependencies", "devDependencies"):
        assert locked[""].get(kind, {}) == asked.get(kind, {}), "run: make lock"
    assert all("integrity" in one for path, one in locked.items() if path), "a package has no hash"

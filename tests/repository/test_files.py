"""What is committed works elsewhere: it names no registry, no machine and nobody's directories."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: Taken apart here, so that this file does not hold what it looks for.
ELSEWHERE = {
    "a package registry": r"(pypi|pythonhosted|npmjs|crates|maven)" r"\.(org|com|io)\b",
    # Go's modules have names that look like addresses, as golang.org/x/net: those are no registry.
    "Go's module proxy": r"(proxy|sum|index)" r"\.golang\.org",
    "a mirror of Debian": r"deb" r"\.debian\.org",
    "a content network": r"(jsdelivr|unpkg|cdnjs|googleapis)" r"\.(net|com)\b",
    "a machine's path": r"(?<![\w.])/(" r"work|root)/\w|/tmp/" r"(plan|probe)\b|/home/\w+/",
}
#: How each kind of file is read; one that cannot be is found here, not by a visitor.
READERS = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": lambda text: list(yaml.safe_load_all(text)),
    ".yml": lambda text: list(yaml.safe_load_all(text)),
}


def committed() -> list[Path]:
    """Return the files under version control that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


@pytest.mark.parametrize("what", ELSEWHERE)
def test_no_committed_file_names(what: str):
    """Set-up asks whichever registry the machine is set up for, and pages load nothing afar."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in committed()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if re.search(ELSEWHERE[what], line)
    ]

    assert found == []


def test_every_data_file_can_be_read():
    """YAML, TOML and JSON parse, dashboards and compose files too."""
    for path in committed():
        if reader := READERS.get(path.suffix):
            try:
                reader(path.read_text())
            except (ValueError, yaml.YAMLError) as error:
                raise AssertionError(f"{path.relative_to(ROOT)}: {error}") from error


def test_every_text_ends_with_a_newline():
    """Diffs show what changed, and nothing else."""
    written = [path for path in committed() if path.suffix in {".py", ".md", *READERS}]

    assert [str(path) for path in written if not path.read_bytes().endswith(b"\n")] == []


def test_the_locks_say_nothing_of_where_packages_came_from():
    """Neither lock has an address in it, of any host, but where a package asks for donations."""
    locks = {path.name: path.read_text() for path in (ROOT / "deploy/requirements").glob("*.txt")}
    pages = json.loads((ROOT / "package-lock.json").read_text())
    for package in pages["packages"].values():
        package.pop("funding", None)
    locks["package-lock.json"] = json.dumps(pages)

    assert [name for name, text in locks.items() if "://" in text] == []

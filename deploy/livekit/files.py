"""Fill in the configuration files: `${NAME:-value}`, from the environment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent

#: As shells and compose files write it: what stands after `:-` counts when the name is not set.
HOLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")

FILES: Final = ("livekit.yaml", "ingress.yaml", "egress.yaml")


def names() -> dict[str, str]:
    """Give every name that stands in the files, with the value it has when nobody sets it."""
    found = HOLE.findall("".join((HERE / name).read_text() for name in FILES))
    return dict(found)


def write_files(folder: Path, values: Mapping[str, str]) -> None:
    """Write the files with everything filled in; they hold secrets, so only we may read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        target = folder / name
        target.touch(mode=0o600)
        target.write_text(fill((HERE / name).read_text(), values))


def fill(text: str, values: Mapping[str, str]) -> str:
    return HOLE.sub(lambda hole: values.get(hole[1]) or hole[2], text)

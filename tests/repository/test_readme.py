"""The README says what the tables say."""

import re
from pathlib import Path

from orchestration.settings import Settings
from orchestration.states import TRANSITIONS

README = Path(__file__).parents[2] / "README.md"


def test_the_drawing_of_what_a_session_may_become_is_the_table() -> None:
    """A transition that is added or removed is drawn, or this prints the drawing to paste."""
    # Given
    lines = ["stateDiagram-v2", "    [*] --> scheduled"]
    for phase, nexts in TRANSITIONS.items():
        lines += [f"    {phase} --> {after}" for after in TRANSITIONS if after in nexts]
        lines += [] if nexts else [f"    {phase} --> [*]"]
    expected = "\n".join(lines)

    # When
    found = re.search(r"```mermaid\n(.*?)\n```", README.read_text(), re.DOTALL)

    # Then
    assert found is not None
    assert expected == found.group(1), f"\n{expected}"


def test_every_setting_that_the_readme_names_exists() -> None:
    """Somebody who copies a name from the README sets something."""
    # Given
    known = {f"GREENROOM_{name.upper()}" for name in Settings.model_fields}
    known |= {"LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "GREENROOM_DEMO_SECONDS"}

    # When
    named = set(re.findall(r"\b(?:GREENROOM|LIVEKIT)_[A-Z0-9_]+", README.read_text()))

    # Then
    assert named <= known


def test_every_place_that_the_readme_names_exists() -> None:
    """A path in the README can be opened."""
    # Given
    text = README.read_text()

    # When
    named = set(
        re.findall(r"`((?:api|orchestration|workers|observability|deploy|tests)/[\w/.]+)`", text)
    )

    # Then
    assert named
    assert not [place for place in named if not (README.parent / place).exists()]

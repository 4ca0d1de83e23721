"""What a session may become."""

from itertools import product

import pytest

from orchestration.states import (
    OVER,
    TRANSITIONS,
    EndReason,
    Phase,
    Status,
    last_phase,
    may_become,
    status_of,
)


def test_every_phase_has_its_row_and_can_be_reached() -> None:
    """A phase nobody can enter, or that leads nowhere by mistake, is a mistake in the table."""
    # Given
    reached = set().union(*TRANSITIONS.values()) | {Phase.SCHEDULED}

    # Then
    assert set(Phase) == set(TRANSITIONS)
    assert set(Phase) == reached


def test_every_phase_that_is_not_over_can_end() -> None:
    """`end` works from everywhere."""
    for phase in set(Phase) - OVER - {Phase.ENDING}:
        assert may_become(phase, Phase.ENDING)


@pytest.mark.parametrize(("over", "after"), [*product(sorted(OVER), Phase)])
def test_nothing_leaves_a_phase_that_is_over(over: Phase, after: Phase) -> None:
    """A late worker cannot bring a show back."""
    assert may_become(over, after) is (over is after)


def test_an_ending_show_is_live_until_it_is_over_if_it_was() -> None:
    """`ended` is only said when everything is closed."""
    assert status_of(Phase.ENDING, was_on_air=True) is Status.LIVE
    assert status_of(Phase.ENDING, was_on_air=False) is Status.SCHEDULED


@pytest.mark.parametrize("reason", [*EndReason, None])
def test_every_reason_ends_in_a_phase_that_is_over(reason: EndReason | None) -> None:
    """Ending always arrives."""
    assert last_phase(reason) in OVER

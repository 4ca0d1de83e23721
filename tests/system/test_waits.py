"""Waiting ends with an answer, or with a reason."""

import itertools

import pytest

from tests.system.waits import until


async def test_the_first_true_answer_is_returned():
    """Exceptions on the way mean: not yet."""
    answers = itertools.count()

    def look() -> int:
        answer = next(answers)
        if answer == 1:
            raise ConnectionError
        return answer

    assert await until(look, what="an answer", every=0.0) == 2


async def test_a_wait_in_vain_says_what_was_seen_last():
    """The message is all that a reader of the log has."""

    async def look() -> None:
        raise ConnectionError("refused")

    with pytest.raises(AssertionError, match=r"for the server; last seen: .*refused"):
        await until(look, what="the server", within=0.01)

"""What holds for whatever the pieces do together."""

from collections.abc import Iterator

import pytest

from tests.integration.lock_order import LockOrder


@pytest.fixture(autouse=True)
def lock_order() -> Iterator[None]:
    """Fail a test whose transactions locked rows in an order of their own."""
    order = LockOrder()
    order.watch()
    yield
    order.leave()
    assert order.trespasses == []

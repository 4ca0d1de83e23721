"""Who may read the metrics: this machine and its network, and nobody else."""

import pytest

from api.health import _is_near


@pytest.mark.parametrize(
    ("remote", "is_near"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.31.0.9", True),
        ("192.168.7.7", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("fd00::5", True),
        (None, True),  # a UNIX socket
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("2001:4860:4860::8888", False),
        ("::ffff:8.8.8.8", False),
        ("no address", False),
    ],
)
def test_metrics_are_for_who_is_near(remote: str | None, is_near: bool) -> None:  # a column
    """B88: an address that cannot be read is a stranger's."""
    assert _is_near(remote) is is_near

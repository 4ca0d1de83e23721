"""A port for a test is one that nobody uses."""

import socket

from tests.system.ports import free_port, is_open


def test_a_free_port_can_be_taken():
    """Nobody listens there, and somebody can."""
    port = free_port()
    assert not is_open(port)

    with socket.create_server(("127.0.0.1", port)):
        assert is_open(port)

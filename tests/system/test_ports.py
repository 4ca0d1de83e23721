"""A port that was drawn is nobody else's, whoever else draws at the same time."""

import os
import socket
import sys

import pytest

from deploy import ports
from deploy.ports import free_port, is_listening
from tests.system import processes

#: An address and ports that no server uses.
HOST, FEW = "127.0.0.77", range(19_990, 19_994)
DRAW_TWO = f"""
import time
from deploy import ports
ports.DRAWN_FROM, ports.DRAWS = {FEW!r}, {len(FEW)}
print("drawn", *(ports.free_port(host={HOST!r}) for _ in "12"), "and kept", flush=True)
time.sleep(600)
"""


def test_a_free_port_can_be_taken() -> None:
    """Nobody listens there, and somebody can."""
    port = free_port()
    assert not is_listening(port)

    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)


def test_a_wanted_port_is_given_unless_somebody_has_it() -> None:
    """The usual port is what people expect; beside another server it is another one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        instead = free_port(taken)

    assert instead != taken
    assert free_port(taken) == taken


def test_no_drawn_port_is_given_to_a_client() -> None:
    """The kernel's own range begins behind ours: no connection sits on a port that was drawn."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] >= ports.DRAWN_FROM.stop


async def test_two_processes_never_draw_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when no server listens there yet; what the dead had drawn is free again."""
    monkeypatch.setattr(ports, "DRAWN_FROM", FEW)
    monkeypatch.setattr(ports, "DRAWS", len(FEW))
    drawn: list[int] = []
    monkeypatch.setattr(ports, "_drawn", drawn)

    async with processes.running([sys.executable, "-c", DRAW_TWO], ready="and kept") as other:
        theirs = {int(word) for word in other.log().split()[1:3]}
        ours = {free_port(host=HOST), free_port(host=HOST)}
        with pytest.raises(OSError, match="no port"):
            free_port(host=HOST)
    again = {free_port(host=HOST), free_port(host=HOST)}
    for file in drawn:
        os.close(file)

    assert ours | theirs == set(FEW)
    assert again == theirs

"""Ports for servers that have to be told theirs before they start."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

#: Below what the kernel gives to clients and to servers that take any port: nobody else draws here.
DRAWN_FROM: Final = range(20_000, 32_000)
#: So many draws without a free one: the machine has a trouble of another kind.
DRAWS: Final = 500

#: The locked files of the ports that this process has drawn: they are its own until it ends.
_drawn: Final[list[int]] = []


def free_port(wanted: int = 0, *, host: str = "127.0.0.1", is_udp: bool = False) -> int:
    """Give the wanted port if it is free, else one that nobody draws before this process ends.

    A drawn port stays ours while its server starts, is killed, and starts again. Raises OSError
    when none is free.
    """
    if wanted and _is_free(wanted, host, is_udp=is_udp):
        return wanted
    for port in random.SystemRandom().sample(DRAWN_FROM, DRAWS):
        if _is_free(port, host, is_udp=is_udp) and _draw(port):
            return port
    raise OSError(f"no port of {DRAWN_FROM.start} to {DRAWN_FROM.stop} is free")


def is_listening(port: int, *, host: str = "127.0.0.1") -> bool:
    """Say whether somebody accepts connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def _is_free(port: int, host: str, *, is_udp: bool) -> bool:
    kind = socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if not is_udp:
            # As servers do: a port that was closed a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _draw(port: int) -> bool:
    """Lock a port's file; the kernel opens the lock when this process ends, however it ends."""
    folder = Path(tempfile.gettempdir()) / f"greenroom-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _drawn.append(file)
    return True

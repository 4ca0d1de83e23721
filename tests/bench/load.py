"""Ask one server for the same few things as fast as it answers: a process of its own.

Plain sockets and epoll, no HTTP library: it spends some 10 us a request, a tenth of what any
aiohttp server spends, so that the server is what is measured. Its own share of a core is told.
"""

import asyncio
import json
import re
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

#: As browsers and proxies keep open to one server process.
CONNECTIONS = 64
#: Where an answer's headers end.
_HEADERS_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
#: A server that says nothing for so long does not work.
_SILENCE_SECONDS = 10


@dataclass(frozen=True)
class Counted:
    """What came back."""

    answers: int
    seconds: float
    wrong: int  #: answers with another status than the first request's answer should have
    busy: float  #: how much of a core this client used, 0 to 1
    last_wrong: str = ""

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds


async def load(
    url: str,
    requests: Sequence[bytes],
    *,
    status: int,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Counted:
    """Load a server from another process, and count. Raises AssertionError for wrong answers.

    Each connection begins at another of the requests and goes round.
    """
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    told = {
        "address": [host, int(port)],
        "requests": [request.decode("latin-1") for request in requests],
        "status": status,
        "seconds": seconds,
        "connections": connections,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate(json.dumps(told).encode())
    assert process.returncode == 0, "the load client failed"
    counted = Counted(**json.loads(said))
    assert counted.wrong == 0, f"{counted.wrong} wrong answers: {counted.last_wrong}"
    return counted


def request(method: str, path: str, url: str, **headers: str) -> bytes:
    """Write a request as it goes over the wire."""
    host = url.removeprefix("http://").partition("/")[0]
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    told = json.load(sys.stdin)
    requests = [each.encode("latin-1") for each in told["requests"]]
    counted = _run(
        (told["address"][0], told["address"][1]),
        requests,
        b"HTTP/1.1 %d " % told["status"],
        told["seconds"],
        told["connections"],
    )
    json.dump(asdict(counted), sys.stdout)


class _Connection:
    """One connection: a request under way, always."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], first: int) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = requests
        self.next = first
        self.came = b""

    def ask(self) -> None:
        self.socket.send(self.requests[self.next % len(self.requests)])
        self.next += 1

    def answer(self) -> bytes | None:
        """Read what there is; the answer when it is whole."""
        came = self.socket.recv(65_536)
        if not came:
            raise ConnectionError("the server closed a connection")
        self.came = self.came + came if self.came else came
        end = self.came.find(_HEADERS_END)
        if end < 0:
            return None
        length = _LENGTH.search(self.came, 0, end)
        if len(self.came) < end + len(_HEADERS_END) + (int(length[1]) if length else 0):
            return None
        answer, self.came = self.came, b""
        return answer


def _run(
    address: tuple[str, int],
    requests: Sequence[bytes],
    wanted: bytes,
    seconds: float,
    connections: int,
) -> Counted:
    poll = select.epoll()
    open_ones = {}
    for number in range(connections):
        connection = _Connection(address, requests, number)
        open_ones[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    answers = wrong = 0
    last_wrong = b""
    began_at, worked = time.monotonic(), time.process_time()
    until = began_at + seconds
    for connection in open_ones.values():
        connection.ask()
    while time.monotonic() < until:
        ready = poll.poll(_SILENCE_SECONDS)
        if not ready:
            raise ConnectionError("the server fell silent")
        for number, _ in ready:
            connection = open_ones[number]
            answer = connection.answer()
            if answer is None:
                continue
            answers += 1
            if not answer.startswith(wanted):
                wrong, last_wrong = wrong + 1, answer
            connection.ask()
    took = time.monotonic() - began_at
    busy = (time.process_time() - worked) / took
    return Counted(answers, took, wrong, busy, last_wrong[:300].decode("latin-1"))


if __name__ == "__main__":
    main()

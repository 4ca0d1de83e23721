"""The floor of a ring: a process that waits at a Redis list, and says when something came."""

import sys
import time
from typing import Any

import redis

#: Where it waits, and what it says first.
KEY = "bench:floor"
READY = "ready"


def main(url: str) -> None:
    client = redis.Redis.from_url(url)
    client.ping()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    while True:
        came: Any = client.blpop([KEY], timeout=0)  # a pair: it waits without end
        reached_at = time.monotonic_ns()
        sys.stdout.write(f"{came[1].decode()} {reached_at}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])

"""Ids as LiveKit makes them, and the clock in the units it writes."""

import secrets
import time

#: No 0, O, I, l: LiveKit's alphabet can be read out over the telephone.
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

#: LiveKit's ids have twelve characters after the prefix.
LENGTH = 12


def guid(prefix: str = "") -> str:
    """Make an id such as `RM_xhkNkfmiPRLX`."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def now_ns() -> int:
    return time.time_ns()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def now_s() -> int:
    return time.time_ns() // 1_000_000_000

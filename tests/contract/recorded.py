"""Which fields a real livekit-server 1.13 sent in each kind of webhook, and a look for them.

`recorded_fields.json` was made from bodies recorded on 2026-11-24: by kind of event, the paths
that were always there and those that were there sometimes. What a request says comes back as it
was, so the echo of it is left out. An ingress tells of its start with the first track that it
decodes, or with both; a small picture is published in one size only; and
a room's counts are what they are at that moment.
"""

from pathlib import Path
from typing import Any

import orjson

ECHO = ("egressInfo.egress.", "egressInfo.participant.")


def recorded() -> dict[str, dict[str, list[str]]]:
    return orjson.loads(Path(__file__).with_name("recorded_fields.json").read_bytes())


def kind(body: dict[str, Any]) -> str:
    """Say which kind of webhook this is: its event, and what it is about."""
    about = ""
    if "kind" in body.get("participant", {}):
        about = body["participant"]["kind"].lower()
    elif "track" in body:
        about = body["track"].get("type", "AUDIO").lower()
    elif "egressInfo" in body:
        about = body["egressInfo"].get("status", "EGRESS_STARTING").lower()[7:]
    return f"{body['event']}/{about}" if about else body["event"]


def fields(body: dict[str, Any]) -> set[str]:
    """List every path in a body."""
    return {path for path in _paths(body, "") if not path.startswith(ECHO)}


def _paths(value: Any, path: str) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            found |= {here} | _paths(inner, here)
    elif isinstance(value, list):
        for inner in value:
            found |= _paths(inner, f"{path}[]")
    return found

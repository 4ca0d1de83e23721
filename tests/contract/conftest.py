"""The LiveKit under test: the stand-in as a real process, or the server the environment names.

CONTRACT_LIVEKIT_URL, CONTRACT_LIVEKIT_KEY, CONTRACT_LIVEKIT_SECRET (and CONTRACT_LIVEKIT_OUT, a
directory that the server's egress and these tests both see) point the same cases at a real
livekit-server; CONTRACT_LIVEKIT_HOOKS is the address, on this machine, that it sends its webhooks
to: http://127.0.0.1:PORT/hook. What only the stand-in can do is then not collected.
"""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from livekit import api

from tests.contract.control import Control
from tests.contract.encoders import Encoders
from tests.contract.hooks import Receiver
from tests.system import processes

URL = "CONTRACT_LIVEKIT_URL"

HOOKS = "CONTRACT_LIVEKIT_HOOKS"

#: Fixtures that only the stand-in can give.
ONLY_STANDIN = {"standin", "standin_process"}

#: What a studio arranges by the stand-in's control address.
ARRANGED = {"join", "fail", "egress_dies", "workers_gone", "without_v2", "forget_everything"}

KEY = "contract-key"
SECRET = "contract-secret-contract-secret-contract"


@dataclass(frozen=True)
class Server:
    """One LiveKit: where it is, and how to call it. `control_url` is None for a real one."""

    url: str
    key: str
    secret: str
    control_url: str | None = None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the stand-in's own cases out where a real server is asked."""
    if URL not in os.environ:
        return
    own = [item for item in items if is_only_of_the_standin(item)]
    items[:] = [item for item in items if item not in own]
    config.hook.pytest_deselected(items=own)


def is_only_of_the_standin(item: pytest.Item) -> bool:
    """Say whether a case needs what a real server cannot be told to do, or no server at all."""
    assert isinstance(item, pytest.Function)
    needs = set(item.fixturenames)
    if "studio" in needs:
        in_memory = "in_memory" in item.name
        return in_memory or bool(ARRANGED & set(item.function.__code__.co_names))
    return bool(ONLY_STANDIN & needs) or ("hooks" in needs and HOOKS not in os.environ)


def run_standin(
    *options: str, scratch: Path | None = None
) -> tuple[processes.Process, dict[str, str]]:
    """Start a stand-in on free ports; give the process and its line of addresses.

    `scratch` is where its egresses keep what is not finished.
    """
    process = processes.start(
        [
            *(sys.executable, "-m", "deploy.standin"),
            *("--port", "0", "--rtmp-port", "0", "--control-port", "0"),
            *("--api-key", KEY, "--api-secret", SECRET),
            *options,
        ],
        name="standin",
        environment={"TMPDIR": str(scratch)} if scratch else None,
    )
    process.ready_sync(lambda: '{"ready": true' in process.log())
    lines = [line for line in process.log().splitlines() if line.startswith('{"ready"')]
    return process, orjson.loads(lines[0])


@pytest.fixture(scope="session")
def livekit() -> Iterator[Server]:
    """Give the LiveKit under test."""
    if URL in os.environ:
        key, secret = (os.environ[f"CONTRACT_LIVEKIT_{name}"] for name in ("KEY", "SECRET"))
        yield Server(os.environ[URL], key, secret)
        return
    process, ready = run_standin("--source-wait", "2", "--webhook-retry", "0.05")
    try:
        yield Server(ready["url"], KEY, SECRET, ready["control_url"])
    finally:
        process.stop()


@pytest.fixture
async def client(livekit: Server) -> AsyncIterator[api.LiveKitAPI]:
    """Give LiveKit's own client."""
    async with api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as client:
        yield client


@pytest.fixture
async def standin(livekit: Server) -> AsyncIterator[Control]:
    """Give the stand-in's control address; no fault outlives the test."""
    assert livekit.control_url is not None
    async with Control(livekit.control_url) as control:
        yield control
        await control.clear()


@pytest.fixture
async def hooks(livekit: Server, room_name: str) -> AsyncIterator[Receiver]:
    """Receive webhooks for the length of one test."""
    if livekit.control_url is None:
        port = urlsplit(os.environ[HOOKS]).port or 80
        async with Receiver(livekit.key, livekit.secret, port=port, room=room_name) as receiver:
            yield receiver
        return
    async with (
        Control(livekit.control_url) as standin,
        Receiver(livekit.key, livekit.secret) as receiver,
    ):
        await standin.send_webhooks_to(receiver.url)
        yield receiver
        await standin.send_webhooks_to()
        await standin.clear()


@pytest.fixture
async def encoders() -> AsyncIterator[Encoders]:
    """Run encoders; none outlives the test."""
    encoders = Encoders()
    yield encoders
    await encoders.stop()


@pytest.fixture
def room_name() -> str:
    """Give a name no other test uses."""
    return f"contract-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give a directory that the egress can write to."""
    shared = os.environ.get("CONTRACT_LIVEKIT_OUT")
    return Path(shared) / uuid.uuid4().hex if shared else tmp_path / "out"

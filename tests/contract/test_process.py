"""The stand-in as a program: what it prints, what it listens to, what it leaves behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from livekit import api

from deploy.standin.app import Standin
from tests.contract.conftest import KEY, SECRET, run_standin
from tests.contract.encoders import Encoders, fate
from tests.contract.requests import make_ingress, media_egress
from tests.contract.test_broadcast import has_segments, publish
from tests.system.processes import Process
from tests.system.waits import until


async def test_it_says_where_it_is(tmp_path: Path) -> None:
    """One line of JSON on stdout; its log is JSON too; SIGTERM ends it with 0."""
    process, ready = run_standin()
    try:
        assert ready.keys() == {"ready", "url", "rtmp_url", "control_url", "pid"}
        assert ready["pid"] == process.pid
        assert ready["rtmp_url"].startswith("rtmp://127.0.0.1:")
        async with api.LiveKitAPI(ready["url"], KEY, SECRET) as client:
            await client.room.list_rooms(api.ListRoomsRequest())
        process.terminate()
        assert await process.ended() == 0
        assert all(orjson.loads(line) for line in process.log().splitlines())
    finally:
        process.stop()


def test_it_explains_itself() -> None:
    """`--help` names the options and how to reach faults."""
    command = [sys.executable, "-m", "deploy.standin", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    for option in ("--port", "--rtmp-port", "--control-port", "--webhook-url", "STANDIN_"):
        assert option in text


def test_the_environment_can_tell_it_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the options do; an option comes first."""
    from deploy.standin.__main__ import parse  # noqa: PLC0415 - `__main__` is no module to keep

    environment = {
        "STANDIN_PORT": "7999",
        "STANDIN_API_KEY": "k",
        "STANDIN_WEBHOOK_URL": "http://a http://b",
    }

    options, level = parse(["--api-key", "told"], environment)

    assert (options.port, options.api_key, level) == (7999, "told", "info")
    assert options.webhook_urls == ("http://a", "http://b")


async def test_it_can_live_inside_a_test(room_name: str) -> None:
    """`async with Standin()` needs no process and leaves no warning."""
    async with Standin() as standin:
        options = standin.options
        async with api.LiveKitAPI(standin.url, options.api_key, options.api_secret) as client:
            made = await make_ingress(client, room_name)

    assert made.url == standin.rtmp_url


@pytest.mark.media
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_it_leaves_no_ffmpeg_behind(
    encoders: Encoders, room_name: str, tmp_path: Path, how: signal.Signals
) -> None:
    """Whether it ends in order or is killed; encoders lose their connection."""
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    process, ready = run_standin(scratch=scratch)
    try:
        async with api.LiveKitAPI(ready["url"], KEY, SECRET) as client:
            _, encoder = await publish(client, encoders, room_name)
            await client.egress.start_egress(media_egress(room_name, out))
            await has_segments(out / "vod.m3u8", 1)
        assert len(process.family()) > 1

        os.kill(process.pid, how)

        await process.ended()
        await until(lambda: not family(process), what="every ffmpeg to end")
        code, _ = await fate(encoder)
        assert code != 0
        if how != signal.SIGKILL:
            assert no_files(scratch)
    finally:
        process.stop()


def family(process: Process) -> list[object]:
    return list(process.family())


def no_files(directory: Path) -> bool:
    return not list(directory.iterdir())

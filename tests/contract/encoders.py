"""Real encoders that push a test picture with a tone by RTMP."""

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process

import imageio_ffmpeg

from tests.system.waits import PATIENCE


class Encoders:
    """The encoders of one test."""

    def __init__(self) -> None:
        self._running: list[Process] = []

    async def push(self, url: str, *, sound: bool = True, size: str = "320x180") -> Process:
        """Start pushing to a full address."""
        sources = ["-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25"]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50"]
        if sound:
            sources += ["-f", "lavfi", "-i", "sine=frequency=440"]
            codecs += ["-c:a", "aac"]
        encoder = await asyncio.create_subprocess_exec(
            ffmpeg(),
            *("-hide_banner", "-loglevel", "error", *sources, *codecs),
            *("-pix_fmt", "yuv420p", "-f", "flv", url),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            start_new_session=True,
        )
        self._running.append(encoder)
        return encoder

    async def stop(self, encoder: Process | None = None) -> None:
        """Stop one encoder as its operator would, or all of them."""
        for one in self._running if encoder is None else [encoder]:
            if one.returncode is None:
                one.terminate()
            await asyncio.wait_for(one.communicate(), PATIENCE)


async def fate(encoder: Process) -> tuple[int, str]:
    """Wait until an encoder has ended; gives its exit code and its last words."""
    _, complaints = await asyncio.wait_for(encoder.communicate(), PATIENCE)
    assert encoder.returncode is not None
    return encoder.returncode, complaints.decode(errors="replace")


def ffmpeg() -> str:
    return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()

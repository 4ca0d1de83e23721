"""ffmpeg: one run turns one stream of media into segments and images, another joins segments."""

import asyncio
import contextlib
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import structlog

from deploy.standin import flv
from deploy.standin.flv import Tag
from deploy.standin.outputs import Encoding, Plan
from deploy.standin.streams import Stream, Subscription

log = structlog.get_logger("standin.media")

#: How long sound may come after the picture and still be in the first segment.
AUDIO_WAIT_SECONDS = 0.6

#: After its input ended, ffmpeg has this long to write what it has.
FLUSH_SECONDS = 20.0

#: The egress' sound: what the real one writes.
AUDIO_RATE = 48000

#: Lines of ffmpeg's complaints that are kept for an error message.
LOG_LINES = 20

#: Files of one run: `r0-00003.ts`, `r0-i0-00001.jpeg`.
SEGMENT_PATTERN = "r{run}-%05d.ts"


class MediaError(Exception):
    """ffmpeg failed; the text is its last complaint."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The picture that every run of one egress writes, so that the runs can be joined."""

    width: int
    height: int
    framerate: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A closed segment on local disk; `began_at` is wall clock, Unix seconds."""

    path: Path
    seconds: float
    began_at: float


def find_ffmpeg(told: str | None) -> str:
    """Find ffmpeg: the one told, the machine's, or the one in the wheel."""
    return told or shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()


def shape_of(stream: Stream, wanted: Encoding) -> Shape:
    """Fit the source into what was asked for, never larger than it is."""
    header = stream.video_header
    metadata = flv.read_metadata(stream.metadata.payload) if stream.metadata else {}
    source = flv.video_format(header, metadata) if header else flv.VideoFormat("")
    width, height = source.width or wanted.width, source.height or wanted.height
    scale = min(1.0, wanted.width / width, wanted.height / height)
    framerate = float(wanted.framerate)
    if 1.0 <= source.framerate < framerate:
        framerate = round(source.framerate, 3)
    return Shape(_even(width * scale), _even(height * scale), framerate)


def _even(size: float) -> int:
    return max(2, round(size / 2) * 2)


class Run:
    """One ffmpeg, from the moment media is there until it goes or nobody wants it."""

    def __init__(
        self,
        ffmpeg: str,
        *,
        number: int,
        stream: Stream,
        plan: Plan,
        shape: Shape,
        directory: Path,
    ) -> None:
        self._ffmpeg = ffmpeg
        self._number = number
        self._stream = stream
        self._plan = plan
        self._shape = shape
        self._directory = directory
        self._began_at = 0.0
        self._subscription: Subscription | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._complaints: deque[str] = deque(maxlen=LOG_LINES)
        self.killed = False

    async def start(self) -> None:
        """Begin with the picture of this moment."""
        await self._wait_for_audio()
        cached, self._subscription = self._stream.listen()
        now = time.time()
        # What lies between the last key frame and now is decoded but not shown.
        skip = max(0.0, now - self._stream.key_frame_at) if cached else 0.0
        self._began_at = now
        self._process = await asyncio.create_subprocess_exec(
            self._ffmpeg,
            *self._arguments(skip),
            cwd=self._directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C is for the stand-in, which then ends its runs in order.
            start_new_session=True,
        )
        self._tasks = [
            asyncio.create_task(self._feed(cached, self._subscription)),
            asyncio.create_task(self._listen()),
        ]

    async def pieces(self) -> AsyncIterator[Piece]:
        """Give each segment as it is closed, until ffmpeg ends. Raises MediaError."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            name, start, end = line.decode().strip().rsplit(",", 2)
            began, ended = float(start), float(end)
            yield Piece(self._directory / name, ended - began, self._began_at + began)
        await self._wait()

    def images(self, index: int) -> list[Path]:
        """List the finished images of one series, oldest first."""
        return sorted(self._directory.glob(f"r{self._number}-i{index}-*.jpeg"))

    def stop(self) -> None:
        """Take no more media; what is there is written out."""
        if self._subscription is not None:
            self._subscription.close()

    def kill(self) -> None:
        """End ffmpeg at once."""
        self.killed = True
        self.stop()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None and self._process.returncode is None:
            self.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.wait()

    async def _wait(self) -> None:
        assert self._process is not None
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        # A stream of a few frames gives ffmpeg nothing to write: that is not its fault.
        if code != 0 and not self.killed and not self._stream.ended:
            raise MediaError("; ".join(self._complaints) or f"ffmpeg ended with {code}")

    async def _wait_for_audio(self) -> None:
        left = self._stream.started_at + AUDIO_WAIT_SECONDS - time.time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stream.sound_came.wait(), max(left, 0.0))

    async def _feed(self, cached: list[Tag], subscription: Subscription) -> None:
        """Write the stream as an FLV file that never ends until it does."""
        assert self._process is not None
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(flv.file_header(video=self._stream.has_video, audio=self._stream.has_audio))
            for header in self._stream.headers():
                pipe.write(header.at(0).to_bytes())
            base = cached[0].timestamp if cached else None
            for tag in cached:
                pipe.write(tag.at(max(0, tag.timestamp - (base or 0))).to_bytes())
            await pipe.drain()
            async for tag in subscription.tags():
                if base is None:
                    if self._stream.has_video and not tag.is_key_frame:
                        continue
                    base = tag.timestamp
                    self._began_at = time.time()
                pipe.write(tag.at(max(0, tag.timestamp - base)).to_bytes())
                await pipe.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # ffmpeg is gone; whoever reads its segments learns why
        finally:
            pipe.close()

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            self._complaints.append(text)
            log.debug("ffmpeg", line=text)

    def _arguments(self, skip: float) -> list[str]:
        stream, plan = self._stream, self._plan
        graph, maps = self._graph(skip)
        seconds = plan.segment_seconds
        return [
            *("-hide_banner", "-nostats", "-loglevel", "error"),
            # Both decoders are set up by the first tags: nothing has to be guessed.
            *("-probesize", "32", "-analyzeduration", "0", "-f", "flv", "-i", "pipe:0"),
            *("-filter_complex_threads", "1", "-filter_complex", graph),
            *(["-map", "[v]", *self._video()] if stream.has_video else []),
            *("-map", "[a]", "-c:a", "aac", "-b:a", f"{plan.encoding.audio_kbps}k"),
            *([] if stream.has_audio else ["-shortest", "-shortest_buf_duration", "0.1"]),
            *("-max_interleave_delta", "500000", "-flush_packets", "1"),
            *("-f", "segment", "-segment_format", "mpegts"),
            *("-segment_time", str(seconds), "-segment_time_delta", "0.02"),
            *("-segment_list", "pipe:1", "-segment_list_type", "csv"),
            SEGMENT_PATTERN.format(run=self._number),
            *maps,
        ]

    def _graph(self, skip: float) -> tuple[str, list[str]]:
        """Build the filters, and the outputs of the images."""
        shape = self._shape
        width, height = shape.width, shape.height
        chains: list[str] = []
        maps: list[str] = []
        if self._stream.has_video:
            series = list(enumerate(self._plan.images))
            chains.append(
                f"[0:v]trim=start={skip:.3f},setpts=PTS-{skip:.3f}/TB,"
                f"fps={shape.framerate}:start_time=0,"
                f"scale={width}:{height}:force_original_aspect_ratio=decrease,"
                f"pad={width}:{height}:-1:-1,setsar=1,format=yuv420p"
                + (f",split={len(series) + 1}[v]" if series else "[v]")
                + "".join(f"[s{index}]" for index, _ in series)
            )
            for index, images in series:
                size = f"{images.width or -2}:{images.height or -2}"
                scale = f",scale={size}" if images.width or images.height else ""
                chains.append(
                    f"[s{index}]select='isnan(prev_selected_t)"
                    f"+gte(t-prev_selected_t,{images.seconds})'{scale},format=yuvj420p[i{index}]"
                )
                maps += ["-map", f"[i{index}]", "-fps_mode", "passthrough", "-threads", "1"]
                maps += ["-q:v", "5", "-f", "image2", "-atomic_writing", "1"]
                maps += [f"r{self._number}-i{index}-%05d.jpeg"]
        if self._stream.has_audio:
            chains.append(
                f"[0:a]atrim=start={skip:.3f},asetpts=PTS-{skip:.3f}/TB,"
                f"aresample={AUDIO_RATE}:async=1:first_pts=0,aformat=channel_layouts=stereo[a]"
            )
        else:
            chains.append(f"anullsrc=r={AUDIO_RATE}:cl=stereo[a]")
        return ";".join(chains), maps

    def _video(self) -> list[str]:
        kbps = self._plan.encoding.video_kbps
        seconds = self._plan.segment_seconds
        return [
            *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"),
            *("-threads", "1", "-crf", "23", "-maxrate", f"{kbps}k", "-bufsize", f"{2 * kbps}k"),
            *("-g", str(round(self._shape.framerate * seconds)), "-sc_threshold", "0"),
            *("-force_key_frames", f"expr:gte(t,n_forced*{seconds})"),
        ]


async def join(ffmpeg: str, pieces: list[Path], target: Path) -> None:
    """Join segments into an mp4 without encoding them again. Raises MediaError."""
    listing = target.with_suffix(".txt")
    lines = "".join(f"file '{piece}'\n" for piece in pieces)
    await asyncio.to_thread(listing.write_text, lines)
    process = await asyncio.create_subprocess_exec(
        ffmpeg,
        *("-hide_banner", "-nostats", "-loglevel", "error", "-y"),
        *("-f", "concat", "-safe", "0", "-i", str(listing)),
        *("-c", "copy", "-movflags", "+faststart", str(target)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise MediaError(complaints.decode(errors="replace").strip()[-500:])

"""Segments joined to one mp4 without re-encoding."""

import asyncio
import io
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from orchestration.recordings import threads
from orchestration.recordings.probe import TS_PACKET_BYTES, UnreadableMedia

#: Picture and sound of one moment lie less far apart than this in a transport stream.
LOOK_AHEAD_PACKETS = 256

#: Segments that continue each other: no new start of the timestamps in between.
Run: TypeAlias = Sequence[Path]

#: PyAV's packets are generic in its stubs only.
AnyPacket: TypeAlias = "Packet[Stream]"


class _Cancelled(Exception):
    """Whoever wanted this is gone."""


async def join(runs: Sequence[Run], target: Path) -> None:
    """Write the segments one after the other into `target`, its index in front.

    Every run begins where the one before ended, whatever its timestamps were. The same segments
    give the same bytes. Memory is bounded but for the index, some 60 bytes a frame.
    Raises UnreadableMedia when they do not fit together, OSError for the disk's sake.
    """
    cancelled = threading.Event()
    try:
        await threads.apart(_join, runs, target, cancelled)
    except asyncio.CancelledError:
        cancelled.set()  # a thread cannot be cancelled, but it can look
        raise


class _Concatenated:
    """Several segments read as the one transport stream that they are; a file to PyAV."""

    def __init__(self, paths: Run) -> None:
        self._paths = deque(paths)
        self._file: io.BufferedReader | None = None
        self._left = 0

    def read(self, length: int) -> bytes:
        """Read up to `length` bytes, none only at the very end."""
        while self._left == 0 and self._next():
            pass
        if self._file is None:
            return b""
        content = self._file.read(min(length, self._left))
        # Zero too when the file has become shorter meanwhile, or it would be read for ever.
        self._left = self._left - len(content) if content else 0
        return content or self.read(length)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> bool:
        self.close()
        if not self._paths:
            return False
        path = self._paths.popleft()
        self._file = path.open("rb")
        # Half a packet at the end of a cut segment would shift all that follow.
        self._left = path.stat().st_size // TS_PACKET_BYTES * TS_PACKET_BYTES
        return True


class _Writer:
    """The mp4 while it is written: one track for the picture, one for the sound."""

    def __init__(self, output: OutputContainer) -> None:
        self._output = output
        self._tracks: dict[str, Stream] = {}
        self._last_dts: dict[str, Fraction] = {}
        #: Where the next run begins, seconds.
        self._offset = Fraction(0)

    def add_tracks(self, container: InputContainer) -> None:
        """Copy the tracks that are not known yet from a run that has them."""
        for stream in _streams(container):
            if stream.type not in self._tracks and _is_set_up(stream):
                self._tracks[stream.type] = self._output.add_stream_from_template(stream)

    @property
    def has_both(self) -> bool:
        return len(self._tracks) == 2  # noqa: PLR2004  # picture and sound

    @property
    def has_any(self) -> bool:
        return bool(self._tracks)

    def write_run(self, container: InputContainer, cancelled: threading.Event) -> None:
        streams = [stream for stream in _streams(container) if stream.type in self._tracks]
        packets, base = _with_base(container.demux(streams), {stream.index for stream in streams})
        ends = Fraction(0)
        for packet in packets:
            if cancelled.is_set():
                raise _Cancelled
            ends = max(ends, self._write(packet, base))
        self._offset += ends

    def _write(self, packet: AnyPacket, base: Fraction) -> Fraction:
        """Write one packet; return where it ends, seconds after the run's begin."""
        assert packet.dts is not None
        kind, unit = packet.stream.type, packet.time_base
        shift = base - self._offset
        dts = packet.dts * unit - shift
        pts = (packet.dts if packet.pts is None else packet.pts) * unit - shift
        last = self._last_dts.get(kind)
        if last is not None and dts <= last:
            dts = last + unit  # a cut segment can make the next one's first packet come early
        dts_ticks = round(dts / unit)
        pts_ticks = max(dts_ticks, round(pts / unit))
        self._last_dts[kind] = dts_ticks * unit
        lasts = (packet.duration or 0) * unit
        packet.stream = self._tracks[kind]
        packet.dts, packet.pts = dts_ticks, pts_ticks
        # A frame that lost its head is left out; how long the whole became is checked afterwards.
        with suppress(av.InvalidDataError):
            self._output.mux(packet)
        return pts_ticks * unit + lasts - self._offset


def _join(runs: Sequence[Run], target: Path, cancelled: threading.Event) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with av.open(str(target), "w", format="mp4", container_options=options) as output:
            writer = _Writer(output)
            _set_up(writer, runs)
            for run in runs:
                with _opened(run) as container:
                    writer.write_run(container, cancelled)
    except _Cancelled:
        return
    except OSError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableMedia(f"they cannot be joined: {error}") from error


def _set_up(writer: _Writer, runs: Sequence[Run]) -> None:
    """Look until both tracks are known: an mp4's are fixed before its first packet."""
    for run in runs:
        if writer.has_both:
            return
        with _opened(run) as container:
            writer.add_tracks(container)
    if not writer.has_any:
        raise UnreadableMedia("there is neither picture nor sound in them")


@contextmanager
def _opened(run: Run) -> Iterator[InputContainer]:
    source = _Concatenated(run)
    try:
        with av.open(source, "r", format="mpegts") as container:
            yield container
    finally:
        source.close()


def _streams(container: InputContainer) -> list[Stream]:
    return [*container.streams.video[:1], *container.streams.audio[:1]]


def _is_set_up(stream: Stream) -> bool:
    context = stream.codec_context
    return bool(getattr(context, "width", 0) or getattr(context, "sample_rate", 0))


def _with_base(
    packets: Iterator[AnyPacket], streams: set[int]
) -> tuple[Iterator[AnyPacket], Fraction]:
    """Find the earliest timestamp: the first packet of the track that lags may have it."""
    ahead: list[AnyPacket] = []
    waited_for = set(streams)
    timed = (packet for packet in packets if packet.dts is not None and packet.size)
    for packet in timed:
        ahead.append(packet)
        waited_for.discard(packet.stream_index)
        if not waited_for or len(ahead) >= LOOK_AHEAD_PACKETS:
            break
    begins = [packet.dts * packet.time_base for packet in ahead if packet.dts is not None]
    base = min(begins, default=Fraction(0))

    def replayed() -> Iterator[AnyPacket]:
        yield from ahead
        yield from timed

    return replayed(), base

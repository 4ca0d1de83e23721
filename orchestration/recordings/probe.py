"""What is inside a media file: tracks, lengths, and whether it ends where it should."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from orchestration.recordings import threads

#: An MPEG transport stream is made of these; a file of another length was cut.
TS_PACKET_BYTES = 188

#: NAL unit types of H.264: sequence and picture parameter set (ITU-T H.264, table 7-1).
H264_PARAMETER_SETS = frozenset({7, 8})

#: How much of an mp4's end is read to see that its data is there, not only its index.
TAIL_SECONDS = 2.0


class UnreadableMedia(Exception):
    """Nothing in this file can be played."""


@dataclass(frozen=True)
class Track:
    """One elementary stream, as far as joining without re-encoding cares."""

    codec: str
    #: Picture size, or samples a second and channels: for people.
    shape: str
    #: Digest of everything a decoder is set up with; tracks join if it is the same.
    fingerprint: str


@dataclass(frozen=True)
class Probe:
    """What was found in one file."""

    size_bytes: int
    duration_seconds: float
    #: First timestamp in the file; segments of one run continue each other's.
    starts_at_seconds: float
    video: Track | None
    audio: Track | None
    #: Bytes are missing at the end, or packets were marked as damaged.
    cut: bool = False

    @property
    def ends_at_seconds(self) -> float:
        return self.starts_at_seconds + self.duration_seconds


async def probe_segment(path: Path) -> Probe:
    """Read every packet of a transport stream segment. Raises UnreadableMedia, OSError."""
    return await threads.apart(_probe_segment, path)


async def probe_file(path: Path) -> Probe:
    """Read a recording's index and its end. Raises UnreadableMedia, OSError."""
    return await threads.apart(_probe_file, path)


def codecs_fit(probes: Iterable[Probe]) -> bool:
    """Say whether these join without re-encoding; a track that one lacks does not matter."""
    video: set[str] = set()
    audio: set[str] = set()
    for each in probes:
        video.update(track.fingerprint for track in [each.video] if track)
        audio.update(track.fingerprint for track in [each.audio] if track)
    return len(video) <= 1 and len(audio) <= 1


def _probe_segment(path: Path) -> Probe:
    size = path.stat().st_size
    if size == 0:
        raise UnreadableMedia("it is empty")
    try:
        with av.open(str(path), format="mpegts") as container:
            spans = _spans(container, container.demux(_playable(container)))
            found = _described(container, size, spans)
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableMedia(str(error)) from error
    return replace(found, cut=found.cut or size % TS_PACKET_BYTES != 0)


def _probe_file(path: Path) -> Probe:
    size = path.stat().st_size
    if size == 0:
        raise UnreadableMedia("it is empty")
    try:
        with av.open(str(path), format="mp4") as container:
            if not container.duration:
                raise UnreadableMedia("it does not say how long it is")
            seconds = container.duration / av.time_base
            starts_at = (container.start_time or 0) / av.time_base
            container.seek(round(max(0.0, starts_at + seconds - TAIL_SECONDS) * av.time_base))
            tail = _spans(container, container.demux(_playable(container)))
            found = _described(container, size, tail)
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableMedia(str(error)) from error
    return replace(
        found,
        duration_seconds=seconds,
        starts_at_seconds=starts_at,
        cut=found.cut or starts_at + seconds - found.ends_at_seconds > TAIL_SECONDS / 2,
    )


@dataclass
class _Span:
    """How far the packets of one track reach, in seconds."""

    begins: float
    ends: float
    damaged: bool = False


def _playable(container: InputContainer) -> list[Stream]:
    streams: list[Stream] = [*container.streams.video[:1], *container.streams.audio[:1]]
    if not streams:
        raise UnreadableMedia("there is neither picture nor sound in it")
    return streams


def _spans(container: InputContainer, packets: "Iterator[Packet[Stream]]") -> dict[int, _Span]:
    frame_seconds = {
        stream.index: float(1 / stream.guessed_rate) if stream.guessed_rate else 0.0
        for stream in container.streams.video
    }
    spans: dict[int, _Span] = {}
    for packet in packets:
        if packet.pts is None or packet.size == 0:
            continue
        time_base = packet.time_base or Fraction(1, 90_000)
        begins = float(packet.pts * time_base)
        lasts = float(packet.duration * time_base) if packet.duration else 0.0
        ends = begins + (lasts or frame_seconds.get(packet.stream_index, 0.0))
        span = spans.setdefault(packet.stream_index, _Span(begins, ends))
        span.begins = min(span.begins, begins)
        span.ends = max(span.ends, ends)
        span.damaged = span.damaged or packet.is_corrupt
    if not spans:
        raise UnreadableMedia("there is no packet in it")
    return spans


def _described(container: InputContainer, size: int, spans: dict[int, _Span]) -> Probe:
    begins = min(span.begins for span in spans.values())
    return Probe(
        size_bytes=size,
        duration_seconds=max(span.ends for span in spans.values()) - begins,
        starts_at_seconds=begins,
        video=_video(container),
        audio=_audio(container),
        cut=any(span.damaged for span in spans.values()),
    )


def _video(container: InputContainer) -> Track | None:
    for stream in container.streams.video:
        context = stream.codec_context
        if not context.width:  # cut so early that not even the picture's size is in it
            return None
        shape = f"{context.width}x{context.height}"
        setup = _parameter_sets(context.extradata or b"")
        return Track(context.name, shape, _fingerprint(context.name, shape, setup))
    return None


def _audio(container: InputContainer) -> Track | None:
    for stream in container.streams.audio:
        context = stream.codec_context
        if not context.sample_rate:
            return None
        shape = f"{context.sample_rate} Hz, {context.layout.name}"
        # Sound in a transport stream is set up by every frame's own header.
        return Track(context.name, shape, _fingerprint(context.name, shape, context.profile))
    return None


def _parameter_sets(extradata: bytes) -> bytes | list[bytes]:
    """Take only what sets a decoder up: encoders put a note of theirs into the first segment."""
    units = [unit.rstrip(b"\0") for unit in extradata.split(b"\0\0\1") if unit.rstrip(b"\0")]
    sets = [unit for unit in units if unit[0] & 0x1F in H264_PARAMETER_SETS]
    return sorted(set(sets)) or extradata


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

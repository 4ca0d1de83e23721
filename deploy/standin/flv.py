"""FLV: what RTMP carries and what ffmpeg reads from its standard input."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from deploy.standin import amf


class TagType(IntEnum):
    """The three kinds of tag; RTMP uses the same numbers for its messages."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


#: Bit of the first byte that marks an "enhanced RTMP" video tag with a FourCC.
EXTENDED = 0x80

#: Frame type of a key frame, in the high nibble (three bits in extended tags).
KEY_FRAME = 1

#: Codec ids in the low nibble of an ordinary video tag.
VIDEO_CODECS = {2: "video/H263", 4: "video/VP6", 7: "video/H264", 12: "video/H265"}

#: FourCCs of extended video tags.
VIDEO_FOURCC = {b"avc1": "video/H264", b"hvc1": "video/H265", b"av01": "video/AV1",
                b"vp09": "video/VP9"}  # fmt: skip

#: Sound formats in the high nibble of an audio tag.
AUDIO_CODECS = {2: "audio/mpeg", 10: "audio/aac", 14: "audio/mpeg"}

AVC = 7
HEVC = 12
AAC = 10

#: Sample rates by the index in an AAC AudioSpecificConfig.
AAC_RATES = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
    7350,
)

#: Sample rates by the two bits of an audio tag.
FLV_RATES = (5512, 11025, 22050, 44100)

#: An AudioSpecificConfig behind the two bytes of an AAC tag has at least this many more.
AAC_CONFIG_BYTES = 2

#: An ordinary AVC or HEVC tag: codec, packet type, three bytes of composition time.
AVC_HEADER_BYTES = 5


@dataclass(frozen=True, slots=True)
class Tag:
    """One message of media: timestamp in milliseconds, payload as RTMP carries it."""

    type: TagType
    timestamp: int
    payload: bytes

    @property
    def is_key_frame(self) -> bool:
        """Say whether a decoder may start here."""
        if self.type is not TagType.VIDEO or not self.payload:
            return False
        return (self.payload[0] >> 4) & 0x7 == KEY_FRAME and not self.is_header

    @property
    def is_header(self) -> bool:
        """Say whether this sets a decoder up and carries no picture or sound."""
        payload = self.payload
        if len(payload) <= 1:
            return False
        if self.type is TagType.AUDIO:
            return payload[0] >> 4 == AAC and payload[1] == 0
        if self.type is TagType.VIDEO:
            if payload[0] & EXTENDED:
                return payload[0] & 0x0F == 0
            return payload[0] & 0x0F in {AVC, HEVC} and payload[1] == 0
        return False

    def at(self, timestamp: int) -> "Tag":
        return Tag(self.type, timestamp, self.payload)

    def to_bytes(self) -> bytes:
        """Write the tag with its trailing size."""
        size = len(self.payload)
        stamp = self.timestamp & 0xFFFFFFFF
        head = struct.pack(
            ">B3s3sB3s",
            self.type,
            size.to_bytes(3, "big"),
            (stamp & 0xFFFFFF).to_bytes(3, "big"),
            stamp >> 24,
            b"\0\0\0",
        )
        return head + self.payload + struct.pack(">I", size + len(head))


def file_header(*, video: bool, audio: bool) -> bytes:
    flags = (1 if video else 0) | (4 if audio else 0)
    return b"FLV\x01" + bytes([flags]) + struct.pack(">II", 9, 0)


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What an encoder says about its picture; 0 is unknown."""

    mime_type: str
    width: int = 0
    height: int = 0
    framerate: float = 0.0


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What an encoder says about its sound."""

    mime_type: str
    channels: int
    sample_rate: int


def read_metadata(payload: bytes) -> dict[str, Any]:
    """Read `onMetaData` out of a script message; empty when it is something else."""
    values = amf.decode_all(payload)
    if values and values[0] == "@setDataFrame":
        values = values[1:]
    if len(values) > 1 and values[0] == "onMetaData" and isinstance(values[1], dict):
        return values[1]
    return {}


def video_format(tag: Tag, metadata: dict[str, Any]) -> VideoFormat:
    """Join what a video tag and the metadata say."""
    first = tag.payload[0]
    if first & EXTENDED:
        mime_type = VIDEO_FOURCC.get(tag.payload[1:5], "video/unknown")
    else:
        mime_type = VIDEO_CODECS.get(first & 0x0F, "video/unknown")
    width, height = sps_size(tag) or (_int(metadata, "width"), _int(metadata, "height"))
    return VideoFormat(mime_type, width, height, _float(metadata, "framerate"))


def audio_format(tag: Tag) -> AudioFormat:
    """Read an audio tag; AAC says it in its AudioSpecificConfig."""
    first = tag.payload[0]
    codec = first >> 4
    mime_type = AUDIO_CODECS.get(codec, "audio/unknown")
    if codec == AAC and tag.is_header and len(tag.payload) >= 2 + AAC_CONFIG_BYTES:
        config = int.from_bytes(tag.payload[2:4], "big")
        index, channels = (config >> 7) & 0xF, (config >> 3) & 0xF
        if index < len(AAC_RATES):
            return AudioFormat(mime_type, channels, AAC_RATES[index])
    return AudioFormat(mime_type, 2 if first & 1 else 1, FLV_RATES[(first >> 2) & 3])


def sps_size(tag: Tag) -> tuple[int, int] | None:
    """Read width and height from an AVC sequence header; None if it is not one."""
    payload = tag.payload
    if payload[0] & EXTENDED or payload[0] & 0x0F != AVC or not tag.is_header:
        return None
    record = payload[AVC_HEADER_BYTES:]
    try:
        length = int.from_bytes(record[6:8], "big")
        return _Bits(record[8 : 8 + length]).sps_size()
    except IndexError:
        return None


#: Profiles whose SPS says more about colour (ITU-T H.264, 7.3.2.1.1).
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


class _Bits:
    """A reader of bits and Exp-Golomb numbers, without emulation prevention bytes."""

    def __init__(self, nal: bytes) -> None:
        self._data = nal.replace(b"\0\0\x03", b"\0\0")
        self._at = 0

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | byte >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.bits(1):
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        value = self.unsigned()
        return (value + 1) // 2 if value % 2 else -(value // 2)

    def sps_size(self) -> tuple[int, int]:
        """Walk a sequence parameter set as far as the picture's size."""
        self.bits(8)
        profile = self.bits(8)
        self.bits(16)
        self.unsigned()
        chroma = 1
        if profile in HIGH_PROFILES:
            chroma = self._high_profile()
        self.unsigned()
        self._order_count()
        self.unsigned()
        self.bits(1)
        width = (self.unsigned() + 1) * 16
        rows = self.unsigned() + 1
        frames_only = self.bits(1)
        height = rows * 16 * (2 - frames_only)
        if not frames_only:
            self.bits(1)
        self.bits(1)
        if self.bits(1):
            left, right, top, bottom = (self.unsigned() for _ in range(4))
            width -= (left + right) * (2 if chroma in {1, 2} else 1)
            height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - frames_only)
        return width, height

    def _high_profile(self) -> int:
        chroma = self.unsigned()
        if chroma == 3:  # noqa: PLR2004 - 4:4:4 in the standard's table
            self.bits(1)
        self.unsigned()
        self.unsigned()
        self.bits(1)
        if self.bits(1):
            raise IndexError("scaling matrices are not read")
        return chroma

    def _order_count(self) -> None:
        kind = self.unsigned()
        if kind == 0:
            self.unsigned()
        elif kind == 1:
            self.bits(1)
            self.signed()
            self.signed()
            for _ in range(self.unsigned()):
                self.signed()


def _int(metadata: dict[str, Any], key: str) -> int:
    return int(_float(metadata, key))


def _float(metadata: dict[str, Any], key: str) -> float:
    value = metadata.get(key)
    return float(value) if isinstance(value, int | float) and value == value else 0.0  # noqa: PLR0124 - NaN

"""RTMP, AMF0 and FLV to the byte: what encoders may send and ffmpeg must be able to read."""

import asyncio
import struct

import av
import pytest
from hypothesis import given
from hypothesis import strategies as some

from deploy.standin import amf, flv
from deploy.standin.chunks import AGGREGATE, ChunkReader, Message, ProtocolError, write_message
from deploy.standin.flv import Tag, TagType
from deploy.standin.rtmp import split_aggregate, stream_key

VIDEO = 9


async def read_all(data: bytes, *, chunk_bytes: int = 128) -> list[Message]:
    """Read messages until the bytes are at their end."""
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    reader = ChunkReader(stream)
    reader.chunk_bytes = chunk_bytes
    messages = []
    while True:
        try:
            messages.append(await reader.read())
        except asyncio.IncompleteReadError:
            return messages


def header(
    kind: int, channel: int, stamp: int, length: int = 0, message_type: int = VIDEO
) -> bytes:
    """Write a chunk header of type 0, 1, 2 or 3, with four more bytes of time where needed."""
    short = min(stamp, 0xFFFFFF)
    head = bytes([kind << 6 | channel])
    if kind <= 2:
        head += short.to_bytes(3, "big")
    if kind <= 1:
        head += length.to_bytes(3, "big") + bytes([message_type])
    if kind == 0:
        head += struct.pack("<I", 1)
    if short == 0xFFFFFF:
        head += struct.pack(">I", stamp)
    return head


@given(some.binary(min_size=1, max_size=2000), some.integers(1, 500))
def test_what_is_written_is_read_again(payload: bytes, chunk_bytes: int) -> None:
    """Whatever the size of chunks."""
    message = Message(VIDEO, 1, 1234, payload)
    data = write_message(message, channel_id=6, chunk_bytes=chunk_bytes)

    assert asyncio.run(read_all(data, chunk_bytes=chunk_bytes)) == [message]


async def test_times_add_up_by_deltas() -> None:
    """Types 1, 2 and 3 carry differences; a new message of type 3 repeats the last one."""
    data = (
        header(0, 4, 1000, 1) + b"a"
        + header(1, 4, 40, 1) + b"b"
        + header(2, 4, 20) + b"c"
        + header(3, 4, 0) + b"d"
    )  # fmt: skip

    messages = await read_all(data)

    assert [(m.timestamp, m.payload) for m in messages] == [
        (1000, b"a"),
        (1040, b"b"),
        (1060, b"c"),
        (1080, b"d"),
    ]


async def test_a_show_may_be_longer_than_four_hours() -> None:
    """From 0xFFFFFF ms on, four more bytes hold the time, in continuing chunks too."""
    late = 0x1000000 + 5
    payload = bytes(range(200))
    data = header(0, 4, late, 200) + payload[:128] + header(3, 4, late) + payload[128:]

    (message,) = await read_all(data)

    assert (message.timestamp, message.payload) == (late, payload)


async def test_messages_may_be_interleaved() -> None:
    """Chunks of sound between the chunks of a picture."""
    data = (
        header(0, 4, 0, 200) + b"v" * 128
        + header(0, 5, 7, 3, 8) + b"aud"
        + header(3, 4, 0) + b"v" * 72
    )  # fmt: skip

    messages = await read_all(data)

    assert [(m.type, m.payload) for m in messages] == [(8, b"aud"), (9, b"v" * 200)]


async def test_large_channel_ids_are_read() -> None:
    """Ids from 64 on take one or two more bytes."""
    body = b"\0\0\0" + b"\0\0\1" + bytes([VIDEO]) + struct.pack("<I", 1)
    data = bytes([0, 10]) + body + b"x" + bytes([1, 0x10, 0x02]) + body + b"y"

    assert [m.payload for m in await read_all(data)] == [b"x", b"y"]


async def test_a_message_too_large_is_refused() -> None:
    """Nobody fills the memory by a header alone."""
    stream = asyncio.StreamReader()
    stream.feed_data(header(0, 4, 0, 0xFFFFFF) + b"x")
    stream.feed_eof()
    reader = ChunkReader(stream)

    with pytest.raises(ProtocolError):
        await reader.read()


def test_an_aggregate_is_taken_apart() -> None:
    """Its tags' times are relative to the first."""
    tags = Tag(TagType.VIDEO, 500, b"v").to_bytes() + Tag(TagType.AUDIO, 540, b"a").to_bytes()

    parts = split_aggregate(Message(AGGREGATE, 1, 9000, tags))

    assert [(p.type, p.timestamp, p.payload) for p in parts] == [(9, 9000, b"v"), (8, 9040, b"a")]


@pytest.mark.parametrize(
    ("app", "name", "key"),
    [
        ("live", "KEY", "KEY"),
        ("live", "KEY?token=x", "KEY"),
        ("live/inner", "KEY", "KEY"),
        ("live", "inner/KEY/", "KEY"),
        ("live/KEY", "", "KEY"),
    ],
)
def test_the_last_element_is_the_key(app: str, name: str, key: str) -> None:
    """However the encoder splits the address."""
    assert stream_key(app, name) == key


simple = some.none() | some.booleans() | some.floats(allow_nan=False) | some.text(max_size=50)


@given(some.lists(simple | some.dictionaries(some.text(max_size=20, min_size=1), simple)))
def test_amf_values_survive(values: list[object]) -> None:
    """What we write, we read."""
    assert amf.decode_all(amf.encode(*values)) == values


@given(some.binary(max_size=300))
def test_no_bytes_upset_the_amf_reader(data: bytes) -> None:
    """A stranger's bytes give values or nothing."""
    assert isinstance(amf.decode_all(data), list)


@given(some.binary(min_size=1, max_size=100), some.sampled_from([TagType.AUDIO, TagType.VIDEO]))
def test_no_bytes_upset_the_formats(data: bytes, kind: TagType) -> None:
    """A broken encoder gives a strange format, not an error."""
    tag = Tag(kind, 0, data)

    assert flv.video_format(tag, {}) if kind is TagType.VIDEO else flv.audio_format(tag)


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720), (720, 1280), (426, 240)])
def test_sizes_are_read_from_the_parameter_set(size: tuple[int, int], tmp_path: object) -> None:
    """Cropping included."""
    path = f"{tmp_path}/x.flv"
    with av.open(path, "w", format="flv") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame(*size, "yuv420p")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with open(path, "rb") as file:  # noqa: PTH123 - one line of a test
        data = file.read()
    # The sequence header is the first video tag.
    at = 13
    while data[at] != TagType.VIDEO:
        at += 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4
    payload = data[at + 11 : at + 11 + int.from_bytes(data[at + 1 : at + 4], "big")]

    assert flv.sps_size(Tag(TagType.VIDEO, 0, payload)) == size

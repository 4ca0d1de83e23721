"""RTMP's chunk stream: messages in pieces, several at a time, on one connection."""

import asyncio
import struct
from dataclasses import dataclass, field

#: Both sides begin with this.
CHUNK_BYTES = 128

#: Refuse to collect a message larger than this: no frame of a live stream is.
MESSAGE_BYTES_MAX = 8 * 1024 * 1024

#: Our own chunk size: larger than any answer, so each goes out whole.
OUR_CHUNK_BYTES = 4096

#: In a header, this timestamp says that four more bytes hold it.
EXTENDED = 0xFFFFFF

#: Bytes of a message header by chunk type.
HEADER_BYTES = (11, 7, 3, 0)

SET_CHUNK_SIZE, ABORT, ACK, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH = 1, 2, 3, 4, 5, 6
AUDIO, VIDEO, DATA_AMF3, COMMAND_AMF3, DATA, COMMAND, AGGREGATE = 8, 9, 15, 17, 18, 20, 22


class ProtocolError(Exception):
    """A peer that does not speak RTMP, or not any more."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole RTMP message; timestamp in milliseconds."""

    type: int
    stream_id: int
    timestamp: int
    payload: bytes


@dataclass(slots=True)
class _Channel:
    """What a chunk stream id remembers from its last header, and its unfinished message."""

    timestamp: int = 0
    delta: int = 0
    length: int = 0
    type: int = 0
    stream_id: int = 0
    extended: bool = False
    parts: list[bytes] = field(default_factory=list)
    have: int = 0


class ChunkReader:
    """Reads messages; keeps count of bytes so that they can be acknowledged."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._channels: dict[int, _Channel] = {}
        self.chunk_bytes = CHUNK_BYTES
        self.received = 0

    async def read(self) -> Message:
        """Give the next whole message. Raises ProtocolError, IncompleteReadError."""
        while True:
            message = await self._chunk()
            if message is not None:
                return message

    async def exactly(self, count: int) -> bytes:
        piece = await self._reader.readexactly(count)
        self.received += count
        return piece

    def abort(self, channel_id: int) -> None:
        channel = self._channels.get(channel_id)
        if channel is not None:
            channel.parts.clear()
            channel.have = 0

    async def _chunk(self) -> Message | None:
        first = (await self.exactly(1))[0]
        kind, channel_id = first >> 6, first & 0x3F
        if channel_id == 0:
            channel_id = 64 + (await self.exactly(1))[0]
        elif channel_id == 1:
            channel_id = 64 + int.from_bytes(await self.exactly(2), "little")
        channel = self._channels.setdefault(channel_id, _Channel())
        await self._header(channel, kind)
        if channel.length > MESSAGE_BYTES_MAX:
            raise ProtocolError(f"message of {channel.length} bytes")
        piece = min(self.chunk_bytes, channel.length - channel.have)
        channel.parts.append(await self.exactly(piece))
        channel.have += piece
        if channel.have < channel.length:
            return None
        payload = b"".join(channel.parts)
        channel.parts.clear()
        channel.have = 0
        return Message(channel.type, channel.stream_id, channel.timestamp, payload)

    async def _header(self, channel: _Channel, kind: int) -> None:
        head = await self.exactly(HEADER_BYTES[kind])
        is_new = channel.have == 0
        if kind <= 2:  # noqa: PLR2004 - types 0, 1, 2 carry a time
            stamp = int.from_bytes(head[0:3], "big")
            channel.extended = stamp == EXTENDED
        else:
            stamp = channel.delta
        if kind <= 1:
            channel.length = int.from_bytes(head[3:6], "big")
            channel.type = head[6]
        if kind == 0:
            channel.stream_id = struct.unpack("<I", head[7:11])[0]
        if channel.extended:
            # Type 3 repeats the four bytes too; for a new message they are its delta again.
            stamp = int.from_bytes(await self.exactly(4), "big")
        if kind == 0:
            channel.timestamp, channel.delta = stamp, 0
        elif is_new:
            if kind != 3 or not channel.extended:  # noqa: PLR2004 - type 3
                channel.delta = stamp
            channel.timestamp = (channel.timestamp + channel.delta) & 0xFFFFFFFF


def write_message(message: Message, *, channel_id: int, chunk_bytes: int) -> bytes:
    """Put a message into chunks (types 0 and 3 only; timestamps below four hours)."""
    head = struct.pack(
        ">B3s3sB",
        channel_id,
        message.timestamp.to_bytes(3, "big"),
        len(message.payload).to_bytes(3, "big"),
        message.type,
    ) + struct.pack("<I", message.stream_id)
    pieces = [
        message.payload[at : at + chunk_bytes] for at in range(0, len(message.payload), chunk_bytes)
    ]
    return head + bytes([0xC0 | channel_id]).join(pieces)

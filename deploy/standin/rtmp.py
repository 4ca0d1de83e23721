"""RTMP ingest: one port, any encoder, a stream by its key.

Our own, because pyrtmp 0.3.1 cannot refuse a publish, does not advance the time of messages whose
header is left out, knows neither aggregates nor AMF3 commands, and sets up logging on import.
"""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from deploy.standin import amf
from deploy.standin.chunks import (
    ABORT,
    ACK,
    AGGREGATE,
    AUDIO,
    COMMAND,
    COMMAND_AMF3,
    DATA,
    DATA_AMF3,
    OUR_CHUNK_BYTES,
    PEER_BANDWIDTH,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    VIDEO,
    WINDOW_SIZE,
    ChunkReader,
    Message,
    ProtocolError,
    write_message,
)
from deploy.standin.flv import Tag, TagType

log = structlog.get_logger("standin.rtmp")

#: Bytes of random data in each half of the handshake, without its eight bytes of times.
HANDSHAKE_BYTES = 1536

#: The only version there is.
VERSION = 3

#: The peer may send this much before it hears an acknowledgement.
WINDOW_BYTES = 5_000_000

#: A stranger who connects must begin to publish within this.
HELLO_SECONDS = 15.0

#: An encoder that sends nothing for this long is gone; LiveKit's watchdog has the same figure.
SILENCE_SECONDS = 60.0

#: Let an error message reach the encoder before the connection closes.
LAST_WORD_SECONDS = 0.1

CONTROL_CHANNEL = 2
COMMAND_CHANNEL = 3

#: The one stream a connection may make.
STREAM_ID = 1


class RefusedError(Exception):
    """A publish that is not allowed; the text reaches the encoder."""


class Sink(Protocol):
    """Where the media of one publish goes."""

    def put(self, tag: Tag) -> None: ...

    def ended(self) -> None:
        """Hear that the encoder is gone; called once."""


#: Decides about a publish by its key. Raises RefusedError.
Accept = Callable[[str, "Connection"], Awaitable[Sink]]


class Connection:
    """One encoder."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accept: Accept
    ) -> None:
        self._chunks = ChunkReader(reader)
        self._writer = writer
        self._accept = accept
        self._app = ""
        self._sink: Sink | None = None
        self._acknowledged = 0
        self._window = WINDOW_BYTES

    async def run(self) -> None:
        """Serve the encoder until either side ends it."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await self._handshake()
                while self._sink is None:
                    await self._next()
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._next()
        except RefusedError as error:
            await self._refuse(str(error))
        except (asyncio.IncompleteReadError, OSError, TimeoutError, ProtocolError) as error:
            log.info("rtmp_closed", reason=type(error).__name__)
        finally:
            sink, self._sink = self._sink, None
            if sink is not None:
                sink.ended()
            self._writer.close()

    def hang_up(self) -> None:
        """Cut the encoder off, as when a newer one took its place."""
        self._writer.transport.abort()

    async def _handshake(self) -> None:
        version = (await self._chunks.exactly(1))[0]
        if version != VERSION:
            raise ProtocolError(f"version {version}")
        theirs = await self._chunks.exactly(HANDSHAKE_BYTES)
        ours = struct.pack(">II", 0, 0) + os.urandom(HANDSHAKE_BYTES - 8)
        self._writer.write(bytes([VERSION]) + ours + theirs)
        await self._writer.drain()
        await self._chunks.exactly(HANDSHAKE_BYTES)

    async def _next(self) -> None:
        message = await self._chunks.read()
        if self._chunks.received - self._acknowledged >= self._window // 2:
            self._acknowledged = self._chunks.received
            self._control(ACK, struct.pack(">I", self._acknowledged & 0xFFFFFFFF))
        await self._hear(message)

    async def _hear(self, message: Message) -> None:
        match message.type:
            case t if t == SET_CHUNK_SIZE:
                self._chunks.chunk_bytes = max(1, _number(message.payload) & 0x7FFFFFFF)
            case t if t == ABORT:
                self._chunks.abort(_number(message.payload))
            case t if t == WINDOW_SIZE:
                self._window = max(1, _number(message.payload))
            case t if t in {AUDIO, VIDEO, DATA, DATA_AMF3}:
                self._media(message)
            case t if t == AGGREGATE:
                for part in split_aggregate(message):
                    self._media(part)
            case t if t == COMMAND:
                await self._command(message, message.payload)
            case t if t == COMMAND_AMF3:
                await self._command(message, message.payload[1:])
            case _:
                pass  # acknowledgements and pings ask for nothing

    def _media(self, message: Message) -> None:
        if self._sink is None or not message.payload:
            return
        payload = message.payload
        if message.type == DATA_AMF3:
            payload = payload[1:]
        kind = {AUDIO: TagType.AUDIO, VIDEO: TagType.VIDEO}.get(message.type, TagType.SCRIPT)
        self._sink.put(Tag(kind, message.timestamp, payload))

    async def _command(self, message: Message, payload: bytes) -> None:
        values = amf.decode_all(payload)
        if not values:
            return
        name, number = values[0], values[1] if len(values) > 1 else 0
        match name:
            case "connect":
                self._connect(number, values[2] if len(values) > 2 else None)  # noqa: PLR2004
            case "createStream":
                self._answer(number, None, STREAM_ID)
            case "releaseStream" | "FCPublish" | "_checkbw":
                self._answer(number, None, None)
            case "publish":
                await self._publish(message.stream_id, _text(values, 3))
            case "FCUnpublish" | "deleteStream" | "closeStream":
                if self._sink is not None:
                    raise ProtocolError("unpublished")
            case "play" | "play2":
                raise RefusedError("this server takes streams and does not play them")
            case _:
                pass
        await self._writer.drain()

    def _connect(self, number: float, command: Any) -> None:
        app = command.get("app", "") if isinstance(command, dict) else ""
        self._app = app if isinstance(app, str) else ""
        self._control(WINDOW_SIZE, struct.pack(">I", WINDOW_BYTES))
        self._control(PEER_BANDWIDTH, struct.pack(">IB", WINDOW_BYTES, 2))
        self._control(SET_CHUNK_SIZE, struct.pack(">I", OUR_CHUNK_BYTES))
        self._answer(
            number,
            {"fmsVer": "FMS/3,0,1,123", "capabilities": 31},
            {
                "level": "status",
                "code": "NetConnection.Connect.Success",
                "description": "Connection succeeded.",
                "objectEncoding": 0,
            },
        )

    async def _publish(self, stream_id: int, name: str) -> None:
        if self._sink is not None:
            raise ProtocolError("published twice")
        self._sink = await self._accept(stream_key(self._app, name), self)
        self._control(USER_CONTROL, struct.pack(">HI", 0, stream_id))
        self._status(stream_id, "status", "NetStream.Publish.Start", "Publishing.")

    async def _refuse(self, why: str) -> None:
        self._status(STREAM_ID, "error", "NetStream.Publish.BadName", why)
        try:
            await self._writer.drain()
            await asyncio.sleep(LAST_WORD_SECONDS)
        except OSError:
            pass  # it has hung up already

    def _status(self, stream_id: int, level: str, code: str, description: str) -> None:
        status = {"level": level, "code": code, "description": description}
        self._send(
            Message(COMMAND, stream_id, 0, amf.encode("onStatus", 0, None, status)),
            channel_id=COMMAND_CHANNEL,
        )

    def _answer(self, number: float, *values: Any) -> None:
        self._send(
            Message(COMMAND, 0, 0, amf.encode("_result", number, *values)),
            channel_id=COMMAND_CHANNEL,
        )

    def _control(self, kind: int, payload: bytes) -> None:
        self._send(Message(kind, 0, 0, payload), channel_id=CONTROL_CHANNEL)

    def _send(self, message: Message, *, channel_id: int) -> None:
        self._writer.write(
            write_message(message, channel_id=channel_id, chunk_bytes=OUR_CHUNK_BYTES)
        )


class RtmpServer:
    """The listening port and everybody connected to it."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await Connection(reader, writer, self._accept).run()
        except asyncio.CancelledError:
            # The stand-in is closing; asyncio's streams would report a cancelled handler.
            pass
        finally:
            self._running.discard(task)


def stream_key(app: str, name: str) -> str:
    """Find the key: the last element of what was published, without any query."""
    path = f"{app}/{name}".split("?")[0]
    return path.rstrip("/").rsplit("/", 1)[-1]


def split_aggregate(message: Message) -> list[Message]:
    """Take an aggregate message apart: FLV tags, their times relative to the first."""
    parts: list[Message] = []
    data, at, offset = message.payload, 0, None
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        stamp = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        offset = message.timestamp - stamp if offset is None else offset
        payload = data[at + 11 : at + 11 + size]
        parts.append(Message(data[at] & 0x1F, message.stream_id, stamp + offset, payload))
        at += 11 + size + 4
    return parts


def _number(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")


def _text(values: list[Any], index: int) -> str:
    value = values[index] if len(values) > index else ""
    return value if isinstance(value, str) else ""

"""Lies between the encoder and LiveKit, to see when the first packet is sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Wire:
    """An RTMP address that carries everything on."""

    url: str
    first_packet_at: float = 0.0  #: monotonic; 0 until then

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while came := await source.read(65_536):
            self.first_packet_at = self.first_packet_at or time.monotonic()
            target.write(came)
            await target.drain()
        target.close()


@asynccontextmanager
async def wire(rtmp_url: str) -> AsyncIterator[Wire]:
    """Listen on loopback for the length of a block."""
    there = urlsplit(rtmp_url)

    async def connected(encoder: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        livekit, on = await asyncio.open_connection(there.hostname, there.port)
        await asyncio.gather(
            ours.carry(encoder, on), ours.carry(livekit, back), return_exceptions=True
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours = Wire(f"rtmp://127.0.0.1:{port}{there.path.rstrip('/')}")
    try:
        yield ours
    finally:
        server.close()

"""Join a LiveKit room by its signal WebSocket, without media: ask, and hear what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from livekit.protocol import rtc
from livekit.protocol.models import TrackSource, TrackType

#: Of the signalling, as livekit-client 2 speaks it.
PROTOCOL = "16"
#: The server answers at once; the machine may be busy.
ANSWER_SECONDS = 20.0


@dataclass
class Seat:
    """A place in a room."""

    socket: aiohttp.ClientWebSocketResponse
    joined: rtc.JoinResponse

    async def asks_to_publish(self, source: str) -> str:
        """Announce a track: `published`, or the server's word for why not."""
        kind = TrackType.VIDEO if source in {"camera", "screen_share"} else TrackType.AUDIO
        track = rtc.AddTrackRequest(
            cid=f"a-{source}", type=kind, source=TrackSource.Value(source.upper())
        )
        await self._ask(rtc.SignalRequest(add_track=track))
        answer = await self._hears("track_published", "request_response")
        if answer.HasField("track_published"):
            assert answer.track_published.cid == track.cid
            return "published"
        return rtc.RequestResponse.Reason.Name(answer.request_response.reason)

    async def asks_for_metadata(self, metadata: str) -> str:
        """Ask to change what is said about oneself: the server's word for what became of it."""
        wish = rtc.UpdateParticipantMetadata(metadata=metadata, request_id=7)
        await self._ask(rtc.SignalRequest(update_metadata=wish))
        answer = await self._hears("request_response")
        return rtc.RequestResponse.Reason.Name(answer.request_response.reason)

    async def _ask(self, request: rtc.SignalRequest) -> None:
        await self.socket.send_bytes(request.SerializeToString())

    async def _hears(self, *kinds: str) -> rtc.SignalResponse:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                answer = rtc.SignalResponse.FromString(await self.socket.receive_bytes())
                if answer.WhichOneof("message") in kinds:
                    return answer


@asynccontextmanager
async def joined(
    http: aiohttp.ClientSession, url: str, token: str, **more: Any
) -> AsyncIterator[Seat]:
    """Sit in a room for the length of a block; `more` goes into the address.

    Raises aiohttp.WSServerHandshakeError when the token is not accepted.
    """
    address = f"{url.replace('ws', 'http', 1)}/rtc"
    query = {"access_token": token, "protocol": PROTOCOL, "auto_subscribe": "0", **more}
    async with http.ws_connect(address, params=query) as socket:
        first = rtc.SignalResponse.FromString(await socket.receive_bytes())
        assert first.HasField("join"), first
        yield Seat(socket, first.join)
        await socket.send_bytes(rtc.SignalRequest(leave=rtc.LeaveRequest()).SerializeToString())

"""The floor on the real plane: one show with livekit-api alone, in the order of Greenroom's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import m3u8
from livekit import api
from livekit.protocol import egress as egress_pb
from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressAudioOptions, IngressVideoOptions
from livekit.protocol.models import TrackSource

from tests.system.waits import until

HOST = "host"
#: How often whoever has no webhooks would ask.
LOOK_SECONDS = 0.1


@dataclass
class HandMade:
    """A room, two ingresses and an egress."""

    client: api.LiveKitAPI
    folder: Path  #: for what the egress writes
    room: str
    ingresses: list[api.IngressInfo] = field(default_factory=list)
    egress_id: str = ""

    async def go_live(self) -> None:
        """Make what a host needs, one call after the other."""
        await self.client.room.create_room(api.CreateRoomRequest(name=self.room))
        for kind in (api.IngressInput.RTMP_INPUT, api.IngressInput.WHIP_INPUT):
            await self.client.ingress.list_ingress(api.ListIngressRequest(room_name=self.room))
            request = api.CreateIngressRequest(
                input_type=kind,
                name=self.room,
                room_name=self.room,
                # Of two with one identity LiveKit evicts one.
                participant_identity=HOST if not self.ingresses else f"{HOST}-whip",
                video=IngressVideoOptions(source=TrackSource.CAMERA),
                audio=IngressAudioOptions(source=TrackSource.MICROPHONE),
            )
            if kind == api.IngressInput.RTMP_INPUT:
                request.enable_transcoding = True
            self.ingresses.append(await self.client.ingress.create_ingress(request))

    async def broadcast(self) -> None:
        """Wait for the encoder's picture, and start the egress."""
        await until(self._sends, what="the encoder to be in the room", every=LOOK_SECONDS)
        started = await self.client.egress.start_egress(
            egress_pb.StartEgressRequest(
                room_name=self.room,
                media=egress_pb.MediaSource(
                    participant_video=egress_pb.ParticipantVideo(identity=HOST),
                    audio=egress_pb.AudioConfig(capture_all=True),
                ),
                outputs=[
                    egress_pb.Output(
                        segments=egress_pb.SegmentedFileOutput(
                            filename_prefix=f"{self.folder}/seg",
                            playlist_name=f"{self.folder}/full.m3u8",
                            live_playlist_name=f"{self.folder}/live.m3u8",
                            segment_duration=2,
                            disable_manifest=True,
                        )
                    ),
                    egress_pb.Output(
                        file=egress_pb.FileOutput(
                            file_type=egress_pb.EncodedFileType.MP4,
                            filepath=f"{self.folder}/take.mp4",
                            disable_manifest=True,
                        )
                    ),
                    egress_pb.Output(
                        images=egress_pb.ImageOutput(
                            capture_interval=10,
                            filename_prefix=f"{self.folder}/thumb",
                            disable_manifest=True,
                        )
                    ),
                ],
            )
        )
        self.egress_id = started.egress_id

    async def segments(self) -> int:
        """Count what a player could play."""
        playlist = self.folder / "live.m3u8"
        if not playlist.exists():
            return 0
        named = m3u8.loads(playlist.read_text())
        return (named.media_sequence or 0) + len(named.segments)

    async def end(self) -> None:
        """Stop the egress, wait until its files are there, and take the rest away."""
        await self.client.egress.stop_egress(api.StopEgressRequest(egress_id=self.egress_id))
        await until(self._is_complete, what="the files", every=LOOK_SECONDS)
        await self.clear()

    async def clear(self) -> None:
        """Take away what there is."""
        while self.ingresses:
            one = self.ingresses.pop()
            await self.client.ingress.delete_ingress(
                api.DeleteIngressRequest(ingress_id=one.ingress_id)
            )
        await self.client.room.delete_room(api.DeleteRoomRequest(room=self.room))

    async def _sends(self) -> bool:
        listed = await self.client.room.list_participants(
            api.ListParticipantsRequest(room=self.room)
        )
        sources = {
            track.source
            for one in listed.participants
            if one.identity == HOST
            for track in one.tracks
        }
        return {TrackSource.CAMERA, TrackSource.MICROPHONE} <= sources

    async def _is_complete(self) -> bool:
        listed = await self.client.egress.list_egress(
            api.ListEgressRequest(egress_id=self.egress_id)
        )
        (egress,) = listed.items
        assert egress.status in {
            EgressStatus.EGRESS_ACTIVE,
            EgressStatus.EGRESS_ENDING,
            EgressStatus.EGRESS_COMPLETE,
        }, egress
        return egress.status == EgressStatus.EGRESS_COMPLETE


@asynccontextmanager
async def hand_made(client: api.LiveKitAPI, folder: Path) -> AsyncIterator[HandMade]:
    """Prepare one, for the length of a block."""
    room = f"by-hand-{time.monotonic_ns()}"
    where = folder / room
    await asyncio.to_thread(where.mkdir)
    yield HandMade(client, where, room)

"""Rooms: made or found, joined and left, closed when they were empty for long enough."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from livekit.protocol.models import (
    Codec,
    DisconnectReason,
    ParticipantInfo,
    Room,
    TrackInfo,
)
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    SendDataRequest,
    SendDataResponse,
    UpdateRoomMetadataRequest,
)

from deploy.standin.errors import TwirpError, invalid, no_answer, not_found
from deploy.standin.ids import guid, now_ms, now_ns, now_s
from deploy.standin.options import Options
from deploy.standin.webhooks import Webhooks

NO_SUCH_ROOM = "requested room does not exist"

#: livekit-server's default `limit.max_room_name_length`.
NAME_LENGTH_MAX = 256

#: livekit-server's default `limit.max_metadata_size`.
METADATA_BYTES_MAX = 512 * 1024

#: The codecs a livekit-server of version 1.13 enables by default, in its order.
CODECS = (
    "audio/PCMU",
    "audio/PCMA",
    "audio/opus",
    "audio/red",
    "video/VP8",
    "video/H264",
    "video/VP9",
    "video/AV1",
    "video/H265",
    "video/rtx",
)

#: Participants of these kinds are not counted, and do not keep a room open.
DEPENDENT_KINDS = (ParticipantInfo.Kind.EGRESS, ParticipantInfo.Kind.AGENT)

#: How often empty rooms are looked for.
SWEEP_SECONDS = 0.25

Reason: TypeAlias = DisconnectReason

#: Called when a participant is put out of its room by somebody else than itself.
OnRemoved = Callable[[Reason], None]


def _nobody_cares(_reason: Reason) -> None:
    """Take no notice of being put out."""


@dataclass(slots=True)
class Member:
    """A participant in a room, and whom to tell when it is put out."""

    info: ParticipantInfo
    on_removed: OnRemoved = _nobody_cares

    @property
    def is_dependent(self) -> bool:
        return self.info.kind in DEPENDENT_KINDS or self.info.permission.recorder


@dataclass(slots=True)
class LiveRoom:
    """A room with its members; `members` is by identity."""

    info: Room
    members: dict[str, Member] = field(default_factory=dict)
    empty_since: float = field(default_factory=time.monotonic)
    was_joined: bool = False
    #: Data messages sent into the room, newest last.
    sent: list[dict[str, object]] = field(default_factory=list)

    def snapshot(self) -> Room:
        """Give the room as the API shows it, counted now."""
        counted = [m for m in self.members.values() if m.info.kind not in DEPENDENT_KINDS]
        self.info.num_participants = len(counted)
        self.info.num_publishers = sum(1 for m in counted if m.info.is_publisher)
        self.info.active_recording = any(m.info.permission.recorder for m in self.members.values())
        copy = Room()
        copy.CopyFrom(self.info)
        return copy

    @property
    def is_empty(self) -> bool:
        return all(member.is_dependent for member in self.members.values())

    def is_over(self) -> bool:
        """Say whether nobody was here for longer than the room allows."""
        if not self.is_empty:
            return False
        patience = self.info.departure_timeout if self.was_joined else self.info.empty_timeout
        return time.monotonic() - self.empty_since > patience


class Rooms:
    """Every room there is, and the calls about rooms."""

    def __init__(self, options: Options, webhooks: Webhooks) -> None:
        self._options = options
        self._webhooks = webhooks
        self._rooms: dict[str, LiveRoom] = {}

    # -- what the other parts of the stand-in ask --

    def find(self, name: str) -> LiveRoom | None:
        return self._rooms.get(name)

    def get(self, name: str) -> LiveRoom:
        """Give the room; raises not_found."""
        room = self._rooms.get(name)
        if room is None:
            raise not_found(NO_SUCH_ROOM)
        return room

    def all(self) -> Iterator[LiveRoom]:
        return iter(self._rooms.values())

    def ensure(self, name: str) -> LiveRoom:
        """Give the room, made with LiveKit's defaults if it is not there."""
        return self._rooms.get(name) or self._open(CreateRoomRequest(name=name))

    def join(
        self, name: str, info: ParticipantInfo, on_removed: OnRemoved = _nobody_cares
    ) -> LiveRoom:
        """Let a participant in; one of the same identity is put out."""
        room = self.ensure(name)
        self.leave(room, info.identity, reason=DisconnectReason.DUPLICATE_IDENTITY, told=True)
        info.sid = guid("PA_")
        info.state = ParticipantInfo.State.ACTIVE
        info.joined_at = now_s()
        info.joined_at_ms = now_ms()
        info.version = 2
        room.members[info.identity] = Member(info, on_removed)
        room.was_joined = True
        self._webhooks.participant("participant_joined", room.snapshot(), info)
        return room

    def leave(self, room: LiveRoom, identity: str, *, reason: Reason, told: bool = False) -> bool:
        """Let a participant go; `told` also tells whoever stands behind it. False if absent."""
        member = room.members.pop(identity, None)
        if member is None:
            return False
        if room.is_empty:
            room.empty_since = time.monotonic()
        info = member.info
        for track in info.tracks:
            self._webhooks.track("track_unpublished", room.info, info, track)
        del info.tracks[:]
        info.state = ParticipantInfo.State.DISCONNECTED
        info.disconnect_reason = reason
        info.version += 1
        self._webhooks.participant("participant_left", room.snapshot(), info)
        if told:
            member.on_removed(reason)
        return True

    def publish(self, room: LiveRoom, identity: str, track: TrackInfo) -> None:
        """Add a track to a participant who is there."""
        info = room.members[identity].info
        track.version.unix_micro = now_ns() // 1000
        info.tracks.append(track)
        info.is_publisher = True
        info.version += 1
        self._webhooks.track("track_published", room.info, info, track)

    def close(self, room: LiveRoom, *, reason: Reason) -> None:
        """End a room: everybody is put out, then it is over."""
        self._rooms.pop(room.info.name, None)
        members = list(room.members.values())
        for member in members:
            self.leave(room, member.info.identity, reason=reason)
        self._webhooks.room("room_finished", room.snapshot())
        for member in members:
            member.on_removed(reason)

    def forget(self) -> None:
        """Lose every room without a word."""
        self._rooms.clear()

    async def sweep(self) -> None:
        """Close rooms that were empty for too long, for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for room in [room for room in self._rooms.values() if room.is_over()]:
                self.close(room, reason=DisconnectReason.ROOM_CLOSED)

    # -- RoomService --

    async def create_room(self, request: CreateRoomRequest) -> Room:
        """Make a room, or give the one of that name: then the new settings are ignored."""
        if len(request.name) > NAME_LENGTH_MAX:
            raise invalid(f"room name length exceeds limits: max length {NAME_LENGTH_MAX}")
        if len(request.metadata) > METADATA_BYTES_MAX:
            raise TwirpError(
                "invalid_argument",
                f"metadata size exceeds limits {METADATA_BYTES_MAX}",
                meta={"argument": "metadata size exceeds limits"},
            )
        if not request.name:
            raise invalid("no room name")
        return (self._rooms.get(request.name) or self._open(request)).snapshot()

    async def list_rooms(self, request: ListRoomsRequest) -> ListRoomsResponse:
        """List all rooms, or those of the names asked for that are there."""
        wanted = set(request.names)
        return ListRoomsResponse(
            rooms=[
                room.snapshot()
                for room in self._rooms.values()
                if not wanted or room.info.name in wanted
            ]
        )

    async def delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse:
        self.close(self.get(request.room), reason=DisconnectReason.ROOM_DELETED)
        return DeleteRoomResponse()

    async def update_room_metadata(self, request: UpdateRoomMetadataRequest) -> Room:
        room = self.get(request.room)
        room.info.metadata = request.metadata
        return room.snapshot()

    async def send_data(self, request: SendDataRequest) -> SendDataResponse:
        room = self.find(request.room)
        if room is None:
            raise await no_answer()
        room.sent.append(
            {
                "topic": request.topic,
                "bytes": len(request.data),
                "text": request.data.decode(errors="replace"),
                "destination_identities": list(request.destination_identities),
            }
        )
        return SendDataResponse()

    def _open(self, request: CreateRoomRequest) -> LiveRoom:
        options = self._options
        info = Room(
            sid=guid("RM_"),
            name=request.name,
            empty_timeout=request.empty_timeout or options.empty_timeout_seconds,
            departure_timeout=request.departure_timeout or options.departure_timeout_seconds,
            max_participants=request.max_participants,
            creation_time=now_s(),
            creation_time_ms=now_ms(),
            turn_password=secrets.token_urlsafe(32),
            enabled_codecs=[Codec(mime=mime) for mime in CODECS],
            metadata=request.metadata,
        )
        room = LiveRoom(info)
        self._rooms[info.name] = room
        self._webhooks.room("room_started", room.snapshot())
        return room

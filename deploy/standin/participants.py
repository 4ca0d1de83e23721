"""Participants: who is in a room, and what an administrator may do to them."""

from typing import cast

from livekit.protocol.models import (
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackInfo,
    TrackSource,
    TrackType,
)
from livekit.protocol.room import (
    ForwardParticipantRequest,
    ForwardParticipantResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    MoveParticipantRequest,
    MoveParticipantResponse,
    MuteRoomTrackRequest,
    MuteRoomTrackResponse,
    PerformRpcRequest,
    PerformRpcResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
    UpdateParticipantRequest,
    UpdateSubscriptionsRequest,
    UpdateSubscriptionsResponse,
)

from deploy.standin.errors import TwirpError, bus_error, no_answer, not_found
from deploy.standin.ids import guid
from deploy.standin.rooms import Member, Rooms

NO_SUCH_PARTICIPANT = "participant does not exist"

#: Tracks by what `POST /participants` may ask for.
TRACKS: dict[str, tuple[TrackType, TrackSource, str]] = {
    "camera": (TrackType.VIDEO, TrackSource.CAMERA, "video/VP8"),
    "microphone": (TrackType.AUDIO, TrackSource.MICROPHONE, "audio/red"),
    "screen_share": (TrackType.VIDEO, TrackSource.SCREEN_SHARE, "video/VP8"),
}


class Participants:
    """The calls about participants, and the simulated ones."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def simulate(
        self,
        room_name: str,
        identity: str,
        *,
        kind: str = "STANDARD",
        name: str = "",
        hidden: bool = False,
        tracks: list[str] | None = None,
    ) -> ParticipantInfo:
        """Let somebody join who has no connection; raises not_found without the room."""
        self._rooms.get(room_name)
        info = ParticipantInfo(
            identity=identity,
            name=name,
            kind=kind_of(kind),
            permission=ParticipantPermission(
                can_publish=True, can_subscribe=True, can_publish_data=True, hidden=hidden
            ),
        )
        room = self._rooms.join(room_name, info)
        for what in tracks or []:
            track_type, source, mime_type = TRACKS[what]
            prefix = "TR_VC" if track_type == TrackType.VIDEO else "TR_AM"
            track = TrackInfo(sid=guid(prefix), type=track_type, source=source, mime_type=mime_type)
            self._rooms.publish(room, identity, track)
        return info

    def depart(self, room_name: str, identity: str) -> bool:
        """Let a simulated participant leave by itself; False if it was not there."""
        room = self._rooms.find(room_name)
        return room is not None and self._rooms.leave(
            room, identity, reason=DisconnectReason.CLIENT_INITIATED, told=True
        )

    # -- RoomService --

    async def list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        """List who is there; an unknown room has nobody in it and is no error."""
        room = self._rooms.find(request.room)
        members = room.members.values() if room is not None else ()
        return ListParticipantsResponse(participants=[member.info for member in members])

    async def get_participant(self, request: RoomParticipantIdentity) -> ParticipantInfo:
        return self._member(request.room, request.identity).info

    async def remove_participant(
        self, request: RoomParticipantIdentity
    ) -> RemoveParticipantResponse:
        self._member(request.room, request.identity)
        self._rooms.leave(
            self._rooms.get(request.room),
            request.identity,
            reason=DisconnectReason.PARTICIPANT_REMOVED,
            told=True,
        )
        return RemoveParticipantResponse()

    async def mute_published_track(self, request: MuteRoomTrackRequest) -> MuteRoomTrackResponse:
        """Mute a track; unmuting needs a setting that is off by default, here as there."""
        member = self._find(request.room, request.identity)
        if member is None:
            raise await no_answer()
        for track in member.info.tracks:
            if track.sid == request.track_sid:
                if track.muted and not request.muted:
                    raise bus_error("failed_precondition", "remote unmute not enabled")
                track.muted = request.muted
                return MuteRoomTrackResponse(track=track)
        # What is not there is not an error.
        return MuteRoomTrackResponse()

    async def update_participant(self, request: UpdateParticipantRequest) -> ParticipantInfo:
        """Change what is given: metadata, name, permission, attributes (empty ones go)."""
        info = self._member(request.room, request.identity).info
        if request.metadata:
            info.metadata = request.metadata
        if request.name:
            info.name = request.name
        if request.HasField("permission"):
            info.permission.CopyFrom(request.permission)
        for key, value in request.attributes.items():
            if value:
                info.attributes[key] = value
            else:
                info.attributes.pop(key, None)
        info.version += 1
        return info

    async def update_subscriptions(
        self, request: UpdateSubscriptionsRequest
    ) -> UpdateSubscriptionsResponse:
        if self._find(request.room, request.identity) is None:
            raise await no_answer()
        return UpdateSubscriptionsResponse()

    async def forward_participant(
        self, _request: ForwardParticipantRequest
    ) -> ForwardParticipantResponse:
        raise TwirpError("unimplemented", "not implemented")

    async def move_participant(self, _request: MoveParticipantRequest) -> MoveParticipantResponse:
        raise TwirpError("unimplemented", "not implemented")

    async def perform_rpc(self, _request: PerformRpcRequest) -> PerformRpcResponse:
        raise TwirpError("unimplemented", "the LiveKit stand-in has nobody who answers an RPC")

    def _find(self, room_name: str, identity: str) -> Member | None:
        room = self._rooms.find(room_name)
        return room.members.get(identity) if room is not None else None

    def _member(self, room_name: str, identity: str) -> Member:
        member = self._find(room_name, identity)
        if member is None:
            raise not_found(NO_SUCH_PARTICIPANT)
        return member


def kind_of(name: str) -> ParticipantInfo.Kind:
    """Find a kind by its name. Raises ValueError."""
    # The generated stubs call this an int, and the constructor does not want one.
    return cast("ParticipantInfo.Kind", ParticipantInfo.Kind.Value(name.upper()))

"""What a LiveKit token must not do: every call of LiveKit's API that has power over a room."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from livekit import api
from livekit.protocol.egress import ParticipantVideo

Call = Callable[[api.LiveKitAPI, str, str], Awaitable[Any]]

# fmt: off
#: From a name to the call, with a token's client, the room, and somebody who is in it.
POWERS: Final[dict[str, Call]] = {
    "list rooms": lambda at, room, _: at.room.list_rooms(api.ListRoomsRequest(names=[room])),
    "make a room": lambda at, room, _: at.room.create_room(
        api.CreateRoomRequest(name=f"{room}-2")),
    "close the room": lambda at, room, _: at.room.delete_room(api.DeleteRoomRequest(room=room)),
    "describe the room": lambda at, room, _: at.room.update_room_metadata(
        api.UpdateRoomMetadataRequest(room=room, metadata="mine")),
    "list people": lambda at, room, _: at.room.list_participants(
        api.ListParticipantsRequest(room=room)),
    "look at somebody": lambda at, room, who: at.room.get_participant(
        api.RoomParticipantIdentity(room=room, identity=who)),
    "put somebody out": lambda at, room, who: at.room.remove_participant(
        api.RoomParticipantIdentity(room=room, identity=who)),
    "mute somebody": lambda at, room, who: at.room.mute_published_track(
        api.MuteRoomTrackRequest(room=room, identity=who, track_sid="TR_any", muted=True)),
    "give somebody rights": lambda at, room, who: at.room.update_participant(
        api.UpdateParticipantRequest(
            room=room, identity=who, permission=api.ParticipantPermission(can_publish=True))),
    "choose for somebody": lambda at, room, who: at.room.update_subscriptions(
        api.UpdateSubscriptionsRequest(room=room, identity=who, track_sids=["TR_any"])),
    "tell everybody": lambda at, room, _: at.room.send_data(
        api.SendDataRequest(room=room, data=b"mine")),
    "list ingresses": lambda at, room, _: at.ingress.list_ingress(
        api.ListIngressRequest(room_name=room)),
    "make an ingress": lambda at, room, who: at.ingress.create_ingress(
        api.CreateIngressRequest(
            input_type=api.IngressInput.RTMP_INPUT, room_name=room, participant_identity=who)),
    "list egresses": lambda at, room, _: at.egress.list_egress(
        api.ListEgressRequest(room_name=room)),
    "record": lambda at, room, who: at.egress.start_egress(
        api.StartEgressRequest(
            room_name=room,
            media=api.MediaSource(participant_video=ParticipantVideo(identity=who)))),
}
# fmt: on


async def refusals(url: str, token: str, room: str, who: str) -> dict[str, str]:
    """Try every power with a token; LiveKit's word for why not, or `allowed`."""
    found = {}
    async with api.LiveKitAPI.with_token(token, url) as client:
        for name, call in POWERS.items():
            try:
                await call(client, room, who)
            except api.ServerError as refusal:
                found[name] = str(refusal.code)
            else:
                found[name] = "allowed"
    return found

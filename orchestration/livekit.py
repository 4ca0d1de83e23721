"""Speak to LiveKit: the only file that imports its SDK (livekit-api; Twirp over HTTP)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import aiohttp
import jwt
from google.protobuf.message import DecodeError
from livekit import api as livekit_api
from livekit.protocol import egress as egress_proto
from livekit.protocol import ingress as ingress_proto
from livekit.protocol import models as models_proto
from livekit.protocol import room as room_proto

from observability import metrics
from orchestration import names
from orchestration.plane import (
    EgressSeen,
    Hint,
    IngressSeen,
    Input,
    NotThere,
    OutcomeUnknown,
    ParticipantSeen,
    PlaneError,
    Refused,
    RoomSeen,
    TakeOutputs,
    TrackSeen,
    Unavailable,
)
from orchestration.settings import Settings

T = TypeVar("T")

# fmt: off
#: Every Twirp code, sorted once (twitchtv.github.io/twirp/docs/errors.html). A code that is not
#: here is a new one: nobody knows what it did.
SORTED: Final[dict[str, type[PlaneError]]] = {
    "unavailable":         Unavailable,     # no worker, shutting down
    "resource_exhausted":  Unavailable,     # full, or too many requests
    "aborted":             Unavailable,     # another change came first
    "deadline_exceeded":   OutcomeUnknown,  # the worker may have got it (egress#580)
    "canceled":            OutcomeUnknown,
    "unknown":             OutcomeUnknown,  # a plain Go error
    "internal":            OutcomeUnknown,
    "dataloss":            OutcomeUnknown,
    "not_found":           NotThere,
    "invalid_argument":    Refused,
    "malformed":           Refused,
    "out_of_range":        Refused,
    "already_exists":      Refused,
    "permission_denied":   Refused,
    "unauthenticated":     Refused,
    "failed_precondition": Refused,
    "bad_route":           Refused,         # an older server without this method
    "unimplemented":       Refused,
}
# fmt: on

#: A server that refused v2 StartEgress is asked again after this: it may have been upgraded.
V2_FORGET_SECONDS: Final = 300
#: A thumbnail every so often, in seconds.
THUMBNAIL_SECONDS: Final = 10
#: Largest answer time of all calls plus slack; the real deadline is each call's own.
SESSION_SECONDS: Final = 120

#: What a newer LiveKit may say and we cannot read.
UNKNOWN: Final = "unknown"
_INPUTS: Final = {
    ingress_proto.IngressInput.RTMP_INPUT: Input.RTMP,
    ingress_proto.IngressInput.WHIP_INPUT: Input.WHIP,
}


class LiveKit:
    """LiveKit as a MediaPlane; one kept client, every call with a deadline of its own."""

    def __init__(self, settings: Settings, client: livekit_api.LiveKitAPI) -> None:
        self._settings = settings
        self._client = client
        self._no_v2_until = 0.0

    async def list_rooms(self, names: Sequence[str] = ()) -> tuple[RoomSeen, ...]:
        request = room_proto.ListRoomsRequest(names=list(names))
        answer = await self._call("ListRooms", lambda: self._client.room.list_rooms(request))
        return tuple(_room_seen(room) for room in answer.rooms)

    async def create_room(
        self, name: str, *, empty_seconds: int, departure_seconds: int, metadata: str = ""
    ) -> RoomSeen:
        request = room_proto.CreateRoomRequest(
            name=name,
            empty_timeout=empty_seconds,
            departure_timeout=departure_seconds,
            metadata=metadata,
        )
        return _room_seen(
            await self._call("CreateRoom", lambda: self._client.room.create_room(request))
        )

    async def delete_room(self, name: str) -> None:
        request = room_proto.DeleteRoomRequest(room=name)
        await self._gone("DeleteRoom", lambda: self._client.room.delete_room(request))

    async def list_ingress(self, room: str | None = None) -> tuple[IngressSeen, ...]:
        request = ingress_proto.ListIngressRequest(room_name=room or "")
        answer = await self._call("ListIngress", lambda: self._client.ingress.list_ingress(request))
        return tuple(_ingress_seen(item) for item in answer.items if item.input_type in _INPUTS)

    async def create_ingress(
        self, kind: Input, *, name: str, room: str, identity: str, title: str, enabled: bool
    ) -> IngressSeen:
        request = ingress_proto.CreateIngressRequest(
            name=name,
            room_name=room,
            participant_identity=identity,
            participant_name=title,
            enabled=enabled,
            # Ingress tracks without a source are invisible to an egress that takes the camera.
            video=ingress_proto.IngressVideoOptions(source=models_proto.TrackSource.CAMERA),
            audio=ingress_proto.IngressAudioOptions(source=models_proto.TrackSource.MICROPHONE),
        )
        if kind is Input.RTMP:
            request.input_type = ingress_proto.IngressInput.RTMP_INPUT
            request.enable_transcoding = True
        else:
            request.input_type = ingress_proto.IngressInput.WHIP_INPUT
        return _ingress_seen(
            await self._call("CreateIngress", lambda: self._client.ingress.create_ingress(request))
        )

    async def enable_ingress(self, ingress_id: str, *, enabled: bool) -> IngressSeen:
        request = ingress_proto.UpdateIngressRequest(ingress_id=ingress_id, enabled=enabled)
        return _ingress_seen(
            await self._call("UpdateIngress", lambda: self._client.ingress.update_ingress(request))
        )

    async def delete_ingress(self, ingress_id: str) -> None:
        request = ingress_proto.DeleteIngressRequest(ingress_id=ingress_id)
        await self._gone(
            "DeleteIngress",
            lambda: self._client.ingress.delete_ingress(request),
            seconds=self._settings.livekit_stop_seconds,
        )

    async def list_participants(self, room: str) -> tuple[ParticipantSeen, ...]:
        request = room_proto.ListParticipantsRequest(room=room)
        try:
            answer = await self._call(
                "ListParticipants", lambda: self._client.room.list_participants(request)
            )
        except NotThere:
            return ()
        return tuple(_participant_seen(item) for item in answer.participants)

    async def list_egress(
        self, room: str | None = None, *, active: bool = True
    ) -> tuple[EgressSeen, ...]:
        request = egress_proto.ListEgressRequest(room_name=room or "", active=active)
        answer = await self._call("ListEgress", lambda: self._client.egress.list_egress(request))
        return tuple(_egress_seen(item) for item in answer.items)

    async def start_egress(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        if time.monotonic() >= self._no_v2_until:
            try:
                return await self._start_v2(room, source, outputs)
            except Refused as refusal:
                if refusal.code not in {"bad_route", "unimplemented"}:
                    raise
                self._no_v2_until = time.monotonic() + V2_FORGET_SECONDS
        return await self._start_participant(room, source, outputs)

    async def stop_egress(self, egress_id: str) -> None:
        request = egress_proto.StopEgressRequest(egress_id=egress_id)
        try:
            await self._gone(
                "StopEgress",
                lambda: self._client.egress.stop_egress(request),
                seconds=self._settings.livekit_stop_seconds,
            )
        except Refused as refusal:
            # "egress with status EGRESS_COMPLETE cannot be stopped": it is over, as was asked.
            if refusal.code != "failed_precondition":
                raise

    async def mute_track(self, room: str, identity: str, track_sid: str, *, muted: bool) -> None:
        request = room_proto.MuteRoomTrackRequest(
            room=room, identity=identity, track_sid=track_sid, muted=muted
        )
        await self._call(
            "MutePublishedTrack", lambda: self._client.room.mute_published_track(request)
        )

    async def remove_participant(self, room: str, identity: str) -> None:
        request = room_proto.RoomParticipantIdentity(room=room, identity=identity)
        await self._gone("RemoveParticipant", lambda: self._client.room.remove_participant(request))

    async def _start_v2(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        request = egress_proto.StartEgressRequest(
            room_name=room,
            media=egress_proto.MediaSource(
                participant_video=egress_proto.ParticipantVideo(
                    identity=names.sender_of(source), prefer_screen_share=names.is_screen(source)
                ),
                audio=egress_proto.AudioConfig(capture_all=True),
            ),
            outputs=[egress_proto.Output(segments=_segments_of(outputs))],
        )
        if outputs.file_name:
            request.outputs.append(
                egress_proto.Output(
                    file=egress_proto.FileOutput(
                        file_type=egress_proto.EncodedFileType.MP4,
                        filepath=outputs.file_name,
                        disable_manifest=True,
                    )
                )
            )
        if outputs.image_prefix:
            request.outputs.append(egress_proto.Output(images=_images_of(outputs)))
        if outputs.s3:
            request.storage.s3.CopyFrom(_s3_of(outputs))
        answer = await self._call(
            "StartEgress",
            lambda: self._client.egress.start_egress(request),
            seconds=self._settings.livekit_start_egress_seconds,
        )
        return _egress_seen(answer)

    async def _start_participant(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        segments, images = _segments_of(outputs), _images_of(outputs)
        file = egress_proto.EncodedFileOutput(
            file_type=egress_proto.EncodedFileType.MP4,
            filepath=outputs.file_name or "",
            disable_manifest=True,
        )
        if outputs.s3:
            for output in (segments, images, file):
                output.s3.CopyFrom(_s3_of(outputs))
        request = egress_proto.ParticipantEgressRequest(
            room_name=room,
            identity=names.sender_of(source),
            screen_share=names.is_screen(source),
            segment_outputs=[segments],
            file_outputs=[file] if outputs.file_name else [],
            image_outputs=[images] if outputs.image_prefix else [],
        )
        answer = await self._call(
            "StartParticipantEgress",
            lambda: self._client.egress.start_participant_egress(request),
            seconds=self._settings.livekit_start_egress_seconds,
        )
        return _egress_seen(answer)

    async def _call(
        self, method: str, send: Callable[[], Awaitable[T]], *, seconds: float | None = None
    ) -> T:
        """Send one request once, within its deadline; sort whatever goes wrong."""
        with metrics.livekit_call(method) as call:
            try:
                async with asyncio.timeout(seconds or self._settings.livekit_seconds):
                    return await send()
            except livekit_api.ServerError as error:
                problem = _sorted(method, error)
                call.outcome = _outcome_of(problem)
                raise problem from error
            except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
                call.outcome = "retryable"
                raise Unavailable(method, "unreachable", "LiveKit cannot be reached") from error
            except (TimeoutError, aiohttp.ClientError, OSError, DecodeError) as error:
                call.outcome = "unknown"
                raise OutcomeUnknown(method, "no_answer", type(error).__name__) from error

    async def _gone(
        self, method: str, send: Callable[[], Awaitable[Any]], *, seconds: float | None = None
    ) -> None:
        try:
            await self._call(method, send, seconds=seconds)
        except NotThere:
            return


@asynccontextmanager
async def open_livekit(settings: Settings) -> AsyncIterator[LiveKit]:
    """Keep one client for the life of a process; nothing is sent before the first call."""
    timeout = aiohttp.ClientTimeout(total=SESSION_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = livekit_api.LiveKitAPI(
            settings.livekit_url,
            settings.livekit_api_key,
            settings.livekit_api_secret.get_secret_value(),
            session=session,
            # Its retries repeat starts that are not idempotent: ours look first.
            failover=False,
        )
        yield LiveKit(settings, client)


@dataclass(frozen=True)
class Grants:
    """What a LiveKit token allows in its one room (LiveKit: VideoGrants)."""

    publish_sources: tuple[str, ...] = ()  #: camera, microphone, screen_share, screen_share_audio
    subscribe: bool = True
    publish_data: bool = False
    hidden: bool = False


def mint_token(
    settings: Settings, *, identity: str, name: str, room: str, grants: Grants, seconds: int
) -> str:
    """Mint a token that joins one room, in so many seconds, and may do what the grants say."""
    video = livekit_api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=bool(grants.publish_sources),
        can_publish_sources=list(grants.publish_sources),
        can_subscribe=grants.subscribe,
        can_publish_data=grants.publish_data,
        hidden=grants.hidden,
    )
    return (
        livekit_api.AccessToken(
            settings.livekit_api_key, settings.livekit_api_secret.get_secret_value()
        )
        .with_identity(identity)
        .with_name(name)
        .with_ttl(timedelta(seconds=seconds))
        .with_grants(video)
        .to_jwt()
    )


class BadSignature(Exception):
    """This webhook is not from our LiveKit, or its body was changed."""


def read_webhook(settings: Settings, body: bytes, authorization: str) -> Hint:
    """Verify a webhook and keep only what may be kept: a body carries stream keys.

    Raises BadSignature; ValueError for a body that is signed and not a webhook.
    """
    verifier = livekit_api.TokenVerifier(
        settings.livekit_api_key, settings.livekit_api_secret.get_secret_value()
    )
    try:
        text = body.decode()
        verifier.verify(authorization)
    except (UnicodeDecodeError, jwt.PyJWTError, ValueError) as error:
        raise BadSignature(type(error).__name__) from error
    try:
        event = livekit_api.WebhookReceiver(verifier).receive(text, authorization)
    except ValueError:
        raise
    except Exception as error:
        # The SDK raises a bare Exception for a missing or wrong hash, and ParseError for a body
        # that is not a webhook.
        if type(error) is Exception:
            raise BadSignature(str(error)) from error
        raise ValueError("this is not a LiveKit webhook") from error
    room = event.room.name or event.egress_info.room_name or event.ingress_info.room_name
    return Hint(
        event_id=event.id,
        event=event.event,
        room=room,
        created_at=datetime.fromtimestamp(event.created_at, UTC) if event.created_at else None,
    )


def _sorted(method: str, error: livekit_api.ServerError) -> PlaneError:
    """Sort a Twirp error; an answer that is not Twirp's comes from the door or from a proxy."""
    code = str(error.code)
    if code == "unknown" and error.status == 401:  # noqa: PLR2004 # plain text from the door
        return Refused(method, "unauthenticated", "LiveKit does not accept our key or secret")
    if code == "unknown" and error.status in {403, 404, 405}:
        return Refused(method, "bad_route", f"HTTP {error.status}: is LIVEKIT_URL right?")
    return SORTED.get(code, OutcomeUnknown)(method, code, str(error.message))


def _outcome_of(problem: PlaneError) -> metrics.CallOutcome:
    match problem:
        case OutcomeUnknown():
            return "unknown"
        case Unavailable():
            return "retryable"
        case NotThere():
            return "ok"  # an answer like any other
        case _:
            return "refused"


def _segments_of(outputs: TakeOutputs) -> egress_proto.SegmentedFileOutput:
    return egress_proto.SegmentedFileOutput(
        filename_prefix=outputs.segment_prefix,
        playlist_name=outputs.playlist_name,
        live_playlist_name=outputs.live_playlist_name,
        segment_duration=outputs.segment_seconds,
        disable_manifest=True,
    )


def _images_of(outputs: TakeOutputs) -> egress_proto.ImageOutput:
    return egress_proto.ImageOutput(
        capture_interval=THUMBNAIL_SECONDS,
        filename_prefix=outputs.image_prefix or "",
        disable_manifest=True,
    )


def _s3_of(outputs: TakeOutputs) -> egress_proto.S3Upload:
    assert outputs.s3 is not None
    return egress_proto.S3Upload(
        access_key=outputs.s3.access_key,
        secret=outputs.s3.secret,
        bucket=outputs.s3.bucket,
        region=outputs.s3.region,
        endpoint=outputs.s3.endpoint,
        force_path_style=outputs.s3.force_path_style,
    )


def _room_seen(room: models_proto.Room) -> RoomSeen:
    return RoomSeen(
        name=room.name,
        sid=room.sid,
        participants=room.num_participants,
        created_at=datetime.fromtimestamp(room.creation_time, UTC) if room.creation_time else None,
    )


def _ingress_seen(info: ingress_proto.IngressInfo) -> IngressSeen:
    return IngressSeen(
        ingress_id=info.ingress_id,
        input=_INPUTS[info.input_type],
        name=info.name,
        room=info.room_name,
        identity=info.participant_identity,
        url=info.url,
        stream_key=info.stream_key,
        enabled=info.enabled if info.HasField("enabled") else True,
        status=_name(ingress_proto.IngressState.Status, info.state.status, "ENDPOINT_"),
        error=info.state.error,
        width=info.state.video.width,
        height=info.state.video.height,
        frames_per_second=info.state.video.framerate,
        video_bits_per_second=info.state.video.average_bitrate,
        audio_bits_per_second=info.state.audio.average_bitrate,
    )


def _participant_seen(info: models_proto.ParticipantInfo) -> ParticipantSeen:
    return ParticipantSeen(
        identity=info.identity,
        kind=_name(models_proto.ParticipantInfo.Kind, info.kind),
        name=info.name,
        is_active=info.state == models_proto.ParticipantInfo.State.ACTIVE,
        is_hidden=info.permission.hidden,
        is_recorder=info.permission.recorder,
        is_publisher=info.is_publisher,
        joined_at=datetime.fromtimestamp(info.joined_at, UTC) if info.joined_at else None,
        tracks=tuple(
            TrackSeen(
                sid=track.sid,
                kind=_name(models_proto.TrackType, track.type),
                source=_name(models_proto.TrackSource, track.source),
                muted=track.muted,
                width=track.width,
                height=track.height,
            )
            for track in info.tracks
        ),
    )


def _egress_seen(info: egress_proto.EgressInfo) -> EgressSeen:
    """Recognise a take by the prefix of its segments, whichever request made it."""
    prefix, source = "", ""
    if info.HasField("egress"):
        prefix = next(
            (
                output.segments.filename_prefix
                for output in info.egress.outputs
                if output.HasField("segments")
            ),
            "",
        )
        video = info.egress.media.participant_video
        source = _source_of(video.identity, is_screen=video.prefer_screen_share)
    elif info.HasField("participant"):
        prefix = next((item.filename_prefix for item in info.participant.segment_outputs), "")
        source = _source_of(info.participant.identity, is_screen=info.participant.screen_share)
    return EgressSeen(
        egress_id=info.egress_id,
        room=info.room_name,
        status=_name(egress_proto.EgressStatus, info.status, "EGRESS_"),
        prefix=prefix,
        source=source,
        kind="participant" if info.HasField("participant") else "media",
        error=info.error,
        details=info.details,
        started_at=_from_ns(info.started_at),
        ended_at=_from_ns(info.ended_at),
    )


def _name(enum: Any, number: int, prefix: str = "") -> str:
    """Name a value as we do; one that only a newer LiveKit knows is `unknown`, and no error."""
    try:
        name: str = enum.Name(number)
    except ValueError:
        return UNKNOWN
    return name.removeprefix(prefix).lower()


def _source_of(identity: str, *, is_screen: bool) -> str:
    return names.screen_of(identity) if is_screen else identity


def _from_ns(value: int) -> datetime | None:
    return datetime.fromtimestamp(value / 1e9, UTC) if value else None

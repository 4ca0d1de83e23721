"""Ingresses: made, changed, listed, deleted - and what an encoder does to them."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field

import structlog
from livekit.protocol.ingress import (
    CreateIngressRequest,
    DeleteIngressRequest,
    IngressInfo,
    IngressInput,
    IngressState,
    InputAudioState,
    InputVideoState,
    ListIngressRequest,
    ListIngressResponse,
    UpdateIngressRequest,
)
from livekit.protocol.models import (
    AudioTrackFeature,
    BackupCodecPolicy,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    SimulcastCodecInfo,
    TrackInfo,
    TrackType,
    VideoLayer,
    VideoQuality,
)

from deploy.standin.errors import TwirpError, invalid, not_found
from deploy.standin.faults import Fault, Faults, Kind
from deploy.standin.flv import Tag, TagType, VideoFormat, audio_format, read_metadata, video_format
from deploy.standin.ids import guid, now_ns
from deploy.standin.options import Options
from deploy.standin.rooms import LiveRoom, Reason, Rooms
from deploy.standin.rtmp import Connection, RefusedError
from deploy.standin.streams import Stream
from deploy.standin.webhooks import Webhooks

log = structlog.get_logger("standin.ingress")

NO_SUCH_INGRESS = "ingress does not exist"

Status = IngressState.Status

#: While in one of these an ingress has an encoder.
ACTIVE = (Status.ENDPOINT_BUFFERING, Status.ENDPOINT_PUBLISHING)

#: How long a killed handler takes to say so.
KILL_SECONDS = 0.05

#: A participant whose connection died without a word stays listed for about this long.
TIMEOUT_SECONDS = 20.0

#: The server asks a dead handler for this long before it deletes the ingress without it.
DEAD_HANDLER_SECONDS = 3.0

#: What LiveKit's ingress names the MediaStream of its tracks.
STREAM_NAME = "camera"


@dataclass(slots=True)
class Ingress:
    """One ingress and the session of its encoder, if there is one."""

    info: IngressInfo
    session: "Session | None" = None
    #: Its handler was killed: the status is not true any more.
    lies: bool = False

    def snapshot(self) -> IngressInfo:
        """Give the ingress as the API shows it, bit rates counted now."""
        copy = IngressInfo()
        if self.session is not None and self.info.state.status == Status.ENDPOINT_PUBLISHING:
            video, audio = self.session.stream.bitrates()
            if self.info.state.HasField("video"):
                self.info.state.video.average_bitrate = video
            if self.info.state.HasField("audio"):
                self.info.state.audio.average_bitrate = audio
        copy.CopyFrom(self.info)
        return copy


@dataclass(slots=True)
class Session:
    """One encoder, connected: its stream, and its participant once media has come."""

    ingress: Ingress
    connection: Connection
    ingresses: "Ingresses"
    resource_id: str
    stream: Stream = field(default_factory=Stream)
    room: LiveRoom | None = None
    video: VideoFormat | None = None
    tracks: dict[TagType, TrackInfo] = field(default_factory=dict)
    #: It counts no more: the participant is gone and the state belongs to somebody else.
    over: bool = False
    #: Its handler was killed: what the connection says no longer matters.
    killed: bool = False

    @property
    def identity(self) -> str:
        return self.ingress.info.participant_identity

    # -- what the RTMP connection calls --

    def put(self, tag: Tag) -> None:
        self.stream.put(tag)
        if not self.over and tag.type not in self.tracks and is_decodable(tag):
            self.ingresses.decoded(self, tag)

    def ended(self) -> None:
        self.stream.end()
        if not self.over and not self.killed:
            self.ingresses.finish(
                self, Status.ENDPOINT_INACTIVE, reason=DisconnectReason.CLIENT_INITIATED
            )

    # -- what the room calls --

    def put_out(self, reason: Reason) -> None:
        self.ingresses.put_out(self, reason)


class Ingresses:
    """Every ingress there is, and the calls about them."""

    def __init__(self, options: Options, rooms: Rooms, webhooks: Webhooks, faults: Faults) -> None:
        self._options = options
        self._rooms = rooms
        self._webhooks = webhooks
        self._faults = faults
        self._ingresses: dict[str, Ingress] = {}
        self._later: set[asyncio.Task[None]] = set()
        #: Base addresses; set when the ports are known.
        self.rtmp_base_url = ""
        self.whip_base_url = ""

    def all(self) -> Iterator[Ingress]:
        return iter(self._ingresses.values())

    def stream_of(self, room_name: str, identity: str | None) -> Stream | None:
        """Find what a participant publishes right now; any participant if None."""
        for ingress in self._ingresses.values():
            session = ingress.session
            if (
                session is not None
                and session.room is not None
                and session.room.info.name == room_name
                and (identity is None or session.identity == identity)
                and not session.stream.ended
            ):
                return session.stream
        return None

    # -- Ingress --

    async def create_ingress(self, request: CreateIngressRequest) -> IngressInfo:
        """Make an ingress: a new id and key each time, whatever is there already."""
        if request.input_type == IngressInput.URL_INPUT:
            raise TwirpError("unimplemented", "the LiveKit stand-in does not pull from URLs")
        is_rtmp = request.input_type == IngressInput.RTMP_INPUT
        transcodes = request.enable_transcoding if request.HasField("enable_transcoding") else None
        validate(request, is_rtmp=is_rtmp, transcodes=transcodes)
        info = IngressInfo(
            ingress_id=guid("IN_"),
            name=request.name,
            stream_key=guid(),
            url=self.rtmp_base_url if is_rtmp else self.whip_base_url,
            input_type=request.input_type,
            bypass_transcoding=request.bypass_transcoding,
            enable_transcoding=is_rtmp if transcodes is None else transcodes,
            room_name=request.room_name,
            participant_identity=request.participant_identity,
            participant_name=request.participant_name,
            participant_metadata=request.participant_metadata,
            reusable=True,
            state=IngressState(),
        )
        if request.HasField("audio"):
            info.audio.CopyFrom(request.audio)
        if request.HasField("video"):
            info.video.CopyFrom(request.video)
        if request.HasField("enabled"):
            info.enabled = request.enabled
        self._ingresses[info.ingress_id] = Ingress(info)
        return info

    async def update_ingress(self, request: UpdateIngressRequest) -> IngressInfo:
        """Change what is given; an encoder that is connected is cut off."""
        ingress = self._get(request.ingress_id)
        info = ingress.info
        for name in ("name", "room_name", "participant_identity", "participant_name"):
            if value := getattr(request, name):
                setattr(info, name, value)
        if request.participant_metadata:
            info.participant_metadata = request.participant_metadata
        for name in ("bypass_transcoding", "enable_transcoding", "enabled"):
            if request.HasField(name):
                setattr(info, name, getattr(request, name))
        if request.HasField("audio"):
            info.audio.CopyFrom(request.audio)
        if request.HasField("video"):
            info.video.CopyFrom(request.video)
        if info.state.status in ACTIVE:
            answer = ingress.snapshot()
            self._kill(ingress)
            return answer
        if info.state.status == Status.ENDPOINT_ERROR:
            info.state.status = Status.ENDPOINT_INACTIVE
            info.state.error = ""
        return ingress.snapshot()

    async def list_ingress(self, request: ListIngressRequest) -> ListIngressResponse:
        """List by room, or the one of an id; an unknown id is not_found."""
        if request.ingress_id:
            items = [self._get(request.ingress_id)]
        else:
            items = list(self._ingresses.values())
        return ListIngressResponse(
            items=[
                ingress.snapshot()
                for ingress in items
                if not request.room_name or ingress.info.room_name == request.room_name
            ]
        )

    async def delete_ingress(self, request: DeleteIngressRequest) -> IngressInfo:
        """Remove an ingress and cut its encoder off; there is no `ingress_ended` then."""
        ingress = self._get(request.ingress_id)
        if ingress.lies:
            await asyncio.sleep(DEAD_HANDLER_SECONDS)
        self._ingresses.pop(request.ingress_id, None)
        session = ingress.session
        if session is not None and not session.killed:
            self._end_session(session, reason=DisconnectReason.CLIENT_INITIATED)
            session.connection.hang_up()
        info = ingress.snapshot()
        info.state.status = Status.ENDPOINT_INACTIVE
        return info

    # -- encoders --

    async def accept(self, key: str, connection: Connection) -> Session:
        """Let an encoder in by its stream key; the newest one wins. Raises RefusedError."""
        ingress = next((i for i in self._ingresses.values() if i.info.stream_key == key), None)
        if ingress is None or ingress.info.input_type != IngressInput.RTMP_INPUT:
            raise RefusedError("ingress does not exist")
        info = ingress.info
        if info.HasField("enabled") and not info.enabled:
            self._fail(ingress, "session is disabled")
            raise RefusedError("session is disabled")
        if not info.room_name:
            self._fail(ingress, "no room name")
            raise RefusedError("no room name")
        older = ingress.session
        session = Session(ingress, connection, self, resource_id=guid("RT_"))
        ingress.session, ingress.lies = session, False
        room = self._rooms.find(info.room_name)
        info.state.CopyFrom(
            IngressState(
                status=Status.ENDPOINT_BUFFERING,
                room_id=room.info.sid if room else "",
                started_at=now_ns(),
                updated_at=now_ns(),
                resource_id=session.resource_id,
            )
        )
        if older is not None:
            self._end_session(older, reason=DisconnectReason.DUPLICATE_IDENTITY)
            older.connection.hang_up()
        log.info("encoder_connected", ingress_id=info.ingress_id, room=info.room_name)
        return session

    def decoded(self, session: Session, tag: Tag) -> None:
        """Take the first tag of a track: now the ingress publishes it."""
        state = session.ingress.info.state
        if session.room is None:
            self._join(session)
        if tag.type is TagType.AUDIO:
            sound = audio_format(tag)
            state.audio.CopyFrom(
                InputAudioState(
                    mime_type=sound.mime_type,
                    channels=sound.channels,
                    sample_rate=sound.sample_rate,
                )
            )
            track = audio_track(session, stereo=True)
        else:
            metadata = session.stream.metadata
            picture = video_format(
                session.stream.video_header or tag,
                read_metadata(metadata.payload) if metadata else {},
            )
            session.video = picture
            state.video.CopyFrom(
                InputVideoState(
                    mime_type=picture.mime_type,
                    width=picture.width,
                    height=picture.height,
                    framerate=picture.framerate,
                )
            )
            track = video_track(session, picture)
        self._published(session, tag.type, track)

    def _join(self, session: Session) -> None:
        info = session.ingress.info
        who = ParticipantInfo(
            identity=info.participant_identity,
            name=info.participant_name,
            metadata=info.participant_metadata,
            kind=ParticipantInfo.Kind.INGRESS,
            permission=ParticipantPermission(
                can_publish=True, can_publish_data=True, can_update_metadata=True
            ),
            attributes={"ingress.ingressID": info.ingress_id},
        )
        session.room = self._rooms.join(info.room_name, who, session.put_out)
        info.state.room_id = session.room.info.sid
        who.attributes["ingress.resourceID"] = session.resource_id

    def _published(self, session: Session, kind: TagType, track: TrackInfo) -> None:
        assert session.room is not None
        state = session.ingress.info.state
        is_first = state.status != Status.ENDPOINT_PUBLISHING
        state.status = Status.ENDPOINT_PUBLISHING
        state.updated_at = now_ns()
        if is_first:
            self._webhooks.ingress("ingress_started", session.ingress.info)
        session.tracks[kind] = track
        self._rooms.publish(session.room, session.identity, track)

    def finish(
        self, session: Session, status: IngressState.Status, *, reason: Reason, error: str = ""
    ) -> None:
        """End a session that still counts: the participant goes, the state says so."""
        ingress = session.ingress
        self._end_session(session, reason=reason)
        if self._is_stuck(ingress.info):
            return
        state = ingress.info.state
        state.status = status
        state.error = error
        state.ended_at = state.updated_at = now_ns()
        if ingress.info.ingress_id in self._ingresses:
            self._webhooks.ingress("ingress_ended", ingress.info)

    def put_out(self, session: Session, reason: Reason) -> None:
        """Hear that the room put the participant out, or was closed: the encoder is cut off.

        One that connects again brings the room back.
        """
        if session.over:
            return
        session.killed = True
        self.finish(session, Status.ENDPOINT_ERROR, reason=reason, error="room disconnected")
        session.connection.hang_up()

    def _kill(self, ingress: Ingress) -> None:
        """Kill the session's handler; it says so a moment later."""
        session = ingress.session
        if session is None or session.killed:
            return
        session.killed = True
        session.stream.end()
        session.connection.hang_up()

        async def die() -> None:
            if not session.over:
                disabled = ingress.info.HasField("enabled") and not ingress.info.enabled
                self.finish(
                    session,
                    Status.ENDPOINT_ERROR,
                    reason=DisconnectReason.CLIENT_INITIATED,
                    error="session is disabled" if disabled else "session killed",
                )

        self._soon(die(), KILL_SECONDS)

    def _end_session(self, session: Session, *, reason: Reason) -> None:
        """Take the session and its participant away; what the state says is left alone."""
        session.over = True
        session.stream.end()
        if session.ingress.session is session:
            session.ingress.session = None
        room, session.room = session.room, None
        if room is not None and self._is_here(session, room):
            self._rooms.leave(room, session.identity, reason=reason)

    def _is_here(self, session: Session, room: LiveRoom) -> bool:
        """Say whether the participant in the room is this session's and not a newer one's."""
        member = room.members.get(session.identity)
        return (
            member is not None
            and member.info.attributes.get("ingress.resourceID") == session.resource_id
        )

    def _fail(self, ingress: Ingress, error: str) -> None:
        """Note that an encoder was turned away; a session that runs is not touched."""
        if ingress.session is not None:
            return
        state = ingress.info.state
        state.status, state.error = Status.ENDPOINT_ERROR, error
        state.ended_at = state.updated_at = now_ns()
        self._webhooks.ingress("ingress_ended", ingress.info)

    def _get(self, ingress_id: str) -> Ingress:
        ingress = self._ingresses.get(ingress_id)
        if ingress is None:
            raise not_found(NO_SUCH_INGRESS)
        return ingress

    # -- faults --

    def die(self, fault: Fault) -> list[str]:
        """Kill handlers without a word: the encoder loses its pipe, the status lies."""
        struck = []
        for ingress in self._ingresses.values():
            session = ingress.session
            info = ingress.info
            if session is None or not fault.concerns(
                method=None, event=None, room=info.room_name, resource_id=info.ingress_id
            ):
                continue
            session.killed = session.over = True
            session.stream.end()
            session.connection.hang_up()
            ingress.session, ingress.lies = None, True
            self._soon(self._time_out(session), fault.delay_seconds or TIMEOUT_SECONDS)
            struck.append(info.ingress_id)
        return struck

    def forget(self) -> None:
        """Lose every ingress and cut every encoder off, without a word."""
        for ingress in self._ingresses.values():
            session = ingress.session
            if session is not None:
                session.over = session.killed = True
                session.stream.end()
                session.connection.hang_up()
        self._ingresses.clear()

    async def close(self) -> None:
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def _time_out(self, session: Session) -> None:
        room = session.room
        if room is not None and self._is_here(session, room):
            self._rooms.leave(room, session.identity, reason=DisconnectReason.CONNECTION_TIMEOUT)

    def _is_stuck(self, info: IngressInfo) -> bool:
        fault = self._faults.look(
            Kind.STUCK_STATE, room=info.room_name, resource_id=info.ingress_id
        )
        if fault is None or fault.resource != "ingress":
            return False
        fault.hits += 1
        return True

    def _soon(self, what: Coroutine[None, None, None], seconds: float) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            await what

        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def is_decodable(tag: Tag) -> bool:
    """Say whether a decoder knows the track's format by this tag; video needs a picture."""
    return tag.type is TagType.AUDIO or (tag.type is TagType.VIDEO and not tag.is_header)


def validate(request: CreateIngressRequest, *, is_rtmp: bool, transcodes: bool | None) -> None:
    """Turn away what LiveKit turns away. Raises invalid_argument."""
    if not request.participant_identity:
        raise invalid("invalid ingress: no participant identity")
    if is_rtmp and transcodes is False:
        raise invalid("invalid ingress: transcoding cannot be disabled for RTMP")
    if not is_rtmp and not transcodes:
        for kind in ("audio", "video"):
            if request.HasField(kind) and getattr(request, kind).WhichOneof("encoding_options"):
                raise invalid(f"invalid ingress: {kind} options require transcoding")


def audio_track(session: Session, *, stereo: bool) -> TrackInfo:
    """Make the track an ingress publishes for sound: always Opus."""
    wanted = session.ingress.info.audio
    codec = SimulcastCodecInfo(
        mime_type="audio/opus",
        mid="1",
        cid=guid("TR_"),
        video_layer_mode=VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM,
    )
    return TrackInfo(
        sid=guid("TR_AM"),
        type=TrackType.AUDIO,
        name=wanted.name,
        source=wanted.source,
        mime_type="audio/opus",
        mid="1",
        codecs=[codec],
        stereo=stereo,
        stream=STREAM_NAME,
        audio_features=[AudioTrackFeature.TF_STEREO] if stereo else [],
        backup_codec_policy=BackupCodecPolicy.SIMULCAST,
    )


def video_track(session: Session, picture: VideoFormat) -> TrackInfo:
    """Make the track an ingress publishes for its picture: always H264, in two sizes."""
    wanted = session.ingress.info.video
    layers = video_layers(picture)
    codec = SimulcastCodecInfo(
        mime_type="video/H264",
        mid="2",
        cid=session.ingress.info.ingress_id,
        layers=layers,
        video_layer_mode=VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM,
    )
    return TrackInfo(
        sid=guid("TR_VC"),
        type=TrackType.VIDEO,
        name=wanted.name,
        width=picture.width,
        height=picture.height,
        simulcast=True,
        source=wanted.source,
        layers=layers,
        mime_type="video/H264",
        mid="2",
        codecs=[codec],
        stream=STREAM_NAME,
    )


def video_layers(picture: VideoFormat) -> list[VideoLayer]:
    """Make the two layers of LiveKit's default ingress preset: three quarters, and whole."""
    ssrc = secrets.randbits(32) | 1
    return [
        VideoLayer(
            quality=VideoQuality.LOW,
            width=picture.width * 3 // 4,
            height=picture.height * 3 // 4,
            bitrate=353_553,
            ssrc=ssrc,
            rid="q",
        ),
        VideoLayer(
            quality=VideoQuality.HIGH,
            width=picture.width,
            height=picture.height,
            bitrate=1_000_000,
            ssrc=ssrc,
            spatial_layer=1,
            rid="f",
        ),
    ]

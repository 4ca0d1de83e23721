"""What an egress was asked to write: names, places and encoding, by LiveKit's own rules."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.message import Message
from livekit.protocol.egress import (
    EncodingOptions,
    EncodingOptionsPreset,
    ImageFileSuffix,
    ImageOutput,
    ParticipantEgressRequest,
    RoomCompositeEgressRequest,
    SegmentedFileOutput,
    SegmentedFileSuffix,
    StartEgressRequest,
    StorageConfig,
)

from deploy.standin.errors import TwirpError, missing_field
from deploy.standin.storage import LocalStorage, Storage, s3_storage

#: The real egress' segment length when none is asked for.
SEGMENT_SECONDS = 4

#: The real egress' distance between images when none is asked for.
CAPTURE_SECONDS = 10

#: Extensions that are taken off a name before the right one is put on.
EXTENSION = re.compile(r"\.(m3u8|ts|mp4|jpe?g|ogg|webm|mp3)$", re.IGNORECASE)

#: Width, height, frames per second and kbit/s of LiveKit's presets.
PRESETS = {
    EncodingOptionsPreset.H264_720P_30: (1280, 720, 30, 3000),
    EncodingOptionsPreset.H264_720P_60: (1280, 720, 60, 4500),
    EncodingOptionsPreset.H264_1080P_30: (1920, 1080, 30, 4500),
    EncodingOptionsPreset.H264_1080P_60: (1920, 1080, 60, 6000),
    EncodingOptionsPreset.PORTRAIT_H264_720P_30: (720, 1280, 30, 3000),
    EncodingOptionsPreset.PORTRAIT_H264_720P_60: (720, 1280, 60, 4500),
    EncodingOptionsPreset.PORTRAIT_H264_1080P_30: (1080, 1920, 30, 4500),
    EncodingOptionsPreset.PORTRAIT_H264_1080P_60: (1080, 1920, 60, 6000),
}

#: LiveKit's defaults where `advanced` leaves a field at 0.
ADVANCED = (1920, 1080, 30, 4500)

AUDIO_KBPS = 128

#: A request that says what to do; which one it is decides how drops are taken.
StartRequest = StartEgressRequest | ParticipantEgressRequest | RoomCompositeEgressRequest


@dataclass(frozen=True, slots=True)
class Encoding:
    """The largest picture and fastest rate wanted; smaller sources are left as they are."""

    width: int
    height: int
    framerate: int
    video_kbps: int
    audio_kbps: int = AUDIO_KBPS


@dataclass(frozen=True, slots=True)
class SegmentsPlan:
    """`directory` holds the playlists; `prefix` is relative to it."""

    directory: str
    prefix: str
    playlist: str
    live_playlist: str | None
    seconds: int
    by_time: bool
    manifest: bool
    storage: Storage

    def path(self, name: str) -> str:
        return posixpath.join(self.directory, name)

    def segment_name(self, index: int, began_at: float) -> str:
        return f"{self.prefix}_{stamp(began_at) if self.by_time else f'{index:05d}'}.ts"


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The recording."""

    path: str
    manifest: bool
    storage: Storage


@dataclass(frozen=True, slots=True)
class ImagesPlan:
    """One series of thumbnails; width and height 0 are the picture's own."""

    prefix: str
    seconds: int
    width: int
    height: int
    suffix: ImageFileSuffix
    storage: Storage

    def path(self, index: int, taken_at: float) -> str:
        match self.suffix:
            case ImageFileSuffix.IMAGE_SUFFIX_NONE_OVERWRITE:
                return f"{self.prefix}.jpeg"
            case ImageFileSuffix.IMAGE_SUFFIX_TIMESTAMP:
                return f"{self.prefix}_{stamp(taken_at)}.jpeg"
            case _:
                return f"{self.prefix}_{index:05d}.jpeg"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one egress writes, from whom, and whether it ends when they leave."""

    room_name: str
    #: None takes whoever publishes.
    identity: str | None
    #: A participant egress ends the moment its participant leaves.
    ends_with_source: bool
    encoding: Encoding
    segments: SegmentsPlan | None = None
    file: FilePlan | None = None
    images: list[ImagesPlan] = field(default_factory=list)

    @property
    def segment_seconds(self) -> int:
        return self.segments.seconds if self.segments is not None else SEGMENT_SECONDS


def plan_of(request: StartRequest, *, room_id: str) -> Plan:
    """Read a start request. Raises invalid_argument naming the field, or unimplemented."""
    identity = source_of(request)
    names = Names(request.room_name, room_id, identity or "")
    if isinstance(request, StartEgressRequest):
        asked = Asked.of_v2(request)
    else:
        asked = Asked.of_v1(request)
    segments = [plan_segments(one, where, names) for one, where in asked.segments]
    files = [plan_file(path, manifest, where, names) for path, manifest, where in asked.files]
    if len(segments) > 1:
        raise missing_field("segment_outputs")
    if len(files) > 1:
        raise missing_field("file_outputs")
    images = [plan_images(one, where, names) for one, where in asked.images]
    if not segments and not files and not images:
        raise missing_field("output")
    return Plan(
        room_name=request.room_name,
        identity=identity,
        ends_with_source=isinstance(request, ParticipantEgressRequest),
        encoding=encoding_of(request),
        segments=segments[0] if segments else None,
        file=files[0] if files else None,
        images=images,
    )


def source_of(request: StartRequest) -> str | None:
    """Find whose picture is wanted; None is anybody's."""
    if isinstance(request, RoomCompositeEgressRequest):
        return None
    if isinstance(request, ParticipantEgressRequest):
        if not request.identity:
            raise missing_field("identity")
        return request.identity
    match request.WhichOneof("source"):
        case "media":
            if request.media.WhichOneof("video") != "participant_video":
                raise TwirpError("unimplemented", "the LiveKit stand-in takes participant_video")
            if not request.media.participant_video.identity:
                raise missing_field("participant_video")
            return request.media.participant_video.identity
        case "template":
            return None
        case "web":
            raise TwirpError("unimplemented", "the LiveKit stand-in opens no web pages")
        case _:
            raise missing_field("source")


def encoding_of(request: StartRequest) -> Encoding:
    """Read preset or advanced options."""
    if request.WhichOneof("encoding" if _is_v2(request) else "options") == "advanced":
        return _advanced(request.advanced)
    width, height, framerate, kbps = PRESETS.get(request.preset, ADVANCED)
    return Encoding(width, height, framerate, kbps)


def _is_v2(request: Message) -> bool:
    return "encoding" in request.DESCRIPTOR.oneofs_by_name


def _advanced(asked: EncodingOptions) -> Encoding:
    width, height, framerate, kbps = ADVANCED
    return Encoding(
        asked.width or width,
        asked.height or height,
        asked.framerate or framerate,
        asked.video_bitrate or kbps,
        asked.audio_bitrate or AUDIO_KBPS,
    )


@dataclass(slots=True)
class Asked:
    """The outputs of a request, each with its place."""

    segments: list[tuple[SegmentedFileOutput, Storage]] = field(default_factory=list)
    files: list[tuple[str, bool, Storage]] = field(default_factory=list)
    images: list[tuple[ImageOutput, Storage]] = field(default_factory=list)

    @classmethod
    def of_v2(cls, request: StartEgressRequest) -> "Asked":
        """Read `outputs`; an output's own storage comes before the request's."""
        asked = cls()
        for output in request.outputs:
            place = output if output.HasField("storage") else request
            where = storage_of(place.storage if place.HasField("storage") else None)
            match output.WhichOneof("config"):
                case "segments":
                    asked.segments.append((output.segments, where))
                case "file":
                    path = output.file.filepath
                    asked.files.append((path, not output.file.disable_manifest, where))
                case "images":
                    asked.images.append((output.images, where))
                case "stream":
                    raise no_streams()
                case _:
                    raise missing_field("output")
        return asked

    @classmethod
    def of_v1(cls, request: ParticipantEgressRequest | RoomCompositeEgressRequest) -> "Asked":
        """Read the lists of the older requests; each output names its own bucket."""
        if request.stream_outputs:
            raise no_streams()
        return cls(
            segments=[(one, own_storage(one)) for one in request.segment_outputs],
            files=[
                (one.filepath, not one.disable_manifest, own_storage(one))
                for one in request.file_outputs
            ],
            images=[(one, own_storage(one)) for one in request.image_outputs],
        )


def no_streams() -> TwirpError:
    return TwirpError("unimplemented", "the LiveKit stand-in does not push streams to others")


def own_storage(output: Message) -> Storage:
    """Open the bucket that an output of the older kind carries in itself."""
    return open_storage(output, output.WhichOneof("output"))


def storage_of(config: StorageConfig | None) -> Storage:
    if config is None:
        return LocalStorage()
    return open_storage(config, config.WhichOneof("provider"))


def open_storage(holder: Message, provider: str | None) -> Storage:
    match provider:
        case None:
            return LocalStorage()
        case "s3":
            return s3_storage(getattr(holder, provider))
        case _:
            raise TwirpError("unimplemented", f"the LiveKit stand-in does not upload to {provider}")


@dataclass(frozen=True, slots=True)
class Names:
    """What may stand between braces in a file name."""

    room_name: str
    room_id: str
    identity: str

    def fill(self, text: str) -> str:
        now = datetime.now(UTC)
        filled = text
        for key, value in {
            "{room_name}": self.room_name,
            "{room_id}": self.room_id,
            "{publisher_identity}": self.identity,
            "{time}": now.strftime("%Y-%m-%dT%H%M%S"),
            "{utc}": f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03d}",
            "{retry}": "0",
        }.items():
            filled = filled.replace(key, value)
        return clean(filled)

    def fallback(self) -> str:
        return f"{self.identity or self.room_name}-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"


def plan_segments(asked: SegmentedFileOutput, where: Storage, names: Names) -> SegmentsPlan:
    """Work the three names out of each other, as the real egress does."""
    directory, playlist = _split(names.fill(asked.playlist_name))
    live_directory, live = _split(names.fill(asked.live_playlist_name))
    prefix_directory, prefix = _split(names.fill(asked.filename_prefix))
    if not directory:
        directory = live_directory or prefix_directory
    if live and live_directory not in {"", directory}:
        raise missing_field("live_playlist_name must be in same directory as playlist_name")
    inside = _inside(prefix_directory, directory)
    playlist = playlist or prefix or names.fallback()
    if live and live == playlist:
        raise missing_field("live_playlist_name cannot be identical to playlist_name")
    return SegmentsPlan(
        directory=directory,
        prefix=posixpath.join(inside, prefix or playlist),
        playlist=f"{playlist}.m3u8",
        live_playlist=f"{live}.m3u8" if live else None,
        seconds=asked.segment_duration or SEGMENT_SECONDS,
        by_time=asked.filename_suffix == SegmentedFileSuffix.TIMESTAMP,
        manifest=not asked.disable_manifest,
        storage=where,
    )


def _inside(prefix_directory: str, directory: str) -> str:
    """Give the part of the prefix' directory below the playlist's."""
    if prefix_directory in {"", directory}:
        return ""
    inside = posixpath.relpath(prefix_directory, directory or ".")
    return prefix_directory if inside.startswith("..") else inside


def plan_file(path: str, manifest: bool, where: Storage, names: Names) -> FilePlan:  # noqa: FBT001
    """Name the recording; a directory gets a name of its own in it."""
    filled = names.fill(path)
    if not filled or path.endswith("/"):
        filled = posixpath.join(filled, names.fallback())
    return FilePlan(f"{EXTENSION.sub('', filled)}.mp4", manifest, where)


def plan_images(asked: ImageOutput, where: Storage, names: Names) -> ImagesPlan:
    return ImagesPlan(
        prefix=EXTENSION.sub("", names.fill(asked.filename_prefix)) or names.fallback(),
        seconds=asked.capture_interval or CAPTURE_SECONDS,
        width=asked.width,
        height=asked.height,
        suffix=asked.filename_suffix,
        storage=where,
    )


def clean(path: str) -> str:
    """Take `..` out of a path, so that no request climbs out of its place."""
    parts = [part for part in path.split("/") if part not in {".", ".."}]
    text = "/".join(parts)
    return re.sub("/{2,}", "/", text)


def _split(path: str) -> tuple[str, str]:
    directory, name = posixpath.split(path)
    return directory, EXTENSION.sub("", name)


def stamp(seconds: float) -> str:
    """Write a time as it stands in file names: yyyymmddHHMMSSmmm."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}"


#: Fields that hold secrets in any storage message.
SECRETS = frozenset(
    {
        "access_key",
        "secret",
        "session_token",
        "credentials",
        "account_key",
        "assume_role_external_id",
        "password",
    }
)


def redact(message: Message) -> None:
    """Write `{access_key}` over an access key, and so on, everywhere in a message."""
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for part in _parts(value):
                redact(part)
        elif descriptor.name in SECRETS and isinstance(value, str):
            setattr(message, descriptor.name, f"{{{descriptor.name}}}")


def _parts(value: Message | Iterable[object]) -> list[Message]:
    if isinstance(value, Message):
        return [value]
    return [part for part in value if isinstance(part, Message)]

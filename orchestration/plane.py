"""What Greenroom asks of a media plane, in nouns of its own; livekit.py answers it for real."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class PlaneError(Exception):
    """Something went wrong at the media plane; every error is one of the three below."""

    def __init__(self, verb: str, code: str, detail: str = "") -> None:
        super().__init__(f"{verb}: {code} {detail}".rstrip())
        self.verb = verb
        self.code = code
        self.detail = detail


class Unavailable(PlaneError):
    """It did not do it, and may do it later: ask again."""


class OutcomeUnknown(Unavailable):
    """It may have done it: look before asking again."""


class Refused(PlaneError):
    """It will not do it, however often it is asked."""


class NotThere(PlaneError):
    """The thing spoken of does not exist (any more)."""


class Input(StrEnum):
    """How a picture comes in."""

    RTMP = "rtmp"  #: an encoder such as OBS
    WHIP = "whip"  #: a browser or encoder that speaks WHIP


@dataclass(frozen=True)
class RoomSeen:
    """A LiveKit room."""

    name: str
    sid: str
    participants: int  #: as ListRooms counts: no egress, no agents, ingress included
    created_at: datetime | None = None


@dataclass(frozen=True)
class IngressSeen:
    """A LiveKit ingress. `stream_key` is a secret."""

    ingress_id: str
    input: Input
    name: str
    room: str
    identity: str
    url: str
    stream_key: str = field(repr=False)
    enabled: bool = True
    status: str = "inactive"  #: inactive | buffering | publishing | error | complete
    error: str = ""
    width: int = 0
    height: int = 0
    frames_per_second: float = 0
    video_bits_per_second: int = 0
    audio_bits_per_second: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether an encoder is connected, as far as LiveKit knows."""
        return self.status in {"buffering", "publishing"}


@dataclass(frozen=True)
class TrackSeen:
    """A published track."""

    sid: str
    kind: str  #: audio | video
    source: str  #: camera | microphone | screen_share | screen_share_audio | unknown
    muted: bool
    width: int = 0
    height: int = 0

    @property
    def is_screen(self) -> bool:
        """Whether it is a shared screen's picture."""
        return self.kind == "video" and self.source == "screen_share"


@dataclass(frozen=True)
class ParticipantSeen:
    """Somebody or something in a LiveKit room."""

    identity: str
    kind: str  #: standard | ingress | egress | sip | agent
    name: str = ""
    is_active: bool = True
    is_hidden: bool = False
    is_recorder: bool = False
    is_publisher: bool = False
    joined_at: datetime | None = None
    tracks: tuple[TrackSeen, ...] = ()

    @property
    def sends_video(self) -> bool:
        """Whether a camera or an encoder's picture is there; a shared screen is another one."""
        return any(not track.muted for track in self._cameras)

    @property
    def hides_video(self) -> bool:
        """Whether a camera is there and switched off: that is not a drop."""
        return any(track.muted for track in self._cameras)

    @property
    def shares_screen(self) -> bool:
        return any(track.is_screen and not track.muted for track in self.tracks)

    @property
    def _cameras(self) -> list[TrackSeen]:
        return [track for track in self.tracks if track.kind == "video" and not track.is_screen]


@dataclass(frozen=True)
class EgressSeen:
    """A LiveKit egress."""

    egress_id: str
    room: str
    status: str  #: starting | active | ending | complete | failed | aborted | limit_reached
    prefix: str  #: file name prefix of its segments output, as it was asked for
    source: str = ""  #: identity whose video it takes, where the request tells
    kind: str = "media"  #: media (survives its encoder) | participant (a drop ends it)
    error: str = ""
    details: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.status in {"complete", "failed", "aborted", "limit_reached"}


@dataclass(frozen=True)
class S3Target:
    """Where an egress uploads; the secret stays out of every repr."""

    bucket: str
    access_key: str = field(repr=False)
    secret: str = field(repr=False)
    region: str = ""
    endpoint: str = ""
    force_path_style: bool = True


@dataclass(frozen=True)
class TakeOutputs:
    """What one egress writes; names are keys in the bucket or absolute local paths."""

    segment_prefix: str  #: .../hls/<session>/<take>/seg -> seg_00000.ts
    playlist_name: str  #: .../hls/<session>/<take>/vod.m3u8
    live_playlist_name: str  #: .../hls/<session>/<take>/live.m3u8
    segment_seconds: int
    file_name: str | None  #: .../recordings/<session>/take-<take>.mp4
    image_prefix: str | None  #: .../thumbnails/<session>/<take>/thumb
    s3: S3Target | None = None


@dataclass(frozen=True)
class Hint:
    """What a verified webhook says: which room something happened in, never what is true."""

    event_id: str
    event: str
    room: str
    created_at: datetime | None = None


class MediaPlane(Protocol):
    """LiveKit, as the engine sees it. Every method raises PlaneError and nothing else.

    Patience is the plane's business: each call has its own deadline (settings.py).
    """

    async def list_rooms(self, names: Sequence[str] = ()) -> tuple[RoomSeen, ...]:
        """List rooms: those named, or all."""
        ...

    async def create_room(
        self, name: str, *, empty_seconds: int, departure_seconds: int, metadata: str = ""
    ) -> RoomSeen:
        """Create or get a room; never 'already exists' (LiveKit: CreateRoom)."""
        ...

    async def delete_room(self, name: str) -> None:
        """Delete a room and disconnect everybody; a room that is not there is deleted."""
        ...

    async def list_ingress(self, room: str | None = None) -> tuple[IngressSeen, ...]:
        """List the ingresses of a room, or all."""
        ...

    async def create_ingress(
        self, kind: Input, *, name: str, room: str, identity: str, title: str, enabled: bool
    ) -> IngressSeen:
        """Create an ingress. Not idempotent: look first."""
        ...

    async def enable_ingress(self, ingress_id: str, *, enabled: bool) -> IngressSeen:
        """Switch an ingress on or off; off disconnects its encoder. Raises NotThere."""
        ...

    async def delete_ingress(self, ingress_id: str) -> None:
        """Delete an ingress; one that is not there is deleted."""
        ...

    async def list_participants(self, room: str) -> tuple[ParticipantSeen, ...]:
        """List everybody in a room; an unknown room is empty."""
        ...

    async def list_egress(
        self, room: str | None = None, *, active: bool = True
    ) -> tuple[EgressSeen, ...]:
        """List the egresses of a room, or all; `active` leaves out those that are over."""
        ...

    async def start_egress(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        """Start a take of the source's video and everybody's audio. Not idempotent: look first.

        Tries v2 StartEgress first and ParticipantEgress where the server has no v2.
        """
        ...

    async def stop_egress(self, egress_id: str) -> None:
        """Ask an egress to finish; one that is over or not there is stopped."""
        ...

    async def mute_track(self, room: str, identity: str, track_sid: str, *, muted: bool) -> None:
        """Mute or unmute a published track. Raises NotThere."""
        ...

    async def remove_participant(self, room: str, identity: str) -> None:
        """Disconnect a participant; one that is not there is removed."""
        ...

"""What things are called at LiveKit and in storage: always derived from our own ids."""

from uuid import UUID

from orchestration.plane import Input

#: Where segments and playlists lie; public.
HLS = "hls"
#: Behind an identity: its shared screen, not its camera.
SCREEN = "#screen"
#: Where thumbnails lie; public.
THUMBNAILS = "thumbnails"
#: Where recordings lie; never public.
RECORDINGS = "recordings"


def room_name(prefix: str, session_id: UUID) -> str:
    """Name the LiveKit room: `greenroom-<session id>`."""
    return f"{prefix}{session_id}"


def session_of_room(prefix: str, room: str) -> UUID | None:
    """Say whose LiveKit room it is; None when it is not ours."""
    if not room.startswith(prefix):
        return None
    try:
        return UUID(room.removeprefix(prefix))
    except ValueError:
        return None


def ingress_name(room: str, key_number: int) -> str:
    """Name an ingress after its room, and after its key once that was replaced."""
    return room if key_number == 1 else f"{room}#{key_number}"


def identity_of(user_id: UUID, kind: Input) -> str:
    """Name an encoder in the room: `<user id>#rtmp`; of two with one identity one is evicted."""
    return f"{user_id}#{kind}"


def host_identities(user_id: UUID) -> tuple[str, str, str]:
    """Everybody who may send the program's picture: browser, RTMP encoder, WHIP encoder."""
    return str(user_id), identity_of(user_id, Input.RTMP), identity_of(user_id, Input.WHIP)


def screen_of(identity: str) -> str:
    """Name somebody's shared screen as the show's source."""
    return f"{identity}{SCREEN}"


def is_screen(source: str) -> bool:
    """Say whether a source is a shared screen."""
    return source.endswith(SCREEN)


def sender_of(source: str) -> str:
    """Say whose picture a source is: an identity in the room."""
    return source.removesuffix(SCREEN)


def take_folder(session_id: UUID, take: int) -> str:
    """Key prefix of a take's segments, with its final slash: the take is recognised by it."""
    return f"{HLS}/{session_id}/{take}/"


def playlist_key(session_id: UUID) -> str:
    """Key of the show's stable playlist."""
    return f"{HLS}/{session_id}/index.m3u8"


def full_playlist_key(session_id: UUID) -> str:
    """Key of the whole show's playlist, written when it is over."""
    return f"{HLS}/{session_id}/full.m3u8"


def take_file_key(session_id: UUID, take: int) -> str:
    """Key of a take's own mp4."""
    return f"{RECORDINGS}/{session_id}/take-{take}.mp4"


def recording_key(session_id: UUID) -> str:
    """Key of a recording that had to be joined."""
    return f"{RECORDINGS}/{session_id}/recording.mp4"


def thumbnail_prefix(session_id: UUID, take: int) -> str:
    """File name prefix of a take's thumbnails."""
    return f"{THUMBNAILS}/{session_id}/{take}/thumb"


def take_of_prefix(session_id: UUID, prefix: str) -> int | None:
    """Say which take an egress' file prefix belongs to; None when it is not this session's."""
    _, found, rest = prefix.partition(f"{HLS}/{session_id}/")
    number = rest.split("/", 1)[0]
    return int(number) if found and number.isascii() and number.isdigit() else None

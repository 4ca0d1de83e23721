"""Switch the host's picture and sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api import access
from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.shapes.sessions import HostTrackRequest, HostTrackResponse
from orchestration.models import Session
from orchestration.names import host_identities, room_name
from orchestration.plane import NotThere, PlaneError, Refused, TrackSeen, Unavailable
from orchestration.states import ON_AIR, Phase

#: When a host can be in the room.
OPEN: Final = ON_AIR | {Phase.OPEN}
#: How soon to ask again when LiveKit did not answer.
RETRY_SECONDS: Final = 2


@dataclass(frozen=True)
class Published:
    """One track, and who publishes it."""

    identity: str
    track: TrackSeen


async def host_video_state(call: Call) -> Answer:
    """Show or hide the host's picture; a shared screen stays."""
    return await _switch(call, kind="video", name="picture")


async def host_audio_state(call: Call) -> Answer:
    """Let the host be heard or not."""
    return await _switch(call, kind="audio", name="sound")


async def _switch(call: Call, *, kind: str, name: str) -> Answer:
    """Mute or unmute every track of the host's of this kind, whichever way it is published."""
    session_id = call.ids["id"]
    async with call.resources.db.read() as tx:
        session = await access.own_session(tx, session_id, call.caller)
    if session.phase not in OPEN:
        raise Problem("session-not-live")
    tracks = await _tracks(call, session, kind)
    if not tracks:
        raise Problem("no-host-track", f"The host sends no {name} now, so there is none to switch.")
    asked: HostTrackRequest | None = call.body
    enabled = asked.enabled if asked is not None else None
    if enabled is None:
        enabled = all(each.track.muted for each in tracks)
    async with call.begin() as tx:
        if call.key.kept is not None:
            # Turned round once: repeating the request must not turn it back.
            enabled = call.key.kept["enabled"] == str(True)
        else:
            await call.key.keep_ids(tx, {"enabled": enabled})
    for each in tracks:
        if each.track.muted is enabled:
            await _mute(call, session, each, muted=not enabled, name=name)
    return Answer({"enabled": enabled, "tracks": len(tracks)})


async def _tracks(call: Call, session: Session, kind: str) -> Sequence[Published]:
    hosts = host_identities(session.host_id)
    try:
        people = await call.resources.plane.list_participants(_room_of(call, session))
    except PlaneError as error:
        raise _said(error, kind) from error
    return [
        Published(person.identity, track)
        for person in people
        if person.identity in hosts
        for track in person.tracks
        if track.kind == kind and not track.source.startswith("screen_share")
    ]


async def _mute(
    call: Call, session: Session, published: Published, *, muted: bool, name: str
) -> None:
    """Mute or unmute one track. Raises Problem no-host-track when it is not there any more."""
    room, track = _room_of(call, session), published.track
    try:
        await call.resources.plane.mute_track(room, published.identity, track.sid, muted=muted)
    except Unavailable as error:
        # LiveKit asks whoever sends it, and hears nothing from one who has just left: look again.
        still_there = {each.track.sid for each in await _tracks(call, session, track.kind)}
        raise (_said(error, name) if track.sid in still_there else _gone(name)) from error
    except PlaneError as error:
        raise _said(error, name) from error


def _room_of(call: Call, session: Session) -> str:
    return room_name(call.resources.settings.livekit_prefix, session.id)


def _said(error: PlaneError, name: str) -> Problem:
    match error:
        case NotThere():
            return _gone(name)
        case Refused():
            return Problem(
                "livekit-refused",
                f"LiveKit refused to switch the host's {name} ({error.code}). To switch it on "
                "again, `room.enable_remote_unmute` must be set in LiveKit's configuration.",
            )
        case _:
            return Problem("livekit-unavailable", retry_after=RETRY_SECONDS)


def _gone(name: str) -> Problem:
    return Problem("no-host-track", f"The host's {name} has just gone.")


_SWITCH: Final = (
    "session-not-found",
    "insufficient-scope",
    "session-not-live",
    "no-host-track",
    "livekit-refused",
    "livekit-unavailable",
)

# fmt: off
ROUTES: Final = (
    Route("POST", "/sessions/{id}/host_video_state", host_video_state, Who.HOST,
          "Switch the host's picture", body=HostTrackRequest, is_body_optional=True,
          answer=HostTrackResponse, replay=Replay.REBUILD, tag="stage", problems=_SWITCH,
          description="Without a body it is turned round."),
    Route("POST", "/sessions/{id}/host_audio_state", host_audio_state, Who.HOST,
          "Switch the host's sound", body=HostTrackRequest, is_body_optional=True,
          answer=HostTrackResponse, replay=Replay.REBUILD, tag="stage", problems=_SWITCH,
          description="Without a body it is turned round."),
)
# fmt: on

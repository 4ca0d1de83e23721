"""Join a show: a LiveKit token with just the grants of the caller's role."""

from datetime import UTC, datetime
from typing import Final, NoReturn

from sqlalchemy import update
from sqlmodel import col

from api import access
from api.lifecycle import livekit_url_of
from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.session_rows import read_session
from api.shapes.sessions import JoinSessionResponse, MonitorSessionResponse
from orchestration.models import Participant, Session
from orchestration.names import room_name
from orchestration.states import ON_AIR, OVER, Phase
from orchestration.tokens import Role, mint_livekit_token

#: When a room stands that people can be in; the audience comes in when the show is on air.
OPEN: Final = ON_AIR | {Phase.OPEN}
#: Who may come in before the audience.
EARLY: Final = frozenset({Role.HOST, Role.CO_HOST})


async def join(call: Call) -> Answer:
    """Give the caller a token for the show's LiveKit room."""
    session_id, caller = call.ids["id"], call.caller
    async with call.resources.db.read() as tx:
        row = await read_session(tx, session_id)
        if row is None:
            raise Problem("session-not-found")
        session = row.session
        given = await access.roles_in(tx, session_id, caller.user)
    role = Role.HOST if caller.user.id == session.host_id else _role_of(given)
    if session.phase not in (OPEN if role in EARLY else ON_AIR):
        _refuse(session)
    if given:
        await _note_joined(call)
    return Answer(
        {
            **_token(call, session, role, str(caller.user.id)),
            "viewer_mark": call.resources.marks.new(session_id) if role is Role.VIEWER else None,
        }
    )


async def monitor(call: Call) -> Answer:
    """Give a hidden, subscribe-only token: to see what the audience sees."""
    async with call.resources.db.read() as tx:
        session = await access.staffed_session(tx, call.ids["id"], call.caller)
    if session.phase not in OPEN:
        _refuse(session)
    # Its own identity: watching over the show must not evict the host from it.
    return Answer(_token(call, session, Role.MONITOR, f"{call.caller.user.id}#monitor"))


def _role_of(given: frozenset[str]) -> Role:
    if access.CO_HOST in given:
        return Role.CO_HOST
    if access.MODERATOR in given:
        return Role.MODERATOR
    return Role.VIEWER


def _refuse(session: Session) -> NoReturn:
    """Say why nobody can join now, and what to do."""
    if session.phase is Phase.EXPIRED:
        raise Problem("session-expired")
    if session.phase in OVER or session.phase is Phase.ENDING:
        raise Problem("session-ended", "The show is over. Its recording is at `hls_url`.")
    when = session.scheduled_start_time
    planned = f" It is planned for {when.isoformat()}." if when is not None else ""
    raise Problem(
        "session-not-live",
        f"The show is not open to you yet.{planned} Read the session until its status is live.",
    )


async def _note_joined(call: Call) -> None:
    async with call.resources.db.begin() as tx:
        await tx.execute(
            update(Participant)
            .where(
                col(Participant.session_id) == call.ids["id"],
                col(Participant.user_id) == call.caller.user.id,
                col(Participant.is_active),
            )
            .values(joined_at=datetime.now(UTC), left_at=None)
        )


def _token(call: Call, session: Session, role: Role, identity: str) -> dict[str, str]:
    settings = call.resources.settings
    room = room_name(settings.livekit_prefix, session.id)
    return {
        "livekit_token": mint_livekit_token(
            settings,
            role=role,
            identity=identity,
            name=call.caller.user.username,
            room=room,
            preset=session.preset,
        ),
        "room_name": room,
        "livekit_url": livekit_url_of(settings),
    }


# fmt: off
ROUTES: Final = (
    Route("POST", "/sessions/{id}/join", join, Who.ANY, "Join a session",
          answer=JoinSessionResponse, replay=Replay.HARMLESS, tag="lifecycle",
          problems=("session-not-found", "session-not-live", "session-ended", "session-expired"),
          description="The audience joins while the show is live; host and co-hosts from `start` "
                      "on."),
    Route("GET", "/sessions/{id}/monitor", monitor, Who.ANY, "Watch a session unseen",
          answer=MonitorSessionResponse, tag="lifecycle",
          problems=("session-not-found", "insufficient-scope", "session-not-live", "session-ended",
                    "session-expired")),
)
# fmt: on

"""Sessions: announce a show, list, read, reschedule, set, count and delete it."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import access
from api.problems import Problem
from api.routes import Answer, Call, Caller, Replay, Route, Who
from api.session_rows import SessionRow, read_session, read_sessions
from api.shapes.common import Page
from api.shapes.presets import preset_document
from api.shapes.sessions import (
    MODE_OF_TYPE,
    CreateSessionRequest,
    CreateSessionResponse,
    DashboardStatsResponse,
    RescheduleSessionRequest,
    SessionListResponse,
    SessionResponse,
    UpdateSessionSettingsRequest,
    session_document,
)
from orchestration import commands, events
from orchestration.models import Room, Session
from orchestration.resources import Resources
from orchestration.states import OVER, Phase, Status

#: LiveKit makes an ingress in tens of milliseconds; without one the key is told later.
KEY_SECONDS_MAX: Final = 3.0
#: Before a new key is made, LiveKit has to let go of whoever sends with the old one.
NEW_KEY_SECONDS: Final = 10.0
#: Shorter than anybody notices, longer than the row takes to read.
KEY_POLL_SECONDS: Final = 0.05
#: Clocks differ, and `now` is a while ago when it arrives.
PAST_GRACE: Final = timedelta(seconds=60)


async def create_session(call: Call) -> Answer:
    """Announce a show; its RTMP ingress is made, disabled, so that an encoder can be set up."""
    asked: CreateSessionRequest = call.body
    async with call.begin() as tx:
        if call.key.kept is not None:
            session_id = uuid.UUID(call.key.kept["session_id"])
        else:
            session_id = (await _create(tx, call, asked)).id
            await call.key.keep_ids(tx, {"session_id": session_id})
    await call.resources.bell.ring("sessions", session_id)
    asked_seconds = KEY_SECONDS_MAX if call.prefer_wait is None else call.prefer_wait
    row = await _with_key(session_id, call.resources, min(asked_seconds, KEY_SECONDS_MAX))
    return _with_its_key(row, call)


async def list_sessions(call: Call) -> Answer:
    """List all shows, newest first."""
    return await _listed(call)


async def list_live_sessions(call: Call) -> Answer:
    """List the shows that are live now."""
    return await _listed(call, col(Session.status) == Status.LIVE)


async def list_room_sessions(call: Call) -> Answer:
    """List the shows of one's own room."""
    async with call.resources.db.read() as tx:
        await access.own_room(tx, call.ids["id"], call.caller)
    return await _listed(call, col(Session.room_id) == call.ids["id"])


async def get_stats(call: Call) -> Answer:
    """Count the shows of the caller's organization."""
    async with call.resources.db.read() as tx:
        found = await tx.execute(
            select(col(Session.status), func.count())
            .where(
                access.visible_session(),
                col(Session.organization_id) == call.caller.organization_id,
            )
            .group_by(col(Session.status))
        )
        counts = {Status(status): int(count) for status, count in found}
    return Answer(
        {
            "total_sessions": sum(counts.values()),
            "live_now": counts.get(Status.LIVE, 0),
            "scheduled": counts.get(Status.SCHEDULED, 0),
            "ended": counts.get(Status.ENDED, 0),
        }
    )


async def get_session(call: Call) -> Answer:
    """Read a show."""
    row = await read(call.ids["id"], call.resources)
    return Answer(told(row, call), version=row.session.version)


async def delete_session(call: Call) -> Answer:
    """Hide a show and take back its keys."""
    async with call.begin() as tx:
        await access.own_session(tx, call.ids["id"], call.caller)
        session = await commands.locked_session(tx, call.ids["id"])
        call.match(session.version)
        await commands.delete_session(tx, session)
    await call.resources.bell.ring("sessions", session.id)
    return Answer()


async def reschedule_session(call: Call) -> Answer:
    """Begin a show at another time."""
    asked: RescheduleSessionRequest = call.body
    async with call.begin() as tx:
        await access.own_session(tx, call.ids["id"], call.caller)
        session = await commands.locked_session(tx, call.ids["id"])
        call.match(session.version)
        _check_not_over(session)
        if session.phase is not Phase.SCHEDULED:
            raise Problem("session-started")
        _check_future(asked.scheduled_start_time, grace=timedelta())
        await commands.reschedule(tx, session, asked.scheduled_start_time)
    await call.resources.bell.ring("sessions", session.id)
    return await _changed(session.id, call)


async def replace_stream_key(call: Call) -> Answer:
    """Take a show's stream keys back, and give it others."""
    async with call.begin() as tx:
        await access.own_session(tx, call.ids["id"], call.caller)
        session = await commands.locked_session(tx, call.ids["id"])
        if call.key.kept is not None:
            old = call.key.kept["old"]
        else:
            _check_not_over(session)
            old = str(session.rtmp_ingress_id)
            await commands.replace_keys(tx, session)
            await call.key.keep_ids(tx, {"old": old})
    await call.resources.bell.ring("sessions", session.id)
    patience = NEW_KEY_SECONDS if call.prefer_wait is None else call.prefer_wait
    row = await _with_key(session.id, call.resources, patience, old=old)
    return _with_its_key(row, call, is_new=row.session.rtmp_ingress_id != old)


async def update_settings(call: Call) -> Answer:
    """Let a show differ from its preset."""
    asked: UpdateSessionSettingsRequest = call.body
    async with call.begin() as tx:
        await access.staffed_session(tx, call.ids["id"], call.caller)
        session = await commands.locked_session(tx, call.ids["id"])
        call.match(session.version)
        _check_not_over(session)
        said = {name: getattr(asked, name) for name in asked.model_fields_set}
        for name, value in said.items():
            setattr(session, f"{name}_override", value)
        if said:
            session.updated_at = datetime.now(UTC)
            await events.record(tx, session, "session.settings_changed", **said)
    return await _changed(session.id, call)


async def read(session_id: uuid.UUID, resources: Resources) -> SessionRow:
    """Read a show with all that is told with it. Raises Problem session-not-found."""
    async with resources.db.read() as tx:
        row = await read_session(tx, session_id)
    if row is None:
        raise Problem("session-not-found")
    return row


def told(row: SessionRow, call: Call) -> dict[str, object]:
    """Say a show to this caller."""
    return session_document(
        row,
        call.resources.settings,
        shows_private=may_see_private(call.maybe_caller, row.session),
    )


async def _create(tx: AsyncSession, call: Call, asked: CreateSessionRequest) -> Session:
    # Locked: a room that is being deleted takes all its sessions with it.
    room: Room = await access.own_room(tx, call.ids["id"], call.caller, locks=True)
    preset = await access.colleagues_preset(tx, asked.preset_id, call.caller)
    if asked.scheduled_start_time is not None:
        _check_future(asked.scheduled_start_time, grace=PAST_GRACE)
    return await commands.create_session(
        tx,
        room=room,
        host=call.caller.user,
        preset=preset,
        preset_document=preset_document(preset),
        title=asked.title,
        description=asked.description,
        mode=asked.mode or MODE_OF_TYPE[preset.type],
        scheduled_start_time=asked.scheduled_start_time,
        settings=call.resources.settings,
    )


def _with_its_key(row: SessionRow, call: Call, *, is_new: bool = True) -> Answer:
    """Tell a show and its key; a key that was taken back is told nobody."""
    sealed = row.session.rtmp_key_sealed if is_new else None
    return Answer(
        {
            "session": told(row, call),
            "rtmp_url": row.session.rtmp_url,
            "stream_key": call.resources.secrets.unseal(sealed),
        }
    )


async def _with_key(
    session_id: uuid.UUID, resources: Resources, seconds: float, *, old: str | None = None
) -> SessionRow:
    """Wait a little for the worker to make the ingress, another than the old one, if any.

    Then take the row as it is.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        row = await read(session_id, resources)
        session = row.session
        has_key = session.rtmp_key_sealed is not None and session.rtmp_ingress_id != old
        if has_key or loop.time() >= until:
            return row
        await asyncio.sleep(KEY_POLL_SECONDS)


async def _listed(call: Call, *where: ColumnElement[bool]) -> Answer:
    page: Page = call.query
    async with call.resources.db.read() as tx:
        rows, total = await read_sessions(tx, *where, page=page.page, limit=page.limit)
    return Answer(
        {
            "sessions": [told(row, call) for row in rows],
            "total": total,
            "page": page.page,
            "limit": page.limit,
        }
    )


async def _changed(session_id: uuid.UUID, call: Call) -> Answer:
    row = await read(session_id, call.resources)
    return Answer(told(row, call), version=row.session.version)


def may_see_private(caller: Caller | None, session: Session) -> bool:
    """Say whether a caller is shown e-mail addresses, and the words of a trouble."""
    return (
        caller is not None and caller.is_host and caller.organization_id == session.organization_id
    )


def _check_not_over(session: Session) -> None:
    if session.phase is Phase.EXPIRED:
        raise Problem("session-expired")
    if session.phase in OVER or session.phase is Phase.ENDING:
        raise Problem("session-ended")


def _check_future(moment: datetime, *, grace: timedelta) -> None:
    if moment < datetime.now(UTC) - grace:
        error = {
            "pointer": "/scheduled_start_time",
            "code": "date_past",
            "message": "The time has passed",
        }
        raise Problem("validation-error", errors=[error])


# fmt: off
ROUTES: Final = (
    Route("GET", "/rooms/{id}/sessions", list_room_sessions, Who.HOST, "List a room's sessions",
          query=Page, answer=SessionListResponse, tag="sessions",
          problems=("room-not-found", "insufficient-scope")),
    Route("POST", "/rooms/{id}/sessions", create_session, Who.HOST, "Create a session",
          body=CreateSessionRequest, answer=CreateSessionResponse, status=201,
          replay=Replay.REBUILD, tag="sessions",
          problems=("room-not-found", "preset-not-found", "insufficient-scope"),
          description="Its RTMP ingress is made, disabled: put server and key into an encoder days "
                      "before. `stream_key` is null when LiveKit does not answer within 3 s."),
    Route("POST", "/sessions/{id}/stream_key", replace_stream_key, Who.HOST,
          "Replace a session's stream keys",
          answer=CreateSessionResponse, replay=Replay.REBUILD, tag="sessions",
          problems=("session-not-found", "insufficient-scope", "session-ended", "session-expired"),
          description="For a key that others have seen. Encoders that send by RTMP or WHIP are cut "
                      "off, and the old keys open nothing any more; a show on air goes on when the "
                      "new key is used. `stream_key` is null when LiveKit does not answer within "
                      "10 s (`Prefer: wait=N`): ask again with the same Idempotency-Key."),
    Route("GET", "/sessions", list_sessions, Who.PUBLIC, "List sessions",
          query=Page, answer=SessionListResponse, is_cached=True, is_open=True, tag="sessions"),
    Route("GET", "/sessions/live", list_live_sessions, Who.PUBLIC, "List live sessions",
          query=Page, answer=SessionListResponse, is_cached=True, is_open=True, tag="sessions"),
    Route("GET", "/sessions/stats", get_stats, Who.ANY, "Count one's organization's sessions",
          answer=DashboardStatsResponse, tag="sessions"),
    Route("GET", "/sessions/{id}", get_session, Who.PUBLIC, "Read a session",
          answer=SessionResponse, is_cached=True, is_open=True, tag="sessions",
          problems=("session-not-found",)),
    Route("DELETE", "/sessions/{id}", delete_session, Who.HOST, "Delete a session",
          tag="sessions", problems=("session-not-found", "insufficient-scope", "session-live",
                                    "version-mismatch")),
    Route("PATCH", "/sessions/{id}/reschedule", reschedule_session, Who.HOST,
          "Reschedule a session", body=RescheduleSessionRequest, answer=SessionResponse,
          tag="sessions", problems=("session-not-found", "insufficient-scope", "session-started",
                                    "session-ended", "session-expired", "version-mismatch")),
    Route("PATCH", "/sessions/{id}/settings", update_settings, Who.ANY,
          "Change a session's settings", body=UpdateSessionSettingsRequest, answer=SessionResponse,
          tag="sessions", problems=("session-not-found", "insufficient-scope", "session-ended",
                                    "session-expired", "version-mismatch")),
)
# fmt: on

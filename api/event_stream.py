"""Tell a show's staff what happens as it happens: server-sent events from the one events table."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from api import access, stream_health
from api.answers import encode
from api.feeds import FEEDS, Feeds, Watched
from api.problems import Problem
from api.routes import Call, Route, Speaks, Who
from api.sessions import may_see_private
from api.shapes.events import EVENTS_MAX, event_document, recording_report
from api.shapes.sessions import session_document
from api.shapes.streams import StreamQuery
from observability.http import ANSWERED_AFTER
from orchestration.database import DatabaseUnavailable
from orchestration.models import Event

#: https://html.spec.whatwg.org/multipage/server-sent-events.html
MEDIA_TYPE: Final = "text/event-stream"
#: Proxies cut what is silent for a minute, some for half of it.
HEARTBEAT_SECONDS: Final = 15.0
#: A reader that takes nothing for so long is gone, or holds up more than it is worth.
WRITE_SECONDS: Final = 10.0
#: How soon a browser should come back after a stream ended.
COME_BACK_MS: Final = 2000
#: As often as this a stream sees that its reader hung up.
GLANCE_SECONDS: Final = 2.0
#: A show is read within milliseconds of its first stream, or its database is in trouble.
FIRST_SECONDS: Final = 10.0
#: A number of the timeline, as we sent it.
_ID: Final = re.compile("[0-9]{1,9}", re.ASCII)
_HEADERS: Final = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # nginx keeps an answer until it is whole, unless told otherwise.
    "X-Accel-Buffering": "no",
}


class HungUp(Exception):
    """The reader is gone."""


async def stream_events(call: Call) -> web.StreamResponse:
    """Send what happened after a number, then what happens; and the show's state when it changes.

    Every event of the timeline is an `event: timeline` with its number as `id`; `event: state`
    has none, so that a reader which comes back is given what it missed. What its caller may see is
    looked at again with every heartbeat.
    """
    asked: StreamQuery = call.query
    began = monotonic()
    after = _resumed(call.request, asked.after)
    await _check(call)
    if call.request.method == "HEAD":
        return web.Response(headers=_HEADERS)
    feeds = call.request.app[FEEDS]
    async with feeds.watching(call.ids["id"], call.caller.user.id) as watched:
        response = web.StreamResponse(headers=_HEADERS)
        call.cors.open(call.request, response, is_open=False)
        # How long a stream lasts says nothing about how fast this API answers.
        call.request[ANSWERED_AFTER] = monotonic() - began
        await response.prepare(call.request)
        stream = Stream(call, response, feeds, watched, after)
        with suppress(HungUp):
            await stream.run(asked.seconds)
    return response


@dataclass
class Stream:
    """One open answer: where its reader is, and what it was told last."""

    call: Call
    response: web.StreamResponse
    feeds: Feeds
    watched: Watched
    after: int
    _told: bytes = b""
    _beat_at: float = field(default_factory=monotonic)

    async def run(self, seconds: int) -> None:
        """Tell until the time is over, the caller may not see it any more, or we shut down."""
        token_seconds = self.call.resources.settings.access_token_seconds
        until = monotonic() + min(seconds, token_seconds)
        await self._write(b"retry: %d\n\n" % COME_BACK_MS)
        await self._wait_for_a_look()
        # A quiet show has nothing to be written, which would tell.
        while self._line is not None:
            await self._tell_events()
            await self._tell_state()
            if self.feeds.is_closed or monotonic() >= until:
                return
            if monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
                await self._beat()
            left = min(GLANCE_SECONDS, until - monotonic())
            await self.feeds.look(seconds=max(left, 0))

    @property
    def _line(self) -> asyncio.Transport | None:
        """The connection; None once its reader has hung up."""
        transport = self.call.request.transport
        return None if transport is None or transport.is_closing() else transport

    async def _wait_for_a_look(self) -> None:
        """Wait until the show was read: a look that is under way may not be about it yet."""
        until = monotonic() + FIRST_SECONDS
        while self.watched.backstage is None and not self.feeds.is_closed and monotonic() < until:
            await self.feeds.look(seconds=GLANCE_SECONDS)

    async def _tell_events(self) -> None:
        """Read on in the timeline from where the reader is."""
        while self.after < self.watched.seq:
            try:
                async with self.call.resources.db.read() as tx:
                    found = await tx.scalars(
                        select(Event)
                        .where(
                            col(Event.session_id) == self.watched.session_id,
                            col(Event.seq) > self.after,
                        )
                        .order_by(col(Event.seq))
                        .limit(EVENTS_MAX)
                    )
                    page = [event_document(event) for event in found]
            except DatabaseUnavailable:
                return
            if not page:
                return
            await self._write(
                b"".join(_event(b"timeline", told, event_id=told["seq"]) for told in page)
            )
            self.after = page[-1]["seq"]

    async def _tell_state(self) -> None:
        """Say how the show is, if that differs from what was said last."""
        told = self._state()
        if told is None:
            return
        if (steady := encode(_steady(told))) != self._told:
            await self._write(_event(b"state", told))
            self._told = steady

    def _state(self) -> dict[str, Any] | None:
        backstage, caller = self.watched.backstage, self.call.caller
        if backstage is None:
            return None
        session, settings = backstage.row.session, self.call.resources.settings
        recording = backstage.recording
        return {
            "session": session_document(
                backstage.row, settings, shows_private=may_see_private(caller, session)
            ),
            "health": stream_health.told(
                backstage,
                self.watched.arriving,
                self.watched.weighed[1],
                settings,
                shows_ids=caller.user.id == session.host_id,
            ),
            "recording": None if recording is None else recording_report(recording),
        }

    async def _beat(self) -> None:
        """Keep the connection, and see whether the caller may still look."""
        try:
            await _check(self.call)
        except DatabaseUnavailable:
            pass
        except Problem:
            raise HungUp from None
        await self._write(b": %d\n\n" % int(datetime.now(UTC).timestamp()))

    async def _write(self, chunk: bytes) -> None:
        """Send. Raises HungUp when nobody takes it."""
        transport = self._line
        if transport is None:
            raise HungUp
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write(chunk)
        except TimeoutError:
            transport.abort()
            raise HungUp from None
        except ConnectionError:
            raise HungUp from None
        self._beat_at = monotonic()


async def _check(call: Call) -> None:
    """See that the caller may look. Raises Problem session-not-found, insufficient-scope."""
    async with call.resources.db.read() as tx:
        await access.staffed_session(tx, call.ids["id"], call.caller)


def _resumed(request: web.Request, after: int) -> int:
    """Say after which event to go on: what a reader heard last goes before where it began."""
    heard = request.headers.get("Last-Event-ID", "").strip()
    if not heard:
        return after
    if not _ID.fullmatch(heard):
        raise Problem("invalid-query", "Last-Event-ID is not a number of a timeline.")
    return int(heard)


def _event(name: bytes, told: dict[str, Any], *, event_id: int | None = None) -> bytes:
    head = b"" if event_id is None else b"id: %d\n" % event_id
    # orjson writes no line breaks, so that one line is enough.
    return b"%bevent: %b\ndata: %b\n\n" % (head, name, encode(told))


def _steady(told: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes by itself: a reader can count seconds."""
    session, health = dict(told["session"]), dict(told["health"])
    del session["duration"]
    session["viewers"] = {**session["viewers"], "as_of": None}
    health["output"] = {**health["output"], "age_seconds": None}
    return {**told, "session": session, "health": health}


# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/events/stream", stream_events, Who.ANY,
          "Follow a session as it happens", query=StreamQuery, speaks=Speaks.RAW,
          content_type=MEDIA_TYPE, tag="sessions",
          problems=("session-not-found", "insufficient-scope", "too-many-streams"),
          description="Server-sent events for host, co-hosts and moderators. `timeline` carries an "
                      "event of `/sessions/{id}/events`, its number is the `id`; `state` carries "
                      "`{session, health, recording}` whenever that changed. Go on with "
                      "`Last-Event-ID` or `after`. A comment keeps the connection every 15 s; the "
                      "stream ends when an access token would: come back with a new one."),
)
# fmt: on

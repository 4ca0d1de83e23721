"""A LiveKit in memory: rooms, ingresses, encoders and egresses, as the real one behaves.

What it does is told by tests/contract/test_plane*.py, which run over it and over the stand-in.
Creating is not idempotent, statuses lie after a crash, a start may be obeyed late.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from orchestration.plane import (
    EgressSeen,
    IngressSeen,
    Input,
    NotThere,
    OutcomeUnknown,
    ParticipantSeen,
    Refused,
    RoomSeen,
    TakeOutputs,
    TrackSeen,
    Unavailable,
)

T = TypeVar("T")

#: An egress gives up on a source that does not come, as the real one does.
SOURCE_SECONDS = 30.0
#: From the start of an egress until it is active.
STARTUP_SECONDS = 1.0
#: Segments that a live playlist names (facts: never more).
LIVE_SEGMENTS = 5
#: The least that is a transport stream; what is inside is not this fake's business.
SEGMENT = b"\x47" + bytes(187)


class Fault(StrEnum):
    """What can be made to go wrong with a call."""

    REFUSED = "refused"  #: not obeyed, and never will be
    UNAVAILABLE = "unavailable"  #: not obeyed, ask again
    UNREACHABLE = "unreachable"  #: nobody is there
    NO_ANSWER = "no_answer"  #: not obeyed, and nobody says so
    ANSWER_LOST = "answer_lost"  #: obeyed, and nobody says so
    LATE = "late"  #: nobody says so, and it is obeyed some time later
    EMPTY = "empty"  #: a list gives nothing, and no error
    STALE = "stale"  #: a list gives what it gave when the fault was armed


@dataclass
class Armed:
    """One fault: which calls it strikes, and how often."""

    kind: Fault
    verb: str | None  #: None is every call
    times: int | None  #: None is without end
    skip: int = 0
    code: str = ""
    seconds: float = 5.0  #: how late a LATE call is obeyed


@dataclass
class _Room:
    name: str
    sid: str
    created_at: datetime
    empty_seconds: int
    departure_seconds: int
    people: dict[str, ParticipantSeen] = field(default_factory=dict)


@dataclass
class _Egress:
    seen: EgressSeen
    outputs: TakeOutputs
    started_at: datetime
    is_dead: bool = False  #: it writes nothing, whatever its status says
    stopping: bool = False
    written: list[datetime] = field(default_factory=list)  #: program date times of its segments


class MemoryPlane:
    """Implements MediaPlane; what only a test may do has names of its own below."""

    def __init__(self, now: Callable[[], datetime], *, has_v2: bool = True) -> None:
        self._now = now
        self.has_v2 = has_v2
        self.rooms: dict[str, _Room] = {}
        self.ingresses: dict[str, IngressSeen] = {}
        self.egresses: dict[str, _Egress] = {}
        #: Stream keys that some encoder keeps pushing to, whether or not it is let in.
        self.pushing: set[str] = set()
        self.armed: list[Armed] = []
        #: Every call in order, as (verb, what it was about).
        self.calls: list[tuple[str, str]] = []
        #: Whether there is a worker for egresses.
        self.has_workers = True
        #: A busy ingress that was deleted in one step: seen to kill the real server.
        self.deleted_while_busy: list[str] = []
        #: Listings until a disabled ingress is idle; None is never (its handler is dead).
        self.idles_after: int | None = 1
        self._letting_go: dict[str, int] = {}
        self._late: list[tuple[datetime, Callable[[], object]]] = []
        self._snapshots: dict[str, object] = {}
        self._ids = itertools.count(1)

    # MediaPlane

    async def list_rooms(self, names: Sequence[str] = ()) -> tuple[RoomSeen, ...]:
        return await self._call("ListRooms", ",".join(names), lambda: self._rooms(names))

    async def create_room(
        self, name: str, *, empty_seconds: int, departure_seconds: int, metadata: str = ""
    ) -> RoomSeen:
        del metadata

        def obey() -> RoomSeen:
            return self._room_seen(self._room(name, empty_seconds, departure_seconds))

        return await self._call("CreateRoom", name, obey)

    async def delete_room(self, name: str) -> None:
        await self._call("DeleteRoom", name, lambda: self._delete_room(name))

    async def list_ingress(self, room: str | None = None) -> tuple[IngressSeen, ...]:
        return await self._call("ListIngress", room or "", lambda: self._list_ingress(room))

    async def create_ingress(
        self, kind: Input, *, name: str, room: str, identity: str, title: str, enabled: bool
    ) -> IngressSeen:
        del title

        def obey() -> IngressSeen:
            made = IngressSeen(
                ingress_id=self._id("IN"),
                input=kind,
                name=name,
                room=room,
                identity=identity,
                url="rtmp://plane/live" if kind is Input.RTMP else "http://plane/w",
                stream_key=self._id("KEY-never-in-plain"),
                enabled=enabled,
            )
            self.ingresses[made.ingress_id] = made
            return made

        return await self._call("CreateIngress", f"{room} {kind}", obey)

    async def enable_ingress(self, ingress_id: str, *, enabled: bool) -> IngressSeen:
        return await self._call(
            "UpdateIngress", ingress_id, lambda: self._enable_ingress(ingress_id, enabled=enabled)
        )

    async def delete_ingress(self, ingress_id: str) -> None:
        await self._call("DeleteIngress", ingress_id, lambda: self._delete_ingress(ingress_id))

    async def list_participants(self, room: str) -> tuple[ParticipantSeen, ...]:
        def obey() -> tuple[ParticipantSeen, ...]:
            there = self.rooms.get(room)
            return tuple(there.people.values()) if there else ()

        return await self._call("ListParticipants", room, obey)

    async def list_egress(
        self, room: str | None = None, *, active: bool = True
    ) -> tuple[EgressSeen, ...]:
        def obey() -> tuple[EgressSeen, ...]:
            return tuple(
                egress.seen
                for egress in self.egresses.values()
                if room in {None, egress.seen.room} and not (active and egress.seen.is_over)
            )

        return await self._call("ListEgress", room or "", obey)

    async def start_egress(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        if not self.has_workers:
            self._arm_once(Fault.UNAVAILABLE, "StartEgress", "no response from servers")
        return await self._call(
            "StartEgress", f"{room} {source}", lambda: self._start_egress(room, source, outputs)
        )

    async def stop_egress(self, egress_id: str) -> None:
        egress = self.egresses.get(egress_id)
        if egress is not None and egress.is_dead and not egress.seen.is_over:
            self._arm_once(Fault.NO_ANSWER, "StopEgress", "deadline_exceeded")
        await self._call("StopEgress", egress_id, lambda: self._stop_egress(egress_id))

    async def mute_track(self, room: str, identity: str, track_sid: str, *, muted: bool) -> None:
        def obey() -> None:
            # LiveKit asks the participant itself, and a track that is not there is no error.
            person = self.rooms[room].people.get(identity) if room in self.rooms else None
            if person is None:
                raise Unavailable("MutePublishedTrack", "unavailable", "no response from servers")
            tracks = tuple(
                replace(track, muted=muted) if track.sid == track_sid else track
                for track in person.tracks
            )
            self.rooms[room].people[identity] = replace(person, tracks=tracks)

        await self._call("MutePublishedTrack", f"{room} {identity}", obey)

    async def remove_participant(self, room: str, identity: str) -> None:
        def obey() -> None:
            if room in self.rooms:
                self.leave(room, identity)

        await self._call("RemoveParticipant", f"{room} {identity}", obey)

    # What a test does to it

    def fail(
        self,
        kind: Fault,
        verb: str | None = None,
        *,
        times: int | None = 1,
        skip: int = 0,
        code: str = "",
        seconds: float = 5.0,
    ) -> None:
        """Arm a fault for the next calls of a verb (LiveKit's name of it), or of all."""
        self.armed.append(Armed(kind, verb, times, skip, code, seconds))

    def heal(self) -> None:
        """Take every fault away. What is late stays late; what is dead stays dead."""
        self.armed.clear()
        self._snapshots.clear()
        self.has_workers = True

    def join(
        self,
        room: str,
        identity: str,
        *,
        kind: str = "standard",
        sends: bool = False,
        hidden: bool = False,
    ) -> None:
        """Let somebody into a room, sending camera and microphone or only watching."""
        tracks = (
            TrackSeen(self._id("TR"), "video", "camera", muted=False, width=1280, height=720),
            TrackSeen(self._id("TR"), "audio", "microphone", muted=False),
        )
        self._room(room).people[identity] = ParticipantSeen(
            identity=identity,
            kind=kind,
            is_hidden=hidden,
            is_publisher=sends,
            joined_at=self._now(),
            tracks=tracks if sends else (),
        )

    def leave(self, room: str, identity: str) -> None:
        """Let somebody out of a room; a participant egress of theirs ends."""
        there = self.rooms.get(room)
        if there is not None:
            there.people.pop(identity, None)
        for egress in self.egresses.values():
            mine = (egress.seen.room, egress.seen.source) == (room, identity)
            if mine and egress.seen.kind == "participant":
                self._over(egress, "complete", details="End reason: Source closed")

    def encoder_connects(self, identity: str) -> bool:
        """Begin to push with the newest key of this identity; whether LiveKit lets it in."""
        keys = [item.stream_key for item in self.ingresses.values() if item.identity == identity]
        return bool(keys) and self.push(keys[-1])

    def push(self, stream_key: str) -> bool:
        """Begin to push with a key that may be an old one."""
        self.pushing.add(stream_key)
        self._let_in()
        return any(
            item.stream_key == stream_key and item.status == "publishing"
            for item in self.ingresses.values()
        )

    def encoder_drops(self, identity: str) -> None:
        """Stop pushing."""
        for item in list(self.ingresses.values()):
            if item.identity == identity:
                self.pushing.discard(item.stream_key)
                if item.is_busy:
                    self.ingresses[item.ingress_id] = replace(item, status="inactive")
                    self.leave(item.room, identity)

    def running(self, room: str | None = None) -> list[_Egress]:
        """Give the egresses that are not over, and really live."""
        return [
            egress
            for egress in self.egresses.values()
            if room in {None, egress.seen.room} and not egress.seen.is_over and not egress.is_dead
        ]

    def egress_dies(self, room: str | None = None) -> None:
        """Kill the handlers: FAILED "signal: killed"; the mp4 is lost, the segments stay."""
        for egress in self.running(room):
            egress.is_dead = True
            self._over(egress, "failed", error="signal: killed")

    def worker_gone(self, room: str | None = None) -> None:
        """Kill the whole worker: statuses stay what they are for ever, stops time out."""
        for egress in self.running(room):
            egress.is_dead = True

    def forget_everything(self) -> None:
        """Lose rooms, ingresses and egresses, as by a restart without Redis."""
        self.rooms.clear()
        self.ingresses.clear()
        self.egresses.clear()

    def run(self, seconds: float) -> None:
        """Let LiveKit live until now, `seconds` after the last time: late calls, egresses."""
        moment = self._now()
        due = [obey for at, obey in self._late if at <= moment]
        self._late = [(at, obey) for at, obey in self._late if at > moment]
        for obey in due:
            try:
                obey()
            except NotThere:
                continue  # what it was about is gone; there is nobody left to tell
        self._let_in()
        for egress in list(self.egresses.values()):
            if not egress.seen.is_over and not egress.is_dead:
                self._live_on(egress, seconds)

    def segments_of(self, egress: _Egress) -> list[Path]:
        return [
            Path(f"{egress.outputs.segment_prefix}_{n:05}.ts") for n in range(len(egress.written))
        ]

    # How it works

    async def _call(self, verb: str, about: str, obey: Callable[[], T]) -> T:
        self.calls.append((verb, about))
        self._let_in()
        fault = self._strikes(verb)
        if fault is None:
            return obey()
        code = fault.code
        match fault.kind:
            case Fault.REFUSED:
                raise Refused(verb, code or "invalid_argument", "as the test wants it")
            case Fault.UNAVAILABLE:
                raise Unavailable(verb, "unavailable", code or "server is shutting down")
            case Fault.UNREACHABLE:
                raise Unavailable(verb, "unreachable", "LiveKit cannot be reached")
            case Fault.NO_ANSWER:
                raise OutcomeUnknown(verb, code or "no_answer", "TimeoutError")
            case Fault.ANSWER_LOST:
                obey()
                raise OutcomeUnknown(verb, code or "no_answer", "ServerDisconnectedError")
            case Fault.LATE:
                self._late.append((self._now() + timedelta(seconds=fault.seconds), obey))
                raise OutcomeUnknown(verb, code or "deadline_exceeded", "request timed out")
            case Fault.EMPTY | Fault.STALE if not verb.startswith("List"):
                return obey()
            case _:
                return self._wrong_list(fault.kind, f"{verb} {about}", obey)

    def _wrong_list(self, kind: Fault, what: str, obey: Callable[[], T]) -> T:
        if kind is Fault.EMPTY:
            return ()  # type: ignore[return-value]  # every list is a tuple
        # The first answer after the fault was armed stays the answer.
        answer: T = self._snapshots.setdefault(what, obey())  # type: ignore[assignment]  # put there by the same call
        return answer

    def _strikes(self, verb: str) -> Armed | None:
        for fault in self.armed:
            if fault.verb not in {None, verb} or fault.times == 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    def _arm_once(self, kind: Fault, verb: str, code: str) -> None:
        self.armed.insert(0, Armed(kind, verb, 1, code=code))

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._ids):06}"

    def _room(self, name: str, empty_seconds: int = 300, departure_seconds: int = 20) -> _Room:
        if name not in self.rooms:
            self.rooms[name] = _Room(
                name, self._id("RM"), self._now(), empty_seconds, departure_seconds
            )
        return self.rooms[name]

    def _rooms(self, names: Sequence[str]) -> tuple[RoomSeen, ...]:
        return tuple(
            self._room_seen(room) for room in self.rooms.values() if not names or room.name in names
        )

    def _room_seen(self, room: _Room) -> RoomSeen:
        inside = sum(person.kind not in {"egress", "agent"} for person in room.people.values())
        return RoomSeen(room.name, room.sid, inside, room.created_at)

    def _delete_room(self, name: str) -> None:
        if self.rooms.pop(name, None) is None:
            return
        for item in list(self.ingresses.values()):
            if item.room == name and item.is_busy:
                self.ingresses[item.ingress_id] = replace(
                    item, status="error", error="room disconnected"
                )
        for egress in self.egresses.values():
            if egress.seen.room == name and not egress.is_dead and not egress.seen.is_over:
                self._over(egress, "complete", details="End reason: Source closed")

    def _list_ingress(self, room: str | None) -> tuple[IngressSeen, ...]:
        for ingress_id, left in list(self._letting_go.items()):
            if left > 1:
                self._letting_go[ingress_id] = left - 1
            elif ingress_id in self.ingresses:
                self._idle(ingress_id)
            else:
                del self._letting_go[ingress_id]
        return tuple(item for item in self.ingresses.values() if room in {None, item.room})

    def _idle(self, ingress_id: str) -> None:
        self._letting_go.pop(ingress_id, None)
        item = self.ingresses[ingress_id]
        self.ingresses[ingress_id] = replace(item, status="error", error="session is disabled")

    def _enable_ingress(self, ingress_id: str, *, enabled: bool) -> IngressSeen:
        item = self.ingresses.get(ingress_id)
        if item is None:
            raise NotThere("UpdateIngress", "not_found", "ingress does not exist")
        if item.is_busy and self.idles_after is not None:
            # Whatever changes, the running session of a busy ingress is ended.
            self.leave(item.room, item.identity)
            self._letting_go[ingress_id] = self.idles_after
        status = item.status if item.is_busy else "inactive"
        self.ingresses[ingress_id] = item = replace(item, enabled=enabled, status=status, error="")
        if self._letting_go.get(ingress_id) == 0:
            self._idle(ingress_id)
        return self.ingresses[ingress_id]

    def _delete_ingress(self, ingress_id: str) -> None:
        item = self.ingresses.pop(ingress_id, None)
        self._letting_go.pop(ingress_id, None)
        if item is None:
            return
        if item.is_busy:
            if self.idles_after is not None:
                self.deleted_while_busy.append(ingress_id)
            self.leave(item.room, item.identity)

    def _let_in(self) -> None:
        """Let encoders in that keep pushing: a room that is gone comes back by them."""
        for item in list(self.ingresses.values()):
            if item.stream_key not in self.pushing or item.is_busy:
                continue
            if not item.enabled:
                continue
            self.ingresses[item.ingress_id] = replace(
                item, status="publishing", error="", width=1280, height=720
            )
            self.join(item.room, item.identity, kind="ingress", sends=True)

    def _start_egress(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        if room not in self.rooms:
            raise NotThere("StartEgress", "not_found", "requested room does not exist")
        seen = EgressSeen(
            egress_id=self._id("EG"),
            room=room,
            status="starting",
            prefix=outputs.segment_prefix,
            source=source,
            kind="media" if self.has_v2 else "participant",
            started_at=self._now(),
        )
        self.egresses[seen.egress_id] = _Egress(seen, outputs, started_at=self._now())
        return seen

    def _stop_egress(self, egress_id: str) -> None:
        egress = self.egresses.get(egress_id)
        if egress is None or egress.seen.is_over:
            return
        if egress.seen.status == "starting":
            self._over(egress, "aborted", error="Stop called before pipeline could start")
            return
        egress.seen = replace(egress.seen, status="ending")
        self._over(egress, "complete", details="End reason: StopEgress API")

    def _over(self, egress: _Egress, status: str, *, error: str = "", details: str = "") -> None:
        egress.seen = replace(
            egress.seen, status=status, error=error, details=details, ended_at=self._now()
        )
        if status == "complete":
            self._write_playlists(egress, ended=True)
            if egress.outputs.file_name and egress.written:
                file = Path(egress.outputs.file_name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(SEGMENT)

    def _live_on(self, egress: _Egress, seconds: float) -> None:
        del seconds
        moment = self._now()
        if egress.seen.status == "starting":
            if not self._has_source(egress):
                if moment - egress.started_at > timedelta(seconds=SOURCE_SECONDS):
                    self._over(egress, "failed", error="participant host not found")
                return
            if moment - egress.started_at < timedelta(seconds=STARTUP_SECONDS):
                return
            egress.seen = replace(egress.seen, status="active")
        begun = egress.started_at + timedelta(seconds=STARTUP_SECONDS)
        length = timedelta(seconds=egress.outputs.segment_seconds)
        while begun + length * (len(egress.written) + 1) <= moment:
            egress.written.append(begun + length * len(egress.written))
            path = self.segments_of(egress)[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(SEGMENT)
            self._write_playlists(egress)

    def _has_source(self, egress: _Egress) -> bool:
        room = self.rooms.get(egress.seen.room)
        return room is not None and egress.seen.source in room.people

    def _write_playlists(self, egress: _Egress, *, ended: bool = False) -> None:
        if not egress.written:
            return
        for name, first in (
            (egress.outputs.playlist_name, 0),
            (egress.outputs.live_playlist_name, max(len(egress.written) - LIVE_SEGMENTS, 0)),
        ):
            lines = [
                "#EXTM3U",
                "#EXT-X-VERSION:4",
                f"#EXT-X-TARGETDURATION:{egress.outputs.segment_seconds}",
                f"#EXT-X-MEDIA-SEQUENCE:{first}",
            ]
            for number in range(first, len(egress.written)):
                lines += [
                    f"#EXT-X-PROGRAM-DATE-TIME:{egress.written[number].isoformat()}",
                    f"#EXTINF:{egress.outputs.segment_seconds}.000,",
                    self.segments_of(egress)[number].name,
                ]
            lines += ["#EXT-X-ENDLIST"] if ended else []
            Path(name).write_text("\n".join(lines) + "\n")


#: What a test waits on when it does not care how LiveKit gets there.
Step = Callable[[], Awaitable[None]]

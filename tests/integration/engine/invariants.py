"""What must hold at every moment, and what must hold when nothing is left to do."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import m3u8
import orjson
from sqlalchemy import select

from orchestration import names
from orchestration.models import Event, Job, Playback, Recording, Session, Take
from orchestration.plane import Input
from orchestration.states import (
    ON_AIR,
    OVER,
    JobKind,
    JobStatus,
    Phase,
    PlaybackState,
    TakeState,
    Wanted,
    may_become,
    status_of,
)
from tests.integration.engine.house import House

#: In which phases a job of a kind may be done.
DONE_IN = {
    JobKind.START: ON_AIR | {Phase.OPEN},
    JobKind.GO_LIVE: ON_AIR,
    JobKind.END: OVER,
}
#: Which state of a take may follow which.
TAKES_GO = {TakeState.RESERVED: 0, TakeState.ACTIVE: 1, TakeState.ENDED: 2}


@dataclass
class Invariants:
    """Checks a house again and again, and remembers what may never be taken back."""

    house: House
    phases: dict[UUID, Phase] = field(default_factory=dict)
    jobs: dict[UUID, JobStatus] = field(default_factory=dict)
    takes: dict[tuple[UUID, int], int] = field(default_factory=dict)
    sequences: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    ended: dict[UUID, str] = field(default_factory=dict)

    async def hold(self) -> None:
        """Check what must hold at every moment, also in the middle of a fault."""
        rows = await _Rows.read(self.house)
        for session in rows.sessions:
            self._events(session, rows.events_of(session.id))
            self._phase(session)
            self._takes(session, rows.takes_of(session.id))
            self._playlist(session.id)
        for job in rows.jobs:
            before = self.jobs.get(job.id, JobStatus.PENDING)
            assert before in {JobStatus.PENDING, job.status}, f"job {before} became {job.status}"
            self.jobs[job.id] = job.status
        on_air = Counter(s.room_id for s in rows.sessions if s.wanted is Wanted.LIVE)
        assert all(count == 1 for count in on_air.values()), "two live sessions in one room"
        self._egresses(rows)
        _no_secret(self.house, rows)
        assert not self.house.plane.deleted_while_busy, "a busy ingress was deleted in one step"

    async def settled(self) -> None:
        """Check what must hold when faults are over and nothing is left to do."""
        await self.hold()
        rows = await _Rows.read(self.house)
        for session in rows.sessions:
            what = f"session {session.id} ({session.wanted}, {session.phase})"
            assert session.lease_owner is None, f"{what} is still claimed"
            pending = [job for job in rows.jobs if job.session_id == session.id]
            waiting = [job.kind for job in pending if job.status is JobStatus.PENDING]
            assert not waiting, f"{what}: nobody will finish {waiting}"
            match session.wanted:
                case Wanted.ENDED:
                    assert session.phase in OVER, what
                    self._nothing_left(session, rows)
                case Wanted.LIVE:
                    assert session.phase in ON_AIR, what
                    self._all_there(session, rows.takes_of(session.id))
                case Wanted.OPEN:
                    assert session.phase is Phase.OPEN, what
                    self._open(session)
                case Wanted.PREPARED:
                    assert session.phase is Phase.SCHEDULED, what
                    self._prepared(session)

    def _events(self, session: Session, events: list[Event]) -> None:
        numbers = [event.seq for event in events]
        assert numbers == list(range(1, session.event_seq + 1)), "events have a gap"
        at = Phase.SCHEDULED
        for event in events:
            if event.kind == "session.phase":
                before, after = Phase(event.facts["before"]), Phase(event.facts["after"])
                assert before is at, f"{at} became {after}, says an event, from {before}"
                assert after is not before
                assert may_become(before, after)
                at = after
            elif event.kind == "job.done":
                kind = JobKind(event.facts["kind"])
                assert at in DONE_IN[kind], f"a job to {kind} was done in phase {at}"
        assert at is session.phase, "a transition without its event"

    def _phase(self, session: Session) -> None:
        before = self.phases.get(session.id, Phase.SCHEDULED)
        assert before not in OVER or session.phase is before, f"{before} became {session.phase}"
        self.phases[session.id] = session.phase
        was_on_air = session.started_at is not None
        assert session.status is status_of(session.phase, was_on_air=was_on_air)
        assert session.phase not in ON_AIR or was_on_air
        assert (session.phase in OVER) == (session.ended_at is not None)

    def _takes(self, session: Session, takes: list[Take]) -> None:
        numbers = [take.number for take in takes]
        assert numbers == sorted(set(numbers))
        current = [t for t in takes if t.state is not TakeState.ENDED and t.stopping_at is None]
        assert len(current) <= 1, f"{len(current)} takes at once"
        for take in takes:
            before = self.takes.get((session.id, take.number), 0)
            assert TAKES_GO[take.state] >= before, "a take came back"
            self.takes[session.id, take.number] = TAKES_GO[take.state]
            if take.state is TakeState.ENDED:
                assert take.ended_at is not None
                assert take.outcome is not None

    def _playlist(self, session_id: UUID) -> None:
        text = self.house.playlist(session_id)
        if text is None:
            assert session_id not in self.sequences, "the playlist went away"
            return
        playlist = m3u8.loads(text)
        folder = self.house.folder / names.HLS / str(session_id)
        for segment in playlist.segments:
            assert (folder / segment.uri).is_file(), f"{segment.uri} cannot be read"
        now = (playlist.media_sequence or 0, playlist.discontinuity_sequence or 0)
        before = self.sequences.get(session_id, (0, 0))
        assert now[0] >= before[0], "the media sequence went back"
        assert now[1] >= before[1], "the discontinuity sequence went back"
        self.sequences[session_id] = now
        if session_id in self.ended:
            assert text == self.ended[session_id], "a playlist with ENDLIST was changed"
        elif playlist.is_endlist:
            self.ended[session_id] = text

    def _egresses(self, rows: "_Rows") -> None:
        prefixes = Counter(e.seen.prefix for e in self.house.plane.egresses.values())
        assert all(count == 1 for count in prefixes.values()), "two egresses share a folder"
        known = {(take.session_id, take.number) for take in rows.takes}
        for egress in self.house.plane.egresses.values():
            session_id = names.session_of_room(self.house.settings.livekit_prefix, egress.seen.room)
            if session_id is not None and session_id in {s.id for s in rows.sessions}:
                number = names.take_of_prefix(session_id, egress.seen.prefix)
                assert (session_id, number) in known, "an egress whose take was not reserved"

    def _nothing_left(self, session: Session, rows: "_Rows") -> None:
        room = self.house.livekit_room(session.id)
        plane = self.house.plane
        assert room not in plane.rooms, "a room is left"
        assert not [i for i in plane.ingresses.values() if i.room == room], "an ingress is left"
        assert not plane.running(room), "an egress is left"
        assert session.end_reason is not None
        assert all(take.state is TakeState.ENDED for take in rows.takes_of(session.id))
        for playback in rows.playbacks:
            if playback.session_id == session.id:
                assert playback.state is PlaybackState.ENDED
                text = self.house.playlist(session.id)
                assert text is not None
                assert m3u8.loads(text).is_endlist
                full = self.house.file(names.full_playlist_key(session.id))
                assert full is not None
                assert m3u8.loads(full).is_endlist
        for recording in rows.recordings:
            if recording.session_id == session.id:
                assert recording.finished_at is not None, "the recording was not finished"
                assert recording.verdict is not None

    def _all_there(self, session: Session, takes: list[Take]) -> None:
        self._open(session)
        room = self.house.livekit_room(session.id)
        hosts = names.host_identities(session.host_id)
        people = self.house.plane.rooms[room].people
        sending = [one for one in people.values() if one.identity in hosts and one.sends_video]
        running = self.house.plane.running(room)
        if not sending:
            assert session.source is None
            assert session.phase in {Phase.WAITING_FOR_MEDIA, Phase.RECONNECTING}
            assert len(running) <= 1
            return
        assert session.phase is Phase.LIVE
        assert session.source in {one.identity for one in sending}
        assert len(running) == 1, f"{len(running)} egresses"
        current = [t for t in takes if t.state is TakeState.ACTIVE and t.stopping_at is None]
        assert [take.egress_id for take in current] == [running[0].seen.egress_id]

    def _open(self, session: Session) -> None:
        plane = self.house.plane
        room = self.house.livekit_room(session.id)
        assert room in plane.rooms, "there is no room"
        mine = [item for item in plane.ingresses.values() if item.room == room]
        assert sorted(item.input for item in mine) == sorted(Input), "not one ingress of each kind"
        assert all(item.enabled for item in mine)
        for item in mine:
            assert getattr(session, f"{item.input}_ingress_id") == item.ingress_id
            sealed = getattr(session, f"{item.input}_key_sealed")
            assert self.house.resources.secrets.unseal(sealed) == item.stream_key

    def _prepared(self, session: Session) -> None:
        plane = self.house.plane
        room = self.house.livekit_room(session.id)
        assert room not in plane.rooms, "a room is left"
        mine = [item for item in plane.ingresses.values() if item.room == room]
        assert [(item.input, item.enabled) for item in mine] == [(Input.RTMP, False)]
        assert session.rtmp_ingress_id == mine[0].ingress_id
        assert session.whip_ingress_id is None
        assert not plane.running(room)


@dataclass
class _Rows:
    """The ledger as it is now."""

    sessions: list[Session]
    takes: list[Take]
    events: list[Event]
    jobs: list[Job]
    playbacks: list[Playback]
    recordings: list[Recording]

    @classmethod
    async def read(cls, house: House) -> "_Rows":
        async with house.db.read() as tx:

            async def every(table: Any) -> list[Any]:
                return list((await tx.execute(select(table))).scalars())

            return cls(
                sessions=await every(Session),
                takes=await every(Take),
                events=await every(Event),
                jobs=await every(Job),
                playbacks=await every(Playback),
                recordings=await every(Recording),
            )

    def takes_of(self, session_id: UUID) -> list[Take]:
        mine = [take for take in self.takes if take.session_id == session_id]
        return sorted(mine, key=lambda take: take.number)

    def events_of(self, session_id: UUID) -> list[Event]:
        mine = [event for event in self.events if event.session_id == session_id]
        return sorted(mine, key=lambda event: event.seq)


def _no_secret(house: House, rows: _Rows) -> None:
    """Stream keys are sealed in the ledger, and stand nowhere in plain."""
    everything = [
        *(row.model_dump(mode="json") for row in rows.sessions),
        *(row.model_dump(mode="json") for row in rows.takes),
        *(row.model_dump(mode="json") for row in rows.events),
        *(row.model_dump(mode="json") for row in rows.jobs),
        *(row.model_dump(mode="json") for row in rows.recordings),
    ]
    assert b"never-in-plain" not in orjson.dumps(everything), "a stream key in plain"

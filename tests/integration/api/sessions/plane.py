"""A media plane that remembers what it was asked, obeys at once, and can be told to fail."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from orchestration.plane import (
    EgressSeen,
    IngressSeen,
    Input,
    NotThere,
    ParticipantSeen,
    PlaneError,
    RoomSeen,
    TakeOutputs,
    Unavailable,
)

#: What every stream key here starts with, so that a test can search answers for it.
KEY = "canary-stream-key-"


class RememberingPlane:
    """LiveKit as the API's tests need it; `fails` is raised by every call of a verb named in it."""

    def __init__(self) -> None:
        self.rooms: dict[str, RoomSeen] = {}
        self.ingresses: dict[str, IngressSeen] = {}
        self.participants: dict[str, tuple[ParticipantSeen, ...]] = {}
        self.egresses: dict[str, EgressSeen] = {}
        self.muted: list[tuple[str, str, bool]] = []
        self.removed: list[tuple[str, str]] = []
        self.calls: Counter[str] = Counter()
        self.fails: dict[str, PlaneError] = {}
        #: Who is gone by the time that a track of theirs is muted.
        self.leaving: set[str] = set()

    async def list_rooms(self, names: Sequence[str] = ()) -> tuple[RoomSeen, ...]:
        self._called("list_rooms")
        return tuple(room for room in self.rooms.values() if not names or room.name in names)

    async def create_room(
        self, name: str, *, empty_seconds: int, departure_seconds: int, metadata: str = ""
    ) -> RoomSeen:
        del empty_seconds, departure_seconds, metadata
        self._called("create_room")
        return self.rooms.setdefault(name, RoomSeen(name, f"RM_{name}", 0))

    async def delete_room(self, name: str) -> None:
        self._called("delete_room")
        self.rooms.pop(name, None)
        self.participants.pop(name, None)

    async def list_ingress(self, room: str | None = None) -> tuple[IngressSeen, ...]:
        self._called("list_ingress")
        return tuple(one for one in self.ingresses.values() if room in {None, one.room})

    async def create_ingress(
        self, kind: Input, *, name: str, room: str, identity: str, title: str, enabled: bool
    ) -> IngressSeen:
        del title
        self._called("create_ingress")
        number = self.calls["create_ingress"]
        address = "rtmp://ingress.test/live" if kind is Input.RTMP else "https://ingress.test/w"
        made = IngressSeen(
            ingress_id=f"IN_{number}",
            input=kind,
            name=name,
            room=room,
            identity=identity,
            url=address,
            stream_key=f"{KEY}{number}",
            enabled=enabled,
        )
        self.ingresses[made.ingress_id] = made
        return made

    async def enable_ingress(self, ingress_id: str, *, enabled: bool) -> IngressSeen:
        self._called("enable_ingress")
        if ingress_id not in self.ingresses:
            raise NotThere("UpdateIngress", "not_found")
        self.ingresses[ingress_id] = replace(self.ingresses[ingress_id], enabled=enabled)
        return self.ingresses[ingress_id]

    async def delete_ingress(self, ingress_id: str) -> None:
        self._called("delete_ingress")
        self.ingresses.pop(ingress_id, None)

    async def list_participants(self, room: str) -> tuple[ParticipantSeen, ...]:
        self._called("list_participants")
        return self.participants.get(room, ())

    async def list_egress(
        self, room: str | None = None, *, active: bool = True
    ) -> tuple[EgressSeen, ...]:
        self._called("list_egress")
        egresses = self.egresses.values()
        return tuple(
            one for one in egresses if room in {None, one.room} and not (active and one.is_over)
        )

    async def start_egress(self, room: str, source: str, outputs: TakeOutputs) -> EgressSeen:
        self._called("start_egress")
        number = self.calls["start_egress"]
        made = EgressSeen(f"EG_{number}", room, "active", outputs.segment_prefix, source)
        self.egresses[made.egress_id] = made
        return made

    async def stop_egress(self, egress_id: str) -> None:
        self._called("stop_egress")
        self.egresses[egress_id] = replace(self.egresses[egress_id], status="complete")

    async def mute_track(self, room: str, identity: str, track_sid: str, *, muted: bool) -> None:
        self._called("mute_track")
        if identity in self.leaving:
            self.participants[room] = tuple(
                person for person in self.participants[room] if person.identity != identity
            )
            raise Unavailable("MutePublishedTrack", "unavailable", "no response from servers")
        self.muted.append((identity, track_sid, muted))
        self.participants[room] = tuple(
            replace(
                person,
                tracks=tuple(
                    replace(track, muted=muted) if track.sid == track_sid else track
                    for track in person.tracks
                ),
            )
            for person in self.participants[room]
        )

    async def remove_participant(self, room: str, identity: str) -> None:
        self._called("remove_participant")
        self.removed.append((room, identity))

    def _called(self, verb: str) -> None:
        self.calls[verb] += 1
        if error := self.fails.get(verb):
            raise error

"""What the engine may expect of a media plane: the same cases in memory and at a LiveKit.

So the LiveKit in memory, over which the engine is tested, is tested against the real thing.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orchestration.livekit import open_livekit
from orchestration.plane import (
    EgressSeen,
    IngressSeen,
    Input,
    NotThere,
    OutcomeUnknown,
    ParticipantSeen,
    Refused,
    Unavailable,
)
from orchestration.settings import Settings
from tests.contract.conftest import Server
from tests.contract.control import Control
from tests.contract.encoders import Encoders
from tests.contract.planes import AtLiveKit, InMemory, Studio, outputs_in
from tests.fakes.clock import Clock
from tests.fakes.plane import Fault, MemoryPlane

pytestmark = pytest.mark.media

HOST = "host#rtmp"


@pytest.fixture
def in_memory() -> InMemory:
    clock = Clock()
    return InMemory(clock, MemoryPlane(clock.now))


@pytest.fixture
async def at_livekit(livekit: Server, encoders: Encoders) -> AsyncIterator[AtLiveKit]:
    settings = Settings(
        livekit_url=livekit.url,
        livekit_api_key=livekit.key,
        livekit_api_secret=livekit.secret,
        livekit_stop_seconds=10,
    )
    async with open_livekit(settings) as plane, AsyncExitStack() as stack:
        control = None
        if livekit.control_url is not None:
            control = await stack.enter_async_context(Control(livekit.control_url))
            stack.push_async_callback(control.clear)
        yield AtLiveKit(plane, control, encoders)


@pytest.fixture(params=["in_memory", "at_livekit"])
def studio(request: pytest.FixtureRequest) -> Studio:
    """Give one plane after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def room() -> str:
    return f"plane-{uuid.uuid4().hex[:12]}"


async def open_room(studio: Studio, room: str) -> None:
    await studio.plane.create_room(room, empty_seconds=600, departure_seconds=600)


async def make(
    studio: Studio, room: str, *, kind: Input = Input.RTMP, enabled: bool = True
) -> IngressSeen:
    identity = HOST if kind is Input.RTMP else "host#whip"
    return await studio.plane.create_ingress(
        kind, name=room, room=room, identity=identity, title="Host", enabled=enabled
    )


async def seen(studio: Studio, ingress: IngressSeen) -> IngressSeen:
    listed = await studio.plane.list_ingress(ingress.room)
    return next(item for item in listed if item.ingress_id == ingress.ingress_id)


async def becomes(studio: Studio, ingress: IngressSeen, status: str) -> IngressSeen:
    async def look() -> IngressSeen | None:
        now = await seen(studio, ingress)
        return now if now.status == status else None

    return await studio.until(look, what=f"the ingress to be {status}")


async def empties(studio: Studio, room: str) -> None:
    """Wait until nobody is in a room: an ingress tells of its end before it has left."""

    async def is_empty() -> bool:
        return not await studio.plane.list_participants(room)

    await studio.until(is_empty, what="the room to be empty")


async def sender(studio: Studio, room: str) -> ParticipantSeen:
    """Wait for the encoder's participant, with its picture."""

    async def look() -> ParticipantSeen | None:
        people = await studio.plane.list_participants(room)
        return next((one for one in people if one.identity == HOST and one.sends_video), None)

    return await studio.until(look, what="the encoder's picture")


async def egress_of(studio: Studio, started: EgressSeen) -> EgressSeen:
    listed = await studio.plane.list_egress(started.room, active=False)
    return next(item for item in listed if item.egress_id == started.egress_id)


async def ends(studio: Studio, started: EgressSeen) -> EgressSeen:
    async def look() -> EgressSeen | None:
        now = await egress_of(studio, started)
        return now if now.is_over else None

    return await studio.until(look, what="the egress to be over")


async def has_segments(studio: Studio, folder: Path, count: int) -> None:
    async def look() -> bool:
        live = folder / "live.m3u8"
        return live.is_file() and live.read_text().count("#EXTINF") >= count

    await studio.until(look, what=f"{count} segments")


async def on_air(studio: Studio, room: str, folder: Path) -> tuple[IngressSeen, EgressSeen]:
    """Open a room, let an encoder push, and start a take that has written a segment."""
    await open_room(studio, room)
    ingress = await make(studio, room)
    await studio.connect(ingress)
    await sender(studio, room)
    egress = await studio.plane.start_egress(room, HOST, outputs_in(folder))
    await has_segments(studio, folder, 1)
    return ingress, egress


async def test_creating_a_room_again_gives_the_same(studio: Studio, room: str) -> None:
    """Create-or-get; listed by name and among all; nobody is inside."""
    first = await studio.plane.create_room(room, empty_seconds=600, departure_seconds=600)
    second = await studio.plane.create_room(room, empty_seconds=9, departure_seconds=9)

    assert first.sid == second.sid
    (listed,) = await studio.plane.list_rooms([room, "never-was"])
    assert (listed.name, listed.sid, listed.participants) == (room, first.sid, 0)
    assert room in {item.name for item in await studio.plane.list_rooms()}


async def test_a_room_can_be_deleted_twice(studio: Studio, room: str) -> None:
    """Gone is gone."""
    await open_room(studio, room)

    await studio.plane.delete_room(room)
    await studio.plane.delete_room(room)

    assert await studio.plane.list_rooms([room]) == ()


async def test_creating_an_ingress_again_makes_another(studio: Studio, room: str) -> None:
    """Not idempotent: other id, other key; both are listed, for the room and among all."""
    first, second = await make(studio, room), await make(studio, room)

    assert first.ingress_id != second.ingress_id
    assert first.stream_key != second.stream_key
    assert first.stream_key not in first.url
    ids = {first.ingress_id, second.ingress_id}
    assert {item.ingress_id for item in await studio.plane.list_ingress(room)} == ids
    assert ids <= {item.ingress_id for item in await studio.plane.list_ingress()}
    assert await studio.plane.list_ingress("never-was") == ()


@pytest.mark.parametrize("kind", list(Input))
async def test_an_ingress_is_as_it_was_asked_for(studio: Studio, room: str, kind: Input) -> None:
    """Kind, room, identity; idle; enabled or not."""
    made = await make(studio, room, kind=kind, enabled=False)

    listed = await seen(studio, made)
    assert listed == made
    assert (made.input, made.room, made.name) == (kind, room, room)
    assert made.identity == f"host#{kind}"
    assert (made.enabled, made.status, made.is_busy) == (False, "inactive", False)
    enabled = await studio.plane.enable_ingress(made.ingress_id, enabled=True)
    assert (enabled.ingress_id, enabled.enabled, enabled.stream_key) == (
        made.ingress_id,
        True,
        made.stream_key,
    )


async def test_an_ingress_can_be_deleted_twice(studio: Studio, room: str) -> None:
    """Gone is gone, and cannot be switched on."""
    made = await make(studio, room)

    await studio.plane.delete_ingress(made.ingress_id)
    await studio.plane.delete_ingress(made.ingress_id)

    assert await studio.plane.list_ingress(room) == ()
    with pytest.raises(NotThere):
        await studio.plane.enable_ingress(made.ingress_id, enabled=True)


async def test_nobody_is_in_a_room_that_is_not_there(studio: Studio) -> None:
    """An unknown room is empty; to remove somebody from it is done."""
    assert await studio.plane.list_participants("never-was") == ()
    assert await studio.plane.list_egress("never-was", active=False) == ()
    await studio.plane.stop_egress("EG_never_was")


async def test_an_encoder_comes_and_goes(studio: Studio, room: str) -> None:
    """The ingress publishes, its participant sends a picture and counts; then it is idle again."""
    await open_room(studio, room)
    made = await make(studio, room)

    await studio.connect(made)
    publishing = await becomes(studio, made, "publishing")
    person = await sender(studio, room)
    assert publishing.is_busy
    assert (person.kind, person.is_publisher, person.is_active) == ("ingress", True, True)
    assert {track.source for track in person.tracks} == {"camera", "microphone"}

    async def counts() -> bool:
        (listed,) = await studio.plane.list_rooms([room])
        return listed.participants == 1

    await studio.until(counts, what="the encoder to count")  # LiveKit's number trails by seconds

    await studio.drop(made)
    await becomes(studio, made, "inactive")
    await empties(studio, room)


async def test_a_disabled_ingress_lets_nobody_in(studio: Studio, room: str) -> None:
    """Its key is there, and opens nothing."""
    await open_room(studio, room)
    made = await make(studio, room, enabled=False)

    await studio.connect(made)

    assert await studio.plane.list_participants(room) == ()
    assert not (await seen(studio, made)).is_busy


async def test_disabling_a_busy_ingress_lets_go_of_its_encoder(studio: Studio, room: str) -> None:
    """A moment later it is idle, although the encoder would go on; then it can be deleted."""
    await open_room(studio, room)
    made = await make(studio, room)
    await studio.connect(made)
    await becomes(studio, made, "publishing")

    await studio.plane.enable_ingress(made.ingress_id, enabled=False)
    await becomes(studio, made, "error")
    await empties(studio, room)

    await studio.plane.delete_ingress(made.ingress_id)
    assert await studio.plane.list_ingress(room) == ()


async def test_an_encoder_that_connects_again_brings_a_deleted_room_back(
    studio: Studio, room: str
) -> None:
    """So an ingress is closed before its room."""
    first = await studio.plane.create_room(room, empty_seconds=600, departure_seconds=600)
    made = await make(studio, room)
    await studio.connect(made)
    await becomes(studio, made, "publishing")

    await studio.plane.delete_room(room)
    # As encoders do that lose their connection.
    await studio.connect(made)

    async def is_back() -> bool:
        return any(item.sid != first.sid for item in await studio.plane.list_rooms([room]))

    await studio.until(is_back, what="the room to be back")
    await sender(studio, room)


async def test_a_take_writes_until_it_is_stopped(studio: Studio, room: str, tmp_path: Path) -> None:
    """Segments as they are made, playlists that end, an mp4 at the end; stopping twice is fine."""
    folder = tmp_path / "hls" / "1"
    _, started = await on_air(studio, room, folder)
    running = await egress_of(studio, started)
    assert running.status == "active"
    assert running.prefix == f"{folder}/seg"
    assert (running.room, running.source, running.kind) == (room, HOST, "media")
    assert (folder / "seg_00000.ts").stat().st_size > 0

    await studio.plane.stop_egress(started.egress_id)
    over = await ends(studio, started)
    await studio.plane.stop_egress(started.egress_id)

    assert over.status == "complete"
    assert over.ended_at is not None
    assert await studio.plane.list_egress(room) == ()
    for name in ("live.m3u8", "vod.m3u8"):
        assert "#EXT-X-ENDLIST" in (folder / name).read_text()
    assert (folder / "take.mp4").stat().st_size > 0


async def test_starting_again_starts_another(studio: Studio, room: str, tmp_path: Path) -> None:
    """Not idempotent: two egresses, told apart by their folders."""
    await on_air(studio, room, tmp_path / "1")

    await studio.plane.start_egress(room, HOST, outputs_in(tmp_path / "2"))

    prefixes = {item.prefix for item in await studio.plane.list_egress(room)}
    assert prefixes == {f"{tmp_path}/1/seg", f"{tmp_path}/2/seg"}


async def test_a_take_needs_its_room(studio: Studio, tmp_path: Path) -> None:
    """Without one it is not found."""
    with pytest.raises(NotThere):
        await studio.plane.start_egress("never-was", HOST, outputs_in(tmp_path))


async def test_a_take_whose_source_does_not_come_fails(
    studio: Studio, room: str, tmp_path: Path
) -> None:
    """So it is never started before there is a picture."""
    await open_room(studio, room)
    started = await studio.plane.start_egress(room, HOST, outputs_in(tmp_path))
    assert started.status == "starting"

    over = await ends(studio, started)

    assert over.status == "failed"
    assert "not found" in over.error


async def test_stopping_before_it_began_aborts(studio: Studio, room: str, tmp_path: Path) -> None:
    """Stopped while it waits for its source."""
    await open_room(studio, room)
    started = await studio.plane.start_egress(room, HOST, outputs_in(tmp_path))

    await studio.plane.stop_egress(started.egress_id)

    assert (await ends(studio, started)).status == "aborted"


async def test_a_take_outlives_its_encoder(studio: Studio, room: str, tmp_path: Path) -> None:
    """Dropped and back: the same egress goes on."""
    ingress, started = await on_air(studio, room, tmp_path)

    await studio.drop(ingress)
    await becomes(studio, ingress, "inactive")
    assert not (await egress_of(studio, started)).is_over
    await studio.connect(ingress)
    await sender(studio, room)
    before = (tmp_path / "vod.m3u8").read_text().count("#EXTINF")
    await has_segments(studio, tmp_path, min(before + 1, 5))

    assert not (await egress_of(studio, started)).is_over


async def test_without_v2_a_drop_ends_the_take(studio: Studio, room: str, tmp_path: Path) -> None:
    """The older way: recognised by the same prefix, and of another kind."""
    await studio.without_v2()
    ingress, started = await on_air(studio, room, tmp_path)
    running = await egress_of(studio, started)
    assert (running.kind, running.source) == ("participant", HOST)
    assert running.prefix == f"{tmp_path}/seg"

    await studio.drop(ingress)

    assert (await ends(studio, started)).status == "complete"


async def test_deleting_the_room_ends_its_take(studio: Studio, room: str, tmp_path: Path) -> None:
    """Complete, like one that was stopped."""
    ingress, started = await on_air(studio, room, tmp_path)
    await studio.drop(ingress)
    await becomes(studio, ingress, "inactive")

    await studio.plane.delete_room(room)

    assert (await ends(studio, started)).status == "complete"


async def test_a_handler_that_dies_is_told(studio: Studio, room: str, tmp_path: Path) -> None:
    """FAILED, its segments stay, its mp4 is lost."""
    _, started = await on_air(studio, room, tmp_path)

    await studio.egress_dies(room)
    over = await ends(studio, started)
    await studio.plane.stop_egress(started.egress_id)

    assert (over.status, over.error) == ("failed", "signal: killed")
    assert (tmp_path / "seg_00000.ts").is_file()
    assert not (tmp_path / "take.mp4").exists()


async def test_a_worker_that_is_gone_is_told_by_nobody(
    studio: Studio, room: str, tmp_path: Path
) -> None:
    """ACTIVE for ever; a stop is not answered, a start is not done."""
    _, started = await on_air(studio, room, tmp_path / "1")

    await studio.workers_gone()

    with pytest.raises(OutcomeUnknown):
        await studio.plane.stop_egress(started.egress_id)
    with pytest.raises(Unavailable) as away:
        await studio.plane.start_egress(room, HOST, outputs_in(tmp_path / "2"))
    assert not isinstance(away.value, OutcomeUnknown)
    (listed,) = await studio.plane.list_egress(room)
    assert (listed.egress_id, listed.status) == (started.egress_id, "active")


@pytest.mark.parametrize(
    ("kind", "error", "was_obeyed"),
    [
        (Fault.REFUSED, Refused, False),
        (Fault.UNAVAILABLE, Unavailable, False),
        (Fault.ANSWER_LOST, OutcomeUnknown, True),
    ],
)
async def test_errors_are_sorted(
    studio: Studio, room: str, kind: Fault, error: type[Exception], *, was_obeyed: bool
) -> None:
    """Refused for good, not done yet, nobody knows: and what became of the call."""
    await studio.fail(kind, "CreateIngress")

    with pytest.raises(error):
        await make(studio, room)

    assert len(await studio.plane.list_ingress(room)) == int(was_obeyed)
    assert (await make(studio, room)).ingress_id


async def test_a_list_can_be_stale(studio: Studio, room: str) -> None:
    """It keeps giving what it gave, until it heals."""
    await studio.fail(Fault.STALE, "ListIngress")
    assert await studio.plane.list_ingress(room) == ()
    made = await make(studio, room)
    assert await studio.plane.list_ingress(room) == ()

    await studio.heal()

    assert await seen(studio, made)


async def test_everything_can_be_forgotten(studio: Studio, room: str, tmp_path: Path) -> None:
    """Rooms, ingresses and egresses, as by a restart; the old key opens nothing."""
    made, _ = await on_air(studio, room, tmp_path)

    await studio.forget_everything()

    assert await studio.plane.list_rooms([room]) == ()
    assert await studio.plane.list_ingress(room) == ()
    assert await studio.plane.list_egress(room, active=False) == ()
    with pytest.raises(NotThere):
        await studio.plane.enable_ingress(made.ingress_id, enabled=True)


async def test_who_counts(studio: Studio, room: str) -> None:
    """Egresses and agents do not; everybody is listed."""
    await open_room(studio, room)
    await studio.join(room, "viewer")
    await studio.join(room, "agent", kind="agent")
    await studio.join(room, "EG_x", kind="egress")

    (listed,) = await studio.plane.list_rooms([room])
    people = await studio.plane.list_participants(room)

    assert listed.participants == 1
    assert {(one.identity, one.kind) for one in people} == {
        ("viewer", "standard"),
        ("agent", "agent"),
        ("EG_x", "egress"),
    }


async def test_somebody_can_be_removed_twice(studio: Studio, room: str) -> None:
    """Gone is gone."""
    await open_room(studio, room)
    await studio.join(room, "viewer")

    await studio.plane.remove_participant(room, "viewer")
    await studio.plane.remove_participant(room, "viewer")

    assert await studio.plane.list_participants(room) == ()


async def test_a_muted_camera_sends_no_video(studio: Studio, room: str) -> None:
    """A track is muted by its id; for somebody who is not there nobody answers."""
    await open_room(studio, room)
    ingress = await make(studio, room)
    await studio.connect(ingress)
    person = await sender(studio, room)
    camera = next(track for track in person.tracks if track.source == "camera")

    await studio.plane.mute_track(room, HOST, camera.sid, muted=True)

    async def sends_none() -> bool:
        (now,) = await studio.plane.list_participants(room)
        return not now.sends_video

    await studio.until(sends_none, what="the camera to be muted")
    with pytest.raises(Unavailable):
        await studio.plane.mute_track(room, "nobody", camera.sid, muted=True)

"""The life of a session, without a fault: what it becomes, and why."""

import asyncio
from datetime import timedelta
from uuid import UUID

import m3u8
import pytest

from orchestration import commands, lookout, names
from orchestration.commands import Rejected
from orchestration.models import Job
from orchestration.plane import Input
from orchestration.states import (
    EndReason,
    JobStatus,
    Phase,
    PlaybackState,
    Status,
    TakeState,
)
from tests.fakes.plane import Fault
from tests.integration.engine.house import House
from tests.integration.engine.invariants import Invariants


async def phase_of(house: House, show: UUID) -> Phase:
    return (await house.session(show)).phase


async def on_air(house: House, **columns: object) -> UUID:
    """Bring a show on air, with an encoder and a take that has written a few segments."""
    show = await house.create(**columns)
    await house.go_live(show)
    await house.calm()
    assert house.connect()
    await house.pass_time(10)
    assert await phase_of(house, show) is Phase.LIVE
    return show


async def over(house: House, show: UUID, *, within: float = 60) -> None:
    """Let time pass until a show is over and nothing of it is left."""

    async def is_over() -> bool:
        return (await house.session(show)).ended_at is not None

    await house.until(is_over, what="the show is over", within=within)
    await Invariants(house).settled()


async def test_a_whole_show(house: House) -> None:
    """From announcement to recording, everything is there when it should be, and gone after."""
    show = await house.create()
    await house.calm()
    assert [item.enabled for item in house.plane.ingresses.values()] == [False]

    gone_live = await house.go_live(show)
    await house.calm()
    assert (await house.job(gone_live.id)).status is JobStatus.DONE
    assert await phase_of(house, show) is Phase.WAITING_FOR_MEDIA
    assert house.connect()
    await house.pass_time(12)
    await Invariants(house).settled()
    session, playback = await house.session(show), await house.playback(show)
    assert playback is not None
    assert (session.phase, playback.state) == (Phase.LIVE, PlaybackState.READY)

    ended = await house.end(show)
    await house.calm()
    await Invariants(house).settled()
    assert (await house.job(ended.id)).status is JobStatus.DONE
    session = await house.session(show)
    assert (session.phase, session.end_reason) == (Phase.ENDED, EndReason.REQUESTED)


async def test_start_opens_the_green_room_and_go_live_goes_on_air(house: House) -> None:
    """The green room is open while the status stays scheduled; both jobs are done."""
    show = await house.create()

    started = await house.start(show)
    await house.calm()
    session = await house.session(show)
    assert (session.phase, session.status) == (Phase.OPEN, Status.SCHEDULED)
    assert (await house.job(started.id)).status is JobStatus.DONE
    await Invariants(house).settled()
    assert house.connect()
    await house.pass_time(10)
    assert not house.plane.egresses

    gone_live = await house.go_live(show)
    await house.pass_time(5)
    assert (await house.job(gone_live.id)).status is JobStatus.DONE
    assert await phase_of(house, show) is Phase.LIVE
    await Invariants(house).settled()
    verbs = [verb for verb, _ in house.plane.calls]
    assert verbs.count("CreateIngress") == 2


async def test_start_after_go_live_is_done_at_once(house: House) -> None:
    """What is live has an open green room: the wish is smaller, and already true."""
    show = await on_air(house)

    started = await house.start(show)

    assert started.status is JobStatus.DONE
    assert await phase_of(house, show) is Phase.LIVE


async def test_going_live_twice_is_going_live_once(house: House) -> None:
    """The second caller gets the first one's job, before it is done and after."""
    show = await house.create()

    first = await house.go_live(show)
    second = await house.go_live(show)
    await house.calm()
    third = await house.go_live(show)
    await house.calm()

    assert first.id == second.id == third.id
    assert (await house.job(first.id)).status is JobStatus.DONE
    assert len(house.plane.rooms) == 1
    assert sorted(item.input for item in house.plane.ingresses.values()) == sorted(Input)


async def test_going_live_at_the_same_moment_is_going_live_once(house: House) -> None:
    """Ten callers and five workers: one job, one room, one ingress of each kind."""
    show = await house.create()

    jobs = await asyncio.gather(*(house.go_live(show) for _ in range(10)))
    await asyncio.gather(*(lookout.look(show, house.worker(f"w{n}")) for n in range(5)))
    await house.calm()

    assert len({job.id for job in jobs}) == 1
    assert len(house.plane.rooms) == 1
    verbs = [verb for verb, _ in house.plane.calls]
    assert verbs.count("CreateIngress") == 2
    await Invariants(house).settled()


async def test_one_room_has_one_live_show(house: House) -> None:
    """The second session of a room is rejected while the first is live, and not after it."""
    first, second = await house.create(), await house.create()
    await house.go_live(first)
    await house.calm()

    with pytest.raises(Rejected) as rejected:
        await house.go_live(second)
    assert rejected.value.slug == "room-already-live"
    await house.calm()
    assert await phase_of(house, second) is Phase.SCHEDULED

    await house.end(first)
    await house.calm()
    await house.go_live(second)
    await house.calm()
    assert await phase_of(house, second) is Phase.WAITING_FOR_MEDIA


async def test_of_shows_that_go_live_at_the_same_moment_in_one_room_one_wins(
    house: House,
) -> None:
    """The database decides, not the order in which anybody looked."""
    shows = [await house.create() for _ in range(4)]

    outcomes = await asyncio.gather(*(house.go_live(s) for s in shows), return_exceptions=True)
    await house.calm()

    won = [outcome for outcome in outcomes if isinstance(outcome, Job)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert (len(won), len(lost)) == (1, 3)
    assert {rejected.slug for rejected in lost} == {"room-already-live"}
    assert len(house.plane.rooms) == 1
    await Invariants(house).settled()


async def test_shows_of_two_rooms_are_live_together(house: House) -> None:
    """Rooms do not know of each other."""
    one, two = await house.create(), await house.create(room=await house.new_room())

    await house.go_live(one)
    await house.go_live(two)
    await house.calm()

    assert len(house.plane.rooms) == 2
    await Invariants(house).settled()


@pytest.mark.parametrize("verb", ["CreateRoom", "ListIngress", "CreateIngress", "UpdateIngress"])
async def test_a_refused_go_live_leaves_nothing_behind(house: House, verb: str) -> None:
    """It walks back up: scheduled again, the job failed with the cause, and it can be repeated."""
    show = await house.create()
    await house.calm()
    house.plane.fail(Fault.REFUSED, verb, code="unauthenticated")

    job = await house.go_live(show)
    await house.calm()

    job = await house.job(job.id)
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["slug"] == "livekit-key-refused"
    session = await house.session(show)
    assert (session.phase, session.status) == (Phase.SCHEDULED, Status.SCHEDULED)
    assert session.trouble == job.problem
    await Invariants(house).settled()
    await house.pass_time(30)
    assert await house.compare() == {}
    again = await house.go_live(show)
    await house.calm()
    assert (await house.job(again.id)).status is JobStatus.DONE
    assert (await house.session(show)).trouble is None
    await Invariants(house).settled()


async def test_a_key_that_is_refused_for_good_fails_the_job_too(house: House) -> None:
    """Also what would undo it is refused: the job has failed all the same."""
    show = await house.create()
    await house.calm()
    house.plane.fail(Fault.REFUSED, times=None, code="unauthenticated")

    job = await house.go_live(show)
    await house.pass_time(20)
    assert (await house.job(job.id)).status is JobStatus.FAILED

    house.plane.heal()
    await house.pass_time(60)
    assert await phase_of(house, show) is Phase.SCHEDULED
    await Invariants(house).settled()


async def test_a_livekit_that_is_away_is_asked_again(house: House) -> None:
    """The job stays pending, pauses grow, and it is done when LiveKit is back."""
    show = await house.create()
    house.plane.fail(Fault.UNREACHABLE, times=None)

    job = await house.go_live(show)
    await house.pass_time(120)
    session = await house.session(show)
    assert (await house.job(job.id)).status is JobStatus.PENDING
    assert session.trouble is not None
    assert session.trouble["slug"] == "livekit-unreachable"
    tried = len([1 for verb, _ in house.plane.calls if verb == "CreateRoom"])
    assert 5 <= tried <= 15

    house.plane.heal()
    await house.pass_time(31)
    assert (await house.job(job.id)).status is JobStatus.DONE
    assert (await house.session(show)).trouble is None
    await Invariants(house).settled()


async def test_patience_ends(house: House) -> None:
    """A LiveKit that stays away fails the job after ten minutes, with the cause."""
    show = await house.create()
    house.plane.fail(Fault.UNREACHABLE, times=None)

    job = await house.go_live(show)
    await house.pass_time(house.settings.go_live_patience_seconds + 60, step=5)

    job = await house.job(job.id)
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["slug"] == "livekit-unreachable"
    house.plane.heal()
    await house.pass_time(60)
    assert await phase_of(house, show) is Phase.SCHEDULED
    await Invariants(house).settled()


async def test_end_from_scheduled(house: House) -> None:
    """A show that never began is over, and its ingress is gone."""
    show = await house.create()
    await house.calm()

    job = await house.end(show)
    await house.calm()

    assert (await house.job(job.id)).status is JobStatus.DONE
    await Invariants(house).settled()


async def test_end_before_anybody_looked(house: House) -> None:
    """Wishes may overtake each other before the first look."""
    show = await house.create()

    gone_live = await house.go_live(show)
    ended = await house.end(show)
    await house.calm()

    assert (await house.job(gone_live.id)).status is JobStatus.SUPERSEDED
    assert (await house.job(ended.id)).status is JobStatus.DONE
    await Invariants(house).settled()


async def test_end_from_provisioning(house: House) -> None:
    """While LiveKit is half there, an end takes back what was made."""
    show = await house.create()
    house.plane.fail(Fault.UNAVAILABLE, "CreateIngress", times=None)
    gone_live = await house.go_live(show)
    await house.pass_time(3)
    assert await phase_of(house, show) is Phase.PROVISIONING

    ended = await house.end(show)
    house.plane.heal()
    await house.calm()

    assert (await house.job(gone_live.id)).status is JobStatus.SUPERSEDED
    assert (await house.job(ended.id)).status is JobStatus.DONE
    await Invariants(house).settled()


async def test_end_from_the_green_room(house: House) -> None:
    """An opened room is closed, with an encoder in it."""
    show = await house.create()
    await house.start(show)
    await house.calm()
    assert house.connect()
    await house.pass_time(2)

    await house.end(show)
    await house.calm()

    await Invariants(house).settled()
    assert (await house.session(show)).end_reason is EndReason.REQUESTED


async def test_end_while_waiting_for_media(house: House) -> None:
    """A show nobody sent to has a playlist that says that it is over, and no recording."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()

    await house.end(show)
    await house.calm()

    await Invariants(house).settled()
    assert await house.recording(show) is None


async def test_end_while_live(house: House) -> None:
    """Everything goes, also while the encoder keeps pushing: it may not re-create the room."""
    show = await on_air(house)

    await house.end(show)
    await house.calm()
    await Invariants(house).settled()

    await house.pass_time(60)
    await Invariants(house).settled()


async def test_a_recording_is_rung_for_before_the_room_is_closed(house: House) -> None:
    """Its verdict does not wait for the sweep, nor for what else an end takes away."""
    show = await on_air(house)
    recording = await house.recording(show)
    assert recording is not None
    house.bell.rung.clear()
    house.plane.fail(Fault.UNAVAILABLE, "DeleteRoom")

    await house.end(show)
    await house.look(show)

    assert await phase_of(house, show) is Phase.ENDING
    assert ("recordings", recording.id, False) in house.bell.rung


async def test_end_while_reconnecting(house: House) -> None:
    """A dropped encoder does not hold up an end."""
    show = await on_air(house)
    house.drop()
    await house.pass_time(10)
    assert await phase_of(house, show) is Phase.RECONNECTING

    await house.end(show)
    await house.calm()

    await Invariants(house).settled()


async def test_end_while_ending_is_the_same_end(house: House) -> None:
    """Ending twice is ending once: one job while it goes on, and it is done for both."""
    show = await on_air(house)
    house.plane.fail(Fault.UNAVAILABLE, "StopEgress", times=2)

    first = await house.end(show)
    await house.work()
    assert await phase_of(house, show) is Phase.ENDING
    second = await house.end(show)
    await house.pass_time(10)
    third = await house.end(show)

    assert first.id == second.id
    assert (await house.job(first.id)).status is JobStatus.DONE
    assert third.status is JobStatus.DONE
    await Invariants(house).settled()


async def test_going_live_after_the_end_is_rejected(house: House) -> None:
    """What is over stays over."""
    show = await house.create()
    await house.end(show)
    await house.calm()

    with pytest.raises(Rejected) as rejected:
        await house.go_live(show)

    assert rejected.value.slug == "session-ended"


async def test_a_drop_inside_the_window_is_not_the_end(house: House) -> None:
    """Reconnecting, then live again: same ingress, same take, one playlist without a hole."""
    show = await on_air(house)
    house.drop()
    await house.pass_time(20)
    assert await phase_of(house, show) is Phase.RECONNECTING

    assert house.connect()
    await house.pass_time(20)

    assert await phase_of(house, show) is Phase.LIVE
    takes = await house.takes(show)
    assert [take.state for take in takes] == [TakeState.ACTIVE]
    text = house.playlist(show)
    assert text is not None
    assert "DISCONTINUITY" not in text
    await Invariants(house).settled()


async def test_a_closed_window_ends_the_show(house: House) -> None:
    """The encoder did not come back within the show's own window."""
    show = await on_air(house, reconnect_window_seconds=30)
    house.drop()

    await house.pass_time(25)
    assert await phase_of(house, show) is Phase.RECONNECTING
    await over(house, show, within=20)

    assert (await house.session(show)).end_reason is EndReason.RECONNECT_WINDOW_CLOSED


async def test_a_second_drop_has_a_window_of_its_own(house: House) -> None:
    """Windows do not add up."""
    show = await on_air(house, reconnect_window_seconds=30)
    for _ in range(3):
        house.drop()
        await house.pass_time(20)
        assert house.connect()
        await house.pass_time(8)

    assert await phase_of(house, show) is Phase.LIVE
    await Invariants(house).settled()


async def test_a_change_of_source_is_a_new_take(house: House) -> None:
    """The browser's picture gives way to the encoder's: take 2 after a discontinuity."""
    show = await house.create(mode="rtmp")
    await house.go_live(show)
    await house.calm()
    host = str(house.company.host.id)
    house.plane.join(house.livekit_room(show), host, sends=True)
    await house.pass_time(12)
    assert (await house.session(show)).source == host

    assert house.connect()
    await house.pass_time(15)

    takes = await house.takes(show)
    assert [take.reason for take in takes] == ["first", "source_changed"]
    assert [take.source for take in takes] == [host, house.identity()]
    text = house.playlist(show)
    assert text is not None
    playlist = m3u8.loads(text)
    assert [s.discontinuity for s in playlist.segments if s.uri == "2/seg_00000.ts"] == [True]
    await Invariants(house).settled()


async def test_the_mode_says_whose_picture_comes_first(house: House) -> None:
    """In webcam mode the browser stays on air when an encoder connects."""
    show = await house.create(mode="webcam")
    await house.go_live(show)
    await house.calm()
    house.plane.join(house.livekit_room(show), str(house.company.host.id), sends=True)
    await house.pass_time(5)

    assert house.connect()
    await house.pass_time(10)

    assert (await house.session(show)).source == str(house.company.host.id)
    assert len(await house.takes(show)) == 1


async def test_other_people_do_not_become_the_program(house: House) -> None:
    """A guest's camera is on stage, but the show is the host's."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()

    house.plane.join(house.livekit_room(show), "guest", sends=True)
    await house.pass_time(10)

    assert await phase_of(house, show) is Phase.WAITING_FOR_MEDIA
    assert not house.plane.egresses


async def test_a_show_nobody_sends_to_ends(house: House) -> None:
    """After its own patience, with its own reason."""
    show = await house.create(no_media_seconds=60)
    await house.go_live(show)

    await house.pass_time(55)
    assert await phase_of(house, show) is Phase.WAITING_FOR_MEDIA
    await over(house, show, within=15)

    assert (await house.session(show)).end_reason is EndReason.NO_MEDIA


async def test_the_longest_show_ends(house: House) -> None:
    """With an encoder that would go on."""
    show = await on_air(house, max_duration_seconds=120)

    await over(house, show, within=120)

    assert (await house.session(show)).end_reason is EndReason.MAX_DURATION


async def test_a_green_room_nobody_uses_closes(house: House) -> None:
    """It ends; it never was on air."""
    show = await house.create()
    await house.start(show)

    await house.pass_time(house.settings.green_room_seconds - 10, step=60)
    assert await phase_of(house, show) is Phase.OPEN
    await house.pass_time(30)

    session = await house.session(show)
    assert (session.phase, session.end_reason) == (Phase.ENDED, EndReason.NEVER_WENT_LIVE)
    assert session.started_at is None
    await Invariants(house).settled()


async def test_a_show_whose_time_passed_expires(house: House) -> None:
    """A day after its time; going live then is rejected with that reason."""
    at = house.clock.now() + timedelta(hours=1)
    show = await house.create(scheduled_start_time=at)

    await house.pass_time(3600 + house.settings.expires_after_seconds - 60, step=3600)
    assert await phase_of(house, show) is Phase.SCHEDULED
    await house.pass_time(120)

    session = await house.session(show)
    assert (session.phase, session.status) == (Phase.EXPIRED, Status.EXPIRED)
    await Invariants(house).settled()
    with pytest.raises(Rejected) as rejected:
        await house.go_live(show)
    assert rejected.value.slug == "session-expired"


async def test_a_show_without_a_time_waits_for_ever(house: House) -> None:
    """It has no time that could pass."""
    show = await house.create()

    await house.pass_time(10 * 86_400, step=43_200)

    assert await phase_of(house, show) is Phase.SCHEDULED
    await Invariants(house).settled()


async def test_a_key_that_was_set_up_days_before_still_works(house: House) -> None:
    """The ingress made with the session is the one that goes on air."""
    show = await house.create()
    await house.calm()
    key = next(iter(house.plane.ingresses.values())).stream_key
    assert not house.plane.push(key), "nobody may send before the green room is open"

    await house.go_live(show)
    await house.pass_time(10)

    assert await phase_of(house, show) is Phase.LIVE
    await Invariants(house).settled()


async def test_a_show_that_is_not_recorded_has_no_recording(house: House) -> None:
    """Playback does not depend on it, and the egress is asked for no file."""
    show = await on_air(house, recording_enabled=False)

    assert all(e.outputs.file_name is None for e in house.plane.egresses.values())
    await house.end(show)
    await house.calm()

    assert await house.recording(show) is None
    assert names.full_playlist_key(show)
    await Invariants(house).settled()


async def test_quick_looks_leave_the_egress_to_slow_ones(house: House) -> None:
    """A quick look says that the next step takes long, and does not take it."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    assert house.connect()
    await house.hint(show)

    looked = await house.look(show, slow=False)
    assert looked.ring_slow
    assert not house.plane.egresses

    looked = await house.look(show, slow=True)
    assert not looked.ring_slow
    assert len(house.plane.egresses) == 1


async def test_the_key_of_a_show_on_air_is_replaced(house: House) -> None:
    """Whoever has the old one is cut off and not let in again; with the new one it goes on."""
    show = await on_air(house)
    old = list(house.plane.pushing)
    async with house.db.begin() as tx:
        await commands.replace_keys(tx, await commands.locked_session(tx, show))

    await house.pass_time(6)

    assert await phase_of(house, show) is Phase.RECONNECTING
    assert [house.plane.push(key) for key in old] == [False]
    ingresses = [item for item in house.plane.ingresses.values() if item.enabled]
    assert sorted(item.input for item in ingresses) == ["rtmp", "whip"]
    assert not {item.stream_key for item in ingresses} & set(old)
    assert house.connect()
    await house.pass_time(10)
    assert await phase_of(house, show) is Phase.LIVE
    kinds = [event.kind for event in await house.events(show)]
    assert "session.keys_replaced" in kinds
    await Invariants(house).settled()
    await house.end(show)
    await over(house, show)

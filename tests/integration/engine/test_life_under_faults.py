"""The life of a session when LiveKit, its workers or ours do not do what they should."""

import asyncio
from datetime import timedelta
from uuid import UUID

import m3u8
import pytest
from sqlalchemy import delete
from sqlmodel import col

from orchestration import lookout, upkeep
from orchestration.commands import delete_session, locked_session
from orchestration.models import Take
from orchestration.parts import PARTS
from orchestration.plane import Input
from orchestration.states import (
    EndReason,
    JobStatus,
    Phase,
    PlaybackState,
    TakeState,
)
from tests.fakes.plane import Fault
from tests.integration.engine.boundaries import Boundary, Gate, Strike, Worker, walking_behind
from tests.integration.engine.house import House
from tests.integration.engine.invariants import Invariants
from tests.integration.engine.test_life_of_a_session import on_air, over, phase_of


async def test_an_egress_that_dies_is_followed_by_the_next_take(house: House) -> None:
    """Take 2 within seconds, behind a discontinuity; the media sequence never goes back."""
    show = await on_air(house)
    watch = Invariants(house)
    await watch.hold()

    house.plane.egress_dies()
    for _ in range(40):
        await house.tick()
        await watch.hold()

    takes = await house.takes(show)
    assert [(take.reason, take.outcome) for take in takes] == [
        ("first", "failed"),
        ("egress_gone", None),
    ]
    text = house.playlist(show)
    assert text is not None
    assert [s.discontinuity for s in m3u8.loads(text).segments if s.uri == "2/seg_00000.ts"] == [
        True
    ]
    await watch.settled()


async def test_an_egress_that_ends_by_itself_is_followed_too(house: House) -> None:
    """A LiveKit without v2 ends the egress with every drop; each return begins a take."""
    house.plane.has_v2 = False
    show = await on_air(house)
    for _ in range(2):
        house.drop()
        await house.pass_time(8)
        assert house.connect()
        await house.pass_time(10)

    takes = await house.takes(show)
    assert [take.outcome for take in takes] == ["complete", "complete", None]
    assert {take.kind for take in takes} == {"participant"}
    await Invariants(house).settled()
    await house.end(show)
    await house.calm()
    await Invariants(house).settled()


async def test_a_worker_that_is_gone_is_found_by_its_silence(house: House) -> None:
    """ACTIVE for ever, no progress: replaced by the stale rule, and stopping it is given up."""
    show = await on_air(house)

    house.plane.worker_gone()
    await house.pass_time(40)

    takes = await house.takes(show)
    assert [(take.reason, take.state) for take in takes] == [
        ("first", TakeState.ENDED),
        ("no_progress", TakeState.ACTIVE),
    ]
    assert takes[0].outcome == "abandoned"
    playback = await house.playback(show)
    assert playback is not None
    assert playback.state is PlaybackState.READY
    assert playback.stalls == 1


async def test_a_worker_that_is_gone_does_not_block_the_end(house: House) -> None:
    """Whatever its status says, the show ends in bounded time, and says what was abandoned."""
    show = await on_air(house)
    house.plane.worker_gone()

    job = await house.end(show)
    await over(house, show, within=house.settings.end_patience_seconds + 10)

    assert (await house.job(job.id)).status is JobStatus.DONE
    assert any(line.startswith("broadcast") for line in (await house.session(show)).abandoned)


async def test_an_ingress_handler_that_died_does_not_block_the_end(house: House) -> None:
    """Its status says publishing for ever; after a bounded wait it is deleted all the same."""
    show = await on_air(house)
    house.plane.idles_after = None

    await house.end(show)
    await over(house, show, within=20)


async def test_no_worker_at_all_is_told_and_tried_again(house: House) -> None:
    """The show is on air without a picture; the cause is told; a worker that comes back is used."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    house.plane.has_workers = False
    assert house.connect()

    await house.pass_time(60)
    session = await house.session(show)
    assert session.phase is Phase.LIVE
    assert session.trouble is not None
    assert session.trouble["slug"] == "egress-unavailable"
    tried = len(await house.takes(show))
    assert 2 <= tried <= 12

    house.plane.has_workers = True
    await house.pass_time(60)
    assert (await house.session(show)).trouble is None
    await Invariants(house).settled()


async def test_a_start_that_is_answered_by_nobody_is_adopted(house: House) -> None:
    """LiveKit obeyed and its answer was lost: one egress, the first take."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    house.plane.fail(Fault.ANSWER_LOST, "StartEgress")
    assert house.connect()

    await house.pass_time(15)

    takes = await house.takes(show)
    assert [(take.number, take.state) for take in takes] == [(1, TakeState.ACTIVE)]
    assert len(house.plane.egresses) == 1
    await Invariants(house).settled()


async def test_a_start_that_is_obeyed_late_is_stopped(house: House) -> None:
    """By then the next take is running: the late one writes into a folder of its own, and goes."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    house.plane.fail(Fault.LATE, "StartEgress", seconds=30)
    assert house.connect()
    both = 0.0
    for _ in range(60):
        await house.tick()
        both += len(house.plane.running()) > 1

    assert len(house.plane.egresses) == 2
    # No webhook tells of it: it is seen when LiveKit's lists are next compared.
    assert both <= house.settings.observe_seconds + 1
    await Invariants(house).settled()
    text = house.playlist(show)
    assert text is not None
    uris = [segment.uri for segment in m3u8.loads(text).segments]
    assert all(uri.startswith("2/") for uri in uris)


@pytest.mark.parametrize("kind", [Fault.ANSWER_LOST, Fault.NO_ANSWER, Fault.LATE])
async def test_an_ingress_is_made_once_whatever_becomes_of_the_answer(
    house: House, kind: Fault
) -> None:
    """Also if it is made late: the surplus one goes, and the one in the ledger is there."""
    show = await house.create()
    house.plane.fail(kind, "CreateIngress", times=2)

    job = await house.go_live(show)
    await house.pass_time(40)

    assert (await house.job(job.id)).status is JobStatus.DONE
    await Invariants(house).settled()


async def test_what_was_made_without_an_answer_is_adopted(house: House) -> None:
    """Nothing is made twice: whoever looks next lists first, and takes what is there."""
    show = await house.create()
    house.plane.fail(Fault.ANSWER_LOST, "CreateIngress", times=2)

    await house.go_live(show)
    await house.pass_time(10)

    verbs = [verb for verb, _ in house.plane.calls]
    assert verbs.count("CreateIngress") == 2
    assert verbs.count("DeleteIngress") == 0
    await Invariants(house).settled()


async def test_a_livekit_that_forgot_everything_gets_it_again(house: House) -> None:
    """Room, ingresses with new keys, the next take: the show goes on, honestly."""
    show = await on_air(house)
    old_key = next(iter(house.plane.pushing))

    house.plane.forget_everything()
    await house.pass_time(20)
    assert await phase_of(house, show) is Phase.RECONNECTING
    assert not house.plane.push(old_key), "the old key opens nothing any more"
    events = [event.kind for event in await house.events(show)]
    assert "rtmp_ingress.replaced" in events

    assert house.connect()
    await house.pass_time(15)
    assert await phase_of(house, show) is Phase.LIVE
    assert [take.outcome for take in await house.takes(show)] == ["abandoned", None]
    await Invariants(house).settled()


async def test_a_show_livekit_forgot_does_not_stay_live_for_ever(house: House) -> None:
    """Nobody can come back with the old key: the window closes, the show is over."""
    show = await on_air(house)

    house.plane.forget_everything()
    await over(house, show, within=90)

    assert (await house.session(show)).end_reason is EndReason.RECONNECT_WINDOW_CLOSED


async def test_a_green_room_livekit_forgot_is_opened_again(house: House) -> None:
    """The comparison with its lists finds out; nobody has to say anything."""
    show = await house.create()
    await house.start(show)
    await house.calm()

    house.plane.forget_everything()
    await house.pass_time(15)

    assert show
    await Invariants(house).settled()


async def test_an_announced_show_livekit_forgot_has_its_key_made_again(house: House) -> None:
    """An encoder that was set up with the old key must be told, so the event is there."""
    show = await house.create()
    await house.calm()

    house.plane.forget_everything()
    await house.pass_time(15)

    await Invariants(house).settled()
    assert [event.kind for event in await house.events(show)][-1] == "rtmp_ingress.replaced"


async def test_a_livekit_that_goes_away_mid_show_does_not_end_it(house: House) -> None:
    """Nothing is known, so nothing is concluded; its trouble is told, and gone when it is back."""
    show = await on_air(house)
    house.plane.fail(Fault.UNREACHABLE, times=None)

    await house.pass_time(120)
    session = await house.session(show)
    assert session.phase is Phase.LIVE
    assert session.trouble is not None
    assert session.trouble["slug"] == "livekit-unreachable"

    house.plane.heal()
    await house.pass_time(40)
    assert (await house.session(show)).trouble is None
    assert len(await house.takes(show)) == 1
    await Invariants(house).settled()


async def test_a_livekit_that_stays_away_does_not_block_the_end(house: House) -> None:
    """The end gives up on it in bounded time; what is left is removed when it is back."""
    show = await on_air(house)
    house.plane.fail(Fault.UNREACHABLE, times=None)

    job = await house.end(show)

    async def is_over() -> bool:
        return (await house.session(show)).ended_at is not None

    await house.until(is_over, what="the end", within=200)
    assert (await house.job(job.id)).status is JobStatus.DONE
    assert (await house.session(show)).abandoned

    house.plane.heal()
    await house.pass_time(60)
    await Invariants(house).settled()


async def test_a_livekit_that_refuses_us_mid_show_loses_it(house: House) -> None:
    """The key was withdrawn for good: failed, not live for ever."""
    show = await on_air(house)
    house.plane.fail(Fault.REFUSED, times=None, code="unauthenticated")

    async def is_over() -> bool:
        return (await house.session(show)).ended_at is not None

    await house.until(is_over, what="the show is lost", within=600)
    session = await house.session(show)
    assert (session.phase, session.end_reason) == (Phase.FAILED, EndReason.LOST)


@pytest.mark.parametrize("verb", ["ListRooms", "ListIngress", "ListEgress", "ListParticipants"])
async def test_stale_lists_stop_nothing_healthy(house: House, verb: str) -> None:
    """A list from before the show began is a hint, and no proof."""
    show = await house.create()
    await house.calm()
    house.plane.fail(Fault.STALE, verb, times=None)
    await house.compare()
    await house.go_live(show)
    await house.calm()
    house.connect()
    await house.pass_time(20)
    house.plane.heal()
    await house.pass_time(60)

    assert len(await house.takes(show)) == 1
    await Invariants(house).settled()


@pytest.mark.parametrize("times", [1, 8])
@pytest.mark.parametrize("verb", ["ListIngress", "ListEgress", "ListParticipants"])
async def test_an_empty_list_takes_nothing_away_from_a_show(
    house: House, verb: str, times: int
) -> None:
    """Once, or for a while: the encoder keeps its key, and the take goes on."""
    show = await on_air(house)
    before = await house.session(show)

    house.plane.fail(Fault.EMPTY, verb, times=times)
    await house.pass_time(60)

    after = await house.session(show)
    assert after.phase is Phase.LIVE
    assert (after.rtmp_ingress_id, after.whip_ingress_id) == (
        before.rtmp_ingress_id,
        before.whip_ingress_id,
    )
    assert after.rtmp_key_sealed == before.rtmp_key_sealed
    if verb != "ListParticipants":
        assert len(await house.takes(show)) == 1
    await Invariants(house).settled()


async def test_a_key_that_nobody_uses_yet_survives_an_empty_list(house: House) -> None:
    """It was set up in an encoder days before the show."""
    show = await house.create()
    await house.calm()
    before = (await house.session(show)).rtmp_key_sealed
    assert before is not None

    house.plane.fail(Fault.EMPTY, "ListIngress")
    await house.hint(show)
    await house.pass_time(20)

    assert (await house.session(show)).rtmp_key_sealed == before
    await Invariants(house).settled()


async def test_an_egress_that_begins_and_ends_at_once_is_told(house: House) -> None:
    """It may not write to storage: told until one has a segment, and tried again all the time."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    house.connect()
    for _ in range(40):
        await house.tick()
        # Before its first segment, every time.
        for egress in house.plane.running():
            if not house.plane.segments_of(egress):
                house.plane.egress_dies()
    told = await house.session(show)
    tried = len(await house.takes(show))

    await house.pass_time(90)

    assert told.phase is Phase.LIVE
    assert told.trouble is not None
    assert told.trouble["slug"] == "egress-failed"
    assert "signal: killed" in told.trouble["detail"]
    assert 3 <= tried <= 12
    assert (await house.session(show)).trouble is None
    assert (await house.takes(show))[-1].state is TakeState.ACTIVE
    await Invariants(house).settled()


async def test_a_restored_ledger_writes_into_no_folder_that_livekit_knows(house: House) -> None:
    """Ten minutes of rows are gone; the egress that runs is stopped, and the next one is apart."""
    show = await on_air(house)
    house.plane.egress_dies()
    await house.pass_time(10)
    assert [take.number for take in await house.takes(show)] == [1, 2]
    async with house.db.begin() as tx:
        await tx.execute(delete(Take).where(col(Take.number) == 2))

    await house.pass_time(30)

    assert [take.number for take in await house.takes(show)] == [1, 3]
    assert (await house.session(show)).phase is Phase.LIVE
    prefixes = [egress.seen.prefix for egress in house.plane.egresses.values()]
    assert len(set(prefixes)) == len(prefixes)
    (running,) = house.plane.running()
    # LiveKit forgets what is over, as the ledger has: from here on all is as ever.
    house.plane.egresses = {running.seen.egress_id: running}
    await house.end(show)
    await over(house, show)
    assert house.plane.running() == []


async def test_a_look_that_kills_its_worker_five_times_is_not_looked_at_again(
    house: House,
) -> None:
    """Quarantine: the job fails with the cause, other shows go on, a new wish lifts it."""
    poisoned, other = await house.create(), await house.create(room=await house.new_room())
    await house.calm()
    job = await house.go_live(poisoned)
    for _ in range(house.settings.attempts_max):
        lease = await lookout.Lookout(house.resources).claim(poisoned)  # and then it dies
        assert lease is not None
        await house.clock.advance(house.settings.lease_seconds + 1)

    await house.go_live(other)
    await house.pass_time(5)

    job = await house.job(job.id)
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["slug"] == "session-quarantined"
    assert (await house.session(poisoned)).quarantined_at is not None
    assert await phase_of(house, other) is Phase.WAITING_FOR_MEDIA
    await house.hint(poisoned)
    assert not (await house.look(poisoned)).claimed

    again = await house.go_live(poisoned)
    await house.pass_time(5)
    assert (await house.job(again.id)).status is JobStatus.DONE
    assert (await house.session(poisoned)).quarantined_at is None
    await Invariants(house).settled()


async def test_retries_do_not_count_as_kills(house: House) -> None:
    """Only what does not come back is counted: fifty orderly failures quarantine nothing."""
    show = await house.create()
    house.plane.fail(Fault.UNAVAILABLE, "CreateRoom", times=50)

    job = await house.go_live(show)
    for _ in range(50):
        await house.clock.advance(31)
        await house.calm()

    assert (await house.session(show)).quarantined_at is None
    assert (await house.job(job.id)).status is not JobStatus.PENDING


async def test_a_quarantined_show_can_be_ended(house: House) -> None:
    """An end is a new wish like any other."""
    show = await on_air(house)
    await house.hint(show)
    for _ in range(house.settings.attempts_max + 1):
        await lookout.Lookout(house.resources).claim(show)
        await house.clock.advance(house.settings.lease_seconds + 1)
    await house.look(show)

    await house.end(show)
    await over(house, show)


async def test_a_segment_that_never_comes_stops_no_playlist(house: House) -> None:
    """Viewers skip it, marked as a discontinuity; the egress that went on is not replaced."""
    show = await on_air(house)
    await house.pass_time(6)
    await house.clock.advance(house.settings.segment_seconds)
    house.plane.run(house.settings.segment_seconds)
    (egress,) = house.plane.running()
    lost = house.plane.segments_of(egress)[-1]
    lost.unlink()

    await house.pass_time(40)

    text = house.playlist(show)
    assert text is not None
    playlist = m3u8.loads(text)
    playback = await house.playback(show)
    assert playback is not None
    assert (playback.state, playback.stalls) == (PlaybackState.READY, 0)
    assert [take.state for take in await house.takes(show)] == [TakeState.ACTIVE]
    named = [segment.uri for segment in playlist.segments]
    assert f"1/{lost.name}" not in named
    assert len(named) > 10
    (behind,) = [segment for segment in playlist.segments if segment.discontinuity]
    assert behind.uri > f"1/{lost.name}"


async def test_a_clock_that_goes_back_holds_up_nobody(house: House) -> None:
    """An hour: a show on air goes on, another goes live, a third ends; leases are no obstacle."""
    show, other = await on_air(house), await house.create(room=await house.new_room())
    later = await house.create(
        room=await house.new_room(), scheduled_start_time=house.clock.at + timedelta(days=3)
    )
    await house.calm()
    waits = (await house.session(later)).look_at
    assert await lookout.Lookout(house.worker("dies")).claim(other) is None  # it is not due
    await house.hint(other)
    assert await lookout.Lookout(house.worker("dies")).claim(other) is not None
    before = await house.playback(show)
    assert before is not None

    livekits = house.plane._now
    house.plane._now = lambda: livekits() + timedelta(hours=1)  # its clock is its own
    await house.clock.advance(-3600)
    await upkeep.rewind(house.resources)
    job = await house.go_live(other)
    await house.pass_time(30)

    after = await house.playback(show)
    assert after is not None
    assert after.segments > before.segments + 5
    assert (await house.job(job.id)).status is JobStatus.DONE
    assert (await house.session(later)).look_at == waits
    for one in (show, other):
        await house.end(one)
        await over(house, one)


async def quarantined(house: House, show: UUID) -> None:
    """Kill every worker that looks at a show, until nobody does any more."""
    await house.hint(show)
    for _ in range(house.settings.attempts_max):
        assert await lookout.Lookout(house.resources).claim(show) is not None
        await house.clock.advance(house.settings.lease_seconds + 1)
    await house.look(show)
    assert (await house.session(show)).quarantined_at is not None


async def test_going_live_again_lifts_the_quarantine_of_a_live_show(house: House) -> None:
    """It is on air, so the wish is fulfilled; but somebody must look after it again."""
    show = await on_air(house)
    await quarantined(house, show)
    house.plane.egress_dies()
    await house.pass_time(60)
    assert len(await house.takes(show)) == 1, "nobody looks, whatever stalls"

    job = await house.go_live(show)
    await house.pass_time(20)

    assert (await house.job(job.id)).status is JobStatus.DONE
    assert (await house.session(show)).trouble is None
    await Invariants(house).settled()


async def test_a_quarantined_show_can_be_deleted(house: House) -> None:
    """What it has at LiveKit goes."""
    show = await house.create()
    await house.calm()
    await quarantined(house, show)

    async with house.db.begin() as tx:
        await delete_session(tx, await locked_session(tx, show))
    await house.calm()

    await Invariants(house).settled()


async def test_a_recording_that_was_not_opened_is_finished_all_the_same(house: House) -> None:
    """The worker died with the first take running, and the show ended before the next look."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    assert house.connect()
    await house.hint(show)
    gate = Gate(at=Boundary("recording", "ensure", "open_recording"), strike=Strike.KILLED_BEFORE)
    worker = Worker(house, gate)
    with walking_behind(gate, PARTS):
        await worker.look(show, slow=True)
    assert gate.killed.is_set()

    await house.end(show)
    await house.clock.advance(10)
    house.plane.run(10)
    await house.pass_time(house.settings.lease_seconds + 10)

    recording = await house.recording(show)
    assert recording is not None
    assert recording.finished_at is not None
    await Invariants(house).settled()
    await worker.bury()


async def test_a_green_room_that_is_opened_again_has_all_its_time(house: House) -> None:
    """The first time it was open does not count, when a refused go_live had closed it."""
    show = await house.create()
    await house.start(show)
    await house.pass_time(house.settings.green_room_seconds - 60, step=300)
    house.plane.fail(Fault.REFUSED, "CreateRoom")
    await house.go_live(show)
    await house.calm()
    assert await phase_of(house, show) is Phase.SCHEDULED

    await house.start(show)
    await house.pass_time(300, step=60)

    assert await phase_of(house, show) is Phase.OPEN


async def test_a_public_address_that_cannot_be_read_is_not_ready(house: House) -> None:
    """Playback is ready when a player can play, not when a file was written."""
    house.player.is_down = True
    show = await on_air(house)
    playback = await house.playback(show)
    assert playback is not None
    assert playback.state is PlaybackState.PENDING

    house.player.is_down = False
    await house.pass_time(5)

    playback = await house.playback(show)
    assert playback is not None
    assert playback.state is PlaybackState.READY


async def test_a_segment_that_is_named_and_not_there_is_not_published(house: House) -> None:
    """The egress' playlist was read before the segment arrived: players are told of neither."""
    show = await on_air(house)
    (egress,) = house.plane.running()
    with open(egress.outputs.live_playlist_name, "a") as live:  # noqa: ASYNC230, PTH123 # tiny
        live.write("#EXTINF:2.000,\nseg_00099.ts\n")

    await house.clock.advance(1)
    await house.publish(show)
    text = house.playlist(show)
    assert text is not None
    assert "seg_00099" not in text

    await house.pass_time(10)
    await Invariants(house).settled()


async def test_everything_works_without_a_hint(house: House) -> None:
    """No webhook ever comes: the comparison and the clock are enough."""
    show = await house.create()
    await house.go_live(show)
    await house.calm()
    assert house.connect()

    async def is_live() -> bool:
        return await phase_of(house, show) is Phase.LIVE

    assert await house.until(is_live, what="live", within=20) <= 5
    house.drop()

    async def is_reconnecting() -> bool:
        return await phase_of(house, show) is Phase.RECONNECTING

    assert await house.until(is_reconnecting, what="reconnecting", within=20) <= 6
    assert house.connect()
    assert await house.until(is_live, what="live", within=20) <= 5


async def test_everything_works_without_the_comparison(house: House) -> None:
    """Its own looks find out too, later: the comparison is quick, not needed."""
    house.compares = False
    show = await on_air(house)
    house.plane.egress_dies()
    await house.pass_time(40)
    await Invariants(house).settled()
    house.drop()
    await house.pass_time(20)
    assert await phase_of(house, show) is Phase.RECONNECTING
    house.plane.forget_everything()
    await house.pass_time(30)
    assert house.connect()
    await house.pass_time(30)
    await Invariants(house).settled()


async def test_a_zombie_that_wakes_up_after_the_end_is_cleaned_up_after(house: House) -> None:
    """What it made at LiveKit belongs to a show that is over: the comparison removes it."""
    show = await on_air(house)
    await house.end(show)
    await house.calm()
    room = house.livekit_room(show)

    await house.plane.create_room(room, empty_seconds=60, departure_seconds=60)
    await house.plane.create_ingress(
        Input.RTMP, name=room, room=room, identity="late", title="late", enabled=True
    )
    await house.pass_time(30)

    await Invariants(house).settled()


@pytest.mark.parametrize("made", ["room", "ingress"])
async def test_what_a_zombie_makes_for_a_show_that_has_not_begun_goes(
    house: House, made: str
) -> None:
    """A call that was obeyed minutes late left something: the comparison finds it."""
    show = await house.create()
    await house.pass_time(5)
    room = house.livekit_room(show)
    if made == "room":
        await house.plane.create_room(room, empty_seconds=60, departure_seconds=60)
    else:
        await house.plane.create_ingress(
            Input.RTMP, name=room, room=room, identity="late", title="late", enabled=True
        )

    await house.pass_time(15)

    await Invariants(house).settled()


async def test_orphans_that_do_not_go_hold_nothing_up(house: House) -> None:
    """Its worker is gone and its status says ACTIVE for ever: asked less and less often."""
    shows = [await house.create(room=await house.new_room()) for _ in range(3)]
    for show in shows:
        await house.go_live(show)
    await house.calm()
    rooms = [house.livekit_room(show) for show in shows]
    for kind in Input:
        house.connect(kind)
    for item in list(house.plane.ingresses.values()):
        house.plane.push(item.stream_key)
    await house.pass_time(10)
    house.plane.worker_gone()
    house.plane.fail(Fault.UNREACHABLE, "DeleteRoom", times=None)
    for show in shows:
        await house.end(show)
    await house.pass_time(60)
    assert set(rooms) <= set(house.plane.rooms)

    house.plane.heal()
    await house.pass_time(180)

    await Invariants(house).settled()
    before = len(house.plane.calls)
    await house.pass_time(300)
    stops = [verb for verb, _ in house.plane.calls[before:] if verb == "StopEgress"]
    assert len(stops) <= 6


async def test_what_no_ledger_of_ours_knows_is_left_alone(house: House) -> None:
    """Another Greenroom may use the same LiveKit by mistake; strangers do by right."""
    await house.plane.create_room("strangers", empty_seconds=60, departure_seconds=60)
    unknown = f"{house.settings.livekit_prefix}00000000-0000-4000-8000-000000000000"
    await house.plane.create_room(unknown, empty_seconds=60, departure_seconds=60)

    await house.pass_time(30)
    drift = await house.compare()

    assert set(house.plane.rooms) == {"strangers", unknown}
    assert drift["orphan_room"] == 1


async def test_two_workers_at_the_same_moment_do_one_walk(house: House) -> None:
    """At every step of a show, five workers race; the plane sees one of each."""
    show = await house.create()
    workers = [house.worker(f"w{n}") for n in range(5)]

    async def race() -> None:
        for _ in range(4):
            await asyncio.gather(*(lookout.look(show, worker) for worker in workers))

    await race()
    await house.go_live(show)
    await race()
    house.connect()
    await house.hint(show)
    await race()
    assert len(house.plane.egresses) == 1
    await house.pass_time(10)
    await house.end(show)
    await race()
    await house.calm()

    verbs = [verb for verb, _ in house.plane.calls]
    assert verbs.count("CreateIngress") == 2
    assert verbs.count("StartEgress") == 1
    await Invariants(house).settled()


async def test_the_whole_life_takes_no_longer_with_redis_gone(house: House) -> None:
    """Nothing in a look needs a ring to be taken."""
    house.bell.takes = False
    show = await on_air(house)

    await house.end(show)
    await house.calm()

    await Invariants(house).settled()


async def test_a_deadline_that_passed_while_nobody_worked_is_kept(house: House) -> None:
    """All workers were away for a day; the first look ends the show with the right reason."""
    show = await on_air(house, max_duration_seconds=3600)

    await house.clock.advance(86_400)
    await house.calm()
    await over(house, show, within=60)

    session = await house.session(show)
    assert session.end_reason is EndReason.MAX_DURATION
    assert session.ended_at is not None
    assert session.ended_at - house.clock.now() < timedelta(seconds=1)

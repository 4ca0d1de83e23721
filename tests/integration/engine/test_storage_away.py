"""A playlist whose storage fails for a moment: viewers are told, and go on when it is back."""

from typing import Any

import m3u8
import pytest

from orchestration import due, finishing, leases, names, publish
from orchestration.models import Playback, Recording
from orchestration.states import PlaybackState, Verdict
from orchestration.storage import StorageUnavailable
from tests.integration.engine.house import House
from tests.integration.engine.test_life_of_a_session import on_air
from tests.system.waits import until


async def test_a_playlist_is_written_again_as_soon_as_storage_is_back(house: House) -> None:
    """A failure costs a second, not a lease; a long one is a stall, and is over with the next."""
    show = await on_air(house)
    playlist = house.folder / names.playlist_key(show)
    playlist.unlink()
    # No file can take the place of a folder that is not empty.
    (playlist / "in the way").mkdir(parents=True)

    await house.pass_time(5)
    assert await state_of(house, show) is PlaybackState.READY
    await house.pass_time(3 * house.settings.target_seconds)
    assert await state_of(house, show) is PlaybackState.STALLED
    (playlist / "in the way").rmdir()
    playlist.rmdir()
    await house.pass_time(3)

    assert await state_of(house, show) is PlaybackState.READY
    text = house.playlist(show)
    assert text is not None
    assert len(m3u8.loads(text).segments) > 3 * house.settings.target_seconds / 2


async def test_a_slow_storage_does_not_have_two_workers_write_one_playlist(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would take the lease from the other and begin again, and none would ever be done."""
    show = await on_air(house)
    monkeypatch.setattr(publish, "LEASE_SECONDS", 0.6)

    async def playback() -> Playback:
        found = await house.playback(show)
        assert found is not None
        return found

    async def renewed(at: Any) -> bool:
        until_when = (await playback()).lease_until
        return until_when is not None and until_when > at

    class Slow:
        """The storage, which takes longer for a playlist than a lease lasts."""

        def __getattr__(self, name: str) -> Any:
            return getattr(house.storage, name)

        async def write(self, *arguments: Any, **named: Any) -> None:
            for _ in range(3):
                before = (await playback()).lease_until
                await house.clock.advance(0.5)
                await until(
                    lambda at=before: renewed(at), what="the lease to be renewed", within=10
                )
                assert not await publish.publish(show, house.worker("another"))
            await house.storage.write(*arguments, **named)

    slow = house.worker("slow")
    slow.storage = Slow()  # type: ignore[assignment]
    await house.clock.advance(4)
    house.plane.run(4)
    epoch = (await playback()).epoch
    before = (await playback()).segments

    await publish.publish(show, slow)

    assert (await playback()).epoch == epoch + 1
    assert (await playback()).segments > before


async def test_a_recording_waits_for_its_storage_however_long_it_is_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything lies there: hours later it is checked as if nothing had been."""
    show = await on_air(house)
    await house.pass_time(10)
    away = True
    real = finishing.finish

    async def finish(*arguments: Any) -> Any:
        if away:
            raise StorageUnavailable("it does not answer")
        return await real(*arguments)

    monkeypatch.setattr(finishing, "finish", finish)
    await house.end(show)
    await house.pass_time(3 * 3600, step=60)
    waiting = await house.recording(show)

    away = False
    await house.pass_time(600, step=10)

    assert (waiting.verdict, waiting.finished_at, waiting.attempts) == (None, None, 0)
    assert waiting.error_message == "it does not answer"
    finished = await house.recording(show)
    assert finished.verdict is not None
    assert finished.verdict_reason != "storage_unavailable"


async def test_a_recording_that_kills_its_worker_five_times_is_given_up(house: House) -> None:
    """Its segments stay where they are, and it says why there is no file."""
    show = await on_air(house)
    await house.pass_time(10)
    await house.end(show)
    for _ in range(60):
        await house.clock.advance(1)
        house.plane.run(1)
        for row in await due.due(house.db):
            if row.table == "recordings":
                # Its worker dies of it.
                lease = await leases.claim(
                    house.db, Recording, row.id, owner="dies", seconds=house.settings.lease_seconds
                )
                assert lease is not None
                await house.clock.advance(house.settings.lease_seconds + 1)
        if (await house.recording(show)).attempts == house.settings.attempts_max:
            break
        await house.work("sessions", "playbacks")
    await house.pass_time(5)

    recording = await house.recording(show)
    assert (recording.verdict, recording.verdict_reason) == (Verdict.LOST, "quarantined")
    assert recording.error_message == "finishing it killed its worker 5 times"
    assert recording.quarantined_at is not None
    assert list((house.folder / names.take_folder(show, 1)).glob("*.ts"))


async def state_of(house: House, show: object) -> PlaybackState:
    playback = await house.playback(show)  # type: ignore[arg-type]
    assert playback is not None
    return playback.state

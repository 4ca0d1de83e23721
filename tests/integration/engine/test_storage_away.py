"""A playlist whose storage fails for a moment: viewers are told, and go on when it is back."""

from typing import Any

import m3u8
import pytest

from orchestration import names, publish
from orchestration.models import Playback
from orchestration.states import PlaybackState
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


async def state_of(house: House, show: object) -> PlaybackState:
    playback = await house.playback(show)  # type: ignore[arg-type]
    assert playback is not None
    return playback.state

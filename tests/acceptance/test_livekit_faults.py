"""A LiveKit that refuses, dawdles, falls silent, forgets and dies - and what hosts then see."""

from collections import Counter

import pytest

from tests.acceptance.player import Player
from tests.acceptance.product import Product
from tests.acceptance.show import Show, announce, job_ends
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]


async def _on_air(brisk: Product) -> Show:
    """Run a show until viewers can watch it."""
    show = await announce(await brisk.host())
    await show.go_live()
    await brisk.encoder(show)
    await show.plays()
    return show


async def _new_take(brisk: Product, show: Show, number: int) -> None:
    """Wait until a take of that number has segments."""

    async def begun() -> bool:
        takes = (await show.report())["takes"]
        return any(take["number"] >= number and take["state"] == "active" for take in takes)

    await until(begun, what=f"take {number}", within=120, every=0.3)
    await show.grows(2)


async def test_a_wrong_key_is_told_and_leaves_nothing(brisk: Product):
    """The job fails with the cause, the show is where it was, and goes live once that is mended."""
    show = await announce(await brisk.host(), until_keyed=True)
    await brisk.livekit.arm("refuse", code="unauthenticated", msg="invalid API key")

    answer = await show.ask("go_live", prefer="wait=60")
    await brisk.livekit.clear()

    assert (answer.status, answer.slug) == (502, "livekit-key-refused")
    job = await job_ends(show.host, answer.json["job"], "failed")
    assert job["problem"]["slug"] == "livekit-key-refused"
    await show.becomes("scheduled")
    assert (await brisk.livekit.made(show.room))["rooms"] == []
    await show.go_live()
    await show.end()
    await brisk.livekit.forgets(show.room)


async def test_what_was_made_before_a_refusal_is_taken_back(brisk: Product):
    """The room stood when the second ingress was refused; only the announced key is left."""
    show = await announce(await brisk.host(), until_keyed=True)
    await brisk.livekit.arm("refuse", method="CreateIngress", code="permission_denied")

    answer = await show.ask("go_live", prefer="wait=60")

    assert (answer.status, answer.slug) == (502, "livekit-key-refused")
    # The job has failed before the way back is walked to its end.
    await show.becomes("scheduled")
    made = await brisk.livekit.made(show.room)
    assert made["rooms"] == made["egresses"] == []
    assert [(one["stream_key"], one["enabled"]) for one in made["ingresses"]] == [
        (show.created["stream_key"], False)
    ]
    await show.end()
    await brisk.livekit.forgets(show.room)


async def test_a_slow_livekit_is_waited_for(brisk: Product):
    """Whoever does not wait holds a job, and finds everything when it is done."""
    show = await announce(await brisk.host())
    await brisk.livekit.arm("slow", delay_seconds=0.7)

    accepted = (await show.ask("go_live", prefer="respond-async")).expect(202)

    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.headers["Location"] == f"/jobs/{accepted.data['job']['id']}"
    assert accepted.data["job"]["status"] == "pending"
    await job_ends(show.host, accepted.data["job"]["id"], "done")
    await show.go_live()
    await brisk.livekit.clear()
    await show.end()
    await brisk.livekit.forgets(show.room)


async def test_an_answer_that_is_lost_makes_nothing_twice(brisk: Product):
    """Ingresses and egress were made, nobody was told: they are found, not made again."""
    # The announcement makes one ingress, going live the other.
    await brisk.livekit.arm("answer_lost", method="CreateIngress", count=2)
    await brisk.livekit.arm("answer_lost", method="StartEgress", count=1)

    show = await _on_air(brisk)

    made = await brisk.livekit.made(show.room)
    kinds = Counter(one["input_type"] for one in made["ingresses"])
    assert kinds == {"RTMP_INPUT": 1, "WHIP_INPUT": 1}
    assert len(made["rooms"]) == len(made["egresses"]) == 1
    assert len(await brisk.livekit.egresses(show.room)) == 1
    left = (await brisk.livekit.state())["faults"]
    assert "answer_lost" not in {fault["kind"] for fault in left}
    await show.end()
    assert (await show.recording())["verdict"] == "verified"
    await brisk.livekit.forgets(show.room)


async def test_a_show_survives_the_death_of_its_egress(brisk: Product):
    """The next take begins, viewers go on at the same address, and both takes are recorded."""
    show = await _on_air(brisk)
    player = Player(brisk.stranger, show.live["session"]["hls_url"])
    async with player.playing():
        await brisk.livekit.arm("egress_dies", room=show.room)
        await _new_take(brisk, show, 2)
        playlist = await player.poll()
        await show.end()
        await until(lambda: player.is_over, what="the player to see the end")

    assert playlist is not None
    assert any(segment.discontinuity for segment in playlist.segments)
    takes = (await show.report())["takes"]
    assert [take["outcome"] for take in takes] == ["failed", "complete"]
    assert takes[1]["reason"] == "egress_gone"
    assert (await show.recording())["verdict"] == "verified"
    await brisk.livekit.forgets(show.room)


async def test_an_egress_that_only_claims_to_live_is_replaced_and_blocks_no_end(brisk: Product):
    """Its worker is gone and its status says ACTIVE for ever: progress is the only proof."""
    show = await _on_air(brisk)
    await brisk.livekit.arm("worker_gone", delay_seconds=0.1)
    await show.plays("stalled")
    await brisk.livekit.clear()
    await _new_take(brisk, show, 2)
    await brisk.livekit.arm("worker_gone", delay_seconds=0.1)

    ended = await show.end()

    takes = (await show.report())["takes"]
    assert ended["end_reason"] == "requested"
    assert takes[1]["reason"] == "no_progress"
    assert takes[0]["outcome"] == "abandoned"
    assert (await show.recording())["verdict"] in {"verified", "partial"}
    made = await brisk.livekit.made(show.room)
    assert made["rooms"] == made["ingresses"] == []


async def test_a_livekit_that_forgot_everything_is_told_again(brisk: Product):
    """The show is not called live while nobody can send; it comes back with another key."""
    show = await _on_air(brisk)
    before = show.live["rtmp"]["stream_key"]

    await brisk.livekit.arm("forget_everything")
    await show.becomes("reconnecting")
    await brisk.stop_encoders()

    async def replaced() -> bool:
        return (await show.go_live())["rtmp"]["stream_key"] != before

    await until(replaced, what="another key", every=0.5)
    await brisk.encoder(show)
    await show.becomes("live")
    await show.grows(2)
    assert "rtmp_ingress.replaced" in await show.kinds()
    await show.end()
    assert (await show.report())["takes"][-1]["outcome"] == "complete"
    await brisk.livekit.forgets(show.room)


async def test_a_livekit_without_the_new_egress_still_shows(brisk: Product):
    """ParticipantEgress does it; there each drop ends a take, and the next one follows."""
    await brisk.livekit.arm("unimplemented", method="StartEgress")
    show = await _on_air(brisk)
    await show.grows(1)

    await brisk.stop_encoders()
    await show.becomes("reconnecting")
    await brisk.encoder(show)
    await _new_take(brisk, show, 2)
    await show.end()

    takes = (await show.report())["takes"]
    assert {take["kind"] for take in takes} == {"participant"}
    assert "StartParticipantEgress" in await brisk.livekit.calls()
    assert (await show.recording())["verdict"] in {"verified", "partial"}
    await brisk.livekit.forgets(show.room)

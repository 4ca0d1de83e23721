"""One show from its announcement to its recording, with an encoder that drops and comes back."""

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import jwt
import m3u8
import pytest
import pytest_asyncio

from api.recordings import LINK_SECONDS
from orchestration.secrets import Secrets
from tests.acceptance.audience import watching
from tests.acceptance.caller import Answer
from tests.acceptance.download import Download, download
from tests.acceptance.player import Player
from tests.acceptance.product import JWT_SECRET, LIVEKIT_SECRET, Product
from tests.acceptance.show import Show, announce
from tests.integration.api.sessions import contract
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="module")]

#: What hosts are promised: a viewer is seen and missed within these.
SEEN_SECONDS, GONE_SECONDS = 15.0, 60.0


@dataclass
class Performance:
    """Everything that was seen of one show."""

    product: Product
    show: Show
    player: Player
    before: Answer  #: of hls_url, before anybody sent a picture
    seen: dict[str, Any]  #: the session when all viewers were counted
    gone: dict[str, Any]  #: the session when none was counted any more
    reconnecting: dict[str, Any]
    returned: dict[str, Any]
    ended: dict[str, Any]
    recording: dict[str, Any]
    download: Download
    report: dict[str, Any]
    events: list[dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def performance(greenroom: Product) -> Performance:
    """Perform the show; the tests below say one thing each about it."""
    host = await greenroom.host()
    show = await announce(
        host, until_keyed=True, description="From the first wish to the last byte"
    )
    await show.go_live()
    player = Player(greenroom.stranger, show.live["session"]["hls_url"])
    before = await greenroom.stranger.ask("GET", player.address)
    encoder = await greenroom.encoder(show)
    await show.plays()
    async with player.playing():
        seen = await _watched(greenroom, show)
        left_at = time.monotonic()
        encoder.kill()
        reconnecting = await show.becomes("reconnecting")
        await greenroom.encoder(show)
        returned = await show.becomes("live")
        await show.grows(2)

        async def nobody() -> dict[str, Any] | None:
            session = await show.session()
            return session if session["viewer_count"] == 0 else None

        left = GONE_SECONDS - (time.monotonic() - left_at)
        gone = await until(nobody, what="viewers to be missed", within=left, every=0.3)
        ended = await show.end()
        await until(lambda: player.is_over, what="the player to see the end")
    recording = await show.recording()
    return Performance(
        product=greenroom,
        show=show,
        player=player,
        before=before,
        seen=seen,
        gone=gone,
        reconnecting=reconnecting,
        returned=returned,
        ended=ended,
        recording=recording,
        download=await download(host, recording["id"]),
        report=await show.report(),
        events=await show.events(),
    )


async def _watched(greenroom: Product, show: Show) -> dict[str, Any]:
    """Let three watch by HLS and two in LiveKit's room, until all are counted; then they leave.

    An agent, somebody hidden, an egress and the host do not watch.
    """
    livekit, host_id = greenroom.livekit, show.created["session"]["room"]["host_id"]
    await livekit.join(show.room, "an-agent", kind="AGENT")
    await livekit.join(show.room, "a-monitor", hidden=True)
    await livekit.join(show.room, host_id)
    for name in ("ann", "ben"):
        await livekit.join(show.room, name)
    async with watching(show, greenroom.stranger, count=3):

        async def all_seen() -> dict[str, Any] | None:
            session = await show.session()
            viewers = session["viewers"]
            return session if (viewers["livekit"], viewers["hls"]) == (2, 3) else None

        seen: dict[str, Any] = await until(
            all_seen, what="viewers to be seen", within=SEEN_SECONDS, every=0.3
        )
    for name in ("ann", "ben", "an-agent", "a-monitor", host_id):
        await livekit.leave(show.room, name)
    return seen


# --------------------------------------------------------------------- going live


async def test_go_live_answers_with_everything_needed_to_broadcast(performance: Performance):
    """The published shape, this show, and a LiveKit token that lets the host publish there."""
    live = performance.show.live

    contract.check_started(live)
    assert live["session"]["id"] == performance.show.id
    assert live["session"]["status"] == "live"
    assert live["rtmp"]["url"].startswith("rtmp://")
    assert live["rtmp_setup"]["server"] == live["rtmp"]["url"]
    assert live["rtmp_setup"]["stream_key"] == live["rtmp"]["stream_key"]
    claims = jwt.decode(live["livekit_token"], LIVEKIT_SECRET, algorithms=["HS256"])
    assert claims["video"]["room"] == performance.show.room
    assert claims["video"]["canPublish"] is True


async def test_the_key_was_known_since_the_announcement(performance: Performance):
    """An encoder that was set up days before sends to the right place."""
    created, live = performance.show.created, performance.show.live

    contract.check_session(created["session"])
    assert created["session"]["status"] == "scheduled"
    assert created["session"]["hls_url"] is None
    assert created["rtmp_url"] == live["rtmp"]["url"]
    assert created["stream_key"] == live["rtmp"]["stream_key"]


async def test_before_the_first_picture_playback_is_not_ready(performance: Performance):
    """The address is known, and says so in a way that players and pages can tell apart."""
    assert performance.before.status == 404
    assert performance.before.slug == "playback-not-ready"
    assert performance.before.headers["Cache-Control"] == "no-store"


# --------------------------------------------------------------------- watching


async def test_every_playlist_kept_its_word(performance: Performance):
    """At every poll every named segment could be read, and the sequence never went back."""
    player = performance.player

    # What must hold at every poll was asserted at every poll: see player.py.
    assert player.polls > 10
    assert len(player.segments) >= 6
    assert player.is_over


async def test_ranges_of_a_segment_are_its_parts(performance: Performance):
    """206 with the asked bytes, 416 behind the end, 304 for who has it already."""
    address, size = next(iter(performance.player.segments.items()))
    stranger = performance.product.stranger

    part = await stranger.ask("GET", address, headers={"Range": "bytes=188-375"})
    behind = await stranger.ask("GET", address, headers={"Range": f"bytes={size}-"})
    known = await stranger.ask("GET", address, headers={"If-None-Match": part.headers["ETag"]})
    whole = await stranger.ask("GET", address)

    assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 188-375/{size}")
    assert part.body == whole.body[188:376]
    assert (behind.status, behind.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert (known.status, known.body) == (304, b"")


async def test_viewers_are_counted_by_how_they_watch(performance: Performance):
    """Two in the room, three by HLS; agents, monitors, egresses and the host are not viewers."""
    seen, gone = performance.seen, performance.gone

    assert (seen["viewer_count"], seen["viewers"]["stale"]) == (5, False)
    assert gone["viewers"]["livekit"] == gone["viewers"]["hls"] == 0
    assert performance.ended["max_viewers"] == 5
    assert performance.report["max_viewers"] == 5


# --------------------------------------------------------------------- the drop


async def test_an_encoder_that_drops_and_returns_goes_on_with_the_same_show(
    performance: Performance,
):
    """Live, reconnecting, live; one take; and viewers saw more segments afterwards."""
    before, after = performance.reconnecting, performance.returned

    assert (before["status"], after["status"]) == ("live", "live")
    assert before["id"] == after["id"]
    assert before["hls_url"] == after["hls_url"] == performance.player.address
    assert performance.gone["playback"]["segments"] >= before["playback"]["segments"] + 2
    phases = [
        event["facts"]["after"] for event in performance.events if event["kind"] == "session.phase"
    ]
    assert phases == [
        *("provisioning", "waiting_for_media", "live", "reconnecting", "live", "ending", "ended")
    ]


# --------------------------------------------------------------------- the end


async def test_after_the_end_the_whole_show_can_be_played(performance: Performance):
    """The live playlist has its ENDLIST, and full.m3u8 names every segment there was."""
    stranger, address = performance.product.stranger, performance.player.address
    last = m3u8.loads((await stranger.ask("GET", address)).expect(200).body.decode())
    full_address = urljoin(address, "full.m3u8")
    full = m3u8.loads((await stranger.ask("GET", full_address)).expect(200).body.decode())

    named = [urljoin(full_address, segment.uri) for segment in full.segments]
    assert last.is_endlist
    assert full.is_endlist
    assert full.media_sequence == 0
    assert set(performance.player.segments) <= set(named)
    assert len(named) == performance.report["segments"]
    for segment in named:
        (await stranger.ask("HEAD", segment)).expect(200)


async def test_nothing_is_left_at_livekit(performance: Performance):
    """No room, no ingress, no egress; and there was one of each."""
    made = await performance.product.livekit.made(performance.show.room)
    egresses = await performance.product.livekit.egresses(performance.show.room)

    assert made == {"rooms": [], "ingresses": [], "egresses": []}
    assert [egress["status"] for egress in egresses] == ["EGRESS_COMPLETE"]


async def test_the_recording_is_verified_and_is_what_it_says(performance: Performance):
    """Size, checksum and length are those of the file, which holds picture and sound in order."""
    recording, file = performance.recording, performance.download

    contract.check(recording, contract.RECORDING)
    assert (recording["verdict"], recording["status"]) == ("verified", "completed")
    assert recording["error_message"] is None
    assert recording["file_size"] == len(file.body)
    assert recording["sha256"] == file.sha256
    found = file.probe()
    assert found.tracks == ["audio", "video"]
    assert abs(found.seconds - recording["duration"]) <= 1
    # Two encoders, each of which counts its pictures from 0.
    numbers = [number for number in found.numbers if number is not None]
    steps_back = [after for before, after in pairwise(numbers) if after < before]
    assert len(numbers) > 0.9 * len(found.numbers)
    assert len(steps_back) == 1


async def test_the_download_link_expires(performance: Performance):
    """It is good for an hour, for this file only, and cannot be lengthened."""
    link = performance.download.link
    url = urlsplit(link["download_url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    stranger = performance.product.stranger

    longer = await stranger.ask(
        "GET", link["download_url"].replace(query["expires"], str(int(query["expires"]) + 1))
    )
    old = await stranger.ask("GET", _link_that_expired(link["download_url"]))

    assert timedelta() < left <= timedelta(seconds=LINK_SECONDS)
    assert "attachment" in performance.download.disposition
    assert performance.download.content_type == "video/mp4"
    assert (longer.status, longer.slug) == (404, "recording-not-found")
    assert (old.status, old.slug) == (410, "link-expired")


def _link_that_expired(url: str) -> str:
    """Sign a link as the API did an hour and a minute ago."""
    recording_id = urlsplit(url).path.split("/")[-2]
    expires = int(time.time()) - 60
    text = f"recording {recording_id} {expires}".encode()
    signature = hmac.new(Secrets.derive(JWT_SECRET).link_key, text, hashlib.sha256).hexdigest()
    return f"{url.partition('?')[0]}?expires={expires}&signature={signature}"


async def test_the_report_says_how_it_went(performance: Performance):
    """Who ended it, how long what took, how many watched, what was recorded."""
    report = performance.report

    assert (report["status"], report["end_reason"]) == ("ended", "requested")
    assert report["recording"]["verdict"] == "verified"
    assert report["recording"]["sha256"] == performance.recording["sha256"]
    assert [(take["number"], take["outcome"]) for take in report["takes"]] == [(1, "complete")]
    assert 0 < report["seconds_to_live"] < report["seconds_to_media"]
    assert report["seconds_to_media"] < report["seconds_to_playback"]
    assert report["abandoned"] == []
    assert report["duration"] == performance.ended["duration"]


async def test_the_timeline_has_every_number_once(performance: Performance):
    """From 1 on without a gap, in the order in which things happened."""
    events = performance.events

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    times = [event["at"] for event in events]
    assert times == sorted(times)
    kinds = [event["kind"] for event in events]
    story = [
        *("session.created", "rtmp_ingress.ready", "whip_ingress.ready", "media.arrived"),
        *("take.started", "playback.ready", "media.lost", "media.returned", "take.ended"),
        *("playback.ended", "recording.finished"),
    ]
    told = [kind for kind in kinds if kind in story]
    # Where the new segments came late, viewers saw it stall meanwhile, and be ready again.
    first = told.index("playback.ready")
    told[first + 1 :] = [kind for kind in told[first + 1 :] if kind != "playback.ready"]
    assert told == story


# --------------------------------------------------------------------- what was damaged


async def test_a_truncated_segment_changes_the_verdict(greenroom: Product):
    """A recording that lost a piece is not called whole, and says which piece."""
    host = await greenroom.host()
    show = await announce(host)
    await show.go_live()
    await greenroom.encoder(show)
    await show.plays()
    await show.grows(1)
    media = Path(greenroom.environment["GREENROOM_MEDIA_URL"].removeprefix("file://"))
    (segment, *_) = sorted((media / "hls" / show.id / "1").glob("*.ts"))

    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 3)
    await show.end()
    recording = await show.recording()

    assert recording["verdict"] == "partial"
    assert recording["verdict_reason"] == "segment_truncated"
    assert segment.name in recording["error_message"]
    assert (await show.report())["recording"]["verdict"] == "partial"

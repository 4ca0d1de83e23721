"""The host's picture and sound are really switched, and health tells what arrives."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestration import events
from orchestration.models import Playback, Session
from orchestration.plane import Input, ParticipantSeen, Refused, TrackSeen, Unavailable
from orchestration.playlists import Segment, Window
from tests.integration.api.sessions.conftest import Shows

KINDS = [("host_video_state", "video", "camera"), ("host_audio_state", "audio", "microphone")]


async def on_stage(shows: Shows) -> str:
    """Go live, with the host in the room by browser and encoder, and a guest."""
    show = await shows.live()

    def person(identity: str, *tracks: TrackSeen) -> ParticipantSeen:
        return ParticipantSeen(identity, "standard", is_publisher=True, tracks=tracks)

    shows.plane.participants[shows.livekit_room(show)] = (
        person(
            str(shows.host.id),
            TrackSeen("TR_cam", "video", "camera", muted=False),
            TrackSeen("TR_mic", "audio", "microphone", muted=False),
            TrackSeen("TR_screen", "video", "screen_share", muted=False),
        ),
        person(
            f"{shows.host.id}#rtmp",
            TrackSeen("TR_obs", "video", "camera", muted=False, width=640, height=360),
            TrackSeen("TR_obs_a", "audio", "microphone", muted=False),
        ),
        person("guest", TrackSeen("TR_guest", "video", "camera", muted=False)),
    )
    return show


@pytest.mark.parametrize(("verb", "kind", "source"), KINDS)
async def test_the_hosts_tracks_are_muted_and_unmuted(
    shows: Shows, verb: str, kind: str, source: str
) -> None:
    """All of the host's of that kind; not the shared screen, and nobody else's."""
    show = await on_stage(shows)

    off = await shows.post(show, verb, json={"enabled": False})
    muted = list(shows.plane.muted)
    on = await shows.post(show, verb, json={"enabled": True})

    assert off.data == {"enabled": False, "tracks": 2}
    assert on.data == {"enabled": True, "tracks": 2}
    tracks = {
        track.sid: track
        for person in shows.plane.participants[shows.livekit_room(show)]
        for track in person.tracks
    }
    assert len(muted) == 2
    assert all(tracks[sid].kind == kind and tracks[sid].source == source for _, sid, _ in muted)
    assert all(is_muted for _, _, is_muted in muted)
    assert not any(track.muted for track in tracks.values())


@pytest.mark.parametrize(("verb", "kind", "source"), KINDS)
async def test_without_a_body_it_is_turned_round(
    shows: Shows, verb: str, kind: str, source: str
) -> None:
    """And a repeated request with a key is not turned back."""
    del kind, source
    show = await on_stage(shows)
    key = {"Idempotency-Key": "once"}

    first = await shows.post(show, verb, headers=key)
    repeated = await shows.post(show, verb, headers=key)
    second = await shows.post(show, verb)

    assert [got.data["enabled"] for got in (first, repeated, second)] == [False, False, True]


@pytest.mark.parametrize(("verb", "kind", "source"), KINDS)
async def test_there_must_be_something_to_switch(
    shows: Shows, verb: str, kind: str, source: str
) -> None:
    """409 says what is missing: the show, or the host's track."""
    del kind, source
    show = await shows.announce()

    closed = await shows.post(show, verb)
    await shows.post(show, "go_live")
    empty = await shows.post(show, verb)

    assert closed.problem == (409, "session-not-live")
    assert empty.problem == (409, "no-host-track")


async def test_livekits_no_is_told(shows: Shows) -> None:
    """Refused, with what to set; or away, and to be asked again."""
    show = await on_stage(shows)
    shows.plane.fails["mute_track"] = Refused("MutePublishedTrack", "permission_denied")
    refused = await shows.post(show, "host_audio_state", json={"enabled": False})
    shows.plane.fails["mute_track"] = Unavailable("MutePublishedTrack", "unreachable")

    away = await shows.post(show, "host_audio_state", json={"enabled": False})

    assert refused.problem == (502, "livekit-refused")
    assert "enable_remote_unmute" in refused.json["detail"]
    assert away.problem == (503, "livekit-unavailable")
    assert away.headers["Retry-After"]


async def test_who_leaves_at_that_moment_has_nothing_to_switch(shows: Shows) -> None:
    """LiveKit hears nothing from who has left, and says it cannot now: no reason to wait."""
    show = await on_stage(shows)
    shows.plane.leaving = {str(shows.host.id), f"{shows.host.id}#rtmp"}

    got = await shows.post(show, "host_audio_state", json={"enabled": False})

    assert got.problem == (409, "no-host-track")
    assert "just gone" in got.json["detail"]


@pytest.mark.parametrize("body", [{"enabled": "yes"}, {"enabled": 1}, {"on": True}], ids=str)
async def test_a_bad_switch_is_refused(shows: Shows, body: dict) -> None:
    """422, and nothing is switched."""
    show = await on_stage(shows)

    got = await shows.post(show, "host_video_state", json=body)

    assert got.problem == (422, "validation-error")
    assert shows.plane.muted == []


async def test_health_tells_what_arrives(shows: Shows) -> None:
    """Ingresses, publishers and the newest take; no key, and ingress ids for the host only."""
    show = await on_stage(shows)
    await shows.post(show, "participants", json={"user_id": str(shows.people.viewer.id)})

    host = await shows.get(show, "stream_health")
    staff = await shows.get(show, "stream_health", by=shows.people.viewer)

    assert {one["kind"] for one in host.data["ingress"]} == {Input.RTMP, Input.WHIP}
    assert all(one["ingress_id"] for one in host.data["ingress"])
    assert not any(one["ingress_id"] for one in staff.data["ingress"])
    assert host.data["livekit"] == {"answers": True, "error": None}
    publishers = {one["identity"]: one["tracks"] for one in host.data["publishers"]}
    assert publishers[f"{shows.host.id}#rtmp"][0]["width"] == 640
    assert (host.data["health"], host.data["notes"]) == ("good", [])
    assert host.data["program"]["identity"] == f"{shows.host.id}#rtmp"
    assert (host.data["program"]["width"], host.data["program"]["drops"]) == (640, 0)
    assert b"canary-stream-key" not in host.raw + staff.raw


async def test_health_tells_what_the_audience_is_given(shows: Shows) -> None:
    """The newest segment's age and bit rate, and how often the picture was lost."""
    show = await on_stage(shows)
    session_id = (await shows.row(show)).id
    newest = Segment(take=1, sequence=1, uri="seg_00001.ts", duration_seconds=2.0)
    await shows.api.resources.storage.write(
        f"hls/{show}/1/seg_00001.ts", b"x" * 50_000, content_type="video/mp2t"
    )
    async with shows.api.resources.db.begin() as tx:
        row = await tx.get_one(Session, session_id, with_for_update=True)
        playback = await tx.get(Playback, session_id) or Playback(session_id=session_id)
        playback.window = Window(segments=(newest,)).to_json()
        playback.newest_segment_at = datetime.now(UTC) - timedelta(seconds=3)
        tx.add(playback)
        await events.record(tx, row, "media.lost")

    told = (await shows.get(show, "stream_health")).data

    assert told["output"]["bits_per_second"] == 200_000
    assert 3 <= told["output"]["age_seconds"] < 60
    assert told["program"]["drops"] == 1


async def test_health_answers_although_livekit_does_not(shows: Shows) -> None:
    """What the ledger knows still stands."""
    show = await shows.live()
    shows.plane.fails["list_ingress"] = Unavailable("ListIngress", "unreachable")

    got = await shows.get(show, "stream_health")

    assert got.data["livekit"] == {"answers": False, "error": "unreachable"}
    assert (got.data["health"], got.data["notes"]) == ("unknown", [])
    assert got.data["ingress"] == []
    assert got.data["phase"] == "waiting_for_media"

"""What LiveKit lists of egresses, as the engine sees it."""

from types import SimpleNamespace
from typing import Any

import pytest
from livekit.protocol import egress as egress_proto
from livekit.protocol import ingress as ingress_proto
from livekit.protocol import models as models_proto

from orchestration import names
from orchestration.livekit import LiveKit
from orchestration.settings import Settings

HOST = "a-host"


def by_media(*, screen: bool) -> egress_proto.EgressInfo:
    video = egress_proto.ParticipantVideo(identity=HOST, prefer_screen_share=screen)
    media = egress_proto.MediaSource(participant_video=video)
    return egress_proto.EgressInfo(egress=egress_proto.StartEgressRequest(media=media))


def by_participant(*, screen: bool) -> egress_proto.EgressInfo:
    request = egress_proto.ParticipantEgressRequest(identity=HOST, screen_share=screen)
    return egress_proto.EgressInfo(participant=request)


@pytest.mark.parametrize("made", [by_media, by_participant])
async def test_a_take_of_a_screen_is_told_from_one_of_its_owners_camera(made: Any) -> None:
    """Whichever of LiveKit's two requests began it."""

    async def list_egress(_: Any) -> Any:
        return SimpleNamespace(items=[made(screen=True), made(screen=False)])

    client: Any = SimpleNamespace(egress=SimpleNamespace(list_egress=list_egress))

    screen, camera = await LiveKit(Settings(), client).list_egress()

    assert (screen.source, camera.source) == (names.screen_of(HOST), HOST)


async def test_what_only_a_newer_livekit_says_is_unknown() -> None:
    """Its numbers have no names here; nothing that is listed is left out for it, or stopped."""
    info = by_media(screen=False)
    info.status = 99  # type: ignore[assignment]
    person = models_proto.ParticipantInfo(
        identity=HOST,
        tracks=[models_proto.TrackInfo(sid="TR", type=99, source=99)],  # type: ignore[arg-type]
    )
    person.kind = 99  # type: ignore[assignment]
    ingress = ingress_proto.IngressInfo(
        ingress_id="IN",
        state=ingress_proto.IngressState(status=99),  # type: ignore[arg-type]
    )
    other = ingress_proto.IngressInfo(ingress_id="IN2", input_type=99)  # type: ignore[arg-type]

    async def list_egress(_: Any) -> Any:
        return SimpleNamespace(items=[info])

    async def list_ingress(_: Any) -> Any:
        return SimpleNamespace(items=[ingress, other])

    async def list_participants(_: Any) -> Any:
        return SimpleNamespace(participants=[person])

    client: Any = SimpleNamespace(
        egress=SimpleNamespace(list_egress=list_egress),
        ingress=SimpleNamespace(list_ingress=list_ingress),
        room=SimpleNamespace(list_participants=list_participants),
    )
    livekit = LiveKit(Settings(), client)

    (egress_seen,) = await livekit.list_egress()
    (ingress_seen,) = await livekit.list_ingress()
    (person_seen,) = await livekit.list_participants("a-room")

    assert (egress_seen.status, egress_seen.is_over) == ("unknown", False)
    assert (ingress_seen.ingress_id, ingress_seen.status) == ("IN", "unknown")
    assert person_seen.kind == "unknown"
    assert [(track.kind, track.source) for track in person_seen.tracks] == [("unknown", "unknown")]

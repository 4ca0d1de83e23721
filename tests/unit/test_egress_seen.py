"""What LiveKit lists of egresses, as the engine sees it."""

from types import SimpleNamespace
from typing import Any

import pytest
from livekit.protocol import egress as egress_proto

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

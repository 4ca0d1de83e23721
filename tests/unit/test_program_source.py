"""Whose picture a show is."""

import uuid
from datetime import UTC, datetime

import pytest

from orchestration.models import Session
from orchestration.parts.broadcast import program_source
from orchestration.plane import ParticipantSeen, TrackSeen
from orchestration.settings import Settings
from orchestration.show import Show, show_of

HOST = uuid.uuid4()
BROWSER, RTMP, WHIP = str(HOST), f"{HOST}#rtmp", f"{HOST}#whip"


def show(mode: str, source: str | None = None) -> Show:
    session = Session(
        organization_id=uuid.uuid4(),
        room_id=uuid.uuid4(),
        host_id=HOST,
        title="A show",
        mode=mode,
        source=source,
    )
    return show_of(
        session,
        [],
        has_playback=False,
        has_recording=False,
        moment=datetime.now(UTC),
        settings=Settings(),
    )


def sends(identity: str, *, muted: bool = False, kind: str = "video") -> ParticipantSeen:
    track = TrackSeen(sid="TR_1", kind=kind, source="camera", muted=muted)
    return ParticipantSeen(identity=identity, kind="standard", tracks=(track,))


@pytest.mark.parametrize(
    ("mode", "people", "expected"),
    [
        ("rtmp", (sends(BROWSER), sends(RTMP), sends(WHIP)), RTMP),
        ("rtmp", (sends(BROWSER), sends(WHIP)), WHIP),
        ("rtmp", (sends(BROWSER),), BROWSER),
        ("webcam", (sends(RTMP), sends(BROWSER)), BROWSER),
        ("webcam", (sends(RTMP), sends(WHIP)), WHIP),
        ("webcam", (sends("somebody else"),), None),
        ("rtmp", (sends(RTMP, kind="audio"),), None),
        ("rtmp", (), None),
    ],
)
def test_the_mode_names_who_comes_first_and_else_whoever_sends(
    mode: str, people: tuple[ParticipantSeen, ...], expected: str | None
) -> None:
    """Three identities may send the picture; nobody else's is ever shown."""
    assert expected == program_source(show(mode), people)


def test_a_camera_that_is_switched_off_is_not_a_drop() -> None:
    """A host who hides the picture for a while must not lose the show to the reconnect window."""
    # Given
    people = (sends(BROWSER, muted=True),)

    # Then
    assert program_source(show("webcam", source=BROWSER), people) == BROWSER


SCREEN = TrackSeen(sid="TR_2", kind="video", source="screen_share", muted=False)
#: Of who shares a screen: the camera, on or off, or none.
SHARES = {
    "with the camera on": (TrackSeen("TR_1", "video", "camera", muted=False),),
    "with the camera off": (TrackSeen("TR_1", "video", "camera", muted=True),),
    "without a camera": (),
}


@pytest.mark.parametrize("cameras", SHARES.values(), ids=SHARES)
def test_a_shared_screen_goes_before_its_owners_camera(cameras: tuple[TrackSeen, ...]) -> None:
    """What the host shows is what the audience gets."""
    sharing = ParticipantSeen(BROWSER, "standard", tracks=(*cameras, SCREEN))

    assert program_source(show("webcam"), (sharing, sends(RTMP))) == f"{BROWSER}#screen"
    assert program_source(show("rtmp"), (sharing,)) == f"{BROWSER}#screen"
    # The encoder's show stays the encoder's.
    assert program_source(show("rtmp"), (sharing, sends(RTMP))) == RTMP


def test_who_stops_sharing_is_seen_again_and_never_a_drop() -> None:
    """The camera comes back, switched off or not."""
    was_shared = show("webcam", source=f"{BROWSER}#screen")

    assert program_source(was_shared, (sends(BROWSER),)) == BROWSER
    assert program_source(was_shared, (sends(BROWSER, muted=True),)) == BROWSER
    assert program_source(was_shared, (ParticipantSeen(BROWSER, "standard"),)) is None


def test_a_switched_off_camera_gives_way_to_whoever_sends() -> None:
    """What can be seen is better than what cannot."""
    # Given
    people = (sends(BROWSER, muted=True), sends(RTMP))

    # Then
    assert program_source(show("webcam", source=BROWSER), people) == RTMP


def test_a_camera_that_was_never_on_is_no_source() -> None:
    """An egress of a picture that never came would wait for it and fail."""
    assert program_source(show("webcam"), (sends(BROWSER, muted=True),)) is None

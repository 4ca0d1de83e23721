"""Why a show has no picture although somebody tries to send one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from orchestration.plane import IngressSeen, Input, ParticipantSeen, TrackSeen
from orchestration.troubles import SOUND_FIRST_SECONDS, trouble_without_picture

HOST = UUID(int=7)
NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(seconds=SOUND_FIRST_SECONDS + 1)
SOUND = TrackSeen("TR_a", "audio", "microphone", muted=False)
DARK = TrackSeen("TR_v", "video", "camera", muted=True)
WHY = "Internal data stream error."


def person(identity: str, *tracks: TrackSeen, since: datetime | None = LONG_AGO) -> ParticipantSeen:
    return ParticipantSeen(identity, "standard", joined_at=since, tracks=tracks)


def ingress(status: str, error: str = "") -> IngressSeen:
    return IngressSeen(
        "IN_1", Input.RTMP, "n", "r", f"{HOST}#rtmp", "u", "k", status=status, error=error
    )


# fmt: off
CASES = {
    "nobody is there":         ((), (ingress("inactive"),), None, ""),
    "sound by RTMP":           ((person(f"{HOST}#rtmp", SOUND),), (ingress("publishing"),),
                                "no-picture", "by RTMP"),
    "sound from the browser":  ((person(str(HOST), SOUND),), (), "no-picture", "browser"),
    "the age is not told":     ((person(str(HOST), SOUND, since=None),), (), "no-picture", ""),
    "the sound has just come": ((person(str(HOST), SOUND, since=NOW),), (), None, ""),
    "a camera switched off":   ((person(str(HOST), SOUND, DARK),), (), None, ""),
    "a guest's sound":         ((person("somebody", SOUND),), (), None, ""),
    "in the room and silent":  ((person(str(HOST)),), (), None, ""),
    "an encoder hung up on":   ((), (ingress("error", WHY),), "encoder-refused", WHY),
    "nobody knows why":        ((), (ingress("error"),), "encoder-refused", "does not say why"),
    "a book for an error":     ((), (ingress("error", "x" * 9000),), "encoder-refused", "xxx"),
    "sound, after an error":   ((person(f"{HOST}#whip", SOUND),), (ingress("error", WHY),),
                                "no-picture", "by WHIP"),
}
# fmt: on


@pytest.mark.parametrize(("people", "ingresses", "slug", "words"), CASES.values(), ids=CASES)
def test_what_keeps_the_picture_away_is_told(
    people: tuple[ParticipantSeen, ...],
    ingresses: tuple[IngressSeen, ...],
    slug: str | None,
    words: str,
) -> None:
    """By a slug of the catalogue and in words for the host; a moment's silence is nothing."""
    told = trouble_without_picture(HOST, people, ingresses, NOW)

    assert (told and told["slug"]) == slug
    assert told is None or words in told["detail"]
    assert told is None or len(told["detail"]) < 400

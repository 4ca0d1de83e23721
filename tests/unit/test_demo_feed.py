"""What the demo tells a person."""

from deploy.demo_feed import SENTENCES, report_lines, sentence

REPORT = {
    "duration": 65,
    "max_viewers": 3,
    "seconds_to_live": 0.04,
    "seconds_from_media_to_playback": 4.04,
    "segments": 32,
    "stalls": 0,
    "takes": [{}],
    "recording": {
        "verdict": "verified",
        "verdict_reason": "file_whole",
        "duration": 64,
        "file_size": 5_700_000,
    },
    "abandoned": [],
}


def test_every_known_event_is_a_sentence_even_without_facts() -> None:
    """A fact that a newer release leaves out must not end the show."""
    for kind in SENTENCES:
        assert sentence(kind, {})


def test_an_unknown_event_is_told_by_its_name_and_facts() -> None:
    """Nothing that happened is left out."""
    assert sentence("chat.opened", {"by": "host"}) == "chat opened (by host)"


def test_the_report_tells_what_was_promised() -> None:
    """Verdict, duration, peak viewers, time to go live, time to the first playable segment."""
    told = "\n".join(report_lines(REPORT))

    for word in ("verified, 1:04 min long, 5.7 MB", "1:05 min", "0.04 s", "4.04 s"):
        assert word in told


def test_a_show_without_picture_and_recording_is_told_too() -> None:
    """The report of a failed show is read most carefully."""
    empty = REPORT | {
        "recording": None,
        "seconds_to_live": None,
        "seconds_from_media_to_playback": None,
        "abandoned": ["room: it did not close"],
    }

    told = "\n".join(report_lines(empty))

    assert "none" in told
    assert "never" in told
    assert "room: it did not close" in told


def test_a_recording_that_is_not_whole_says_why() -> None:
    """`partial` alone helps nobody."""
    partial = {"verdict": "partial", "verdict_reason": "segments_missing", "duration": 3}

    assert "partial (segments missing)" in report_lines(REPORT | {"recording": partial})[0]

"""What an egress' metrics say about its room."""

import pytest

from orchestration.admission import Room, room_of
from orchestration.settings import Settings


def worker(node: str = "NE_1", *, load: float | None = None, **facts: int) -> str:
    lines = [f'livekit_egress_{name}{{node_id="{node}"}} {value}' for name, value in facts.items()]
    if load is not None:
        lines.append(f'livekit_node_cpu_load{{node_id="{node}",node_type="EGRESS"}} {load}')
    return "\n".join(lines) + "\n"


IDLE = {"available": 1, "can_accept_request": 1, "is_disabled": 0, "is_terminating": 0}
BUSY = {**IDLE, "available": 0}
FULL = {**BUSY, "can_accept_request": 0}
# fmt: off
CASES = {
    "idle":                      (worker(**IDLE), Room.FREE),
    "busy, with room":           (worker(**BUSY), Room.FREE),
    "full":                      (worker(**FULL), Room.FULL),
    "full, and its CPU is busy": (worker(**FULL, load=0.9), Room.FULL),
    "full, and its CPU idles":   (worker(**FULL, load=0.1), Room.UNKNOWN),
    "idle without a browser":    (worker(**{**IDLE, "can_accept_request": 0}), Room.FREE),
    "leaving":                   (worker(**{**BUSY, "is_terminating": 1}), Room.ABSENT),
    "disabled":                  (worker(**{**BUSY, "is_disabled": 1}), Room.ABSENT),
    "an older one":              (worker(available=0), Room.UNKNOWN),
    "one of two is full":        (worker(**FULL) + worker("NE_2", **BUSY), Room.FREE),
    "both are full":             (worker(**FULL) + worker("NE_2", **FULL), Room.FULL),
    "one full, one leaving":     (worker(**FULL) + worker("NE_2", **{**BUSY, "is_disabled": 1}),
                                  Room.FULL),
    "somebody else's metrics":   ("go_goroutines 7\n", Room.UNKNOWN),
    "nothing":                   ("", Room.UNKNOWN),
    "no metrics at all":         ("<html><body>Not found</body></html>", Room.UNKNOWN),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_an_egress_is_full_only_when_it_says_so(case: str):
    """Whatever is not said plainly is not known, and refuses nobody."""
    metrics, expected = CASES[case]

    assert room_of(metrics) is expected


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Separated by commas, as people write them."""
    monkeypatch.setenv(
        "GREENROOM_EGRESS_METRICS_URL", "http://a:7891/metrics, http://b:7891/metrics"
    )
    monkeypatch.setenv("GREENROOM_CORS_ORIGINS", "https://studio.example")
    monkeypatch.setenv("GREENROOM_INGRESS_HEALTH_URL", "")

    settings = Settings()

    assert settings.egress_metrics_url == ("http://a:7891/metrics", "http://b:7891/metrics")
    assert settings.cors_origins == ("https://studio.example",)
    assert settings.ingress_health_url == ()

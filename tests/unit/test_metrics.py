"""The collectors' table: named alike, bounded, in step with the engine's words, and adding up."""

import re
from time import time

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from observability import metrics
from orchestration import states

COLLECTORS = {
    name: value.gauge if isinstance(value, metrics.Measured) else value
    for name, value in vars(metrics).items()
    if isinstance(value, Counter | Gauge | Histogram | metrics.Measured)
    and not (isinstance(value, Counter) and value._labelvalues)
}
#: A label that could take any value makes a series for each, and Prometheus dies of it.
ENDLESS = {"session", "session_id", "user", "organization", "room", "path", "url", "id", "host"}


def value(name: str, **labels: str) -> float:
    """Give what is exported as `greenroom_<name>` now; nothing is 0."""
    return REGISTRY.get_sample_value(f"greenroom_{name}", labels) or 0.0


@pytest.mark.parametrize("collector", COLLECTORS.values(), ids=COLLECTORS)
def test_a_collector_reads_well_and_is_bounded(collector: Counter | Gauge | Histogram):
    """Its name says the unit, its help is a sentence, and no label is endless."""
    assert re.fullmatch(r"greenroom_[a-z_]+", collector._name)
    assert collector._documentation.endswith(".")
    assert len(collector._labelnames) <= 3
    assert not ENDLESS & set(collector._labelnames)
    if isinstance(collector, Histogram):
        assert collector._name.endswith("_seconds")


@pytest.mark.parametrize(
    "gauge", [one for one in COLLECTORS.values() if isinstance(one, Gauge)], ids=lambda g: g._name
)
def test_a_gauge_dies_with_the_process_that_set_it(gauge: Gauge):
    """The default would show every process' value, the dead ones' too, each with its number."""
    assert gauge._multiprocess_mode in {"livemostrecent", "livemax", "livesum"}


@pytest.mark.parametrize(
    ("ours", "engines"),
    [
        (metrics.PHASES, states.Phase),
        (metrics.JOB_KINDS, states.JobKind),
        (metrics.JOB_OUTCOMES, set(states.JobStatus) - {states.JobStatus.PENDING}),
        (metrics.VERDICTS, states.Verdict),
    ],
    ids=["phases", "job kinds", "job outcomes", "verdicts"],
)
def test_label_values_are_the_engines_words(ours: tuple[str, ...], engines: set[str]):
    """A word that the engine learns gets its zero, or the first increase of it is not seen."""
    assert set(ours) == {str(word) for word in engines}


def test_what_has_not_happened_yet_is_zero():
    """Prometheus cannot see the first increase of a series that it never saw."""
    for labels in (
        {"kind": "go_live", "outcome": "failed"},
        {"kind": "end", "outcome": "superseded"},
    ):
        assert REGISTRY.get_sample_value("greenroom_jobs_total", labels) is not None
    assert REGISTRY.get_sample_value("greenroom_recordings_total", {"verdict": "lost"}) is not None
    assert (
        REGISTRY.get_sample_value(
            "greenroom_takes_total", {"reason": "no_progress", "outcome": "failed"}
        )
        is not None
    )


def test_a_request_is_counted_and_timed():
    """By method, route template and status; seconds by route."""
    labels = {"method": "GET", "route": "/test/{id}", "status": "200"}
    before = value("http_requests_total", **labels)

    metrics.request_done("GET", "/test/{id}", 200, 0.5)
    metrics.request_done("GET", "/test/{id}", 200, 0.25)

    assert value("http_requests_total", **labels) == before + 2
    assert value("http_request_seconds_sum", route="/test/{id}") == pytest.approx(0.75)


def test_methods_that_clients_make_up_share_a_label():
    """A thousand invented methods make one series and leave nothing behind here either."""
    kept = len(metrics._requests)
    before = value("http_requests_total", method="other", route="/test", status="405")

    for number in range(1000):
        metrics.request_done(f"M{number}", "/test", 405, 0.001)

    assert value("http_requests_total", method="other", route="/test", status="405") == (
        before + 1000
    )
    assert len(metrics._requests) == kept


class Refused(Exception):
    """What our LiveKit client raises."""


@pytest.mark.parametrize("outcome", ["retryable", "refused", "unknown"])
def test_a_livekit_call_counts_what_its_caller_made_of_the_error(outcome: metrics.CallOutcome):
    """An error that nobody has sorted counts as unknown: LiveKit may have obeyed."""
    before = value("livekit_calls_total", method="ListRooms", outcome=outcome)

    def list_rooms() -> None:
        with metrics.livekit_call("ListRooms") as call:
            if outcome != "unknown":
                call.outcome = outcome
            raise Refused

    with pytest.raises(Refused):
        list_rooms()

    assert value("livekit_calls_total", method="ListRooms", outcome=outcome) == before + 1


def test_a_livekit_call_that_returns_is_ok():
    """And is timed, as every call is."""
    before = value("livekit_calls_total", method="ListRooms", outcome="ok")
    timed = value("livekit_call_seconds_count", method="ListRooms")

    with metrics.livekit_call("ListRooms"):
        pass

    assert value("livekit_calls_total", method="ListRooms", outcome="ok") == before + 1
    assert value("livekit_call_seconds_count", method="ListRooms") == timed + 1


def test_a_tick_remembers_when_it_last_ended_well():
    """A failed run counts and leaves that time alone."""
    with metrics.tick("test"):
        pass
    at = value("tick_last_success_timestamp_seconds", tick="test")

    with pytest.raises(Refused), metrics.tick("test"):
        raise Refused

    assert at == pytest.approx(time(), abs=60)
    assert value("tick_last_success_timestamp_seconds", tick="test") == at
    assert value("ticks_total", tick="test", outcome="failed") == 1
    assert value("ticks_total", tick="test", outcome="done") == 1


def test_what_is_measured_no_more_falls_to_zero():
    """A phase or queue that is empty now does not keep its last figure."""
    metrics.measured(metrics.SESSIONS, {"live": 3, "ending": 1})
    metrics.measured(metrics.QUEUE_DEPTH, {"a-queue": 7})

    metrics.measured(metrics.SESSIONS, {"live": 2})
    metrics.measured(metrics.QUEUE_DEPTH, {})
    metrics.measured(metrics.PLAYBACK_STALLED, 1)

    assert value("sessions", phase="live") == 2
    assert value("sessions", phase="ending") == 0
    assert value("queue_depth", queue="a-queue") == 0
    assert value("playback_stalled_sessions") == 1
    assert value("measured_timestamp_seconds", gauge="sessions") == pytest.approx(time(), abs=60)

"""Every collector of Greenroom, once: what is counted, in one table with a sentence each.

How to read and extend it:

* Names start with `greenroom_`; labels are small closed sets, never an id of anything.
* A label's values stand beside its collector. Counters and histograms with closed labels start at 0
  for every combination, because Prometheus cannot see the first increase of a series it never saw.
* Counters and histograms of several processes are added up. A *measured* gauge says something about
  the whole installation (from SQL, Redis or LiveKit), so any one process can measure it: call
  `measured(...)`, which also notes when; queries take it from workers whose note is fresh.
* Where a call is hot, use the child made here (`MARKS_COUNTED.inc()`) instead of `.labels(...)`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from time import monotonic, time
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

# ------------------------------------------------------------------------- the labels' values

#: What a caller may be given a job for.
JOB_KINDS = ("start", "go_live", "end")
#: done: got there. failed: cannot, the job holds the problem. superseded: a later wish overtook it.
JOB_OUTCOMES = ("done", "failed", "superseded")
#: In the order they are reached; `media` waits for the host's encoder.
STAGES = ("accepted", "queued", "room", "ingress", "answered", "media", "egress", "playable")
#: The finer truth beside a session's public status.
PHASES = (
    "scheduled",
    "provisioning",
    "open",
    "waiting_for_media",
    "live",
    "reconnecting",
    "ending",
    "ended",
    "failed",
    "expired",
)
#: Why a take was begun.
TAKE_REASONS = ("first", "source_changed", "egress_gone", "no_progress")
#: What became of its egress: `failed` never began; `barren` ended before its first segment.
TAKE_OUTCOMES = ("started", "failed", "barren")
#: What the check of a finished recording found.
VERDICTS = ("verified", "partial", "lost")
#: How a viewer watches.
VIA = ("livekit", "hls")
#: How a LiveKit call ended: obeyed; not obeyed, try again; never will be; nobody knows.
CALL_OUTCOMES = ("ok", "retryable", "refused", "unknown")
#: LiveKit's own names of the calls that Greenroom makes.
CALLS = (
    "CreateRoom",
    "ListRooms",
    "DeleteRoom",
    "ListParticipants",
    "GetParticipant",
    "RemoveParticipant",
    "UpdateParticipant",
    "MutePublishedTrack",
    "CreateIngress",
    "UpdateIngress",
    "ListIngress",
    "DeleteIngress",
    "StartEgress",
    "StartParticipantEgress",
    "ListEgress",
    "StopEgress",
)
#: Where LiveKit and SQL disagree. A ghost session is `live` here and has nothing at LiveKit.
DRIFTS = (
    "orphan_room",
    "orphan_ingress",
    "orphan_egress",
    "missing_room",
    "missing_ingress",
    "missing_egress",
    "ghost_session",
)
#: LiveKit's webhook events; `unknown` is one that could not be verified or is new.
WEBHOOKS = (
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
    "ingress_started",
    "ingress_ended",
    "egress_started",
    "egress_updated",
    "egress_ended",
    "unknown",
)
#: accepted: a hint. duplicate: seen before. ignored: not about us. rejected: not LiveKit's.
WEBHOOK_OUTCOMES = ("accepted", "duplicate", "ignored", "rejected")
#: counted: on the whiteboard. refused: forged or over the limit. lost: Redis did not take it.
MARK_OUTCOMES = ("counted", "refused", "lost")
#: Whether the API's answer cache had the answer.
CACHE_RESULTS = ("hit", "miss")
#: What storage was asked for.
STORAGE_OPERATIONS = ("read", "write", "list", "delete", "sign")
#: The two Redis databases: the doorbell, and the whiteboard of viewer marks.
REDIS_PURPOSES = ("queue", "marks")
#: The tick that looks for due sessions; each worker process runs it on its own.
SWEEP = "sweep"

# ------------------------------------------------------------------------- buckets, in seconds

#: An answer from the cache takes under a millisecond; nobody waits longer than 30 s.
_ANSWERS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: LiveKit answers in milliseconds; our patience ends at 8, 25 and 35 s.
_CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8, 15, 25, 35)
#: A room and its ingresses take tens of milliseconds; waiting for an encoder takes minutes.
_WORK = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 35, 60, 120, 300, 900)
#: Two segments of 2 s are the floor, so the scale is fine around it.
_PLAYBACK = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120, 300, 900)
#: Joining a twelve-hour show takes minutes.
_RECORDING = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


def _counter(name: str, sentence: str, **labels: tuple[str, ...]) -> Counter:
    """Declare a counter; an empty tuple stands for label values that are known only at run time."""
    counter = Counter(f"greenroom_{name}", sentence, list(labels))
    _start_at_zero(counter, labels)
    return counter


def _histogram(
    name: str, sentence: str, buckets: tuple[float, ...], **labels: tuple[str, ...]
) -> Histogram:
    histogram = Histogram(f"greenroom_{name}", sentence, list(labels), buckets=buckets)
    _start_at_zero(histogram, labels)
    return histogram


def _start_at_zero(collector: Counter | Histogram, labels: Mapping[str, tuple[str, ...]]) -> None:
    if labels:
        for values in product(*labels.values()):
            collector.labels(*values)


@dataclass(frozen=True, slots=True)
class Measured:
    """A gauge about the whole installation, with the label values that are always told."""

    name: str
    gauge: Gauge
    known: set[str]


def _measured(name: str, sentence: str, **labels: tuple[str, ...]) -> Measured:
    gauge = Gauge(
        f"greenroom_{name}",
        f"{sentence} Measured: read it where the measurement is fresh.",
        list(labels),
        multiprocess_mode="livemostrecent",
    )
    return Measured(name, gauge, {value for values in labels.values() for value in values})


# fmt: off
# ------------------------------------------------------------------------- requests
HTTP_REQUESTS = _counter(
    "http_requests_total", "Requests answered, by method, route template and status.",
    method=(), route=(), status=())
HTTP_SECONDS = _histogram(
    "http_request_seconds", "Seconds from a request's headers to its answer, by route template.",
    _ANSWERS, route=())
ANSWER_CACHE = _counter(
    "answer_cache_reads_total", "Public reads, by whether the API's answer cache had the answer.",
    result=CACHE_RESULTS)
VIEWER_MARKS = _counter(
    "viewer_marks_total", "Heartbeats of HLS viewers, by what became of them.",
    outcome=MARK_OUTCOMES)
WEBHOOKS_RECEIVED = _counter(
    "webhooks_received_total", "Webhooks received, by event and what became of them.",
    event=WEBHOOKS, outcome=WEBHOOK_OUTCOMES)

# ------------------------------------------------------------------------- jobs, messages, ticks
JOBS = _counter(
    "jobs_total", "Jobs that came to an end, by what was asked and how it ended.",
    kind=JOB_KINDS, outcome=JOB_OUTCOMES)
JOB_SECONDS = _histogram(
    "job_seconds", "Seconds from accepting a job to its end.",
    _WORK, kind=JOB_KINDS)
MESSAGES = _counter(
    "messages_total", "Queue messages processed, by actor and outcome.",
    actor=(), outcome=())
MESSAGE_SECONDS = _histogram(
    "message_seconds", "Seconds an actor worked on a message.",
    _WORK, actor=())
MESSAGE_WAIT_SECONDS = _histogram(
    "message_wait_seconds", "Seconds from ringing to the actor's first line.",
    _ANSWERS, actor=())
QUEUE_DEPTH = _measured(
    "queue_depth", "What waits: due sessions in SQL (queue `due`) and messages in Redis.",
    queue=())
QUEUE_OLDEST_AGE = _measured(
    "queue_oldest_age_seconds", "How long the oldest thing in a queue has been due.",
    queue=())
TICKS = _counter(
    "ticks_total", "Runs of the loops in EVERY (and the sweep), by outcome.",
    tick=(), outcome=())
TICK_LAST_SUCCESS = Gauge(
    "greenroom_tick_last_success_timestamp_seconds", "When a tick last ended well, in Unix time.",
    ["tick"], multiprocess_mode="livemax")
RING_FAILURES = _counter(
    "ring_failures_total", "Rings that Redis did not take; the sweep looks instead.")
LEASES_LOST = _counter(
    "leases_lost_total", "Times a worker found its session claimed by another and stopped.")

# ------------------------------------------------------------------------- shows
GO_LIVE_SECONDS = _histogram(
    "go_live_seconds", "Seconds from a request to go live until it reached this stage.",
    _WORK, stage=STAGES)
TIME_TO_PLAYBACK = _histogram(
    "time_to_playback_seconds",
    "Seconds until a player can play, since the request to go live or since the first media.",
    _PLAYBACK, since=("go_live", "media"))
SESSIONS = _measured(
    "sessions", "Sessions, by phase.",
    phase=PHASES)
PHASE_OLDEST = _measured(
    "phase_oldest_seconds", "How long the session that is longest in a phase has been in it.",
    phase=PHASES)
QUARANTINED = _measured(
    "quarantined_sessions", "Sessions that killed their worker too often and wait for a person.")
TAKES = _counter(
    "takes_total", "Takes, by why one was needed and what became of its egress.",
    reason=TAKE_REASONS, outcome=TAKE_OUTCOMES)
PLAYBACK_STALLS = _counter(
    "playback_stalls_total", "Times a show's newest segment grew too old to play on.")
PLAYBACK_STALLED = _measured(
    "playback_stalled_sessions", "Live sessions whose viewers see a frozen picture now.")
RECORDINGS = _counter(
    "recordings_total", "Recordings finished, by the verdict of their check.",
    verdict=VERDICTS)
RECORDING_FINISH_SECONDS = _histogram(
    "recording_finish_seconds", "Seconds from a show's end to its recording's verdict.",
    _RECORDING)
VIEWERS = _measured(
    "viewers", "Who watches now, over all shows.",
    via=VIA)

# ------------------------------------------------------------------------- the world outside
LIVEKIT_CALLS = _counter(
    "livekit_calls_total", "Calls to LiveKit, by method and outcome.",
    method=CALLS, outcome=CALL_OUTCOMES)
LIVEKIT_SECONDS = _histogram(
    "livekit_call_seconds", "Seconds a LiveKit call took, answered or not.",
    _CALLS, method=())
DRIFT = _measured(
    "drift", "Things that exist at LiveKit or in SQL and not in the other, asked for twice.",
    kind=DRIFTS)
REDIS_UP = Gauge(
    "greenroom_redis_up", "1 while Redis answers this part of Greenroom, else 0.",
    ["purpose"], multiprocess_mode="livemostrecent")
DATABASE_ERRORS = _counter(
    "database_errors_total", "Database calls that failed for a reason outside the statement.")
STORAGE_ERRORS = _counter(
    "storage_errors_total", "Storage calls that failed, by operation.",
    operation=STORAGE_OPERATIONS)

# ------------------------------------------------------------------------- about the telling itself
MEASURED_AT = Gauge(
    "greenroom_measured_timestamp_seconds", "When a measured gauge was last measured, Unix time.",
    ["gauge"], multiprocess_mode="livemax")
LOG_LINES_LOST = _counter(
    "log_lines_lost_total", "Log lines that could not be written (disk full, reader gone).")

# ------------------------------------------------------------------------- children for hot paths
MARKS_COUNTED = VIEWER_MARKS.labels("counted")
MARKS_REFUSED = VIEWER_MARKS.labels("refused")
MARKS_LOST = VIEWER_MARKS.labels("lost")
CACHE_HITS = ANSWER_CACHE.labels("hit")
CACHE_MISSES = ANSWER_CACHE.labels("miss")
# fmt: on

#: Methods that get a label of their own; anything a client makes up is `other`.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def message_done(actor: str, outcome: str, seconds: float, waited_seconds: float) -> None:
    """Count a processed message; `actor` is one that we declared."""
    MESSAGES.labels(actor, outcome).inc()
    MESSAGE_SECONDS.labels(actor).observe(seconds)
    MESSAGE_WAIT_SECONDS.labels(actor).observe(waited_seconds)


CallOutcome = Literal["ok", "retryable", "refused", "unknown"]


def request_done(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answered request; `route` is the template, never the path."""
    key = (method, route, status)
    if (children := _requests.get(key)) is None:
        known = method if method in _METHODS else "other"
        children = HTTP_REQUESTS.labels(known, route, str(status)), HTTP_SECONDS.labels(route)
        if known == method:
            _requests[key] = children
    children[0].inc()
    children[1].observe(seconds)


@dataclass(slots=True)
class Call:
    """A LiveKit call under way; the caller sets `outcome` once it has sorted the error."""

    outcome: CallOutcome = "unknown"


@contextmanager
def livekit_call(method: str) -> Iterator[Call]:
    """Time a LiveKit call; without an exception it is `ok`, else what the caller set."""
    call, begun = Call(), monotonic()
    try:
        yield call
        call.outcome = "ok"
    finally:
        LIVEKIT_CALLS.labels(method, call.outcome).inc()
        LIVEKIT_SECONDS.labels(method).observe(monotonic() - begun)


@contextmanager
def tick(name: str) -> Iterator[None]:
    """Count a tick's run, and remember when it last ended well."""
    outcome = "failed"
    try:
        yield
        outcome = "done"
        TICK_LAST_SUCCESS.labels(name).set_to_current_time()
    finally:
        TICKS.labels(name, outcome).inc()


def measured(what: Measured, values: Mapping[str, float] | float) -> None:
    """Write down what was just measured, by label value; values known and not named become 0."""
    if isinstance(values, Mapping):
        what.known.update(values)
        for value in what.known:
            what.gauge.labels(value).set(values.get(value, 0))
    else:
        what.gauge.set(values)
    MEASURED_AT.labels(what.name).set(time())

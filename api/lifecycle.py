"""Start, go live and end: write the wish, ring, wait a little, and answer with everything."""

import uuid
from time import monotonic
from typing import Any, Final

from aiohttp import web

from api import access, sessions
from api.problems import Problem
from api.routes import Answer, Call, Replay, Route, Who
from api.session_rows import SessionRow
from api.shapes.jobs import JobAnswer, job_document
from api.shapes.sessions import (
    INSTRUCTIONS,
    EndSessionResponse,
    EnsuredResponse,
    StartSessionResponse,
    playback_document,
)
from api.waiting import patience_of, raise_problem, wait_for
from observability.metrics import GO_LIVE_SECONDS
from orchestration import commands
from orchestration.admission import Admission
from orchestration.models import Job
from orchestration.names import room_name
from orchestration.settings import Settings
from orchestration.states import ON_AIR, JobKind, JobStatus, Wanted
from orchestration.tokens import Role, mint_livekit_token

#: Wishes after which there is nothing more to accept.
ACCEPTED: Final = frozenset({Wanted.LIVE, Wanted.ENDED})
#: Until somebody ends a show, or starts a worker.
FULL_RETRY_SECONDS: Final = 10
#: Who knows whether egress and ingress can be had.
ADMISSION: Final = web.AppKey("admission", Admission)
#: A go_live that is not there after the first wait is there a moment later, or LiveKit is away.
RETRY_SECONDS: Final = 2


async def start(call: Call) -> Answer:
    """Open the green room: the host can connect and check, the audience sees nothing."""
    job = await _wished(call, JobKind.START)
    return await _finished(call, job) or _accepted(call, job)


async def go_live(call: Call) -> Answer:
    """Go on air. Repeating it, also at the same time, gives the same answer."""
    job = await _wished(call, JobKind.GO_LIVE, in_vain=await _in_vain(call))
    return await _finished(call, job) or _accepted(call, job)


async def end(call: Call) -> Answer:
    """End the show, from whatever phase it is in."""
    job = await _wished(call, JobKind.END)
    return await _finished(call, job) or _accepted(call, job)


async def ensure_hls_egress(call: Call) -> Answer:
    """Have a worker look at the show's takes and playlist now."""
    return await _looked_at(call)


async def start_webcam_hls(call: Call) -> Answer:
    """Have a worker look at the show now: its egress starts when the host's picture is there."""
    return await _looked_at(call)


async def _in_vain(call: Call) -> Problem | None:
    """Say why going live would be in vain, if the workers' own addresses say so.

    A show that is live already, or over, is not asked about: its answer is another one.
    """
    admission = call.request.app[ADMISSION]
    if not admission.is_asked:
        return None
    async with call.resources.db.read() as tx:
        session = await access.own_session(tx, call.ids["id"], call.caller)
    if session.wanted in ACCEPTED:
        return None
    # A show by browser needs no ingress.
    refusal = await admission.refusal(needs_ingress=session.mode == "rtmp")
    if refusal is None:
        return None
    slug, seen = refusal
    return Problem(slug, f"{seen[:1].upper()}{seen[1:]}.", retry_after=FULL_RETRY_SECONDS)


async def _wished(call: Call, kind: JobKind, *, in_vain: Problem | None = None) -> Job:
    """Write the wish and its job in one transaction, ring, and wait as long as the caller wants.

    Raises `in_vain` instead of accepting a new wish; one that was accepted before stands.
    """
    session_id, began = call.ids["id"], monotonic()
    async with call.begin() as tx:
        session = await access.own_session(tx, session_id, call.caller)
        is_new = session.wanted not in ACCEPTED
        if call.key.kept_job is not None:
            job_id: uuid.UUID = call.key.kept_job
        else:
            job = await commands.wish(
                tx,
                session_id,
                kind,
                user_id=call.caller.user.id,
                request_id=call.request_id,
            )
            if in_vain is not None and is_new:
                # Only now, because what cannot be for good is said first; the wish is taken back.
                raise in_vain
            job_id = job.id
            await call.key.keep_job(tx, job_id)
    if kind is JobKind.GO_LIVE:
        GO_LIVE_SECONDS.labels("accepted").observe(monotonic() - began)
    # Without waiting there is still one reading of the row: a repeated wish may long be true.
    await call.resources.bell.ring("sessions", session_id)
    return await wait_for(job_id, call.resources, patience_of(call).seconds)


async def _finished(call: Call, job: Job) -> Answer | None:
    """Answer with everything when the job is done; None when it is not. Raises its Problem."""
    raise_problem(job)
    if job.status is not JobStatus.DONE:
        return None
    row = await sessions.read(job.session_id, call.resources)
    session = sessions.told(row, call)
    data = {"session": session} if job.kind is JobKind.END else _started(call, row, session)
    return Answer(data, headers=_applied(call))


def _started(call: Call, row: SessionRow, session: dict[str, object]) -> dict[str, Any]:
    """Say everything that is needed to broadcast; every member is there in every mode."""
    settings, secrets = call.resources.settings, call.resources.secrets
    server, key = row.session.rtmp_url, secrets.unseal(row.session.rtmp_key_sealed)
    return {
        "session": session,
        "livekit_token": mint_livekit_token(
            settings,
            role=Role.HOST,
            identity=str(row.host.id),
            name=row.host.username,
            room=room_name(settings.livekit_prefix, row.session.id),
            preset=row.session.preset,
        ),
        "rtmp": {"ingress_id": row.session.rtmp_ingress_id, "url": server, "stream_key": key},
        "rtmp_setup": {"server": server, "stream_key": key, "instructions": INSTRUCTIONS},
        "whip_url": _whip_url(row.session.whip_url, secrets.unseal(row.session.whip_key_sealed)),
        "livekit_url": livekit_url_of(settings),
    }


def _whip_url(url: str | None, key: str | None) -> str | None:
    """Put the key into the address: LiveKit takes it there, and one address is all one has."""
    if url is None or key is None or url.rstrip("/").endswith(f"/{key}"):
        return url
    return f"{url.rstrip('/')}/{key}"


def livekit_url_of(settings: Settings) -> str:
    """Say where browsers find LiveKit: a WebSocket address, whatever the API uses itself."""
    url = settings.livekit_public_url or settings.livekit_url
    scheme, _, rest = url.partition("://")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme, scheme) }://{rest}"


def _accepted(call: Call, job: Job) -> Answer:
    settings = call.resources.settings
    where = f"{settings.base_path}/jobs/{job.id}"
    return Answer(
        {"job": job_document(job)},
        status=202,
        headers={"Location": where, "Retry-After": str(RETRY_SECONDS), **_applied(call)},
    )


def _applied(call: Call) -> dict[str, str]:
    applied = patience_of(call).applied
    return {} if applied is None else {"Preference-Applied": applied}


async def _looked_at(call: Call) -> Answer:
    session_id = call.ids["id"]
    async with call.begin() as tx:
        session = await access.own_session(tx, session_id, call.caller)
        if session.phase not in ON_AIR:
            raise Problem("session-not-live")
        await commands.nudge(tx, session_id)
    await call.resources.bell.ring("sessions", session_id)
    row = await sessions.read(session_id, call.resources)
    return Answer(
        {"session": sessions.told(row, call), "playback": playback_document(row.playback)}
    )


_WISH: Final = ("session-not-found", "insufficient-scope", "job-superseded", "session-quarantined")
_LIVEKIT: Final = (
    "livekit-key-refused",
    "livekit-refused",
    "livekit-unreachable",
    "livekit-unavailable",
    "livekit-no-answer",
)
#: What is said only when the settings name somebody who says so.
_IN_VAIN: Final = ("egress-full", "egress-absent", "ingress-full", "ingress-absent")
_OVER: Final = ("session-ended", "session-expired")
_ASYNC: Final = (
    "Answers 200 with everything, or 202 with the job and its Location when the wait is over: "
    "`Prefer: wait=N` seconds (10 by default), or `respond-async`. A repeated Idempotency-Key "
    "attaches to the same job."
)

# fmt: off
ROUTES: Final = (
    Route("POST", "/sessions/{id}/start", start, Who.HOST, "Open the green room",
          answer=StartSessionResponse, also={202: JobAnswer}, replay=Replay.JOB, tag="lifecycle",
          problems=(*_WISH, *_LIVEKIT, *_OVER, "room-already-live"), description=_ASYNC),
    Route("POST", "/sessions/{id}/go_live", go_live, Who.HOST, "Go live",
          answer=StartSessionResponse, also={202: JobAnswer}, replay=Replay.JOB, tag="lifecycle",
          problems=(*_WISH, *_LIVEKIT, *_OVER, *_IN_VAIN, "room-already-live"),
          description=_ASYNC),
    Route("POST", "/sessions/{id}/end", end, Who.HOST, "End the show",
          answer=EndSessionResponse, also={202: JobAnswer}, replay=Replay.JOB, tag="lifecycle",
          problems=(*_WISH, "session-expired"), description=_ASYNC),
    Route("POST", "/sessions/{id}/ensure_hls_egress", ensure_hls_egress, Who.HOST,
          "Look at the show's HLS now", answer=EnsuredResponse, replay=Replay.HARMLESS,
          tag="lifecycle", problems=("session-not-found", "insufficient-scope",
                                     "session-not-live")),
    Route("POST", "/sessions/{id}/start_webcam_hls", start_webcam_hls, Who.HOST,
          "Look at the webcam's HLS now", answer=EnsuredResponse, replay=Replay.HARMLESS,
          tag="lifecycle", problems=("session-not-found", "insufficient-scope",
                                     "session-not-live")),
)
# fmt: on

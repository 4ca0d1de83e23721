"""The host's side of the small Greenroom: what the studio page asks for, directed by tests."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.browser import studio as studios
from tests.browser.broadcast import Broadcast
from tests.browser.studio import PAGES, Studio, in_seconds, is_id, problem

HERE = Path(__file__).parent
#: As strict as the API's; LiveKit would be spoken to by WebSocket.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob: https: http:; media-src 'self' blob: https: http:; "
    "connect-src 'self' https: http: wss: ws:; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
TOKEN, OLD_TOKEN, HELPER = "a-host-token", "an-old-token", "a-helpers-token"
EMAIL, PASSWORD = "maya@example.com", "correct horse battery staple"
KEY = "sk-8c1d4e7a9b2f"
WHIP = "https://ingress.example/w/wk-5f0a7c3e1d9b"
OPEN = {"open", "waiting_for_media", "live", "reconnecting"}


@dataclass
class Desk:
    """What the API knows of one show for its host; a test changes it, and the page follows."""

    studio: Studio
    health: dict[str, Any]
    recording: dict[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    #: Requests that change something: method, path, Idempotency-Key.
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    #: What the next go_live, start or end is refused with: status, slug, detail.
    refusal: tuple[int, str, str] | None = None
    #: go_live and end answer 202: the state follows when the test says so.
    is_slow: bool = False
    #: Requests get no answer at all, as when nothing listens.
    is_cut: bool = False
    #: Access tokens that are good; a login or a refresh adds one.
    tokens: set[str] = field(default_factory=lambda: {TOKEN, HELPER})
    refreshed: int = 0
    preflight: list[dict[str, Any]] = field(default_factory=list)
    #: From where each stream began.
    heard_from: list[int] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def page(self) -> str:
        """Address of the studio page."""
        return f"{self.studio.url}/studio/{self.studio.session['id']}"

    @property
    def mine(self) -> str:
        """The page's address with a host's token in it."""
        return f"{self.page}#token={TOKEN}"

    def tell(self, **changes: Any) -> None:
        """Change the session: the page hears of it."""
        before = self.studio.session["phase"]
        self.studio.tell(**changes)
        phase = self.studio.session["phase"]
        self.health["phase"] = phase
        if phase != before:
            status = self.studio.session["status"]
            self.happen("session.phase", before=before, after=phase, status=status)
        self._ring()

    def happen(self, kind: str, **facts: Any) -> None:
        """Add an event to the timeline."""
        told = {"seq": len(self.events) + 1, "kind": kind, "at": in_seconds(0), "facts": facts}
        self.events.append({**told, "request_id": None, "job_id": None})
        self._ring()

    def arrive(self, via: str = "rtmp", **facts: Any) -> None:
        """Let a picture arrive; further facts are the program's."""
        host = self.studio.session["room"]["host"]["id"]
        identity = host if via == "browser" else f"{host}#{via}"
        self.health |= {
            "health": "good",
            "notes": [],
            "source": identity,
            "source_lost_at": None,
            "program": {**NO_PROGRAM, "identity": identity, "via": via, **facts},
        }
        self.happen("media.arrived", source=identity)

    def lose(self) -> None:
        """Lose the picture."""
        drops = self.health["program"]["drops"] + 1
        self.health |= {
            "health": "lost",
            "source": None,
            "source_lost_at": in_seconds(0),
            "program": {**NO_PROGRAM, "drops": drops},
        }
        self.happen("media.lost")

    def note(self, **health: Any) -> None:
        """Change the stream's health."""
        self.health |= health
        self._ring()

    def record(self, status: str, **facts: Any) -> None:
        """Change the recording."""
        self.recording = {
            "id": str(uuid.uuid4()),
            "verdict": None,
            "verdict_reason": None,
            "duration": None,
            "file_size": None,
            "sha256": None,
            **(self.recording or {}),
            "status": status,
            **facts,
        }
        self._ring()

    def go_away(self) -> None:
        """Let the API answer nobody any more, and cut whoever listens."""
        self.studio.is_down = True
        self._ring()

    def come_back(self) -> None:
        self.studio.is_down = False

    def may(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    async def change(self, seconds: float) -> None:
        """Wait until something changes, at most so long."""
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


NO_PROGRAM: dict[str, Any] = {
    "identity": None,
    "via": None,
    "width": None,
    "height": None,
    "frames_per_second": None,
    "video_bits_per_second": None,
    "audio_bits_per_second": None,
    "drops": 0,
}


@asynccontextmanager
async def running(broadcast: Broadcast) -> AsyncIterator[Desk]:
    """Serve a studio with its host's side for the length of a block."""
    desks: list[Desk] = []

    def add(application: web.Application, studio: Studio) -> None:
        desks.append(Desk(studio, _health(studio)))
        _add(application, desks[0])

    async with studios.running(broadcast, add=add):
        desks[0].happen("session.created", title=desks[0].studio.session["title"])
        yield desks[0]


def _add(application: web.Application, desk: Desk) -> None:
    router = application.router
    router.add_get("/studio/{id}", _page)
    # No LiveKit runs here: a client of the same shape plays it.
    router.add_get("/static/vendor/livekit-client/livekit-client.umd.js", _livekit_client)
    router.add_post("/auth/login", partial(_log_in, desk))
    router.add_post("/auth/refresh", partial(_refresh, desk))
    router.add_post("/auth/logout", partial(_log_out, desk))
    router.add_get("/sessions/{id}/events/stream", partial(_stream, desk))
    router.add_get("/sessions/{id}/preflight", partial(_preflight, desk))
    for verb in ("start", "go_live", "end"):
        router.add_post(f"/sessions/{{id}}/{verb}", partial(_wish, desk))


async def _page(request: web.Request) -> web.StreamResponse:
    name = "studio.html" if is_id(request.match_info["id"]) else "not_found.html"
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return web.FileResponse(PAGES / name, headers=headers)


async def _livekit_client(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(HERE / "livekit_client.js")


async def _log_in(desk: Desk, request: web.Request) -> web.Response:
    if desk.studio.is_down:
        return problem(503, "service-unavailable")
    said = await request.json()
    if (said["email"], said["password"]) != (EMAIL, PASSWORD):
        return problem(401, "invalid-credentials", "E-mail and password do not belong together.")
    return _tokens(desk)


async def _refresh(desk: Desk, request: web.Request) -> web.Response:
    if (await request.json())["refresh_token"] != f"refresh-{desk.refreshed}":
        return problem(401, "token-reused")
    desk.refreshed += 1
    return _tokens(desk)


async def _log_out(desk: Desk, request: web.Request) -> web.Response:
    await request.json()
    desk.asked.append(("POST", "/auth/logout", None))
    return _answer(None)


def _tokens(desk: Desk) -> web.Response:
    access = f"access-{desk.refreshed}"
    desk.tokens.add(access)
    return _answer(
        {"user": {}, "access_token": access, "refresh_token": f"refresh-{desk.refreshed}"}
    )


async def _stream(desk: Desk, request: web.Request) -> web.StreamResponse:
    if refused := _refused(desk, request):
        return refused
    after = int(request.headers.get("Last-Event-ID") or request.query.get("after", 0))
    desk.heard_from.append(after)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    with suppress(ConnectionError):
        await _tell(desk, request, response, after)
    if request.transport is not None and desk.studio.is_down:
        request.transport.abort()
    return response


async def _tell(desk: Desk, request: web.Request, response: web.StreamResponse, after: int) -> None:
    told = ""
    while not desk.studio.is_down and desk.may(request):
        for event in desk.events[after:]:
            text = json.dumps(event)
            await response.write(f"id: {event['seq']}\nevent: timeline\ndata: {text}\n\n".encode())
        after = len(desk.events)
        state = json.dumps(
            {"session": desk.studio.session, "health": desk.health, "recording": desk.recording}
        )
        if state != told:
            # Cut in two where nobody expects it: a reader puts it together again.
            wire = f"event: state\ndata: {state}\n\n".encode()
            await response.write(wire[: len(wire) // 2])
            await response.write(wire[len(wire) // 2 :])
            told = state
        await desk.change(seconds=1)


async def _preflight(desk: Desk, request: web.Request) -> web.Response:
    if refused := _refused(desk, request):
        return refused
    oks = [check["ok"] for check in desk.preflight]
    ok = False if False in oks else None if None in oks else True
    return _answer({"ok": ok, "checks": desk.preflight, "seconds": 0.1})


async def _wish(desk: Desk, request: web.Request) -> web.Response:
    verb = request.path.rpartition("/")[2]
    if refused := _refused(desk, request):
        return refused
    if request.headers["Authorization"].endswith(HELPER):
        return problem(403, "insufficient-scope", "Only its host may do this.")
    phase = desk.studio.session["phase"]
    if verb != "start" or phase not in OPEN:
        desk.asked.append(("POST", verb, request.headers.get("Idempotency-Key")))
        if desk.refusal is not None:
            return problem(*desk.refusal)
        if desk.is_slow:
            return _answer({"job": {"id": str(uuid.uuid4()), "status": "pending"}}, status=202)
        _obey(desk, verb)
    session = {"session": desk.studio.session}
    return _answer(session if verb == "end" else {**session, **_credentials(desk)})


def _obey(desk: Desk, verb: str) -> None:
    match verb:
        case "start":
            desk.tell(phase="open")
        case "go_live":
            desk.tell(phase="waiting_for_media", started_at=in_seconds(0))
        case _:
            was_on_air = desk.studio.session["status"] == "live"
            desk.tell(phase="ending")
            desk.tell(phase="ended", ended_at=in_seconds(0), duration=95 if was_on_air else 0)


def _credentials(desk: Desk) -> dict[str, Any]:
    url = "rtmp://ingress.example/live"
    steps = {"step1": "Open Settings.", "step2": "Copy both.", "step3": "Start streaming."}
    return {
        "livekit_token": "a-livekit-token",
        "livekit_url": "ws://livekit.example",
        "rtmp": {"ingress_id": "IN_1", "url": url, "stream_key": KEY},
        "rtmp_setup": {"server": url, "stream_key": KEY, "instructions": steps},
        "whip_url": WHIP,
    }


def _refused(desk: Desk, request: web.Request) -> web.Response | None:
    if desk.is_cut and request.transport is not None:
        request.transport.abort()
    if desk.studio.is_down:
        return problem(503, "service-unavailable")
    if not desk.may(request):
        slug = "token-expired" if OLD_TOKEN in str(request.headers) else "invalid-token"
        return problem(401, slug, "The token was not made for this API.")
    if desk.studio.is_deleted:
        return problem(404, "session-not-found")
    return None


def _answer(data: Any, *, status: int = 200) -> web.Response:
    return web.json_response({"success": True, "data": data, "timestamp": 0}, status=status)


def _health(studio: Studio) -> dict[str, Any]:
    return {
        "session_id": studio.session["id"],
        "phase": "scheduled",
        "health": "off",
        "notes": [],
        "program": dict(NO_PROGRAM),
        "output": {"newest_segment_at": None, "age_seconds": None, "bits_per_second": None},
        "livekit": {"answers": True, "error": None},
        "ingress": [],
        "publishers": [],
        "source": None,
        "source_lost_at": None,
        "media_at": None,
        "take": None,
        "playback": studio.session["playback"],
    }

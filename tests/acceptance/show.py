"""One show as its host sees it: announce, go live, look, wait, end, report."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.caller import Answer, Caller
from tests.system.waits import until

#: Patience for what needs segments: two of 2 s on an idle machine, and two cores for everything.
MEDIA_SECONDS = 120.0
#: Between two looks at a session: often enough to see every phase, seldom enough to cost nothing.
LOOK_SECONDS = 0.2


@dataclass
class Show:
    """A session, its host, and what going live told the host."""

    host: Caller
    id: str
    created: dict[str, Any]  #: CreateSessionResponse
    live: dict[str, Any] = field(default_factory=dict)  #: StartSessionResponse, once it is live

    @property
    def room(self) -> str:
        """Name the show's room at LiveKit."""
        return f"greenroom-{self.id}"

    async def ask(self, verb: str, **options: Any) -> Answer:
        """Post one of start, go_live, end; the answer may be a problem."""
        return await self.host.ask("POST", f"/sessions/{self.id}/{verb}", **options)

    async def go_live(self, **options: Any) -> dict[str, Any]:
        """Go live; when the answer is a job, follow it, and ask again."""
        self.live = await self._done("go_live", **options)
        return self.live

    async def end(self, **options: Any) -> dict[str, Any]:
        """End the show, and wait until it is over."""
        await self._done("end", **options)
        return await self.becomes("ended")

    async def session(self) -> dict[str, Any]:
        told: dict[str, Any] = await self.host.get(f"/sessions/{self.id}")
        return told

    async def becomes(self, *phases: str, within: float = MEDIA_SECONDS) -> dict[str, Any]:
        """Wait for a phase; the session then."""

        async def there() -> dict[str, Any] | None:
            session = await self.session()
            return session if session["phase"] in phases else None

        return await until(
            there, what=f"phase {' or '.join(phases)}", within=within, every=LOOK_SECONDS
        )

    async def plays(self, state: str = "ready", within: float = MEDIA_SECONDS) -> dict[str, Any]:
        """Wait for a state of playback; the session then."""

        async def there() -> dict[str, Any] | None:
            session = await self.session()
            return session if session["playback"]["state"] == state else None

        return await until(there, what=f"playback {state}", within=within, every=LOOK_SECONDS)

    async def grows(self, segments: int, within: float = MEDIA_SECONDS) -> None:
        """Wait until so many more segments are published."""
        before = (await self.session())["playback"]["segments"]

        async def more() -> bool:
            now: int = (await self.session())["playback"]["segments"]
            return now >= before + segments

        await until(more, what=f"{segments} more segments", within=within, every=LOOK_SECONDS)

    async def events(self) -> list[dict[str, Any]]:
        """Read the whole timeline."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = await self.host.get(f"/sessions/{self.id}/events?after={after}&limit=500")
            found += page["events"]
            if page["next_after"] == after or not page["events"]:
                return found
            after = page["next_after"]

    async def kinds(self) -> list[str]:
        """Name what happened, in order."""
        return [event["kind"] for event in await self.events()]

    async def report(self) -> dict[str, Any]:
        told: dict[str, Any] = await self.host.get(f"/sessions/{self.id}/report")
        return told

    async def recording(
        self, within: float = MEDIA_SECONDS, *, every: float = 0.3
    ) -> dict[str, Any]:
        """Wait for the recording's verdict; the recording."""

        async def judged() -> dict[str, Any] | None:
            listed = await self.host.get(f"/sessions/{self.id}/recordings")
            found = [one for one in listed["recordings"] if one["verdict"] is not None]
            return found[0] if found else None

        return await until(judged, what="the recording's verdict", within=within, every=every)

    async def _done(self, verb: str, **options: Any) -> dict[str, Any]:
        """Ask until the answer is whole: a 202 is followed by its job."""
        while True:
            answer = (await self.ask(verb, **options)).expect(200, 202)
            if answer.status == 200:
                told: dict[str, Any] = answer.data
                return told
            assert answer.headers["Location"].endswith(answer.data["job"]["id"])
            await job_ends(self.host, answer.data["job"]["id"], "done")


async def job_ends(host: Caller, job_id: str, *outcomes: str) -> dict[str, Any]:
    """Wait until a job has come to its end; the job. Raises AssertionError for another outcome."""

    async def over() -> dict[str, Any] | None:
        job: dict[str, Any] = await host.get(f"/jobs/{job_id}")
        return job if job["status"] != "pending" else None

    job = await until(over, what=f"job {job_id}", within=MEDIA_SECONDS, every=LOOK_SECONDS)
    assert job["status"] in outcomes, job
    return job


async def announce(
    host: Caller, *, room: str | None = None, until_keyed: bool = False, **terms: Any
) -> Show:
    """Announce a show, in a room of its own unless one is named.

    An announcement is answered within three seconds, with the RTMP key or without it; `until_keyed`
    says it again by the same Idempotency-Key until the worker has made the key.
    """
    if room is None:
        made = await host.post("/rooms", {"title": "The room of one show"})
        room = made["room"]["id"]
    preset = await host.post(
        "/presets", {"name": "Plain", "type": "rtmp", "primary_color": "#1f6f54"}
    )
    wish = {"title": "One show", "preset_id": preset["preset"]["id"], **terms}
    key = str(uuid.uuid4())

    async def said() -> dict[str, Any]:
        told: dict[str, Any] = await host.post(f"/rooms/{room}/sessions", wish, key=key)
        return told

    async def keyed() -> dict[str, Any] | None:
        told = await said()
        return told if told["stream_key"] else None

    created = await (until(keyed, what="the key", every=LOOK_SECONDS) if until_keyed else said())
    return Show(host, created["session"]["id"], created)

"""Webhooks: queued by resource, signed, retried, and at last given up, as livekit-server does."""

import asyncio
import base64
import hashlib
import json
import time
from collections import deque
from dataclasses import dataclass, field

import aiohttp
import jwt
import structlog
from google.protobuf import json_format
from livekit.protocol.egress import EgressInfo
from livekit.protocol.ingress import IngressInfo
from livekit.protocol.models import ParticipantInfo, Room, TrackInfo
from livekit.protocol.webhook import WebhookEvent

from deploy.standin.faults import Faults, Kind
from deploy.standin.ids import guid, now_s

log = structlog.get_logger("standin.webhooks")

#: livekit-server's `resource_url_notifier.max_age`: older events are dropped from the queue.
MAX_AGE_SECONDS = 30.0

#: livekit-server's `resource_url_notifier.max_depth`.
MAX_DEPTH = 200

#: go-retryablehttp's default: four more tries after the first.
RETRIES = 4

#: go-retryablehttp's default ceiling of one wait.
RETRY_SECONDS_MAX = 30.0

#: How long the signature of one delivery is good for.
TOKEN_SECONDS = 300

TOO_MANY_REQUESTS = 429
NOT_IMPLEMENTED = 501
SERVER_ERROR = 500


@dataclass(slots=True)
class Letter:
    """One event on its way to one URL."""

    event: str
    body: bytes
    signing_key: str
    queued_at: float = field(default_factory=time.monotonic)


class Queue:
    """The letters of one resource to one URL: strictly one after the other."""

    def __init__(self, url: str, post: "Post") -> None:
        self.url = url
        self._post = post
        self._letters: deque[Letter] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, letter: Letter) -> None:
        if len(self._letters) >= MAX_DEPTH:
            log.warning("webhook_dropped", reason="max_depth", event_name=letter.event)
            return
        self._letters.append(letter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        while self._letters:
            letter = self._letters.popleft()
            if time.monotonic() - letter.queued_at > MAX_AGE_SECONDS:
                log.warning("webhook_dropped", reason="max_age", event_name=letter.event)
                continue
            await self._post.deliver(self.url, letter)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Post:
    """The HTTP side: one try after another until an answer counts as final."""

    def __init__(self, *, keys: dict[str, str], retry_seconds: float) -> None:
        self._keys = keys
        self._retry_seconds = retry_seconds
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, url: str, letter: Letter) -> None:
        """Send until it is answered; 429 and 5xx (not 501) are asked again, all else is final."""
        for attempt in range(RETRIES + 1):
            if attempt:
                wait = min(self._retry_seconds * 2 ** (attempt - 1), RETRY_SECONDS_MAX)
                await asyncio.sleep(wait)
            status = await self._try(url, letter)
            if status is not None and not is_retried(status):
                log.info("webhook_sent", event_name=letter.event, status=status, attempt=attempt)
                return
        log.warning("webhook_dropped", reason="retries", event_name=letter.event)

    async def _try(self, url: str, letter: Letter) -> int | None:
        if self._session is None:
            # The real notifier has no time-out: a receiver that hangs blocks its queue.
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        headers = {
            "Content-Type": "application/webhook+json",
            "Authorization": sign(letter.body, letter.signing_key, self._keys),
        }
        try:
            async with self._session.post(url, data=letter.body, headers=headers) as response:
                await response.read()
                return response.status
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Webhooks:
    """The notifier: one FIFO queue per URL and resource."""

    def __init__(
        self,
        urls: tuple[str, ...],
        *,
        api_key: str,
        keys: dict[str, str],
        faults: Faults,
        retry_seconds: float,
    ) -> None:
        self.urls = list(urls)
        self._api_key = api_key
        self._faults = faults
        self._post = Post(keys=keys, retry_seconds=retry_seconds)
        self._queues: dict[tuple[str, str], Queue] = {}
        self._late: set[asyncio.Task[None]] = set()
        #: Every event that happened, sent or not: name and id, for tests to look at.
        self.happened: deque[dict[str, str]] = deque(maxlen=10_000)

    def room(self, event: str, room: Room) -> None:
        self._emit(WebhookEvent(event=event, room=room), key=room.name)

    def participant(self, event: str, room: Room, participant: ParticipantInfo) -> None:
        self._emit(WebhookEvent(event=event, room=room, participant=participant), key=room.name)

    def track(self, event: str, room: Room, participant: ParticipantInfo, track: TrackInfo) -> None:
        """Tell about a track; only names and ids of its room and participant are sent."""
        self._emit(
            WebhookEvent(
                event=event,
                room=Room(sid=room.sid, name=room.name),
                participant=ParticipantInfo(sid=participant.sid, identity=participant.identity),
                track=track,
            ),
            key=room.name,
        )

    def ingress(self, event: str, info: IngressInfo) -> None:
        self._emit(WebhookEvent(event=event, ingress_info=info), key=info.ingress_id)

    def egress(self, event: str, info: EgressInfo, extra: list[tuple[str, str]]) -> None:
        """Tell about an egress; `extra` are the request's own (URL, signing key)."""
        self._emit(WebhookEvent(event=event, egress_info=info), key=info.egress_id, extra=extra)

    def _emit(
        self, event: WebhookEvent, *, key: str, extra: list[tuple[str, str]] | None = None
    ) -> None:
        event.id = guid("EV_")
        event.created_at = now_s()
        name = event.event
        self.happened.append({"event": name, "id": event.id, "key": key})
        body = json.dumps(json_format.MessageToDict(event), separators=(",", ":")).encode()
        if self._faults.strike(Kind.WEBHOOKS_DROPPED, event=name) is not None:
            return
        twice = self._faults.strike(Kind.WEBHOOKS_DUPLICATED, event=name)
        late = self._faults.strike(Kind.WEBHOOKS_DELAYED, event=name)
        targets = [(url, self._api_key) for url in self.urls] + (extra or [])
        for url, signing_key in targets * (1 if twice is None else twice.copies):
            letter = Letter(name, body, signing_key)
            if late is None:
                self._enqueue(url, key, letter)
            else:
                self._enqueue_late(url, key, letter, late.delay_seconds or 0.0)

    def _enqueue(self, url: str, key: str, letter: Letter) -> None:
        queue = self._queues.get((url, key))
        if queue is None:
            queue = self._queues[url, key] = Queue(url, self._post)
        queue.put(letter)

    def _enqueue_late(self, url: str, key: str, letter: Letter, seconds: float) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            letter.queued_at = time.monotonic()
            self._enqueue(url, key, letter)

        task = asyncio.create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def close(self) -> None:
        """Stop; what is queued is lost, as it is when livekit-server stops."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        for queue in self._queues.values():
            await queue.close()
        await self._post.close()


def is_retried(status: int) -> bool:
    if status == TOO_MANY_REQUESTS:
        return True
    return status >= SERVER_ERROR and status != NOT_IMPLEMENTED


def sign(body: bytes, signing_key: str, keys: dict[str, str]) -> str:
    """Make the Authorization value of a delivery: a bare JWT, no `Bearer`."""
    now = now_s()
    claims = {
        "iss": signing_key,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }
    return jwt.encode(claims, keys[signing_key], algorithm="HS256")

"""Everything the stand-in can be told when it starts."""

from dataclasses import dataclass

#: LiveKit's own `--dev` mode uses this pair; the secret is long enough for PyJWT not to warn.
DEV_API_KEY = "devkey"
DEV_API_SECRET = "devsecret-devsecret-devsecret-devsecret"  # noqa: S105 - a published example

#: How long LiveKit keeps a room that nobody has joined yet, unless it was told otherwise.
EMPTY_TIMEOUT_SECONDS = 300

#: How long LiveKit keeps a room after the last participant left, unless it was told otherwise.
DEPARTURE_TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """Addresses, keys and patience of one stand-in. Port 0 means: any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    rtmp_port: int = 0
    control_port: int = 0
    api_key: str = DEV_API_KEY
    api_secret: str = DEV_API_SECRET
    webhook_urls: tuple[str, ...] = ()
    rtmp_base_url: str | None = None
    whip_base_url: str | None = None
    ffmpeg: str | None = None
    empty_timeout_seconds: int = EMPTY_TIMEOUT_SECONDS
    departure_timeout_seconds: int = DEPARTURE_TIMEOUT_SECONDS
    #: The real egress gives up after 30 s without its participant.
    source_wait_seconds: float = 30.0
    #: The real notifier waits 1 s, then 2, 4 and 8; tests may shorten the first.
    webhook_retry_seconds: float = 1.0

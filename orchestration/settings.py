"""Every setting, its default and its reason; the only file that reads the environment."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

#: Where a machine with nothing set up keeps its database, media and local secret.
HOME: Final = Path(".greenroom")


def _named(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


def _parted(value: object) -> object:
    """Read a list as people write one into an environment variable."""
    if not isinstance(value, str):
        return value
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


def _rooted(value: object) -> object:
    """Let a path begin with a slash and end without one, however it was written."""
    if not isinstance(value, str):
        return value
    path = value.strip().strip("/")
    return f"/{path}" if path else ""


#: Several words or addresses, separated by commas.
Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)]


class Settings(BaseSettings):
    """What an operator may turn; `greenroom doctor --settings` prints this table."""

    model_config = SettingsConfigDict(
        env_prefix="GREENROOM_", frozen=True, extra="ignore", populate_by_name=True
    )

    # Where things are
    database_url: str = Field(
        f"sqlite:///{HOME}/greenroom.db",
        description="The ledger: sqlite:///path or postgresql://user:password@host/name.",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Doorbell and whiteboard: queue in this database, viewer marks in the next.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000",
        description="How browsers and hosts reach this API; links are made from it.",
    )
    media_url: str = Field(
        f"file://{HOME.absolute()}/media",
        description="Where segments and recordings live: file:///path, s3://bucket/prefix, "
        "gs://... or az://...",
    )
    hls_url: str | None = Field(
        None,
        description="Public address of <media>/hls when a bucket or CDN serves it; "
        "by default the API does, at <public url><base path>/hls.",
    )
    egress_media_path: str | None = Field(
        None,
        description="The local media folder as the egress sees it, when it is mounted elsewhere "
        "there; by default the same path.",
    )
    work_path: str = Field(
        f"{HOME}/work",
        description="Where recordings are joined: room for the longest show, twice that with S3.",
    )
    s3_endpoint: str | None = Field(None, description="An S3-speaking server other than AWS.")
    s3_region: str = Field("us-east-1", description="The bucket's region.")
    s3_access_key: str | None = Field(None, description="Key id for the bucket.")
    s3_secret_key: SecretStr | None = Field(None, description="Secret for the bucket.")
    s3_force_path_style: bool = Field(
        True, description="Bucket in the path, not the host name: what most S3 servers need."
    )
    base_path: Annotated[str, BeforeValidator(_rooted)] = Field(
        "",
        description="Prefix of every API path, e.g. /v1/webinar.",
    )
    api_host: str = Field("127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 is any.")
    metrics_host: str = Field("127.0.0.1", description="Address the workers' metrics listen on.")
    metrics_port: int = Field(
        9101, ge=0, le=65535, description="Port of the workers' metrics; 0 switches them off."
    )

    # LiveKit
    livekit_url: str = Field(
        "ws://127.0.0.1:7880",
        validation_alias=_named("LIVEKIT_URL"),
        description="The LiveKit server (ws, wss, http or https).",
    )
    livekit_public_url: str | None = Field(
        None,
        description="LiveKit as browsers reach it, when that differs from LIVEKIT_URL.",
    )
    livekit_api_key: str = Field(
        "devkey", validation_alias=_named("LIVEKIT_API_KEY"), description="LiveKit API key."
    )
    livekit_api_secret: SecretStr = Field(
        SecretStr("secret-of-a-stand-in-that-is-not-one"),
        validation_alias=_named("LIVEKIT_API_SECRET"),
        description="LiveKit API secret.",
    )
    livekit_prefix: str = Field(
        "greenroom-",
        description="Names at LiveKit start with this, so that several systems can share one.",
    )
    ingress_health_url: Listed = Field(
        (),
        description="Health addresses of LiveKit's ingress (one with /availability also tells "
        "that it is full), separated by commas. When all say no, go_live of an encoder's show is "
        "answered 503.",
    )
    egress_health_url: Listed = Field(
        (),
        description="Health addresses of LiveKit's egress, separated by commas. When all say no, "
        "go_live is answered 503.",
    )
    egress_metrics_url: Listed = Field(
        (),
        description="Prometheus addresses of LiveKit's egress, separated by commas. When all say "
        "that they can take no more, go_live is answered 503.",
    )

    # Who may come in
    jwt_secret: SecretStr | None = Field(
        None,
        description="Signs our tokens, marks and links and seals stream keys; with SQLite it is "
        "made once beside the database, with PostgreSQL it must be set.",
    )
    jwks_url: str | None = Field(
        None, description="Accept RS256/ES256 tokens of the issuer that publishes these keys."
    )
    jwt_issuer: str = Field("greenroom", description="`iss` of the tokens we mint and accept.")
    jwt_audience: str = Field("greenroom", description="`aud` of the tokens we mint and accept.")
    jwks_issuer: str | None = Field(None, description="`iss` demanded of JWKS tokens.")
    jwks_audience: str | None = Field(None, description="`aud` demanded of JWKS tokens.")
    access_token_seconds: int = Field(900, description="Short, because it cannot be revoked.")
    refresh_token_seconds: int = Field(30 * 86_400, description="A month without a login.")
    livekit_token_seconds: int = Field(
        6 * 3600, description="The host's: who has joined keeps its place; this bounds joining."
    )
    cors_origins: Listed = Field(
        (), description="Origins that may call the API from a browser, separated by commas."
    )
    rate_limit_per_second: int = Field(
        100, description="Requests a second one caller (user or address) may make."
    )
    event_streams_max: int = Field(
        200, ge=0, description="Event streams (studio pages) one API process keeps open."
    )
    trust_forwarded_for: bool = Field(
        False, description="Believe X-Forwarded-For: only behind a proxy of yours."
    )

    # The life of a session; presets and sessions may say otherwise
    reconnect_window_seconds: int = Field(
        60, ge=0, le=1800, description="An encoder drop shorter than this is not the end."
    )
    no_media_seconds: int = Field(900, ge=1, description="A live show nobody sends to ends.")
    max_duration_seconds: int = Field(12 * 3600, ge=1, description="The longest show.")
    green_room_seconds: int = Field(7200, ge=1, description="An opened green room never used.")
    expires_after_seconds: int = Field(
        24 * 3600, ge=1, description="A scheduled show expires this long after its time."
    )
    window_seconds: int = Field(60, ge=0, description="Length of the live playlist; 0 is all.")
    segment_seconds: int = Field(2, ge=1, le=10, description="Length of a segment.")
    target_seconds: int = Field(4, ge=1, le=20, description="EXT-X-TARGETDURATION of every show.")

    # Patience
    wait_seconds: float = Field(10, ge=0, description="How long go_live and end wait by default.")
    livekit_seconds: float = Field(8, gt=0, description="One call to LiveKit.")
    livekit_start_egress_seconds: float = Field(
        35, gt=0, description="StartEgress answers late, not never (no worker: about 23 s)."
    )
    livekit_stop_seconds: float = Field(25, gt=0, description="StopEgress, DeleteIngress.")
    drain_seconds: float = Field(
        0,
        ge=0,
        description="How long the API still serves when told to end, with /readyz at 503: as long "
        "as a load balancer needs to see it.",
    )
    lease_seconds: float = Field(60, gt=1, description="How long a silent worker keeps a show.")
    go_live_patience_seconds: int = Field(
        600, description="How long an unreachable LiveKit is asked again before go_live fails."
    )
    end_patience_seconds: int = Field(
        30, description="How long an end waits for its parts before they are recorded as abandoned."
    )
    sweep_seconds: float = Field(1.0, gt=0, description="How often due shows are looked for.")
    observe_seconds: float = Field(
        5.0, gt=0, description="How often a live show is compared with what LiveKit lists."
    )
    attempts_max: int = Field(
        5, ge=1, description="Claims that kill their worker, until quarantine."
    )
    look_backoff_seconds_max: float = Field(30, gt=0, description="Longest pause between retries.")

    # Bounds
    database_pool_size: int = Field(10, ge=1, description="Connections of one process.")
    worker_threads: int = Field(32, ge=1, description="Messages one worker process has in hand.")
    worker_processes: int = Field(1, ge=1, description="Worker processes of `greenroom worker`.")
    body_bytes_max: int = Field(65_536, ge=1, description="Largest request body.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    # The demo
    demo_seconds: float | None = Field(
        None, description="The demo's show ends by itself after so long; by default at Ctrl-C."
    )
    demo_livekit: Literal["standin", "real"] = Field(
        "standin",
        description="The demo's LiveKit: a stand-in, or the real one, which is built once "
        "(`make demo LIVEKIT=real`).",
    )
    demo_folder: str | None = Field(
        None, description="Where the demo's logs, database and media stay; by default nowhere."
    )

    @field_validator("target_seconds")
    @classmethod
    def _holds_a_segment(cls, target_seconds: int, known: ValidationInfo) -> int:
        """Refuse a target that no segment fits: players refuse such a playlist."""
        if target_seconds < known.data.get("segment_seconds", 0):
            raise ValueError("must not be less than GREENROOM_SEGMENT_SECONDS")
        return target_seconds

    @property
    def api_base(self) -> str:
        """Public address under which every path of the API is found, without a final slash."""
        return f"{self.public_url.rstrip('/')}{self.base_path}"

    @property
    def webhook_url(self) -> str:
        """Public address that LiveKit's `webhook.urls` should have."""
        return f"{self.api_base}/livekit/webhook"

    @property
    def hls_base(self) -> str:
        """Public address under which `<session id>/index.m3u8` is found, without a final slash."""
        return (self.hls_url or f"{self.api_base}/hls").rstrip("/")

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

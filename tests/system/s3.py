"""A real S3-speaking server (moto) in a process of its own, with its buckets in memory."""

import sys
import urllib.request
import uuid
from dataclasses import dataclass, field

from deploy.ports import free_port, is_listening
from tests.system.processes import Process, start


@dataclass
class S3Server:
    """One server on a loopback port; it believes any key."""

    port: int = field(default_factory=free_port)
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"
    region: str = "us-east-1"  #: the one region in which a bucket needs no location
    process: Process | None = None  #: None until started

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which S3 clients, obstore too, find this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self.process = start(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            name="s3",
        )
        self.process.ready_sync(lambda: is_listening(self.port))

    def make_bucket(self) -> str:
        """Make an empty bucket of its own for one test, and return its name."""
        name = f"greenroom-{uuid.uuid4().hex[:12]}"
        ask = urllib.request.Request(f"{self.endpoint_url}/{name}", method="PUT")
        with urllib.request.urlopen(ask, timeout=30) as answer:
            assert answer.status == 200
        return name

    def stop(self) -> None:
        """End it; harmless when it does not run."""
        if self.process is not None:
            self.process.stop()

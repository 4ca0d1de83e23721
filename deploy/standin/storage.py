"""Where an egress puts its files: local disk, or a bucket that speaks S3."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from livekit.protocol.egress import S3Upload
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config

#: Types by file extension, as the real egress uploads them.
CONTENT_TYPES = {
    ".m3u8": "application/x-mpegurl",
    ".ts": "video/mp2t",
    ".mp4": "video/mp4",
    ".jpeg": "image/jpeg",
    ".json": "application/json",
}

#: An upload that takes longer is tried again by obstore, and then given up.
UPLOAD_TIMEOUT_SECONDS = 30

#: What S3 itself assumes.
DEFAULT_REGION = "us-east-1"


class Storage(Protocol):
    """A place for files, by path."""

    async def put(self, path: str, content: bytes) -> str:
        """Write a whole file; gives its location. Raises OSError or obstore's errors."""
        ...

    async def put_file(self, path: str, source: Path) -> str:
        """Write a copy of a local file; gives its location."""
        ...


class LocalStorage:
    """Files on this machine; as with the real egress, a rewrite is not atomic."""

    async def put(self, path: str, content: bytes) -> str:
        return await asyncio.to_thread(self._write, path, content)

    async def put_file(self, path: str, source: Path) -> str:
        return await asyncio.to_thread(self._copy, path, source)

    @staticmethod
    def _write(path: str, content: bytes) -> str:
        target = Path(path).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return str(target)

    @staticmethod
    def _copy(path: str, source: Path) -> str:
        target = Path(path).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reading, target.open("wb") as writing:
            while piece := reading.read(1 << 20):
                writing.write(piece)
        return str(target)


@dataclass(frozen=True)
class S3Storage:
    """Objects in a bucket."""

    store: S3Store
    base_url: str

    async def put(self, path: str, content: bytes) -> str:
        return await self._put(path, content)

    async def put_file(self, path: str, source: Path) -> str:
        return await self._put(path, source)

    async def _put(self, path: str, content: bytes | Path) -> str:
        key = path.lstrip("/")
        content_type = CONTENT_TYPES.get(Path(key).suffix, "application/octet-stream")
        await self.store.put_async(key, content, attributes={"Content-Type": content_type})
        return f"{self.base_url}/{key}"


def s3_storage(upload: S3Upload) -> S3Storage:
    """Open a bucket as an egress request names it; touches no network."""
    endpoint = upload.endpoint.rstrip("/")
    if endpoint and "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    region = upload.region or DEFAULT_REGION
    # A bucket behind an endpoint of one's own has, as a rule, no name in the DNS.
    path_style = upload.force_path_style or bool(endpoint)
    config: S3Config = {"bucket": upload.bucket, "region": region}
    if endpoint:
        config["endpoint"] = endpoint
    if upload.access_key:
        config["access_key_id"] = upload.access_key
        config["secret_access_key"] = upload.secret
    if upload.session_token:
        config["session_token"] = upload.session_token
    store = S3Store(
        config=config,
        virtual_hosted_style_request=not path_style,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "timeout": timedelta(seconds=UPLOAD_TIMEOUT_SECONDS),
        },
    )
    if endpoint:
        base_url = f"{endpoint}/{upload.bucket}"
    else:
        base_url = f"https://{upload.bucket}.s3.{region}.amazonaws.com"
    return S3Storage(store, base_url)

"""Where segments, playlists and recordings lie: local disk, S3, GCS or Azure behind one face."""

import asyncio
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store
from pydantic import SecretStr

from observability import metrics
from orchestration.presigned import Signer

if TYPE_CHECKING:  # these exist in obstore's stubs only
    from obstore import BytesStream, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

#: A playlist or a segment of a few megabytes; the browser that waits gives up soon after.
CALL_SECONDS = 15.0

#: A day's show is some forty pages of a thousand names.
LIST_SECONDS = 60.0

#: The slowest line we wait for when whole recordings travel.
BYTES_PER_SECOND_MIN = 1_000_000

#: Twelve hours in segments of 2 s with thumbnails, four times over; more is not one show's.
LISTED_MAX = 100_000

#: Small enough that a hundred readers fit into memory, large enough that S3 is not asked often.
CHUNK_BYTES = 1024 * 1024

#: Multipart uploads may have 10 000 parts: 160 GB, and 8 of them in memory at once.
PART_BYTES = 16 * 1024 * 1024

#: Looking at a name is a kind of reading, in metrics.STORAGE_OPERATIONS.
_COUNTED_AS = {"head": "read", "find": "read"}
_KEY_LENGTH_MAX = 1000
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
#: What obstore calls its unfinished local files; reading one would be reading half a file.
_UNFINISHED = re.compile(r"#\d+$")

_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    # Between two reads; whole transfers are bounded here, by size.
    "read_timeout": timedelta(seconds=CALL_SECONDS),
    "timeout": timedelta(hours=12),
}
_RETRY: "RetryConfig" = {
    # What is asked again later anyway is not asked for long now.
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
}

_ERRORS = (BaseError, OSError, RuntimeError, ValueError)


class StorageUnavailable(Exception):
    """The storage did not do it this time; the cause says why, and asking again may help."""


class TooManyListed(StorageUnavailable):
    """More names under this prefix than one show can have."""


class InvalidKey(ValueError):
    """This can name nothing that we stored."""


class InvalidRange(ValueError):
    """The range begins behind the end of what is stored."""

    def __init__(self, size: int) -> None:
        super().__init__(f"there are only {size} bytes")
        self.size = size


class StorageKind(StrEnum):
    """Which store it is, as the contract's `storage_type` spells it."""

    LOCAL = "local"  #: a directory
    S3 = "s3"  #: AWS or anything that speaks like it
    GCS = "gcs"  #: Google Cloud Storage
    AZURE = "azure"  #: Azure Blob Storage


@dataclass(frozen=True)
class Stored:
    """One stored object."""

    key: str
    size: int
    modified_at: datetime
    etag: str | None


@dataclass(frozen=True)
class Streamed:
    """An object, or a part of it, on its way."""

    stored: Stored
    #: First byte, and the one after the last.
    start: int
    end: int
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class EgressOutput:
    """Where an egress must write so that we find it, in the egress' own words."""

    kind: StorageKind
    #: Absolute path on the egress' machine, or key inside the bucket.
    filename_prefix: str
    bucket: str | None = None
    region: str | None = None
    endpoint: str | None = None
    force_path_style: bool = False
    #: None: the egress uses what its own machine or configuration has.
    access_key: str | None = field(default=None, repr=False)
    secret_key: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Bucket:
    """What an S3 address and its options say."""

    name: str
    prefix: str
    region: str
    endpoint: str | None
    force_path_style: bool
    access_key: str | None = field(repr=False)
    secret_key: SecretStr | None = field(repr=False)

    @property
    def base_url(self) -> str:
        """Address under which the bucket's keys begin."""
        if self.endpoint is None:
            host = f"https://s3.{self.region}.amazonaws.com"
            virtual = f"https://{self.name}.s3.{self.region}.amazonaws.com"
        else:
            host = self.endpoint.rstrip("/")
            scheme, _, rest = host.partition("://")
            virtual = f"{scheme}://{self.name}.{rest}"
        return f"{host}/{self.name}" if self.force_path_style else virtual

    def open(self) -> S3Store:
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            region=self.region,
            virtual_hosted_style_request=not self.force_path_style,
            client_options={**_CLIENT, "allow_http": (self.endpoint or "").startswith("http://")},
            retry_config=_RETRY,
            **self._named(),
        )

    def _named(self) -> dict[str, Any]:  # Any: as obstore's stubs have it
        """Return only what is set: what is not, obstore looks for where AWS' own tools do."""
        endpoint = self.endpoint and (self.endpoint if self.force_path_style else self.base_url)
        named = {
            "endpoint": endpoint,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key and self.secret_key.get_secret_value(),
        }
        return {name: value for name, value in named.items() if value}


class Storage:
    """One place for everything a show leaves behind; a missing object is None, not an error."""

    def __init__(
        self,
        store: LocalStore | S3Store | GCSStore | AzureStore,
        *,
        kind: StorageKind,
        root: Path | None = None,
        egress_root: str = "",
        bucket: _Bucket | None = None,
    ) -> None:
        self.kind = kind
        self._store = store
        self._root = root
        self._egress_root = egress_root
        self._bucket = bucket

    @classmethod
    def open(  # the settings' names, so that nothing is lost in between
        cls,
        media_url: str,
        *,
        egress_media_path: str | None = None,
        s3_endpoint: str | None = None,
        s3_region: str = "us-east-1",
        s3_access_key: str | None = None,
        s3_secret_key: SecretStr | None = None,
        s3_force_path_style: bool = True,
    ) -> Self:
        """Open `file:///path`, `s3://bucket/prefix`, `gs://...` or `az://...`; asks no network.

        An S3 address may say `?endpoint=...&region=...&force_path_style=true|false` itself. Raises
        ValueError for an address that makes no sense, StorageUnavailable for a directory that
        cannot be made.
        """
        parts = urlsplit(media_url)
        match parts.scheme:
            case "file":
                return cls._open_local(unquote(parts.path), egress_media_path)
            case "s3" | "s3a":
                options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
                path_style = options.pop("force_path_style", str(s3_force_path_style)).lower()
                bucket = _Bucket(
                    name=parts.netloc,
                    prefix=_prefix(unquote(parts.path)),
                    region=options.pop("region", s3_region),
                    endpoint=options.pop("endpoint", s3_endpoint) or None,
                    force_path_style=path_style in {"true", "1", "yes"},
                    access_key=s3_access_key,
                    secret_key=s3_secret_key,
                )
                if not bucket.name or "@" in bucket.name or options:
                    raise ValueError("an S3 address is s3://bucket/prefix, without credentials")
                return cls(bucket.open(), kind=StorageKind.S3, bucket=bucket)
            case "gs":
                store = GCSStore.from_url(media_url, client_options=_CLIENT, retry_config=_RETRY)
                return cls(store, kind=StorageKind.GCS, egress_root=_prefix(unquote(parts.path)))
            case "az":
                blobs = AzureStore.from_url(media_url, client_options=_CLIENT, retry_config=_RETRY)
                return cls(blobs, kind=StorageKind.AZURE, egress_root=_prefix(unquote(parts.path)))
            case scheme:
                raise ValueError(f"{scheme or 'nothing'}:// is not file, s3, gs or az")

    @classmethod
    def _open_local(cls, path: str, egress_media_path: str | None) -> Self:
        if not path.startswith("/") or path == "/":
            raise ValueError("a local media address is file:///absolute/path")
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
            root = Path(path).resolve(strict=True)
            store = LocalStore(root, automatic_cleanup=True)
        except (OSError, BaseError) as error:
            raise StorageUnavailable(f"no media directory at {path}: {_said(error)}") from error
        egress_root = (egress_media_path or str(root)).rstrip("/")
        return cls(store, kind=StorageKind.LOCAL, root=root, egress_root=egress_root)

    async def read(self, key: str) -> bytes | None:
        """Read a small object whole."""
        async with self._asking("read", key):
            if not await self._may_read(key):
                return None
            try:
                found = await obstore.get_async(self._store, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError as error:
                _refuse_missing_bucket(error)
                return None

    async def write(
        self, key: str, content: bytes, *, content_type: str, cache_control: str = "no-cache"
    ) -> None:
        """Replace a small object as a whole: a reader meets the old one or the new one."""
        async with self._asking("write", key):
            await obstore.put_async(
                self._store,
                key,
                content,
                attributes=self._attributes(content_type, cache_control),
                use_multipart=False,
            )

    async def head(self, key: str) -> Stored | None:
        async with self._asking("head", key):
            if not await self._may_read(key):
                return None
            try:
                return _stored(await obstore.head_async(self._store, key))
            except FileNotFoundError:
                return None

    async def list(self, prefix: str, *, limit: int = LISTED_MAX) -> tuple[Stored, ...]:
        """List everything below a directory, by name; raises TooManyListed over the limit."""
        _check(prefix.rstrip("/"))
        found: list[Stored] = []
        async with self._asking("list", prefix.rstrip("/"), seconds=LIST_SECONDS):
            async for page in obstore.list(self._store, prefix.rstrip("/")):
                # Counted as they come, so that not even a planted link can make us read for ever.
                found.extend(_stored(each) for each in page)
                if len(found) > limit:
                    raise TooManyListed(f"more than {limit} objects under {prefix}")
            own = found if self._root is None else await asyncio.to_thread(self._own, found)
        return tuple(sorted(own, key=lambda each: each.key))

    async def delete(self, keys: Iterable[str]) -> None:
        """Make sure that these are not there; what never was is fine."""
        gone = list(keys)
        for key in gone:
            _check(key)
        if not gone:
            return
        async with self._asking("delete", gone[0], seconds=LIST_SECONDS):
            try:
                await obstore.delete_async(self._store, gone)
            except FileNotFoundError:
                # Some stores stop at the first that is missing.
                for key in gone:
                    await self._delete_one(key)

    async def stream(
        self, key: str, byte_range: tuple[int, int | None] | None = None
    ) -> Streamed | None:
        """Begin to read an object of any size; the range's end is the byte after the last.

        Chunks raise StorageUnavailable when one does not come in time; InvalidRange is raised here.
        """
        start, end = byte_range or (0, None)
        async with self._asking("read", key):
            if not await self._may_read(key):
                return None
            try:
                if start == 0 and end is None:
                    found = await obstore.get_async(self._store, key)
                else:
                    found = await obstore.get_async(
                        self._store,
                        key,
                        options={"range": {"offset": start} if end is None else (start, end)},
                    )
            except FileNotFoundError as error:
                _refuse_missing_bucket(error)
                return None
            except BaseError:
                stored = _stored(await obstore.head_async(self._store, key))
                if start < stored.size:
                    raise
                raise InvalidRange(stored.size) from None
        first, behind = found.range
        stream = found.stream(min_chunk_size=CHUNK_BYTES)
        return Streamed(_stored(found.meta), first, behind, self._chunks(key, stream))

    async def presign(self, key: str, seconds: int, download_name: str) -> str | None:
        """Make a link for the public that expires; None on local disk, where the API signs."""
        _check(key)
        if isinstance(self._store, LocalStore):
            return None
        bucket = self._bucket
        if bucket is not None and bucket.access_key and bucket.secret_key:
            signer = Signer(bucket.access_key, bucket.secret_key, bucket.region)
            address = f"{bucket.base_url}/{quote(_below(bucket.prefix, key), safe='/-_.~')}"
            return signer.link(address, seconds=seconds, download_name=download_name)
        async with self._asking("sign", key):
            return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds))

    async def copy_to_local(self, key: str, path: Path) -> Stored | None:
        """Fetch an object of any size; the file appears under its name only when it is whole."""
        streamed = await self.stream(key)
        if streamed is None:
            return None
        unfinished = path.with_name(f"{path.name}.part")
        async with asyncio.timeout(_transfer_seconds(streamed.stored.size)):
            with await asyncio.to_thread(unfinished.open, "wb") as file:
                async for chunk in streamed.chunks:
                    await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(unfinished.replace, path)
        return streamed.stored

    async def put_file(
        self, path: Path, key: str, *, content_type: str, cache_control: str = "no-cache"
    ) -> None:
        """Store a file of any size as a whole, in parts where the store has parts."""
        size = (await asyncio.to_thread(path.stat)).st_size
        async with self._asking("write", key, seconds=_transfer_seconds(size)):
            await obstore.put_async(
                self._store,
                key,
                path,
                attributes=self._attributes(content_type, cache_control),
                chunk_size=PART_BYTES,
                max_concurrency=4,
            )
            if self._root is not None:
                # A recording is announced once, so it must outlive a power cut right after.
                await asyncio.to_thread(_settle, self._root / key)

    async def local_path(self, key: str) -> Path | None:
        """Give the file itself where there is one, to be sent or probed without copying."""
        if self._root is None:
            return None
        async with self._asking("find", key):
            return self._root / key if await self._may_read(key) else None

    async def ping(self) -> None:
        """Write, read and delete a probe; StorageUnavailable says in words which did not work."""
        key = f".greenroom/probe-{uuid.uuid4().hex}"
        await self.write(key, key.encode(), content_type="text/plain")
        if await self.read(key) != key.encode():
            raise StorageUnavailable("what was written cannot be read back")
        await self.delete([key])

    def egress_output(self, prefix: str) -> EgressOutput:
        """Say where the egress has to write what we will find under this prefix."""
        _check(prefix.rstrip("/"))
        if self._bucket is not None:
            return EgressOutput(
                kind=self.kind,
                filename_prefix=_below(self._bucket.prefix, prefix),
                bucket=self._bucket.name,
                region=self._bucket.region,
                endpoint=self._bucket.endpoint,
                force_path_style=self._bucket.force_path_style,
                access_key=self._bucket.access_key,
                secret_key=self._bucket.secret_key,
            )
        if isinstance(self._store, GCSStore):
            bucket: str | None = self._store.config.get("bucket")
        elif isinstance(self._store, AzureStore):
            bucket = self._store.config.get("container_name")
        else:
            bucket = None
        return EgressOutput(
            kind=self.kind, filename_prefix=_below(self._egress_root, prefix), bucket=bucket
        )

    @asynccontextmanager
    async def _asking(
        self, verb: str, key: str, *, seconds: float = CALL_SECONDS
    ) -> AsyncIterator[None]:
        """Bound what is asked of the store in time, and say every failure in one way."""
        _check(key)
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            metrics.STORAGE_ERRORS.labels(_COUNTED_AS.get(verb, verb)).inc()
            raise StorageUnavailable(f"{verb} {key}: no answer within {seconds:.0f} s") from error
        except InvalidRange:
            raise
        except _ERRORS as error:
            metrics.STORAGE_ERRORS.labels(_COUNTED_AS.get(verb, verb)).inc()
            raise StorageUnavailable(f"{verb} {key}: {_said(error)}") from error

    async def _may_read(self, key: str) -> bool:
        """Say whether there is a file of ours: links could show what was never stored."""
        return self._root is None or await asyncio.to_thread(self._is_own_file, key)

    def _is_own_file(self, key: str) -> bool:
        path = self._require_root() / key
        return os.path.realpath(path) == str(path) and path.is_file()

    def _require_root(self) -> Path:
        """Return the directory; a disk that is not mounted must not look like lost recordings."""
        assert self._root is not None
        if not self._root.is_dir():
            raise FileNotFoundError(f"the media directory {self._root} is gone")
        return self._root

    def _own(self, found: Sequence[Stored]) -> Sequence[Stored]:
        root = self._require_root()
        real: dict[str, bool] = {}
        own = []
        for each in found:
            path = root / each.key
            directory = str(path.parent)
            if directory not in real:
                real[directory] = os.path.realpath(directory) == directory
            if real[directory] and not path.is_symlink():
                own.append(each)
        return own

    async def _delete_one(self, key: str) -> None:
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return

    async def _chunks(self, key: str, stream: "BytesStream") -> AsyncIterator[bytes]:
        while True:
            async with self._asking("read", key):
                try:
                    chunk = await anext(stream)
                except StopAsyncIteration:
                    return
            yield chunk

    def _attributes(self, content_type: str, cache_control: str) -> dict[str, str] | None:
        if self._root is not None:
            return None  # local files have none; whoever serves them knows their types
        return {"Content-Type": content_type, "Cache-Control": cache_control}


def _check(key: str) -> str:
    parts = key.split("/")
    if (
        not key
        or len(key) > _KEY_LENGTH_MAX
        or any(part in {"", ".", ".."} for part in parts)
        or _FORBIDDEN.search(key)
        or any(_UNFINISHED.search(part) for part in parts)
    ):
        raise InvalidKey(f"not a key: {key[:80]!r}")
    return key


def _prefix(path: str) -> str:
    prefix = path.strip("/")
    return _check(prefix) if prefix else ""


def _below(prefix: str, key: str) -> str:
    return f"{prefix}/{key}" if prefix else key


def _stored(meta: "ObjectMeta") -> Stored:
    return Stored(
        key=meta["path"],
        size=meta["size"],
        modified_at=meta["last_modified"],
        etag=meta["e_tag"],
    )


def _refuse_missing_bucket(error: FileNotFoundError) -> None:
    """Tell a missing object from a missing bucket, which is an operator's mistake."""
    if "NoSuchBucket" in str(error):
        raise error


def _said(error: BaseException) -> str:
    """Cut to its first line: below it obstore prints the error once more, as its own source."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _transfer_seconds(size: int) -> float:
    return 60 + size / BYTES_PER_SECOND_MIN


def _settle(path: Path) -> None:
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

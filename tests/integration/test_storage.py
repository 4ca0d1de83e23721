"""Storage keeps the same promises on local disk and on an S3-speaking server."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from deploy.ports import free_port
from orchestration.storage import (
    InvalidKey,
    InvalidRange,
    Storage,
    StorageKind,
    StorageUnavailable,
    TooManyListed,
)
from tests.system.s3 import S3Server

OpenStorage = Callable[[], Storage]


def open_s3(server: S3Server, *, bucket: str, endpoint: str | None = None) -> Storage:
    return Storage.open(
        f"s3://{bucket}/shows",
        s3_endpoint=endpoint or server.endpoint_url,
        s3_region=server.region,
        s3_access_key=server.access_key,
        s3_secret_key=SecretStr(server.secret_key),
    )


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Open an empty storage of each kind."""
    if request.param == "local":
        return Storage.open(f"file://{tmp_path}/media%20of%20ours")
    server: S3Server = request.getfixturevalue("s3_server")
    return open_s3(server, bucket=server.make_bucket())


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.open(f"file://{tmp_path}/media")


async def write(storage: Storage, key: str, content: bytes) -> None:
    await storage.write(key, content, content_type="application/octet-stream")


async def test_what_was_written_is_read(storage: Storage):
    """The newest content, its size and its age; an empty object is there too."""
    await write(storage, "hls/show/index.m3u8", b"old and longer")
    await write(storage, "hls/show/index.m3u8", b"new")
    await write(storage, "hls/show/empty", b"")

    stored = await storage.head("hls/show/index.m3u8")

    assert stored is not None
    assert (stored.key, stored.size) == ("hls/show/index.m3u8", 3)
    assert stored.modified_at.tzinfo is not None
    assert stored.etag
    assert await storage.read("hls/show/index.m3u8") == b"new"
    assert await storage.read("hls/show/empty") == b""


async def test_missing_is_none(storage: Storage, tmp_path: Path):
    """What is not there is an answer, not an error."""
    await write(storage, "hls/show/index.m3u8", b"x")

    for key in ("nothing", "hls/show", "hls/show/other", "hls/show/index.m3u8/below"):
        assert await storage.read(key) is None
        assert await storage.head(key) is None
        assert await storage.stream(key) is None
        assert await storage.stream(key, (0, 1)) is None
        assert await storage.local_path(key) is None
        assert await storage.copy_to_local(key, tmp_path / "copy") is None
    assert await storage.list("nothing/at/all") == ()


async def test_ranges(storage: Storage):
    """A range gives just its bytes, also beyond the end; one that begins there is refused."""
    await write(storage, "a/file", b"0123456789")

    streamed = await storage.stream("a/file", (2, None))

    assert streamed is not None
    assert (streamed.start, streamed.end, streamed.stored.size) == (2, 10, 10)
    assert b"".join([chunk async for chunk in streamed.chunks]) == b"23456789"
    for wanted, found in (((0, 1), b"0"), ((3, 7), b"3456"), ((8, 108), b"89")):
        part = await storage.stream("a/file", wanted)
        assert part is not None
        assert b"".join([chunk async for chunk in part.chunks]) == found
    with pytest.raises(InvalidRange) as refused:
        await storage.stream("a/file", (10, 11))
    assert refused.value.size == 10


async def test_list_is_sorted_and_stays_inside(storage: Storage):
    """A directory's own content by name; a neighbour with a longer name is not in it."""
    for key in ("hls/b/2/seg", "hls/b/1/seg", "hls/b/index", "hls/bb/1/seg", "other"):
        await write(storage, key, key.encode())

    listed = await storage.list("hls/b/")

    assert [each.key for each in listed] == ["hls/b/1/seg", "hls/b/2/seg", "hls/b/index"]
    assert [each.size for each in listed] == [11, 11, 11]
    with pytest.raises(TooManyListed):
        await storage.list("hls", limit=3)


async def test_list_goes_through_all_pages(storage: Storage):
    """More names than a page holds come back complete."""
    keys = [f"many/{number:05d}" for number in range(1050)]
    for begin in range(0, len(keys), 50):
        await asyncio.gather(*(write(storage, key, b"x") for key in keys[begin : begin + 50]))

    assert [each.key for each in await storage.list("many")] == keys
    await storage.delete(keys)
    assert await storage.list("many") == ()


async def test_delete_is_repeatable(storage: Storage):
    """Deleting what is not there any more is as good as deleting it."""
    for key in ("a/1", "a/2", "a/3"):
        await write(storage, key, b"x")

    await storage.delete(["a/0", "a/1", "a/2"])
    await storage.delete(["a/1", "a/2"])
    await storage.delete([])

    assert [each.key for each in await storage.list("a")] == ["a/3"]


async def test_large_files_travel_whole(storage: Storage, tmp_path: Path):
    """A file of several parts arrives unchanged both ways, and leaves nothing unfinished."""
    content = bytes(range(256)) * (40 * 1024 * 1024 // 256) + b"the end"
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)

    await storage.put_file(source, "recordings/show/recording.mp4", content_type="video/mp4")
    stored = await storage.copy_to_local("recordings/show/recording.mp4", target)

    assert stored is not None
    assert stored.size == len(content)
    expected = hashlib.sha256(content).hexdigest()
    assert hashlib.sha256(target.read_bytes()).hexdigest() == expected
    assert not (tmp_path / "target.part").exists()
    assert [each.key for each in await storage.list("recordings")] == [stored.key]


async def test_a_reader_never_meets_half_a_playlist(storage: Storage):
    """Whatever moment it is read, a playlist that is written again and again is whole."""
    versions = [str(number).encode() * 20_000 for number in range(1, 9)]
    await write(storage, "hls/show/index.m3u8", versions[0])
    done = asyncio.Event()

    async def rewrite() -> None:
        for _ in range(10):
            for version in versions:
                await write(storage, "hls/show/index.m3u8", version)
        done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(rewrite())
        seen = set()
        while not done.is_set():
            seen.add(await storage.read("hls/show/index.m3u8"))

    assert seen <= set(versions)
    assert len(seen) > 1


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a//b",
        "a/./b",
        "a/",
        "a\0b",
        "a\nb",
        "a\\b",
        "hls/index.m3u8#1",
        "x" * 1001,
    ],
)
async def test_keys_that_name_nothing_of_ours(storage: Storage, key: str):
    """Every verb refuses a key that could leave the storage or name a half-written file."""
    for attempt in (
        lambda: storage.read(key),
        lambda: storage.head(key),
        lambda: storage.stream(key),
        lambda: write(storage, key, b"x"),
        lambda: storage.delete([key]),
        lambda: storage.presign(key, 60, "a.mp4"),
        lambda: storage.local_path(key),
    ):
        # Without a disk there is no path to refuse.
        if storage.kind is not StorageKind.LOCAL and attempt.__code__.co_names[-1] == "local_path":
            continue
        with pytest.raises(InvalidKey):
            await attempt()


async def test_ping(storage: Storage):
    """A storage that works says nothing and keeps nothing of it."""
    await storage.ping()

    assert await storage.list(".greenroom") == ()


async def test_s3_that_does_not_answer_is_unavailable(s3_server: S3Server):
    """The error says what was asked, keeps its cause, and tells no secret."""
    storage = open_s3(s3_server, bucket="any", endpoint=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(StorageUnavailable) as failed:
        await storage.ping()

    assert failed.value.__cause__ is not None
    assert str(failed.value).startswith("write .greenroom/probe-")
    assert s3_server.secret_key not in str(failed.value) + str(failed.value.__cause__)


async def test_bucket_that_is_not_there(s3_server: S3Server):
    """A wrong bucket is not an empty one: nothing may be given up for lost because of it."""
    storage = open_s3(s3_server, bucket="never-made")

    with pytest.raises(StorageUnavailable):
        await storage.read("hls/show/index.m3u8")
    with pytest.raises(StorageUnavailable):
        await storage.list("hls/show")

    with pytest.raises(StorageUnavailable, match=r"NoSuchBucket|not found"):
        await storage.ping()


async def test_disk_that_cannot_be_written_is_unavailable(local: Storage, tmp_path: Path):
    """A file where a directory has to be: writing fails as retryable, reading finds nothing."""
    (tmp_path / "media" / "recordings").write_bytes(b"in the way")

    with pytest.raises(StorageUnavailable) as failed:
        await write(local, "recordings/show/recording.mp4", b"x")
    assert failed.value.__cause__ is not None
    assert await local.read("recordings/show/recording.mp4") is None


async def test_disk_that_is_gone_is_unavailable(local: Storage, tmp_path: Path):
    """An unmounted disk is not an empty one."""
    await write(local, "hls/show/index.m3u8", b"x")
    (tmp_path / "media").rename(tmp_path / "elsewhere")

    with pytest.raises(StorageUnavailable, match="is gone"):
        await local.read("hls/show/index.m3u8")
    with pytest.raises(StorageUnavailable, match="is gone"):
        await local.list("hls/show")


async def test_media_directory_that_cannot_be_made(tmp_path: Path):
    """Opening says so at once."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageUnavailable, match="no media directory"):
        Storage.open(f"file://{tmp_path}/file/media")


async def test_planted_links_are_not_followed(local: Storage, tmp_path: Path):
    """A link to a file or a directory outside, or inside, reads as nothing and is not listed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    await write(local, "recordings/real", b"real")
    (tmp_path / "media/recordings/link").symlink_to(outside / "secret")
    (tmp_path / "media/recordings/inside").symlink_to(tmp_path / "media/recordings/real")
    (tmp_path / "media/recordings/directory").symlink_to(outside)

    for key in ("recordings/link", "recordings/inside", "recordings/directory/secret"):
        assert await local.read(key) is None
        assert await local.head(key) is None
        assert await local.stream(key) is None
        assert await local.local_path(key) is None
    assert [each.key for each in await local.list("recordings")] == ["recordings/real"]


async def test_local_path_is_the_file_itself(local: Storage, tmp_path: Path):
    """Local files can be sent by the web server without reading them here."""
    await write(local, "hls/show/1/seg_00000.ts", b"x")

    path = tmp_path / "media/hls/show/1/seg_00000.ts"
    assert await local.local_path("hls/show/1/seg_00000.ts") == path


async def test_presigned_link_downloads_under_a_name(storage: Storage):
    """On S3 the link works for somebody without keys; on local disk the API has to sign."""
    await storage.write(
        "recordings/a b/recording.mp4", b"film", content_type="video/mp4", cache_control="no-store"
    )

    link = await storage.presign("recordings/a b/recording.mp4", 60, "Große Show 1.mp4")

    if storage.kind is StorageKind.LOCAL:
        assert link is None
        return
    assert link is not None
    async with aiohttp.ClientSession() as browser, browser.get(link) as answer:
        assert answer.status == 200
        assert await answer.read() == b"film"
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (
            answer.headers["Content-Disposition"]
            == "attachment; filename*=UTF-8''Gro%C3%9Fe%20Show%201.mp4"
        )


async def test_egress_is_told_the_same_place(s3_server: S3Server, tmp_path: Path):
    """The directory as the egress sees it, or bucket, key and credentials; these print nowhere."""
    mounted = Storage.open(f"file://{tmp_path}/media", egress_media_path="/out/")
    own = Storage.open(f"file://{tmp_path}/media")
    s3 = open_s3(s3_server, bucket="shows-bucket")

    assert mounted.egress_output("hls/x/1/").filename_prefix == "/out/hls/x/1/"
    assert own.egress_output("hls/x/1/").filename_prefix == f"{tmp_path}/media/hls/x/1/"
    output = s3.egress_output("hls/x/1/")
    assert (output.kind, output.bucket) == (StorageKind.S3, "shows-bucket")
    assert output.filename_prefix == "shows/hls/x/1/"
    assert (output.endpoint, output.region) == (s3_server.endpoint_url, s3_server.region)
    assert output.force_path_style
    assert output.secret_key is not None
    assert output.secret_key.get_secret_value() == s3_server.secret_key
    assert s3_server.secret_key not in repr(output)
    assert s3_server.access_key not in repr(output)


async def test_address_says_its_own_options(s3_server: S3Server):
    """An S3 address may carry endpoint and region."""
    bucket = s3_server.make_bucket()
    storage = Storage.open(
        f"s3://{bucket}?endpoint={s3_server.endpoint_url}&region=us-east-1&force_path_style=true",
        s3_access_key="x",
        s3_secret_key=SecretStr("y"),
        s3_force_path_style=False,
    )

    await storage.ping()

    assert storage.egress_output("hls/x/1/").filename_prefix == "hls/x/1/"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "media",
        "file://media",
        "file:///",
        "ftp://host/x",
        "s3:///prefix",
        "s3://key:secret@bucket/x",
        "s3://bucket?secret=x",
        "s3://bucket/../x",
    ],
)
def test_addresses_that_make_no_sense(address: str):
    """A wrong media address is refused when it is opened, not when a show is lost."""
    with pytest.raises(ValueError, match=r"."):
        Storage.open(address)

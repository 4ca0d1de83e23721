"""What is public of a show's media, and how it is served."""

import asyncio
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.storage import Storage
from tests.integration.api.client import Api, People
from tests.integration.api.conftest import Running
from tests.integration.api.sessions.bell import LookingBell
from tests.integration.api.sessions.conftest import Shows
from tests.integration.api.sessions.plane import RememberingPlane
from tests.system.s3 import S3Server

SHOW = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
SEGMENT = b"".join(number.to_bytes(2, "big") for number in range(1024))
PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n"
STORED = {
    f"hls/{SHOW}/index.m3u8": PLAYLIST,
    f"hls/{SHOW}/1/seg_00000.ts": SEGMENT,
    f"hls/{SHOW}/1/big.ts": SEGMENT * 1024,
    f"hls/{SHOW}/1/manifest.json": b"{}",
    f"thumbnails/{SHOW}/1/thumb_00000.jpg": b"\xff\xd8\xff",
    f"recordings/{SHOW}/recording.mp4": b"private",
}


@pytest.fixture(params=["local", "s3"])
async def media(request: pytest.FixtureRequest, api: Api) -> Storage:
    """Store a show's files on disk or S3, and a recording that is nobody's business."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        api.resources.storage = Storage.open(
            f"s3://{server.make_bucket()}/shows",
            s3_endpoint=server.endpoint_url,
            s3_region=server.region,
            s3_access_key=server.access_key,
            s3_secret_key=SecretStr(server.secret_key),
        )
    for key, content in STORED.items():
        await api.resources.storage.write(key, content, content_type="application/octet-stream")
    return api.resources.storage


FILES = [
    (f"/hls/{SHOW}/index.m3u8", "application/vnd.apple.mpegurl", "public, max-age=1"),
    (f"/hls/{SHOW}/1/seg_00000.ts", "video/mp2t", "public, max-age=31536000, immutable"),
    (f"/hls/{SHOW}/1/big.ts", "video/mp2t", "public, max-age=31536000, immutable"),
    (f"/thumbnails/{SHOW}/1/thumb_00000.jpg", "image/jpeg", "public, max-age=31536000, immutable"),
]


@pytest.mark.parametrize(("path", "kind", "cache"), FILES)
async def test_files_are_served_as_what_they_are(
    api: Api, media: Storage, path: str, kind: str, cache: str
) -> None:
    """Right type, right cache header, to pages of any origin; HEAD says the same."""
    origin = {"Origin": "https://elsewhere.example"}

    got = await api("GET", path, headers=origin)
    head = await api("HEAD", path, headers=origin)

    assert (got.status, head.status) == (200, 200)
    assert got.raw == STORED[path.lstrip("/")]
    assert head.raw == b""
    for answer in (got, head):
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["Cache-Control"] == cache
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Length"] == str(len(got.raw))
        assert answer.headers["ETag"] == got.headers["ETag"]


@pytest.mark.parametrize("path", [path for path, _, _ in FILES])
async def test_who_has_it_already_is_told_so(api: Api, media: Storage, path: str) -> None:
    """304 by its ETag; a playlist that was written anew has another one."""
    etag = (await api("GET", path)).headers["ETag"]

    known = await api("GET", path, headers={"If-None-Match": f'"other", {etag}'})
    await media.write(path.lstrip("/"), b"written anew", content_type="text/plain")
    changed = await api("GET", path, headers={"If-None-Match": etag})

    assert (known.status, known.raw) == (304, b"")
    assert (changed.status, changed.raw) == (200, b"written anew")


RANGES = [
    ("bytes=0-0", 206, SEGMENT[:1]),
    ("bytes=10-19", 206, SEGMENT[10:20]),
    ("bytes=2000-", 206, SEGMENT[2000:]),
    ("bytes=2000-999999", 206, SEGMENT[2000:]),
    ("bytes=-1", 200, SEGMENT),
    ("bytes=-0", 200, SEGMENT),
    ("bytes=5-2", 200, SEGMENT),
    ("bytes=0-1,5-6", 200, SEGMENT),
    ("bytes=" + ",".join(["0-1"] * 1000), 200, SEGMENT),
    ("bytes=\u0661-\u0662", 200, SEGMENT),
    ("lines=1-2", 200, SEGMENT),
    ("bytes=", 200, SEGMENT),
    ("nonsense", 200, SEGMENT),
]


@pytest.mark.parametrize(("wanted", "status", "body"), RANGES, ids=lambda value: str(value)[:16])
async def test_one_range_is_served(
    api: Api, media: Storage, wanted: str, status: int, body: bytes
) -> None:
    """What is not one range with a first byte is answered with everything."""
    path = f"/hls/{SHOW}/1/seg_00000.ts"

    got = await api("GET", path, headers={"Range": wanted})

    assert (got.status, got.raw) == (status, body)
    if status == 206:
        first = SEGMENT.index(body)
        expected = f"bytes {first}-{first + len(body) - 1}/{len(SEGMENT)}"
        assert got.headers["Content-Range"] == expected


@pytest.mark.parametrize("wanted", ["bytes=2048-", "bytes=999999-1000000", f"bytes={10**17}-"])
async def test_a_range_behind_the_end_is_refused(api: Api, media: Storage, wanted: str) -> None:
    """416, and how many bytes there are."""
    got = await api("GET", f"/hls/{SHOW}/1/seg_00000.ts", headers={"Range": wanted})

    assert got.problem == (416, "range-not-satisfiable")
    assert got.headers["Content-Range"] == f"bytes */{len(SEGMENT)}"


async def test_a_part_of_something_else_is_everything(api: Api, media: Storage) -> None:
    """If-Range guards a resumed download."""
    path = f"/hls/{SHOW}/1/seg_00000.ts"
    etag = (await api("GET", path)).headers["ETag"]

    same = await api("GET", path, headers={"Range": "bytes=1-2", "If-Range": etag})
    other = await api("GET", path, headers={"Range": "bytes=1-2", "If-Range": '"older"'})

    assert (same.status, other.status) == (206, 200)


@pytest.mark.parametrize(
    "path",
    [
        f"/hls/{SHOW}/1/manifest.json",
        f"/hls/{SHOW}/1/seg_00001.ts",
        f"/hls/{SHOW}/nothing.m3u8",
        f"/hls/{SHOW}/1",
        f"/hls/{SHOW}/../../recordings/{SHOW}/recording.mp4",
        f"/hls/{SHOW}/..%2f..%2frecordings%2f{SHOW}%2frecording.mp4",
        f"/hls/{SHOW}/%2e%2e/%2e%2e/recordings/{SHOW}/recording.mp4",
        f"/hls/{SHOW}/1/..%5cx.ts",
        f"/hls/{SHOW}/1/%00.ts",
        f"/hls/{SHOW}/1//seg_00000.ts",
        f"/hls/{SHOW}/1/seg_00000.ts/",
        f"/recordings/{SHOW}/recording.mp4",
        f"/thumbnails/{SHOW}/1/{'x' * 3000}.jpg",
    ],
)
async def test_nothing_else_is_public(api: Api, media: Storage, path: str) -> None:
    """Other files, other folders, other spellings of them: 404."""
    status, body = await raw(api, path)

    assert status == 404
    assert b"private" not in body


@pytest.mark.parametrize(
    "show", ["x", "%00", "..%2f..%2fetc", "\u0661" * 36, "%F0%9F%8E%AC", "a" * 4000]
)
async def test_a_show_is_a_uuid(api: Api, show: str) -> None:
    """400 or 404, and never a file."""
    status, _ = await raw(api, f"/hls/{show}/index.m3u8")

    assert status in {400, 404}


async def test_a_show_without_a_playlist_is_not_ready(api: Api) -> None:
    """404 says that it is worth asking again, and no cache keeps it."""
    got = await api("GET", f"/hls/{uuid.uuid4()}/index.m3u8")

    assert got.problem == (404, "playback-not-ready")
    assert got.headers["Cache-Control"] == "no-store"
    assert got.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_base_path_is_in_every_address_that_is_told(
    running: Running, people: People, plane: RememberingPlane, bell: LookingBell
) -> None:
    """hls_url, Location and download links lead to what is served there."""
    async with running(base_path="/v1/webinar") as api:
        shows = Shows(api, people, plane, bell)
        show = await shows.live()
        hls_url = (await shows.get(show)).data["hls_url"]
        path = hls_url.removeprefix(f"{api.resources.settings.public_url}/v1/webinar")

        assert path == f"/hls/{show}/index.m3u8"
        assert (await api("GET", path)).problem == (404, "playback-not-ready")
        assert (await api("GET", f"/watch/{show}")).status == 200
        bell.is_heard = False
        slow = await shows.post(show, "end", headers={"Prefer": "respond-async"})
        location = slow.headers["Location"].removeprefix("/v1/webinar")
        assert (await api("GET", location, by=people.host)).status == 200


async def test_planted_links_lead_nowhere(api: Api, tmp_path: Path) -> None:
    """Neither a linked file nor a linked folder is served."""
    secret = tmp_path / "secret.ts"
    secret.write_bytes(b"private")
    media = Path(api.resources.settings.media_url.removeprefix("file://"))
    folder = media / "hls" / SHOW / "1"
    folder.mkdir(parents=True)
    (folder / "linked.ts").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)

    one = await api("GET", f"/hls/{SHOW}/1/linked.ts")
    inside = await api("GET", f"/hls/{SHOW}/1/linked/secret.ts")

    assert one.problem == inside.problem == (404, "media-not-found")


async def raw(api: Api, path: str) -> tuple[int, bytes]:
    """Send a path exactly as it is written; clients like to tidy it up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body

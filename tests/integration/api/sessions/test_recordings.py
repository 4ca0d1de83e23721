"""Recordings over HTTP: listed, read, named, downloaded by a link that expires, deleted."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from pydantic import SecretStr

from orchestration.models import Recording
from orchestration.states import Verdict
from orchestration.storage import Storage
from tests.integration.api.sessions import contract
from tests.integration.api.sessions.conftest import Shows
from tests.system.s3 import S3Server

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 4


async def recorded(shows: Shows, *, content: bytes | None = FILM, **columns: object) -> str:
    """Leave a recording behind; give its id."""
    show = await shows.over()
    key = f"recordings/{show}/take-1.mp4"
    if content is not None:
        await shows.api.resources.storage.write(key, content, content_type="video/mp4")
    row = await shows.row(show)
    facts = {
        "name": "Spring launch",
        "status": "completed",
        "storage_type": "local",
        "file_path": key,
        "file_size": len(FILM),
        "duration_seconds": 60,
        "verdict": Verdict.VERIFIED,
        "sha256": "ab" * 32,
        **columns,
    }
    async with shows.api.resources.db.begin() as tx:
        recording = Recording(organization_id=row.organization_id, session_id=row.id, **facts)
        tx.add(recording)
    return str(recording.id)


async def link(shows: Shows, recording: str) -> str:
    """Ask for a link; give its path and query."""
    got = await shows.api("GET", f"/recordings/{recording}/download", by=shows.host)
    contract.check(got.data, contract.DOWNLOAD)
    parts = urlsplit(got.data["download_url"])
    assert f"{parts.scheme}://{parts.netloc}" == shows.api.resources.settings.public_url
    return f"{parts.path}?{parts.query}"


async def test_a_recording_is_listed_and_read(shows: Shows) -> None:
    """With its verdict, and what was measured of it."""
    recording = await recorded(shows)

    one = (await shows.api("GET", f"/recordings/{recording}", by=shows.host)).data
    many = (await shows.get(one["session_id"], "recordings")).data

    contract.check(one, contract.RECORDING)
    contract.check(many, contract.RECORDINGS)
    assert many == {"recordings": [one], "total": 1}
    assert (one["status"], one["verdict"], one["duration"]) == ("completed", "verified", 60)


async def test_a_link_downloads_until_it_expires(shows: Shows) -> None:
    """Without credentials; whole or in part; under the recording's name."""
    recording = await recorded(shows, name="Grüße / 表")

    path = await link(shows, recording)
    whole = await shows.api("GET", path)
    part = await shows.api("GET", path, headers={"Range": "bytes=4-7"})
    head = await shows.api("HEAD", path)

    assert (whole.status, whole.raw) == (200, FILM)
    assert whole.headers["Content-Type"] == "video/mp4"
    name = quote("Grüße - 表.mp4", safe="")
    assert whole.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert (part.status, part.raw) == (206, b"ftyp")
    assert (head.status, head.raw) == (200, b"")


async def test_a_link_cannot_be_stretched(shows: Shows) -> None:
    """Neither its time, nor its signature, nor whose it is can be changed."""
    recording, other = await recorded(shows), await recorded(shows)
    path = await link(shows, recording)
    bare, _, query = path.partition("?")
    expires, signature = (part.partition("=")[2] for part in query.split("&"))

    later = f"{bare}?expires={int(expires) + 1}&signature={signature}"
    forged = f"{bare}?expires={expires}&signature={'0' * 64}"
    moved = path.replace(recording, other)
    unsigned = f"{bare}?expires={expires}"

    for bad in (later, forged, moved):
        assert (await shows.api("GET", bad)).problem == (404, "recording-not-found")
    assert (await shows.api("GET", unsigned)).problem == (400, "invalid-query")
    assert (await shows.api("GET", f"{path}&x=1")).problem == (400, "invalid-query")


async def test_an_old_link_says_that_it_is_old(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410, so that one asks for another."""
    recording = await recorded(shows)
    monkeypatch.setattr("api.recordings.LINK_SECONDS", -5)

    path = await link(shows, recording)

    assert (await shows.api("GET", path)).problem == (410, "link-expired")


async def test_there_is_nothing_to_download_yet_or_any_more(shows: Shows) -> None:
    """While it is recorded; when it is lost."""
    now = await recorded(shows, status="recording", file_path=None, verdict=None)
    lost = await recorded(shows, status="failed", file_path=None, verdict=Verdict.LOST)

    early = await shows.api("GET", f"/recordings/{now}/download", by=shows.host)
    late = await shows.api("GET", f"/recordings/{lost}/download", by=shows.host)

    assert early.problem == (409, "recording-not-ready")
    assert late.problem == (409, "recording-lost")


async def test_a_planted_link_is_no_recording(shows: Shows, tmp_path: Path) -> None:
    """What points out of the media folder is not sent."""
    recording = await recorded(shows, content=None)
    one = (await shows.api("GET", f"/recordings/{recording}", by=shows.host)).data
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    place = Path(shows.api.resources.settings.media_url.removeprefix("file://")) / one["file_path"]
    place.parent.mkdir(parents=True)
    place.symlink_to(secret)

    got = await shows.api("GET", await link(shows, recording))

    assert got.problem == (404, "recording-not-found")


async def test_a_recording_can_be_renamed(shows: Shows) -> None:
    """The download has the new name; a stale version is refused."""
    recording = await recorded(shows)
    path = f"/recordings/{recording}"
    etag = {"If-Match": (await shows.api("GET", path, by=shows.host)).headers["ETag"]}

    named = await shows.api("PATCH", path, by=shows.host, json={"name": "Keynote 2"}, headers=etag)
    stale = await shows.api("PATCH", path, by=shows.host, json={"name": "Other"}, headers=etag)
    file = await shows.api("GET", await link(shows, recording))

    assert named.data["name"] == "Keynote 2"
    assert stale.problem == (412, "version-mismatch")
    assert "Keynote%202.mp4" in file.headers["Content-Disposition"]


BAD_NAMES = [
    "../x", "/abs", "a/../../b", "CON", "con.mp4", "LPT1", "é" * 150, "dot.", "%2e%2e%2fx",
    "%2e%2e", "%2e", "%43ON", "..", ".", "",
    "   ", " lead", "trail ", "a\x00b", "a\nb", "a\\b", "a:b", 'a"b',
    "\u202egnp.exe", ".hidden",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
async def test_a_bad_name_is_refused(shows: Shows, name: str) -> None:
    """422, and it keeps the one it has."""
    recording = await recorded(shows)
    path = f"/recordings/{recording}"

    got = await shows.api("PATCH", path, by=shows.host, json={"name": name})

    assert got.status == 422
    assert got.slug in {"invalid-name", "invalid-string", "validation-error"}
    assert (await shows.api("GET", path, by=shows.host)).data["name"] == "Spring launch"


@pytest.mark.parametrize("body", [{}, {"name": 5}, {"name": None}, {"name": "x" * 256}], ids=str)
async def test_a_name_is_a_text(shows: Shows, body: dict) -> None:
    """422 for anything else."""
    recording = await recorded(shows)

    got = await shows.api("PATCH", f"/recordings/{recording}", by=shows.host, json=body)

    assert got.problem == (422, "validation-error")


async def test_one_spelling_of_a_name(shows: Shows) -> None:
    """NFD becomes NFC, so that the same name is the same file everywhere."""
    recording = await recorded(shows)

    got = await shows.api(
        "PATCH", f"/recordings/{recording}", by=shows.host, json={"name": "Gru\u0308ße"}
    )

    assert got.data["name"] == "Gr\u00fcße"


async def test_a_deleted_recording_is_gone_with_its_file(shows: Shows) -> None:
    """Its links, too; deleting again finds nothing."""
    recording = await recorded(shows)
    path = await link(shows, recording)
    one = (await shows.api("GET", f"/recordings/{recording}", by=shows.host)).data

    deleted = await shows.api("DELETE", f"/recordings/{recording}", by=shows.host)

    assert deleted.data is None
    assert await shows.api.resources.storage.read(one["file_path"]) is None
    for method, where, by in (
        ("GET", path, None),
        ("GET", f"/recordings/{recording}", shows.host),
        ("DELETE", f"/recordings/{recording}", shows.host),
    ):
        assert (await shows.api(method, where, by=by)).problem == (404, "recording-not-found")
    assert (await shows.get(one["session_id"], "recordings")).data["total"] == 0


async def test_a_deleted_recording_cannot_be_watched_again(shows: Shows) -> None:
    """The show's playlists, segments and thumbnails go with it; other shows keep theirs."""
    storage = shows.api.resources.storage
    recording, other = await recorded(shows), await recorded(shows)
    kept = []
    for one in (recording, other):
        told = (await shows.api("GET", f"/recordings/{one}", by=shows.host)).data
        session = told["session_id"]
        for key in (
            *(f"hls/{session}/{name}" for name in ("index.m3u8", "full.m3u8", "1/seg_00000.ts")),
            f"thumbnails/{session}/1/thumb_1.jpeg",
        ):
            await storage.write(key, b"content", content_type="application/octet-stream")
            kept += [key] if one == other else []

    await shows.api("DELETE", f"/recordings/{recording}", by=shows.host)

    left = [item.key for kind in ("hls", "thumbnails") for item in await storage.list(f"{kind}/")]
    assert sorted(left) == sorted(kept)


async def test_what_is_being_recorded_stays(shows: Shows) -> None:
    """End the show first."""
    recording = await recorded(shows, status="recording")

    got = await shows.api("DELETE", f"/recordings/{recording}", by=shows.host)

    assert got.problem == (409, "recording-not-ready")


async def test_one_whose_storage_was_away_can_be_deleted_unless_somebody_is_at_it(
    shows: Shows,
) -> None:
    """Nobody has to wait for a verdict to be rid of it; and it is not tried again."""
    asked = {"status": "recording", "verdict": None, "finish_asked_at": datetime.now(UTC)}
    busy = await recorded(shows, **asked, lease_owner="a worker")
    waiting = await recorded(shows, **asked, look_at=datetime.now(UTC))

    refused = await shows.api("DELETE", f"/recordings/{busy}", by=shows.host)
    deleted = await shows.api("DELETE", f"/recordings/{waiting}", by=shows.host)

    assert refused.problem == (409, "recording-not-ready")
    assert deleted.status == 200
    async with shows.api.resources.db.read() as tx:
        row = await tx.get_one(Recording, uuid.UUID(waiting))
    assert (row.look_at, row.deleted_at is None) == (None, False)


async def test_a_recording_outlives_its_session(shows: Shows) -> None:
    """Deleting the session hides it; the recording stays until it is deleted itself."""
    recording = await recorded(shows)
    one = (await shows.api("GET", f"/recordings/{recording}", by=shows.host)).data

    await shows.api("DELETE", f"/sessions/{one['session_id']}", by=shows.host)

    assert (await shows.api("GET", f"/recordings/{recording}", by=shows.host)).status == 200


@pytest.mark.parametrize("what", ["", "/download"])
async def test_another_organizations_recording_is_not_there(shows: Shows, what: str) -> None:
    """Like one that never was; a colleague may not."""
    recording = await recorded(shows)

    foreign = await shows.api("GET", f"/recordings/{recording}{what}", by=shows.people.stranger)
    unknown = await shows.api("GET", f"/recordings/{uuid.uuid4()}{what}", by=shows.people.stranger)
    colleague = await shows.api("GET", f"/recordings/{recording}{what}", by=shows.people.colleague)

    assert foreign.problem == unknown.problem == (404, "recording-not-found")
    assert colleague.problem == (403, "insufficient-scope")


async def test_on_s3_the_link_is_the_buckets_own(shows: Shows, s3_server: S3Server) -> None:
    """Presigned: it downloads without us, under the recording's name, and not unsigned."""
    shows.api.resources.storage = Storage.open(
        f"s3://{s3_server.make_bucket()}/shows",
        s3_endpoint=s3_server.endpoint_url,
        s3_region=s3_server.region,
        s3_access_key=s3_server.access_key,
        s3_secret_key=SecretStr(s3_server.secret_key),
    )
    recording = await recorded(shows, storage_type="s3")

    got = await shows.api("GET", f"/recordings/{recording}/download", by=shows.host)

    assert got.data["download_url"].startswith(s3_server.endpoint_url)
    assert "X-Amz-Signature" in got.data["download_url"]
    assert s3_server.secret_key not in got.data["download_url"]
    async with shows.api.http.get(got.data["download_url"]) as downloaded:
        assert await downloaded.read() == FILM
        assert "Spring%20launch.mp4" in downloaded.headers["Content-Disposition"]
    assert (await shows.api("DELETE", f"/recordings/{recording}", by=shows.host)).status == 200

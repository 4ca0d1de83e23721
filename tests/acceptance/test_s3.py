"""A whole show on S3: the egress uploads there, viewers read from there, the recording is there."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from api.recordings import LINK_SECONDS
from tests.acceptance.conftest import BRISK
from tests.acceptance.performance import perform
from tests.acceptance.product import product
from tests.system.s3 import S3Server

pytestmark = pytest.mark.media


async def test_a_whole_show_on_s3(s3_server: S3Server, tmp_path: Path):
    """No media touch the machine's own disk; the download comes from S3 itself."""
    secret = "canary-of-s3-that-no-log-may-hold"
    storage = {
        "GREENROOM_MEDIA_URL": f"s3://{s3_server.make_bucket()}/shows",
        "GREENROOM_S3_ENDPOINT": s3_server.endpoint_url,
        "GREENROOM_S3_REGION": s3_server.region,
        "GREENROOM_S3_ACCESS_KEY": s3_server.access_key,
        "GREENROOM_S3_SECRET_KEY": secret,
    }
    database = tmp_path / "greenroom.sqlite3"
    async with product(
        tmp_path,
        database_url=f"sqlite:///{database}",
        more={**BRISK, **storage},
    ) as greenroom:
        performed = await perform(greenroom)

        link = urlsplit(performed.download.link["download_url"])
        query = parse_qs(link.query)
        assert f"{link.scheme}://{link.netloc}" == s3_server.endpoint_url
        assert query["X-Amz-Expires"] == [str(LINK_SECONDS)]
        assert "attachment" in performed.download.disposition
        assert performed.recording["storage_type"] == "s3"
        assert performed.download.probe().tracks == ["audio", "video"]
        for address in performed.player.segments:
            assert address.startswith(greenroom.url)
        assert not _files(tmp_path, "media")
        for process in greenroom.ran:
            assert secret not in process.log()
        # SQLite keeps the newest pages in a file of their own.
        stored = b"".join(path.read_bytes() for path in _files(tmp_path, "greenroom.sqlite3*"))
        assert UUID(performed.show.id).hex.encode() in stored
        for plain in (secret, performed.show.live["rtmp"]["stream_key"]):
            assert plain.encode() not in stored


def _files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))

"""A recording as its host downloads it: its bytes, and what a player finds in them."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import av

from deploy import testcard
from tests.acceptance.caller import Caller


@dataclass(frozen=True)
class Download:
    """One file, read whole."""

    link: dict[str, Any]  #: RecordingDownloadResponse
    content_type: str
    disposition: str
    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def probe(self) -> "Found":
        """Decode it from the first picture to the last."""
        with av.open(io.BytesIO(self.body)) as media:
            tracks = sorted(stream.type for stream in media.streams)
            seconds = float(media.duration or 0) / av.time_base
            numbers: list[int | None] = []
            for frame in media.decode(video=0):
                plane: Any = frame.reformat(format="gray").planes[0]
                numbers.append(
                    testcard.number_in(
                        bytes(plane), width=frame.width, height=frame.height, line=plane.line_size
                    )
                )
        return Found(tracks, seconds, numbers)


@dataclass(frozen=True)
class Found:
    """What is in a file."""

    tracks: list[str]
    seconds: float
    numbers: list[int | None]  #: of its pictures, as the test card counts them


async def download(host: Caller, recording_id: str) -> Download:
    """Ask for a link, and follow it as a browser does: without any credentials."""
    link = await host.get(f"/recordings/{recording_id}/download")
    got = (await Caller(host.http, host.url).ask("GET", link["download_url"])).expect(200)
    return Download(
        link,
        got.headers["Content-Type"],
        got.headers.get("Content-Disposition", ""),
        got.body,
    )

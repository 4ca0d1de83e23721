"""What an egress has written so far: segments, playlists, images, recording, manifest."""

import asyncio
import json
import posixpath
import shutil
import tempfile
from pathlib import Path

from livekit.protocol.egress import EgressInfo, FileInfo, ImagesInfo, SegmentsInfo

from deploy.standin.ids import now_ns
from deploy.standin.media import Piece, Run, join
from deploy.standin.outputs import ImagesPlan, Plan, SegmentsPlan
from deploy.standin.playlists import Playlist, Segment

Result = FileInfo | SegmentsInfo | ImagesInfo

#: The whole playlist is written each segment in the first hour, every second one in the next.
RARER_EVERY_SECONDS = 3600


class Writer:
    """The files of one egress, and the results in its EgressInfo that follow them."""

    def __init__(self, plan: Plan, info: EgressInfo) -> None:
        self._plan = plan
        self._info = info
        self.directory = Path(tempfile.mkdtemp(prefix="standin-egress-"))
        self._playlist = Playlist(plan.segment_seconds)
        self._kept: list[Path] = []
        self._break = False
        self._image_files: list[dict[str, str]] = []

    def begin(self) -> None:
        """Note when the pipeline began."""
        for result in self._results():
            result.started_at = now_ns()

    def new_run(self) -> None:
        """Note that the next segment does not continue the last one."""
        self._break = bool(self._playlist.segments)

    async def segment(self, piece: Piece) -> None:
        """Store a segment, then the playlists that name it."""
        plan = self._plan.segments
        index = len(self._playlist.segments)
        if plan is None:
            name = piece.path.name
        else:
            name = plan.segment_name(index, piece.began_at)
            await plan.storage.put_file(plan.path(name), piece.path)
        self._playlist.segments.append(
            Segment(name, piece.seconds, piece.began_at, discontinuity=self._break)
        )
        self._break = False
        size = (await asyncio.to_thread(piece.path.stat)).st_size
        if plan is not None:
            result = self._info.segment_results[0]
            result.segment_count += 1
            result.size += size
            await self._write_playlists(plan, ended=False)
        if self._plan.file is not None:
            self._kept.append(piece.path)
        else:
            await asyncio.to_thread(piece.path.unlink)

    async def images(self, run: Run) -> None:
        """Store the images that a run has finished since the last look."""
        for index, plan in enumerate(self._plan.images):
            for path in await asyncio.to_thread(run.images, index):
                await self._image(plan, path, index)

    async def finish(self, ffmpeg: str) -> None:
        """Close the playlists, join the recording, write the manifest."""
        ended_at = now_ns()
        for result in self._results():
            result.ended_at = ended_at
            if not isinstance(result, ImagesInfo):
                result.duration = ended_at - result.started_at
        plan = self._plan.segments
        if plan is not None and self._playlist.segments:
            await self._write_playlists(plan, ended=True)
        if self._plan.file is not None and self._kept:
            await self._write_file(ffmpeg)
        await self._write_manifest()

    def discard(self) -> None:
        """Remove what lies in the temporary directory, as the death of a worker does."""
        shutil.rmtree(self.directory, ignore_errors=True)

    async def _write_playlists(self, plan: SegmentsPlan, *, ended: bool) -> None:
        result = self._info.segment_results[0]
        count = len(self._playlist.segments)
        every = 1 + count * plan.seconds // RARER_EVERY_SECONDS
        if ended or count % every == 0:
            result.playlist_location = await plan.storage.put(
                plan.path(plan.playlist), self._playlist.vod(ended=ended)
            )
        if plan.live_playlist is not None:
            result.live_playlist_location = await plan.storage.put(
                plan.path(plan.live_playlist), self._playlist.live(ended=ended)
            )

    async def _image(self, plan: ImagesPlan, path: Path, index: int) -> None:
        result = self._info.image_results[index]
        taken_at = (await asyncio.to_thread(path.stat)).st_mtime
        name = plan.path(result.image_count, taken_at)
        location = await plan.storage.put_file(name, path)
        result.image_count += 1
        self._image_files.append({"filename": name, "location": location})
        await asyncio.to_thread(path.unlink)

    async def _write_file(self, ffmpeg: str) -> None:
        plan = self._plan.file
        assert plan is not None
        target = self.directory / "recording.mp4"
        await join(ffmpeg, self._kept, target)
        result = self._info.file_results[0]
        result.location = await plan.storage.put_file(plan.path, target)
        result.size = (await asyncio.to_thread(target.stat)).st_size

    async def _write_manifest(self) -> None:
        segments, file = self._plan.segments, self._plan.file
        if segments is not None and segments.manifest:
            directory, storage = segments.directory, segments.storage
        elif file is not None and file.manifest:
            directory, storage = posixpath.dirname(file.path), file.storage
        else:
            return
        path = posixpath.join(directory, f"{self._info.egress_id}.json")
        content = json.dumps(self._manifest(), separators=(",", ":")).encode()
        self._info.manifest_location = await storage.put(path, content)

    def _manifest(self) -> dict[str, object]:
        info = self._info
        manifest: dict[str, object] = {
            "egress_id": info.egress_id,
            "room_id": info.room_id,
            "room_name": info.room_name,
            "started_at": info.started_at,
            "ended_at": now_ns(),
            "publisher_identity": self._plan.identity or "",
        }
        if info.file_results and info.file_results[0].location:
            result = info.file_results[0]
            manifest["files"] = [{"filename": result.filename, "location": result.location}]
        plan = self._plan.segments
        if plan is not None:
            paths = [plan.path(segment.name) for segment in self._playlist.segments]
            manifest["playlists"] = [
                {
                    "location": info.segment_results[0].playlist_location,
                    "segments": [{"filename": path, "location": path} for path in paths],
                }
            ]
        if self._image_files:
            manifest["images"] = self._image_files
        return manifest

    def _results(self) -> list[Result]:
        info = self._info
        return [*info.file_results, *info.segment_results, *info.image_results]

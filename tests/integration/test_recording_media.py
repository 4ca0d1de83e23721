"""Recordings are finished from real media, whatever happened to it."""

import asyncio
import hashlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat, takewhile
from pathlib import Path
from uuid import UUID, uuid4

import av
import imageio_ffmpeg
import pytest
from pydantic import SecretStr

from orchestration.names import recording_key, take_file_key, take_folder
from orchestration.recordings import threads
from orchestration.recordings.evidence import Gap
from orchestration.recordings.finish import Finished, TakesOfShow, finish
from orchestration.recordings.join import join
from orchestration.recordings.probe import UnreadableMedia, codecs_fit, probe_file, probe_segment
from orchestration.recordings.verdict import Reason
from orchestration.states import Verdict
from orchestration.storage import Storage, StorageUnavailable
from tests.system.s3 import S3Server
from tests.system.waits import PATIENCE, until


@dataclass(frozen=True)
class Encoded:
    """What an egress left of one take, on disk."""

    directory: Path
    seconds: float

    @property
    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.ts"))

    @property
    def file(self) -> Path:
        return self.directory / "own.mp4"


def encode(directory: Path, seconds: float, *, size: str = "160x90") -> Encoded:
    """Encode a moving picture with a tone as an egress does: segments, playlist, mp4."""
    directory.mkdir()
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *("-hide_banner", "-loglevel", "error", "-nostdin"),
            *("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25"),
            *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
            *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"),
            *("-pix_fmt", "yuv420p", "-g", "50", "-bf", "2", "-sc_threshold", "0", "-c:a", "aac"),
            *("-f", "tee", "-map", "0:v", "-map", "1:a"),
            "[f=hls:hls_time=2:hls_list_size=0:hls_segment_filename=seg_%05d.ts]vod.m3u8|own.mp4",
        ],
        check=True,
        cwd=directory,
        timeout=120,
    )
    return Encoded(directory, seconds)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """Encode a take of 7 s: four segments."""
    return encode(tmp_path_factory.mktemp("media") / "first", 7)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """Encode a take of 5 s with the same encoding."""
    return encode(tmp_path_factory.mktemp("media") / "second", 5)


@pytest.fixture(scope="session")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """Encode a take of 3 s in another size."""
    return encode(tmp_path_factory.mktemp("media") / "wider", 3, size="192x108")


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Open an empty storage of each kind."""
    if request.param == "local":
        return Storage.open(f"file://{tmp_path}/media")
    server: S3Server = request.getfixturevalue("s3_server")
    return Storage.open(
        f"s3://{server.make_bucket()}/shows",
        s3_endpoint=server.endpoint_url,
        s3_access_key=server.access_key,
        s3_secret_key=SecretStr(server.secret_key),
    )


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.open(f"file://{tmp_path}/media")


@dataclass
class Show:
    """A show whose takes lie in a storage."""

    storage: Storage
    workdir: Path
    session_id: UUID
    takes: int = 0

    async def add(self, take: Encoded, *, file: bool = False) -> int:
        self.takes += 1
        folder = take_folder(self.session_id, self.takes)
        for path in [*take.segments, take.directory / "vod.m3u8"]:
            await self.storage.put_file(path, folder + path.name, content_type="video/mp2t")
        if file:
            key = take_file_key(self.session_id, self.takes)
            await self.storage.put_file(take.file, key, content_type="video/mp4")
        return self.takes

    def key(self, sequence: int, take: int = 1) -> str:
        return f"{take_folder(self.session_id, take)}seg_{sequence:05d}.ts"

    async def change(self, key: str, change: Callable[[bytes], bytes]) -> None:
        content = await self.storage.read(key)
        assert content is not None
        await self.storage.write(key, change(content), content_type="video/mp2t")

    async def finish(self) -> Finished:
        takes = TakesOfShow(self.session_id, tuple(range(1, self.takes + 1)))
        finished = await finish(takes, self.storage, self.workdir)
        assert list(self.workdir.iterdir()) == []
        return finished

    async def recording(self, finished: Finished, path: Path) -> Path:
        """Fetch the finished file; what was told of it is true."""
        assert finished.file_key is not None
        stored = await self.storage.copy_to_local(finished.file_key, path)
        assert stored is not None
        assert stored.size == finished.size_bytes
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == finished.sha256
        return path


@pytest.fixture
def show(storage: Storage, tmp_path: Path) -> Show:
    return Show(storage, tmp_path / "work", uuid4())


@pytest.fixture
def local_show(local: Storage, tmp_path: Path) -> Show:
    return Show(local, tmp_path / "work", uuid4())


@dataclass
class Decoded:
    """What a player gets out of a file."""

    pictures: int = 0
    sounds: int = 0
    #: Longest time from one picture to the next, seconds.
    longest_step: float = 0.0
    #: Packets that a decoder refuses.
    refused: int = 0


def decode(path: Path) -> Decoded:
    """Decode a whole file as a player does, which goes on after a broken frame."""
    result, last = Decoded(), None
    with av.open(str(path)) as container:
        for packet in container.demux():
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                result.refused += 1
                continue
            for frame in frames:
                if not isinstance(frame, av.VideoFrame):
                    result.sounds += 1
                    continue
                assert frame.time is not None
                if last is not None:
                    assert frame.time > last
                    result.longest_step = max(result.longest_step, frame.time - last)
                result.pictures, last = result.pictures + 1, frame.time
    return result


async def test_own_file_is_the_recording(show: Show, first: Encoded, tmp_path: Path):
    """One take whose file agrees with its segments: that very file, not a copy."""
    await show.add(first, file=True)

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.VERIFIED, Reason.FILE_WHOLE)
    assert finished.status == "completed"
    assert finished.file_key == take_file_key(show.session_id, 1)
    assert not finished.salvaged
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)
    await show.recording(finished, tmp_path / "recording.mp4")
    assert await show.storage.head(recording_key(show.session_id)) is None


async def test_missing_file_is_salvaged_from_segments(show: Show, first: Encoded, tmp_path: Path):
    """The egress died: its segments become the recording, every picture of them."""
    await show.add(first)

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.VERIFIED, Reason.SEGMENTS_JOINED)
    assert finished.file_key == recording_key(show.session_id)
    assert finished.salvaged
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)
    played = decode(await show.recording(finished, tmp_path / "recording.mp4"))
    assert (played.pictures, played.refused) == (7 * 25, 0)
    assert played.sounds == pytest.approx(7 * 48_000 / 1024, abs=3)
    assert played.longest_step == pytest.approx(0.04, abs=0.002)


async def test_takes_are_joined(show: Show, first: Encoded, second: Encoded, tmp_path: Path):
    """Timestamps that start anew with every take go on in the recording."""
    await show.add(first, file=True)
    await show.add(second, file=True)
    await show.add(first)

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.VERIFIED, Reason.SEGMENTS_JOINED)
    assert finished.duration_seconds == pytest.approx(19, abs=0.3)
    played = decode(await show.recording(finished, tmp_path / "recording.mp4"))
    assert (played.pictures, played.refused) == (19 * 25, 0)
    assert played.longest_step < 0.2


async def test_finishing_again_gives_the_same(show: Show, first: Encoded, second: Encoded):
    """Every repetition, also over what a killed one left, answers the same to the byte."""
    await show.add(first)
    await show.add(second)
    once = await show.finish()
    left = show.workdir / f"{show.session_id}-left"
    left.mkdir()
    (left / "recording.mp4").write_bytes(b"half")

    again = await show.finish()

    assert again == once


@pytest.mark.parametrize("keep", [0.95, 0.5, 0.1])
async def test_truncated_segment_changes_the_verdict(
    local_show: Show, first: Encoded, tmp_path: Path, keep: float
):
    """The segment is named, and what can still be played of it is in the recording."""
    show = local_show
    await show.add(first)
    await show.change(show.key(1), lambda content: content[: int(len(content) * keep)])

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.SEGMENT_TRUNCATED)
    assert finished.status == "completed"
    assert finished.damaged == ("1/seg_00001.ts",)
    assert "1/seg_00001.ts" in finished.reason_text
    played = decode(await show.recording(finished, tmp_path / "recording.mp4"))
    assert 5 * 25 <= played.pictures < 7 * 25
    assert played.refused <= 2  # the picture and the sound that were cut


async def test_every_truncation_leaves_a_recording(local_show: Show, first: Encoded):
    """Wherever a segment was cut, the rest of the show is not lost with it."""
    await local_show.add(first)
    whole = await local_show.storage.read(local_show.key(1))
    assert whole is not None
    for length in range(500, len(whole) * 9 // 10, len(whole) // 25):
        await local_show.change(local_show.key(1), lambda _, length=length: whole[:length])

        finished = await local_show.finish()

        assert finished.reason == Reason.SEGMENT_TRUNCATED
        assert finished.damaged == ("1/seg_00001.ts",)


async def test_truncation_at_a_packets_end_is_seen(local_show: Show, first: Encoded):
    """Also a segment that is cut cleanly is shorter than its playlist says."""
    await local_show.add(first)
    await local_show.change(local_show.key(2), lambda content: content[: 188 * 300])

    finished = await local_show.finish()

    assert finished.damaged == ("1/seg_00002.ts",)
    assert finished.verdict is Verdict.PARTIAL


async def test_truncated_segment_beside_a_whole_file(local_show: Show, first: Encoded):
    """The file is the recording, but the show's replay is not whole, and that is said."""
    await local_show.add(first, file=True)
    await local_show.change(local_show.key(1), lambda content: content[: len(content) // 2])

    finished = await local_show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.SEGMENT_TRUNCATED)
    assert finished.file_key == take_file_key(local_show.session_id, 1)
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"not media at all" * 100])
async def test_segment_of_garbage_is_left_out(
    local_show: Show, first: Encoded, tmp_path: Path, content: bytes
):
    """Zero bytes or noise under a segment's name cost that segment only."""
    await local_show.add(first)
    await local_show.change(local_show.key(1), lambda _: content)

    finished = await local_show.finish()

    assert finished.verdict is Verdict.PARTIAL
    assert finished.gaps == ((Gap(1, 1, 1),) if content == b"" else ())
    assert finished.damaged == (() if content == b"" else ("1/seg_00001.ts",))
    played = decode(await local_show.recording(finished, tmp_path / "recording.mp4"))
    assert (played.pictures, played.refused) == (5 * 25, 0)


async def test_missing_segment_is_a_gap(show: Show, first: Encoded):
    """The numbers that are not there are told, and the rest is joined without a hole."""
    await show.add(first)
    await show.storage.delete([show.key(1)])

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.SEGMENTS_MISSING)
    assert finished.gaps == (Gap(1, 1, 1),)
    assert finished.duration_seconds == pytest.approx(5, abs=0.2)


async def test_segment_that_no_playlist_names_yet_is_used(local_show: Show, first: Encoded):
    """What the egress wrote before it died counts, though it never came to say so."""
    await local_show.add(first)
    playlist = f"{take_folder(local_show.session_id, 1)}vod.m3u8"
    await local_show.change(
        playlist, lambda text: text.partition(b"seg_00002.ts")[0] + b"seg_00002.ts\n"
    )

    finished = await local_show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.VERIFIED, Reason.SEGMENTS_JOINED)
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)


async def test_torn_playlist(local_show: Show, first: Encoded):
    """Without any playlist the segments are joined, and nobody can say that they are all."""
    await local_show.add(first)
    await local_show.change(
        f"{take_folder(local_show.session_id, 1)}vod.m3u8", lambda _: b"\xff\xfe torn"
    )

    finished = await local_show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.SEGMENTS_UNCHECKED)
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)


async def test_broken_file_is_not_taken(local_show: Show, first: Encoded):
    """A file whose end is missing, or that is empty, loses against the segments."""
    for change in (lambda content: content[: len(content) // 2], lambda _: b""):
        show = Show(local_show.storage, local_show.workdir, uuid4())
        await show.add(first, file=True)
        await show.change(take_file_key(show.session_id, 1), change)

        finished = await show.finish()

        assert (finished.verdict, finished.reason) == (Verdict.VERIFIED, Reason.SEGMENTS_JOINED)


async def test_different_encodings_are_not_joined(
    show: Show, first: Encoded, wider: Encoded, tmp_path: Path
):
    """The longest part is the file, and the reason is told."""
    await show.add(wider, file=True)
    await show.add(first, file=True)

    finished = await show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.CODECS_DIFFER)
    assert finished.file_key == take_file_key(show.session_id, 2)
    await show.recording(finished, tmp_path / "recording.mp4")


async def test_different_encodings_without_files(local_show: Show, first: Encoded, wider: Encoded):
    """The longest neighbours that fit are joined instead."""
    await local_show.add(wider)
    await local_show.add(first)

    finished = await local_show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.PARTIAL, Reason.CODECS_DIFFER)
    assert finished.file_key == recording_key(local_show.session_id)
    assert finished.duration_seconds == pytest.approx(7, abs=0.1)


async def test_nothing_is_left(local_show: Show, first: Encoded):
    """No take, no media, and only garbage are lost, each with its own reason."""
    assert (await local_show.finish()).reason == Reason.NO_MEDIA
    await local_show.add(first)
    for sequence in range(4):
        await local_show.change(local_show.key(sequence), lambda _: b"noise" * 50)

    finished = await local_show.finish()

    assert (finished.verdict, finished.reason) == (Verdict.LOST, Reason.NOTHING_READABLE)
    assert finished.status == "failed"
    assert (finished.file_key, finished.sha256, finished.size_bytes) == (None, None, None)


async def test_storage_that_fails_is_tried_again_later(local_show: Show, first: Encoded):
    """A disk that is gone is no lost recording: the error says that it is worth another try."""
    await local_show.add(first)
    media = local_show.workdir.parent / "media"
    await asyncio.to_thread(media.rename, media.with_name("unmounted"))

    with pytest.raises(StorageUnavailable):
        await local_show.finish()

    await asyncio.to_thread(media.with_name("unmounted").rename, media)
    assert (await local_show.finish()).verdict is Verdict.VERIFIED


async def test_recording_that_cannot_be_stored(local_show: Show, first: Encoded):
    """A full or read-only place for recordings leaves no file and no verdict, only an error."""
    await local_show.add(first)
    in_the_way = local_show.workdir.parent / "media" / "recordings"
    in_the_way.write_bytes(b"")

    with pytest.raises(StorageUnavailable):
        await local_show.finish()

    in_the_way.unlink()
    assert (await local_show.finish()).verdict is Verdict.VERIFIED


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Give what is set when the test is over, for threads that may still work then."""
    over = threading.Event()
    yield over
    over.set()


async def test_cancelled_join_stops(first: Encoded, tmp_path: Path, over: threading.Event):
    """Whoever gives up does not leave a thread that works on."""
    # Endless, so that it cannot be done before it is cancelled.
    takes = takewhile(lambda _: not over.is_set(), repeat(first.segments))
    target = tmp_path / "endless.mp4"
    joining = asyncio.create_task(join(takes, target))
    await until(lambda: target.stat().st_size, what="the join to write")

    joining.cancel()

    with pytest.raises(asyncio.CancelledError):
        await joining
    # Passed only when all threads are free: each waits in it for the others.
    barrier = threading.Barrier(threads.THREADS)
    await asyncio.gather(*(threads.apart(barrier.wait, PATIENCE) for _ in range(threads.THREADS)))


async def test_join_puts_the_index_in_front(first: Encoded, tmp_path: Path):
    """A browser can play the file while it still downloads."""
    target = tmp_path / "joined.mp4"

    await join([first.segments], target)

    content = target.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


async def test_join_refuses_what_is_not_media(tmp_path: Path):
    """Noise is no recording."""
    noise = tmp_path / "seg_00000.ts"
    noise.write_bytes(b"noise" * 1000)

    with pytest.raises(UnreadableMedia):
        await join([[noise]], tmp_path / "joined.mp4")


async def test_probe_tells_codecs_apart(first: Encoded, second: Encoded, wider: Encoded):
    """The same encoding fits, every segment of it; another picture size does not."""
    same = [await probe_segment(path) for path in [*first.segments, *second.segments]]
    other = await probe_segment(wider.segments[0])

    assert codecs_fit(same)
    assert not codecs_fit([same[0], other])
    assert other.video is not None
    assert (other.video.codec, other.video.shape) == ("h264", "192x108")
    assert other.audio is not None
    assert (other.audio.codec, other.audio.shape) == ("aac", "48000 Hz, mono")


async def test_probe_file_looks_at_the_end(first: Encoded, tmp_path: Path):
    """An mp4 whose index is in front and whose data ends early is cut."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    await join([first.segments], whole)
    shutil.copy(whole, cut)
    with cut.open("r+b") as file:
        file.truncate(whole.stat().st_size * 4 // 5)

    assert not (await probe_file(whole)).cut
    assert (await probe_file(cut)).cut

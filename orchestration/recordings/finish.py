"""Finish a recording: find what a show left, check it, make one file of it, say what it is worth.

May be begun again at any time, after any crash: the same files give the same answer, and whatever
was not finished is in a directory of its own that the next attempt removes.
"""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from orchestration.names import recording_key, take_file_key, take_folder
from orchestration.playlists import Segment, UnreadablePlaylist, read_take
from orchestration.recordings import threads
from orchestration.recordings.evidence import Gap, Piece, TakeFound, lay_out
from orchestration.recordings.join import join
from orchestration.recordings.probe import (
    Probe,
    UnreadableMedia,
    probe_file,
    probe_segment,
)
from orchestration.recordings.verdict import (
    STATUS,
    Decision,
    JoinSegments,
    TakeFile,
    cannot_join,
    check_joined,
    decide,
)
from orchestration.states import Verdict
from orchestration.storage import Storage, StorageUnavailable

#: A take's playlists, the one that names more first.
PLAYLISTS = ("vod.m3u8", "live.m3u8")

#: Segments on their way or in a probe at once: enough to hide a store's answer time.
LOOKED_AT_ONCE = 4


@dataclass(frozen=True)
class TakesOfShow:
    """Whose recording it is, and the numbers of its takes; all of them are over."""

    session_id: UUID
    takes: tuple[int, ...]


@dataclass(frozen=True)
class Finished:
    """A recording's final state; what there is no file for is None."""

    verdict: Verdict
    #: Slug, see verdict.Reason.
    reason: str
    reason_text: str
    #: Storage key; the take's own file stays where it is.
    file_key: str | None
    sha256: str | None
    size_bytes: int | None
    duration_seconds: float | None
    gaps: tuple[Gap, ...]
    #: `take/file` of each segment that is not what its playlist promised.
    damaged: tuple[str, ...]
    #: The file was joined from segments.
    salvaged: bool

    @property
    def status(self) -> str:
        """The contract's word for it."""
        return STATUS[self.verdict]


async def finish(show: TakesOfShow, storage: Storage, workdir: Path) -> Finished:
    """Make the show's recording. Needs room for it in `workdir`, and on S3 for its segments too.

    Raises StorageUnavailable and OSError, both worth another attempt.
    """
    async with _own_directory(workdir, f"{show.session_id}-") as directory:
        found = [
            await _found(show.session_id, take, storage, directory, alone=len(show.takes) == 1)
            for take in sorted(set(show.takes))
        ]
        decision = decide([take.evidence for take in found])
        match decision.plan:
            case TakeFile(number):
                taken = next(take for take in found if take.evidence.number == number)
                assert taken.evidence.file is not None
                assert taken.file_path is not None
                key = take_file_key(show.session_id, number)
                return await _finished(decision, key, taken.file_path, taken.evidence.file)
            case JoinSegments():
                return await _joined(show, decision, found, storage, directory)
            case _:
                return _without_file(decision)


@dataclass(frozen=True)
class _Found:
    """A take's evidence, and where it lies on this machine."""

    evidence: TakeFound
    file_path: Path | None
    #: By file name.
    segment_paths: dict[str, Path]


async def _found(
    session_id: UUID, take: int, storage: Storage, directory: Path, *, alone: bool
) -> _Found:
    folder = take_folder(session_id, take)
    listed = {stored.key.removeprefix(folder): stored.size for stored in await storage.list(folder)}
    pieces = lay_out(take, await _named(folder, take, storage), listed)
    file_path, file = await _own_file(session_id, take, storage, directory)
    local = directory / f"take-{take}"
    await asyncio.to_thread(local.mkdir)
    # Segments that will hardly be joined are looked at one by one, not kept: they may be many.
    desk = _Desk(storage, folder, local, keep=not (alone and file is not None))
    try:
        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(_look(piece, desk)) for piece in pieces]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    looked = [look.result() for look in looks]
    return _Found(
        evidence=TakeFound(take, tuple(piece for piece, _ in looked), file),
        file_path=file_path,
        segment_paths={piece.uri: path for piece, path in looked if path is not None},
    )


@dataclass(frozen=True)
class _Desk:
    """Where a take's segments come from and are looked at."""

    storage: Storage
    #: The take's folder in the storage.
    folder: str
    #: Copies lie here.
    local: Path
    keep: bool
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKED_AT_ONCE))


async def _named(folder: str, take: int, storage: Storage) -> list[Segment]:
    """Read what the take's playlists promise; a torn one promises what can still be read."""
    named: list[Segment] = []
    for name in PLAYLISTS:
        content = await storage.read(folder + name)
        if content is None:
            continue
        try:
            # A day's playlist keeps the loop busy for most of a second.
            text = content.decode(errors="replace")
            named.extend(await asyncio.to_thread(read_take, text, take))
        except UnreadablePlaylist:
            continue
    return named


async def _own_file(
    session_id: UUID, take: int, storage: Storage, directory: Path
) -> tuple[Path | None, Probe | None]:
    path = await _on_this_machine(
        take_file_key(session_id, take), storage, directory / f"take-{take}.mp4"
    )
    if path is None:
        return None, None
    try:
        return path, await probe_file(path)
    except UnreadableMedia:
        return path, None


async def _look(piece: Piece, desk: _Desk) -> tuple[Piece, Path | None]:
    """Probe one segment; return where it lies if it can be played."""
    if not piece.is_there:
        return piece, None
    async with desk.gate:
        copy = desk.local / piece.uri
        path = await _on_this_machine(desk.folder + piece.uri, desk.storage, copy)
        if path is None:  # deleted since it was listed
            return replace(piece, size_bytes=None), None
        try:
            return replace(piece, probe=await probe_segment(path)), path
        except UnreadableMedia:
            return piece, None
        finally:
            if path == copy and not desk.keep:
                await asyncio.to_thread(copy.unlink)


async def _on_this_machine(key: str, storage: Storage, copy: Path) -> Path | None:
    """Give the stored file itself where that is possible, else a copy of it."""
    path = await storage.local_path(key)
    if path is not None:
        return path
    return copy if await storage.copy_to_local(key, copy) else None


async def _joined(
    show: TakesOfShow,
    decision: Decision,
    found: list[_Found],
    storage: Storage,
    directory: Path,
) -> Finished:
    assert isinstance(decision.plan, JoinSegments)
    paths = {take.evidence.number: take.segment_paths for take in found}
    target = directory / "recording.mp4"
    try:
        await join(
            [
                [
                    await _kept(show.session_id, piece, storage, paths[piece.take], directory)
                    for piece in run
                ]
                for run in decision.plan.runs
            ],
            target,
        )
        probe = await probe_file(target)
    except UnreadableMedia as error:
        return _without_file(cannot_join(decision, str(error)))
    key = recording_key(show.session_id)
    finished = await _finished(check_joined(decision, probe), key, target, probe)
    # Last of all: a recording that can be seen is a recording that is finished.
    await storage.put_file(target, key, content_type="video/mp4")
    stored = await storage.head(key)
    if stored is None or stored.size != finished.size_bytes:
        raise StorageUnavailable(f"{key} is not there as it was written")
    return finished


async def _kept(
    session_id: UUID, piece: Piece, storage: Storage, paths: dict[str, Path], directory: Path
) -> Path:
    """Give a segment's path, fetched again when it was not kept after its probe."""
    path = paths[piece.uri]
    if await asyncio.to_thread(path.exists):
        return path
    copy = directory / f"take-{piece.take}" / piece.uri
    key = take_folder(session_id, piece.take) + piece.uri
    if (again := await _on_this_machine(key, storage, copy)) is None:
        raise StorageUnavailable(f"{key} went away while its recording was made")
    return again


async def _finished(decision: Decision, key: str, path: Path, probe: Probe) -> Finished:
    return Finished(
        verdict=decision.verdict,
        reason=decision.reason,
        reason_text=decision.reason_text,
        file_key=key,
        sha256=await threads.apart(_sha256, path),
        size_bytes=probe.size_bytes,
        duration_seconds=round(probe.duration_seconds, 3),
        gaps=decision.gaps,
        damaged=decision.damaged,
        salvaged=decision.salvaged,
    )


def _without_file(decision: Decision) -> Finished:
    return Finished(
        verdict=decision.verdict,
        reason=decision.reason,
        reason_text=decision.reason_text,
        file_key=None,
        sha256=None,
        size_bytes=None,
        duration_seconds=None,
        gaps=decision.gaps,
        damaged=decision.damaged,
        salvaged=False,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def _own_directory(workdir: Path, prefix: str) -> AsyncIterator[Path]:
    """Make a fresh directory for one attempt, and clear away what earlier ones left.

    Beside the loop: copies of a long show's segments are many, and other shows go on.
    """
    made = await asyncio.to_thread(_make_directory, workdir, prefix)
    try:
        yield made
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


def _make_directory(workdir: Path, prefix: str) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    for left in workdir.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=workdir))

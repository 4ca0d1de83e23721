"""Film the test card once and cut it into HLS takes, as runs of the egress would leave them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import m3u8

from deploy.testcard import Card, encoder, push_command

SEGMENT_SECONDS = 2


@dataclass(frozen=True)
class Footage:
    """One take on disk."""

    directory: Path
    #: File names and lengths in seconds, in order.
    segments: tuple[tuple[str, float], ...]
    #: The number on the first picture.
    first_frame: int


def film(directory: Path, *, seconds: tuple[int, ...]) -> tuple[Footage, ...]:
    """Film takes of these lengths: pictures are numbered through, timestamps begin anew."""
    # Small: filming it takes longer than all else, and pages make it as large as they want it.
    card = Card(width=320, height=180, video_kbits=200, audio_kbits=64, seconds=sum(seconds))
    film_path = directory / "film.ts"
    _run(*push_command(film_path, card, in_real_time=False))
    begins = [sum(seconds[:take]) for take in range(len(seconds))]
    return tuple(
        _cut(
            film_path,
            directory / str(take),
            begins=begin,
            seconds=length,
            first_frame=begin * card.frames_per_second,
        )
        for take, (begin, length) in enumerate(zip(begins, seconds, strict=True), start=1)
    )


def _cut(
    film_path: Path, directory: Path, *, begins: int, seconds: int, first_frame: int
) -> Footage:
    directory.mkdir()
    playlist_path = directory / "full.m3u8"
    _run(
        *(encoder(), "-loglevel", "error", "-nostdin", "-ss", str(begins), "-i", str(film_path)),
        *("-t", str(seconds), "-c", "copy", "-f", "hls", "-hls_time", str(SEGMENT_SECONDS)),
        *("-hls_list_size", "0", "-hls_segment_filename", str(directory / "seg_%05d.ts")),
        str(playlist_path),
    )
    playlist = m3u8.loads(playlist_path.read_text())
    return Footage(
        directory=directory,
        segments=tuple((entry.uri, round(entry.duration, 3)) for entry in playlist.segments),
        first_frame=first_frame,
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

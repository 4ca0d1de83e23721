"""A moving test picture with sound: made by ffmpeg, with its frame's number to be read from pixels.

Along the lower edge lie 20 cells of equal width. The first is white, the second black, then come
16 bits of the frame's number (white is 1, the highest first), a cell that is white when an odd
number of them is, and a white one. The number counts pictures from 0 and wraps at 65,536. It
survives scaling and any sane encoding; whoever sees it knows which picture is on the screen.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Cells along the lower edge: white, black, the bits, their parity, white.
CELLS: Final = 20
#: Bits of the frame's number.
BITS: Final = 16
#: The strip's height is the picture's by this.
STRIP: Final = 12
#: Brighter than this is white: halfway between video's black (16) and white (235).
WHITE: Final = 125


@dataclass(frozen=True)
class Card:
    """What the picture and the sound are like."""

    width: int = 640
    height: int = 360
    frames_per_second: int = 25
    video_kbits: int = 900
    audio_kbits: int = 96
    #: What most encoders are set up for, and what most players expect.
    keyframe_seconds: int = 2
    tone_hertz: int = 440
    #: How long it plays; None is for ever.
    seconds: float | None = None


class NoEncoder(Exception):
    """Neither the machine nor a Python wheel has an ffmpeg."""


def encoder() -> str:
    """Find an ffmpeg: the machine's, else the wheel's. Raises NoEncoder."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg  # noqa: PLC0415  # only the demo and the tests install it

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise NoEncoder("no ffmpeg: install it, or the Python wheel imageio-ffmpeg") from error


def push_command(
    target: str | Path, card: Card = Card(), *, ffmpeg: str | None = None, in_real_time: bool = True
) -> list[str]:
    """Make the command that sends the card to an RTMP address, or writes it to a file."""
    rate = card.frames_per_second
    size = f"{card.width}x{card.height}"
    pace = ["-re"] if in_real_time else []
    length = [] if card.seconds is None else ["-t", f"{card.seconds:g}"]
    live = str(target).startswith("rtmp")
    keyframes = str(rate * card.keyframe_seconds)
    return [
        *(ffmpeg or encoder(), "-hide_banner", "-loglevel", "warning", "-nostdin", "-y"),
        *(*pace, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}"),
        # A beep each second on a steady tone: silence and stutter are both heard.
        *(*pace, "-f", "lavfi", "-i", f"sine=frequency={card.tone_hertz}:beep_factor=4:r=48000"),
        *("-vf", _strip(card), "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency"),
        *("-profile:v", "main", "-pix_fmt", "yuv420p", "-b:v", f"{card.video_kbits}k"),
        *("-maxrate", f"{card.video_kbits}k", "-bufsize", f"{card.video_kbits * 2}k"),
        *("-g", keyframes, "-keyint_min", keyframes, "-sc_threshold", "0"),
        *("-c:a", "aac", "-b:a", f"{card.audio_kbits}k", "-ac", "2", "-ar", "48000"),
        *length,
        *(["-f", "flv", "-flvflags", "no_duration_filesize"] if live else []),
        str(target),
    ]


def number_in(
    luma: bytes | bytearray | memoryview, *, width: int, height: int, line: int | None = None
) -> int | None:
    """Read the frame's number from its brightness; None when the strip is not there.

    `luma` is one byte a pixel, `line` of them to a row (at least `width`).
    """
    line = line or width
    row = height - height // STRIP // 2
    cells = [_brightness(luma, row * line, width, cell) > WHITE for cell in range(CELLS)]
    first, second, *bits, parity, last = cells
    if not first or second or not last or sum(bits) % 2 != parity:
        return None
    return sum(bit << place for place, bit in enumerate(reversed(bits)))


def numbers_in(path: str | Path) -> Iterator[int | None]:
    """Read every picture's number out of a file or playlist that PyAV can decode."""
    import av  # noqa: PLC0415  # decodes; half a second to import, and pushing needs none of it

    with av.open(str(path)) as media:
        for frame in media.decode(video=0):
            plane: Any = frame.reformat(format="gray").planes[0]
            yield number_in(
                bytes(plane), width=frame.width, height=frame.height, line=plane.line_size
            )


def advances(numbers: Sequence[int | None], *, least: float = 0.9) -> bool:
    """Say whether the pictures come in order: nearly all are read, and none goes back."""
    read = [number for number in numbers if number is not None]
    return len(read) >= least * len(numbers) > 0 and read == sorted(set(read))


def _strip(card: Card) -> str:
    """Draw the cells: one box of each white cell, switched on by the frame's number."""
    width, height = card.width // CELLS, card.height // STRIP
    top = card.height - height
    left = (card.width - width * CELLS) // 2

    def box(first: int, cells: int, colour: str, when: str = "1") -> str:
        return (
            f"drawbox=x={left + first * width}:y={top}:w={cells * width}:h={height}"
            f":color={colour}:t=fill:enable='{when}'"
        )

    set_bits = [f"gt(bitand(n,{1 << place}),0)" for place in range(BITS)]
    return ",".join(
        [
            box(0, CELLS, "black"),
            box(0, 1, "white"),
            *(box(2 + BITS - 1 - place, 1, "white", bit) for place, bit in enumerate(set_bits)),
            box(2 + BITS, 1, "white", f"mod({'+'.join(set_bits)},2)"),
            box(CELLS - 1, 1, "white"),
        ]
    )


def _brightness(luma: bytes | bytearray | memoryview, start: int, width: int, cell: int) -> float:
    """Average the middle third of a cell in one row."""
    size = width / CELLS
    first = start + int((cell + 1 / 3) * size)
    last = start + max(int((cell + 2 / 3) * size), int((cell + 1 / 3) * size) + 1)
    return sum(luma[first:last]) / (last - first)

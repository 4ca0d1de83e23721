"""The test picture's number, drawn here by hand and read back."""

import pytest

from deploy.testcard import BITS, CELLS, STRIP, Card, advances, number_in, push_command

BLACK, WHITE = 16, 235


def picture(number: int, *, width: int, height: int, line: int | None = None) -> bytearray:
    """Draw what the encoder draws: a grey picture with the strip of cells along its lower edge."""
    line = line or width
    bits = [number >> place & 1 for place in reversed(range(BITS))]
    cells = [1, 0, *bits, sum(bits) % 2, 1]
    luma = bytearray([128] * (line * height))
    for y in range(height - height // STRIP, height):
        for x in range(width):
            luma[y * line + x] = WHITE if cells[x * CELLS // width] else BLACK
    return luma


@pytest.mark.parametrize("number", [0, 1, 2, 255, 256, 40_000, 65_535])
@pytest.mark.parametrize(("width", "height"), [(640, 360), (320, 180), (1280, 720), (213, 120)])
def test_a_number_is_read_at_any_size(number: int, width: int, height: int) -> None:
    """Players and egresses scale; the cells are fractions of the width."""
    assert (
        number_in(picture(number, width=width, height=height), width=width, height=height) == number
    )


def test_padding_at_the_end_of_rows_is_skipped() -> None:
    """Decoders align rows to 32 or 64 bytes."""
    luma = picture(1234, width=426, height=240, line=448)

    assert number_in(luma, width=426, height=240, line=448) == 1234


def test_a_picture_without_the_strip_has_no_number() -> None:
    """Black, white or grey: a frozen or foreign picture must not count as progress."""
    for brightness in (BLACK, 128, WHITE):
        luma = bytes([brightness] * (320 * 180))
        assert number_in(luma, width=320, height=180) is None


def test_a_damaged_bit_is_noticed() -> None:
    """The parity cell tells."""
    luma = picture(0, width=320, height=180)
    for y in range(180 - 180 // STRIP, 180):
        for x in range(5 * 16, 6 * 16):
            luma[y * 320 + x] = WHITE

    assert number_in(luma, width=320, height=180) is None


def test_numbers_that_go_back_or_are_missing_do_not_advance() -> None:
    """A player that repeats itself shows no progress."""
    assert advances([1, 2, 3, 10])
    assert not advances([1, 3, 2])
    assert not advances([1, 1, 2])
    assert not advances([1, None, None, None])
    assert not advances([])


def test_only_an_rtmp_target_is_sent_in_real_time_as_flv() -> None:
    """A file for a test is written as fast as it can be."""
    live = push_command("rtmp://127.0.0.1/live/key", ffmpeg="ffmpeg")
    file = push_command("card.mp4", Card(seconds=2), ffmpeg="ffmpeg", in_real_time=False)

    assert "-re" in live
    assert "flv" in live
    assert "-re" not in file
    assert file[file.index("-t") + 1] == "2"

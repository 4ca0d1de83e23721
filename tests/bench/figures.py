"""What a row measured: figures and floors in turn, their ratio, and how they are told."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Unit = Literal["ms", "s", "/s", "%"]

#: How a unit is written.
_FORMATS: dict[Unit, str] = {"ms": "{:.2f} ms", "s": "{:.2f} s", "/s": "{:,.0f}/s", "%": "{:.2f} %"}


@dataclass(frozen=True)
class Pair:
    """A figure and the floor that was measured right after it."""

    figure: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.figure / self.floor


@dataclass
class Measured:
    """One line of the table."""

    what: str
    floor: str  #: what the floor is, in words
    unit: Unit
    pairs: list[Pair] = field(default_factory=list)
    at_most: float | None = None  #: the aim, where small ratios are good
    at_least: float | None = None  #: the aim, where large ratios are good
    at_most_added: float | None = None  #: the aim, where what counts is what is added to the floor
    notes: list[str] = field(default_factory=list)

    @property
    def figure(self) -> float:
        return median(pair.figure for pair in self.pairs)

    @property
    def floor_figure(self) -> float:
        return median(pair.floor for pair in self.pairs)

    @property
    def ratio(self) -> float:
        """Divide the medians: one outlier on a busy machine must not decide."""
        return self.figure / self.floor_figure

    @property
    def is_reached(self) -> bool | None:
        """Say whether the aim is reached; None where there is none."""
        if self.at_most is not None:
            return self.ratio <= self.at_most
        if self.at_most_added is not None:
            return self.figure - self.floor_figure <= self.at_most_added
        return None if self.at_least is None else self.ratio >= self.at_least

    @property
    def aim(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        if self.at_most_added is not None:
            return f"<= floor + {self.at_most_added:g} {self.unit}"
        return "" if self.at_least is None else f">= {self.at_least:g}"

    def cells(self) -> tuple[str, ...]:
        """Say it as a line of the table."""
        ratios = sorted(pair.ratio for pair in self.pairs)
        return (
            self.what,
            amount(self.figure, self.unit),
            self.floor,
            amount(self.floor_figure, self.unit),
            f"{self.ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
            f"{self.aim} {'' if self.is_reached in {None, True} else '(missed)'}".strip(),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "floor": self.floor,
            "unit": self.unit,
            "figure": self.figure,
            "floor_figure": self.floor_figure,
            "ratio": self.ratio,
            "aim": self.aim or None,
            "is_reached": self.is_reached,
            "pairs": [[pair.figure, pair.floor] for pair in self.pairs],
            "notes": self.notes,
        }


HEADINGS = ("what", "figure", "floor", "floor's figure", "ratio (least-most)", "aim")


def amount(value: float, unit: Unit) -> str:
    return _FORMATS[unit].format(value)


def table(lines: list[Measured]) -> str:
    """Write the Markdown table, and under it what is worth knowing about its lines."""
    rows = [HEADINGS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {line.what}: {note}" for line in lines for note in line.notes]
    return "\n".join([*written, *(["", *notes] if notes else [])])

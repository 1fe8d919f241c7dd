"""A picture with what must stand beside it, and how it gets to disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from prune_rl.reporting.figures import save
from prune_rl.reporting.runs import write_rows


class Picture(NamedTuple):
    """A picture that stands alone.

    Attributes:
        name: the stem of its files, unique in a report, as 'figure_1'.
        title: what it shows of what, in one line.
        caption: how to read it: what lines and bands are, what is left out.
        figure: drawn.
        header: of the numbers beside it.
        numbers: a row each, as `header` says.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    header: tuple[str, ...]
    numbers: list[tuple[object, ...]]


def write_pictures(out: Path, pictures: Iterable[Picture], formats: Sequence[str]) -> None:
    """Writes each into the folder `out` in all of the `formats`, and its numbers as CSV.

    Raises:
        OSError: the folder cannot be written to.
    """
    for picture in pictures:
        for form in formats:
            save(picture.figure, out / f"{picture.name}.{form}")
        write_rows(out / f"{picture.name}.csv", picture.header, picture.numbers)

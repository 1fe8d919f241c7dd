"""A picture with what must stand beside it, and how it gets to disk."""

import csv
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from prune_rl.reporting.figures import save
from prune_rl.reporting.runs import write_rows

Numbers = tuple[object, ...]  # a row of them
Number = (
    int | str
)  # of a figure of a paper: 3; of others' 'sparse_reg_table_1', as grids are called
FORMATS = ("png", "svg", "pdf")


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
    numbers: list[Numbers]


def figure_name(number: Number) -> str:
    """The stem of a paper's figure: 'figure_3', 'sparse_reg_table_1'."""
    return f"figure_{number}" if isinstance(number, int) else number


_CONTENTS = "pictures.csv"


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Gives a folder to write a report to; if nothing is raised, its files come to `out`.

    Pictures of an earlier report that are not drawn again are removed, and a table that is not
    written again; other files stay.

    Raises:
        OSError: `out` cannot be made or written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".partial_") as folder:
        yield Path(folder)
        for path in _drawn_before(out):
            path.unlink()
        for path in Path(folder).iterdir():
            path.replace(out / path.name)


def _drawn_before(out: Path) -> list[Path]:
    contents = out / _CONTENTS
    if not contents.is_file():
        return []
    with contents.open(newline="") as file:
        stems = {row["name"] for row in csv.DictReader(file)}
    drawn = [x for x in out.iterdir() if x.stem in stems and x.suffix[1:] in (*FORMATS, "csv")]
    return drawn + [x for x in (out / "returns.parquet",) if x.is_file()]


def write_pictures(out: Path, pictures: Iterable[Picture], formats: Sequence[str]) -> None:
    """Writes each into the folder `out` in all of the `formats`, and its numbers as CSV.

    Titles and captions go into pictures.csv.

    Raises:
        OSError: the folder cannot be written to.
    """
    contents = []
    for picture in pictures:
        contents.append((picture.name, picture.title, picture.caption))
        for form in formats:
            save(picture.figure, out / f"{picture.name}.{form}")
        write_rows(out / f"{picture.name}.csv", picture.header, picture.numbers)
    write_rows(out / _CONTENTS, ("name", "title", "caption"), contents)

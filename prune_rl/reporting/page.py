"""report.html: one file with the runs, their statistics, curves, settings and origin; no network.

The page's parts lie in html/. What they show is JSON inside the page, drawn by JavaScript that
makes text nodes of it, never markup, so that no name of a run or label can be more than text.
"""

import base64
import html
import io
import json
import os
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import matplotlib
import numpy as np

from prune_rl.reporting import style
from prune_rl.reporting.page_data import Json, describe_runs, number
from prune_rl.reporting.pictures import Picture
from prune_rl.reporting.statistics import Estimate
from prune_rl.reporting.table import Score
from prune_rl.reporting.trainings import RUNNING, STOPPED, Training

_SCRIPTS = ("dom", "tables", "charts", "curves", "layers", "runs", "page")  # in their order
_LARGEST_SVG = 400_000  # bytes; a picture that takes more is put in as PNG
_MOST_ROWS = 1_000  # of numbers beside a picture; all are in its CSV file


class Contents(NamedTuple):
    """What a page shows.

    Attributes:
        trainings: the runs.
        scores: the final one of each run and seed, as scores.csv has them.
        counted: those of them that statistics are of.
        estimates: of those.
        pictures: of the runs.
        left_out: a line for each run or seed that is there and not among the `trainings`.
    """

    trainings: Sequence[Training] = ()
    scores: Sequence[Score] = ()
    counted: Sequence[Score] = ()
    estimates: Sequence[Estimate] = ()
    pictures: Sequence[Picture] = ()
    left_out: Sequence[str] = ()


def write_page(out: Path, contents: Contents) -> None:
    """Writes the page to the file `out`, whole or not at all; it opens from disk, without network.

    Raises:
        OSError: `out` cannot be written to.
    """
    data = page_data(contents)
    text = Template(_part("page.html")).substitute(
        title=html.escape(data["title"]),
        style=_style(),
        data=embedded(data),
        script="".join(_part(f"{name}.js") for name in _SCRIPTS),
    )
    part = out.with_stem(f"{out.stem}.part")
    # A name on disk that is no text, as Python reads it, is no UTF-8 either.
    part.write_bytes(text.encode("utf-8", "xmlcharrefreplace"))
    part.replace(out)


def _style() -> str:
    css = _part("page.css").replace("/* ON_WHITE */", style.css(style.ON_WHITE))
    return css.replace("/* ON_DARK */", style.css(style.ON_DARK))


def page_data(contents: Contents) -> Json:
    """All that the page shows."""
    runs = describe_runs(contents.trainings, contents.scores, contents.counted)
    starts = [(run["provenance"] or {}).get("started") or "" for run in runs["runs"]]
    return runs | {
        "title": f"Report of {_folders(contents.trainings)}",
        "newest": max(starts, default=""),
        "uncounted": [*contents.left_out, *_uncounted(contents)],
        "estimates": [_estimate(own) for own in _by_statistic(contents.estimates)],
        "pictures": [_picture(own) for own in contents.pictures],
    }


def _uncounted(contents: Contents) -> Iterator[str]:
    """A line for each seed that final statistics are without."""
    counts = {(score.run, score.seed) for score in contents.counted}
    for own in contents.scores:
        if (own.run, own.seed) not in counts:
            short = f"{own.state} after {own.iterations} iterations"
            why = short if own.state in (RUNNING, STOPPED) else "no episode ended at the end"
            yield f"seed {own.seed} of {own.run}: {why}"


def embedded(data: Json) -> str:
    """JSON that can stand within a script element, whatever its texts are: ASCII without '<'."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files("prune_rl.reporting") / "html" / name).read_text("utf-8")


def _folders(trainings: Sequence[Training]) -> str:
    """Those that the names of runs are below, as seen from here; of one run its own."""
    directories = [Path(os.path.abspath(own.directory)) for own in trainings]
    if len(directories) > 1:
        parts = [Path(own.name).parts for own in trainings]
        depths = [len(own) - own.count("..") for own in parts]  # as of folders ../a and b
        directories = [x.parents[depth - 1] for x, depth in zip(directories, depths, strict=True)]
    here = Path.cwd()
    below = (x.relative_to(here) if here in x.parents else x for x in directories)
    return ", ".join(dict.fromkeys(map(str, below))) or "no runs"


def _by_statistic(estimates: Sequence[Estimate]) -> list[Estimate]:
    order = list(dict.fromkeys(own.statistic for own in estimates))
    return sorted(estimates, key=lambda own: order.index(own.statistic))


def _estimate(own: Estimate) -> Json:
    numbers = {name: number(getattr(own, name)) for name in ("value", "low", "high")}
    return own._asdict() | numbers


def _picture(own: Picture) -> Json:
    return {
        "name": own.name,
        "title": own.title,
        "caption": own.caption,
        "image": _image(own),
        "header": list(own.header),
        "rows": [[_cell(value) for value in row] for row in own.numbers[:_MOST_ROWS]],
        "num_rows": len(own.numbers),
    }


def _image(own: Picture) -> str:
    """A data URI: an image of its own shares no names with the page and runs no script."""
    # Without date and with a fixed salt equal runs give equal pages.
    with matplotlib.rc_context({"svg.hashsalt": own.name}):
        drawn = _saved(own, format="svg", metadata={"Date": None})
    kind = "svg+xml"
    if len(drawn) > _LARGEST_SVG:
        drawn, kind = _saved(own, format="png", dpi=style.DPI), "png"
    return f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}"


def _saved(own: Picture, **options: Any) -> bytes:
    file = io.BytesIO()
    own.figure.savefig(file, **options)
    return file.getvalue()


def _cell(value: Any) -> str | float | int | None:
    """A number that JSON can hold, or text."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | str):
        return value
    return number(value) if isinstance(value, float) else str(value)

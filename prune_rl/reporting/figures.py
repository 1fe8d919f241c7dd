"""What every picture of runs shares: lines with their intervals, words, saving."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.typing import ColorType

from prune_rl.reporting.runs import SEEDS_OF_AN_INTERVAL, Curve, Floats, bootstrap_interval, nanmean
from prune_rl.reporting.style import DPI, SOFT, new_figure

SEEDS_BAND = "band: 95 % bootstrap interval of the mean over seeds, from three seeds on"
_OF_SOME = "of_some"
_CHARACTERS = 15  # of a note, in an inch
Steps = npt.NDArray[np.int64]
_LEGEND = 2.2  # inches that one takes beside the panels


def draw_mean(
    axes: Axes, curve: Curve, color: ColorType, label: str | None, *, marker: str = "."
) -> None:
    """Draws the mean over seeds and, from three seeds on, the band of its `bootstrap_interval`."""
    if len(curve.values) >= SEEDS_OF_AN_INTERVAL:
        low, high = bootstrap_interval(curve.values)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.15)
    mean = nanmean(curve.values, axis=0)
    draw_line(axes, curve.steps, mean, whole_until([curve]), color, label, marker=marker)


def draw_line(
    axes: Axes,
    steps: Steps,
    values: Floats,
    until: float,
    color: ColorType,
    label: str | None,
    *,
    marker: str = ".",
) -> None:
    """Draws a mean of several runs, dotted from the step `until` which it is of all of them."""
    whole = steps <= until
    axes.plot(steps[whole], values[whole], color=color, label=label, marker=marker)
    if not whole.all():
        rest = slice(max(int(whole.sum()) - 1, 0), None)
        axes.plot(steps[rest], values[rest], ":", color=color, gid=_OF_SOME)


def whole_until(curves: Sequence[Curve]) -> float:
    """The last step at which no seed has had its last number; those without any do not count."""
    there = [(own.steps, ~np.isnan(values)) for own in curves for values in own.values]
    return min((float(steps[has][-1]) for steps, has in there if has.any()), default=math.inf)


def dotted(panels: Sequence[Axes]) -> str:
    """What a dotted part of a line is, for a note; '' where there is none."""
    some = any(line.get_gid() == _OF_SOME for axes in panels for line in axes.lines)
    return "; dotted: of those that are left, as some have no more numbers" if some else ""


def spread(values: Floats) -> tuple[float, float]:
    """How far the interval of the mean of `values` (S,) reaches below it and above it."""
    if len(values) < SEEDS_OF_AN_INTERVAL:
        return math.nan, math.nan
    mean = nanmean(values, axis=0)
    (low,), (high,) = bootstrap_interval(values[:, None])
    return abs(mean - low), abs(high - mean)  # rounding may make them less than 0


def grid(
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each of `size` in inches, in at most so many `columns`."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    width, height = max(6.5, size[0] * columns + 1.8), size[1] * rows + 1.2
    figure = new_figure(width, height)
    panels = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, count - columns) : count]:  # the last of each column
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, list(panels.flat[:count])


def from_zero(*panels: Axes) -> None:
    """Lets the y axes begin at 0, unless something that is drawn lies below; panels share them."""
    low = min(axes.dataLim.y0 for axes in panels)
    high = max(axes.dataLim.y1 for axes in panels)
    if np.isfinite(high) and low >= 0 and high > 0:
        for axes in panels:
            axes.set_ylim(0, 1.06 * high)


def steps_axis(axes: Axes, label: str) -> None:
    """An x axis of steps: 200k, 1M; its label where its numbers are."""
    if axes.xaxis.get_tick_params().get("labelbottom", True):
        axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, beside them; each label once."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        handles, labels = [*found.values()], [*found]
        figure.legend(handles, labels, loc="outside right upper", fontsize="small")


def say(figure: Figure, title: str, note: str) -> None:
    """Writes what the picture shows above it and how to read it below, broken into lines."""
    width = figure.get_figwidth()
    if title:
        beside = _LEGEND if figure.legends else 0
        lines = textwrap.wrap(title, int((width - beside) * _CHARACTERS * 0.66))
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize="large")
    lines = textwrap.wrap(note, int(width * _CHARACTERS))
    figure.supxlabel("\n".join(lines), fontsize="x-small", color=SOFT)


def save(figure: Figure, out: Path) -> None:
    """Writes the picture, whole or not at all; the kind follows from the name.

    Raises:
        OSError: `out` cannot be written to.
    """
    part = out.with_stem(f"{out.stem}.part")
    figure.savefig(part, dpi=DPI)
    part.replace(out)

"""What every picture of runs shares: colours, lines with their intervals, saving."""

import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from prune_rl.reporting.runs import SEEDS_OF_AN_INTERVAL, Curve, Floats, bootstrap_interval, nanmean

_CYCLE = 10  # colours of matplotlib's own cycle, C0 to C9


def colors(count: int) -> list[ColorType]:
    """`count` colours, no two alike."""
    if count <= _CYCLE:
        return [f"C{i}" for i in range(count)]
    return [tuple(color) for color in matplotlib.colormaps["turbo"](np.linspace(0, 1, count))]


def draw_mean(axes: Axes, curve: Curve, color: ColorType, label: str | None) -> None:
    """Draws the mean over seeds and, from three seeds on, the band of its `bootstrap_interval`."""
    if len(curve.values) >= SEEDS_OF_AN_INTERVAL:
        low, high = bootstrap_interval(curve.values)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.15)
    mean = nanmean(curve.values, axis=0)
    axes.plot(curve.steps, mean, color=color, label=label, marker=".")


def spread(values: Floats) -> tuple[float, float]:
    """How far the interval of the mean of `values` (S,) reaches below it and above it."""
    if len(values) < SEEDS_OF_AN_INTERVAL:
        return math.nan, math.nan
    mean = nanmean(values, axis=0)
    (low,), (high,) = bootstrap_interval(values[:, None])
    return abs(mean - low), abs(high - mean)  # rounding may make them less than 0


def save(figure: Figure, out: Path) -> None:
    """Writes the picture, whole or not at all; the kind follows from the name.

    Raises:
        OSError: `out` cannot be written to.
    """
    part = out.with_stem(f"{out.stem}.part")
    figure.savefig(part, dpi=120)
    part.replace(out)

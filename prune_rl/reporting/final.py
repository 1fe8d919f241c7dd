"""Draws final performance against a setting, as the paper's figures 3 and 12 (right).

    python -m prune_rl.reporting.final --run=dense@1=runs/dense_x1 --run=dense@4=runs/dense_x4 \\
      --run=pruned@1=runs/pruned_x1 --run=pruned@4=runs/pruned_x4 --setting=width --out=final.png
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError
from prune_rl.reporting.runs import (
    Run,
    bootstrap_interval,
    create_parser,
    curve,
    nanmean,
    read_metrics,
    report,
    returns_phase,
    write_rows,
)


class Point(NamedTuple):
    """A method at one value of the setting: final performance (S,) of its seeds."""

    method: str
    setting: float
    seeds: list[int]
    values: npt.NDArray[np.float64]


def final_performance(run: Run) -> Point:
    """Mean return of each seed over the last quarter of a run's iterations.

    Evaluation returns, or training returns where a run has not evaluated. An iteration in which
    no episode ended is left out.

    Raises:
        ConfigError: the label is not METHOD@NUMBER, or the run cannot be read.
    """
    method, separator, setting = run.label.rpartition("@")
    try:
        number = float(setting)
    except ValueError:
        separator = ""
    if not separator:
        raise ConfigError(f"--run={run.label}={run.directory}: expected METHOD@NUMBER=RUN")
    rows = read_metrics(run.directory)
    returns = curve(rows, returns_phase([rows]), "episode_return_mean")
    last = math.ceil(len(returns.steps) / 4)
    seeds = sorted({row["seed"] for row in rows})
    return Point(method, number, seeds, nanmean(returns.values[:, -last:], axis=1))


def draw(runs: Sequence[Run], out: Path, setting: str) -> None:
    """Writes a picture: mean over seeds with 95 % bootstrap interval; small dots are seeds."""
    points = [final_performance(run) for run in runs]
    methods = list(dict.fromkeys(point.method for point in points))
    settings = sorted({point.setting for point in points})
    figure = Figure(figsize=(max(5, 1.5 + 0.35 * len(points) + len(settings)), 4))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for index, method in enumerate(methods):
        own = [point for point in points if point.method == method]
        shift = 0.7 * (index - (len(methods) - 1) / 2) / len(methods)
        places = np.array([settings.index(point.setting) + shift for point in own])
        means = np.array([nanmean(point.values, axis=0) for point in own])
        bounds = [bootstrap_interval(point.values[:, None]) for point in own]
        low, high = np.array(bounds)[..., 0].T
        spread = np.abs([means - low, high - means])
        color = f"C{index}"
        axes.errorbar(places, means, spread, fmt="o", color=color, capsize=3, label=method)
        for place, point in zip(places, own, strict=True):
            spots = np.full(len(point.values), place)
            axes.plot(spots, point.values, ".", color=color, alpha=0.35, markersize=4)
    axes.set_xticks(range(len(settings)), [f"{value:g}" for value in settings])
    axes.set(xlabel=setting, ylabel="return, mean of the last quarter of the run")
    axes.set_xlim(-0.6, len(settings) - 0.4)
    axes.grid(alpha=0.3, axis="y")
    if len(methods) > 1:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(out, dpi=120)


def write_csv(runs: Sequence[Run], out: Path) -> None:
    """Writes a row for each run and seed."""
    points = [final_performance(run) for run in runs]
    rows = [
        (point.method, point.setting, seed, value)
        for point in points
        for seed, value in zip(point.seeds, point.values.tolist(), strict=True)
    ]
    write_rows(out, ("method", "setting", "seed", "final_return"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = create_parser(
        "final",
        "Draws final performance (mean return over the last quarter of a run) of methods against\n"
        "a setting; labels are METHOD@NUMBER.",
        "python -m prune_rl.reporting.final --run=dense@1=runs/dense_x1 "
        "--run=dense@4=runs/dense_x4 --setting=width --out=final.png",
    )
    parser.add_argument("--setting", default="setting", help="what the numbers are, as 'width'")
    flags = parser.parse_args(argv)

    def write() -> None:
        draw(flags.run, flags.out, flags.setting)
        if flags.csv:
            write_csv(flags.run, flags.csv)

    return report("final", flags.out, write)


if __name__ == "__main__":
    sys.exit(main())

"""Draws final performance against a setting, as the paper's figures 3 and 12 (right).

    python -m prune_rl.reporting.final --run=dense@1=runs/dense_x1 --run=dense@4=runs/dense_x4 \\
      --run=pruned@1=runs/pruned_x1 --run=pruned@4=runs/pruned_x4 --setting=width --out=final.png
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError
from prune_rl.reporting.command import PHASE_FLAG, command
from prune_rl.reporting.figures import SEEDS_BAND, from_zero, say, spread
from prune_rl.reporting.runs import (
    PHASES,
    Floats,
    Logs,
    Row,
    Run,
    final_returns,
    nanmean,
    write_rows,
)
from prune_rl.reporting.style import colors, new_figure
from prune_rl.reporting.titles import about


class Point(NamedTuple):
    """A method at one value of the setting: final performance (S,) of its seeds."""

    method: str
    setting: float
    seeds: list[int]
    values: Floats


def final_performance(run: Run, rows: Sequence[Row], phase: str) -> Point:
    """The `final_returns` of a run, whose `rows` these are.

    Raises:
        ConfigError: the label is not METHOD@NUMBER.
    """
    method, separator, setting = run.label.rpartition("@")
    try:
        number = float(setting)
    except ValueError:
        separator = ""
    if not separator:
        raise ConfigError(f"--run={run.label}={run.directory}: expected METHOD@NUMBER=RUN")
    returns = final_returns(rows, phase)
    return Point(method, number, list(returns), np.array(list(returns.values())))


def _read(runs: Sequence[Run], phase: str | None) -> tuple[str, list[Point]]:
    """The phase of the returns and final performance of every run."""
    logs = Logs(runs)
    phase = logs.returns_phase(phase)
    pairs = zip(runs, logs.rows, strict=True)
    return phase, [final_performance(run, rows, phase) for run, rows in pairs]


def draw(runs: Sequence[Run], setting: str, phase: str | None = None) -> Figure:
    """A picture: mean over seeds with its 95 % bootstrap interval (three seeds or more).

    Dots are seeds. Methods stand side by side at each value of what `setting` names. Returns are
    those of `Logs.returns_phase`.

    Raises:
        ConfigError: a label is not METHOD@NUMBER, a run cannot be read or lacks the `phase`.
    """
    phase, points = _read(runs, phase)
    methods = list(dict.fromkeys(point.method for point in points))
    settings = sorted({point.setting for point in points})
    figure = new_figure(max(5, 1.5 + 0.35 * len(points) + len(settings)), 4)
    axes = figure.subplots()
    for index, (method, color) in enumerate(zip(methods, colors(len(methods)), strict=True)):
        own = [point for point in points if point.method == method]
        shift = 0.7 * (index - (len(methods) - 1) / 2) / len(methods)
        places = np.array([settings.index(point.setting) + shift for point in own])
        means = np.array([nanmean(point.values, axis=0) for point in own])
        bars = np.array([spread(point.values) for point in own]).T  # below and above, a method
        axes.errorbar(places, means, bars, fmt="o", color=color, capsize=3, label=method)
        for place, point in zip(places, own, strict=True):
            spots = np.full(len(point.values), place)
            axes.plot(spots, point.values, ".", color=color, alpha=0.35, markersize=4)
    axes.set_xticks(range(len(settings)), [f"{value:g}" for value in settings])
    axes.set(xlabel=setting, ylabel=f"{PHASES[phase]} return, mean of the last quarter")
    axes.set_xlim(-0.6, len(settings) - 0.4)
    from_zero(axes)
    axes.grid(visible=False, axis="x")
    if len(methods) > 1:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    note = f"large: mean over seeds; small: seeds; {SEEDS_BAND.replace('band', 'bar')}"
    say(figure, about(runs, f"final returns over {setting}"), note)
    return figure


def write_csv(runs: Sequence[Run], out: Path, phase: str | None = None) -> None:
    """Writes a row for each run and seed; `phase` as in `draw`."""
    phase, points = _read(runs, phase)
    rows = [
        (point.method, point.setting, phase, seed, value)
        for point in points
        for seed, value in zip(point.seeds, point.values.tolist(), strict=True)
    ]
    write_rows(out, ("method", "setting", "phase", "seed", "final_return"), rows)


main = command(
    "final",
    "Draws final performance (mean return over the last quarter of a run) of methods against\n"
    "a setting; labels are METHOD@NUMBER.",
    "--run=dense@1=runs/dense_x1 --run=dense@4=runs/dense_x4 --setting=width --out=final.png",
    lambda flags: draw(flags.run, flags.setting, flags.phase),
    lambda flags: write_csv(flags.run, flags.csv, flags.phase),
    setting={"default": "setting", "help": "what the numbers are, as 'width'"},
    phase=PHASE_FLAG,
)


if __name__ == "__main__":
    raise SystemExit(main())

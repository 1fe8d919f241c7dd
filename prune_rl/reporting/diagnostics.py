"""Draws what `prune_rl.diagnostics` measured over runs: small multiples, as the paper's figure 11.

    python -m prune_rl.reporting.diagnostics --run=dense=runs/dense --run=pruned=runs/pruned \\
      --out=diagnostics.png
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError, require_choice
from prune_rl.recording.metrics import MEASURED, describe
from prune_rl.reporting.figures import colors, draw_mean, save
from prune_rl.reporting.runs import (
    PHASES,
    Curve,
    Run,
    add_phase_flag,
    create_parser,
    curve,
    read_metrics,
    report,
    returns_phase,
    steps_label,
    with_networks,
    write_rows,
)

RETURNS, PHASE = "episode_return_mean", "diagnostics"
QUANTITIES = (RETURNS, *MEASURED)
FIGURE_11 = (RETURNS, "q_target_variance", "parameter_norm", "q_norm", "srank", "dormant")
_COLUMNS = 3


def draw(
    runs: Sequence[Run], quantities: Sequence[str] = FIGURE_11, phase: str | None = None
) -> Figure:
    """A picture with a panel for each of the `quantities`.

    These are of `QUANTITIES`, or of a single network that the runs have, as 'critic/dormant'.

    Lines are means over seeds, bands 95 % bootstrap intervals of them (three seeds or more).
    Values that are missing or not finite are gaps, and counted in the panel. Returns are those of
    `returns_phase`.

    Raises:
        ConfigError: an unknown quantity, a run that has measured nothing or lacks the `phase`, or
            clocks that differ.
    """
    metrics = _read(runs)
    for quantity in quantities:
        require_choice("--quantities", quantity, with_networks(QUANTITIES, metrics))
    label = steps_label(runs, metrics)
    phase = returns_phase(runs, metrics, phase)
    rows = math.ceil(len(quantities) / _COLUMNS)
    figure = Figure(figsize=(4 * min(len(quantities), _COLUMNS), 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, min(len(quantities), _COLUMNS), sharex=True, squeeze=False)
    for axes, quantity in zip(panels.flat, quantities, strict=False):
        _draw_panel(axes, quantity, phase, runs, metrics)
    for axes in list(panels.flat)[len(quantities) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel(label)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(runs))
    return figure


def _read(runs: Sequence[Run]) -> list[list[dict[str, Any]]]:
    metrics = [read_metrics(run.directory) for run in runs]
    for run, rows in zip(runs, metrics, strict=True):
        if not any(row["phase"] == PHASE for row in rows):
            raise ConfigError(
                f"--run={run.directory}: has measured no diagnostics; train with "
                "--gin_files=diagnostics/all.gin"
            )
    return metrics


def _curve(rows: Sequence[dict[str, Any]], quantity: str, phase: str) -> Curve:
    return curve(rows, phase if quantity == RETURNS else PHASE, quantity)


def _draw_panel(
    axes: Axes,
    quantity: str,
    phase: str,
    runs: Sequence[Run],
    metrics: Sequence[Sequence[dict[str, Any]]],
) -> None:
    missing = 0
    for run, rows, color in zip(runs, metrics, colors(len(runs)), strict=True):
        seen = _curve(rows, quantity, phase)
        draw_mean(axes, seen, color, run.label)
        missing += int(np.isnan(seen.values).sum())
    whose = f" ({PHASES[phase]})" if quantity == RETURNS else ""
    axes.set_title(describe(quantity).label + whose, fontsize="medium")
    axes.grid(alpha=0.3)
    if missing:
        text = f"{missing} missing or not finite"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", color="gray", size=7)


def write_csv(runs: Sequence[Run], out: Path) -> None:
    """Writes every measurement: a row for each run, seed and iteration."""
    metrics = _read(runs)
    names = with_networks(MEASURED, metrics)
    columns = ("seed", "iteration", "agent_steps", "gradient_steps", *names, "clock")
    rows = [
        (run.label, *(row.get(name) for name in columns))
        for run, own in zip(runs, metrics, strict=True)
        for row in own
        if row["phase"] == PHASE
    ]
    write_rows(out, ("run", *columns), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = create_parser(
        "diagnostics",
        "Draws the diagnostics of runs trained with --gin_files=diagnostics/all.gin.\n"
        f"Quantities: {', '.join(QUANTITIES)}.",
        "python -m prune_rl.reporting.diagnostics --run=dense=runs/dense "
        "--run=pruned=runs/pruned --out=diagnostics.png",
    )
    parser.add_argument(
        "--quantities", default=",".join(FIGURE_11), help="comma-separated; default: %(default)s"
    )
    add_phase_flag(parser)
    flags = parser.parse_args(argv)

    def write() -> None:
        save(draw(flags.run, flags.quantities.split(","), flags.phase), flags.out)
        if flags.csv:
            write_csv(flags.run, flags.csv)

    return report("diagnostics", flags.out, write)


if __name__ == "__main__":
    sys.exit(main())

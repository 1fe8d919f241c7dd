"""Draws what `prune_rl.diagnostics` measured over runs: small multiples, as the paper's figure 11.

    python -m prune_rl.reporting.diagnostics --run=dense=runs/dense --run=pruned=runs/pruned \\
      --out=diagnostics.png
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError, require_choice
from prune_rl.recording.metrics import MEASURED, describe
from prune_rl.reporting.command import PHASE_FLAG, command
from prune_rl.reporting.figures import (
    SEEDS_BAND,
    dotted,
    draw_mean,
    from_zero,
    grid,
    legend,
    say,
    steps_axis,
)
from prune_rl.reporting.runs import PHASES, Logs, Run, curve
from prune_rl.reporting.style import SOFT, colors, markers
from prune_rl.reporting.titles import about

RETURNS, PHASE = "episode_return_mean", "diagnostics"
QUANTITIES = (RETURNS, *MEASURED)
FIGURE_11 = (RETURNS, "q_target_variance", "parameter_norm", "q_norm", "srank", "dormant")
_COLUMNS = 3


def draw(
    runs: Sequence[Run], quantities: Sequence[str] | None = None, phase: str | None = None
) -> Figure:
    """A picture with a panel for each of the `quantities`.

    These are of `QUANTITIES`, or of a single network that the runs have, as 'critic/dormant'; by
    default those of figure 11, of each network where agents have several.

    Lines are means over seeds, bands 95 % bootstrap intervals of them (three seeds or more).
    Values that are missing or not finite are gaps, and counted in the panel. Returns are those of
    `Logs.returns_phase`.

    Raises:
        ConfigError: an unknown quantity, a run that has measured nothing or lacks the `phase`, or
            clocks that differ.
    """
    logs = _read(runs)
    quantities = quantities or _figure_11(logs)
    for quantity in quantities:
        require_choice("--quantities", quantity, logs.with_networks(QUANTITIES))
    label, phase = logs.steps_label(), logs.returns_phase(phase)
    figure, panels = grid(len(quantities), _COLUMNS, (4, 2.9), sharex=True)
    for axes, quantity in zip(panels, quantities, strict=True):
        _draw_panel(axes, quantity, phase, logs)
        steps_axis(axes, label)
    legend(figure, panels)
    note = f"line: mean over seeds; {SEEDS_BAND}{dotted(panels)}"
    say(figure, about(runs, "diagnostics"), note)
    return figure


def _figure_11(logs: Logs) -> Sequence[str]:
    of_networks = logs.with_networks(FIGURE_11)[len(FIGURE_11) :]
    return (RETURNS, *of_networks) if of_networks else FIGURE_11


def _read(runs: Sequence[Run]) -> Logs:
    logs = Logs(runs)
    for run, rows in zip(runs, logs.rows, strict=True):
        if not any(row["phase"] == PHASE for row in rows):
            advice = "train with --gin_files=diagnostics/all.gin"
            raise ConfigError(f"--run={run.directory}: has measured no diagnostics; {advice}")
    return logs


def _draw_panel(axes: Axes, quantity: str, phase: str, logs: Logs) -> None:
    missing = 0
    looks = zip(colors(len(logs.runs)), markers(len(logs.runs)), strict=True)
    for run, rows, (color, marker) in zip(logs.runs, logs.rows, looks, strict=True):
        seen = curve(rows, phase if quantity == RETURNS else PHASE, quantity)
        draw_mean(axes, seen, color, run.label, marker=marker)
        missing += int(np.isnan(seen.values).sum())
    whose = f" ({PHASES[phase]})" if quantity == RETURNS else ""
    axes.set_title(describe(quantity).label + whose, fontsize="medium")
    from_zero(axes)
    if missing:
        text = f"{missing} missing or not finite"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", color=SOFT, size=7)


def write_csv(runs: Sequence[Run], out: Path) -> None:
    """Writes every measurement: a row for each run, seed and iteration."""
    logs = _read(runs)
    names = logs.with_networks(MEASURED)
    columns = ("seed", "iteration", "agent_steps", "gradient_steps", *names, "clock")
    logs.write_csv(out, columns, (PHASE,))


main = command(
    "diagnostics",
    "Draws the diagnostics of runs trained with --gin_files=diagnostics/all.gin.\n"
    f"Quantities: {', '.join(QUANTITIES)}.",
    "--run=dense=runs/dense --run=pruned=runs/pruned --out=diagnostics.png",
    lambda flags: draw(flags.run, flags.quantities and flags.quantities.split(","), flags.phase),
    lambda flags: write_csv(flags.run, flags.csv),
    quantities={"help": f"comma-separated; default: {','.join(FIGURE_11)}"},
    phase=PHASE_FLAG,
)


if __name__ == "__main__":
    raise SystemExit(main())

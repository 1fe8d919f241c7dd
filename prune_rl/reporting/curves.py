"""Draws the learning curves and the sparsity of runs, from what they wrote to disk.

    python -m prune_rl.reporting.curves --run=dense=runs/dense --run=pruned=runs/pruned \\
      --out=compare.png
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from prune_rl.recording.metrics import METRICS, PLAYED
from prune_rl.reporting.command import PHASE_FLAG, command
from prune_rl.reporting.figures import SEEDS_BAND, dotted, draw_mean, from_zero, say, steps_axis
from prune_rl.reporting.runs import PHASES, Curve, Logs, Run, curve, nanmean
from prune_rl.reporting.style import colors, markers, new_figure
from prune_rl.reporting.titles import about

_FIRST_COLUMNS = (
    *("seed", "iteration", "phase", "agent_steps", "gradient_steps", "frames"),
    *("episode_return_mean", "num_episodes", "sparsity", "clock"),
)


def draw(runs: Sequence[Run], phase: str | None = None) -> Figure:
    """A picture: mean return over seeds above, sparsity below.

    Thin lines are seeds, the band is `bootstrap_interval` (three seeds or more). Returns are those
    of `Logs.returns_phase`.

    Raises:
        ConfigError: a run cannot be read or lacks the `phase`, or their clocks differ.
    """
    logs = Logs(runs)
    phase, label = logs.returns_phase(phase), logs.steps_label()
    figure = new_figure(7, 5.5)
    returns, sparsity = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    looks = zip(colors(len(runs)), markers(len(runs)), strict=True)
    for run, rows, (color, marker) in zip(runs, logs.rows, looks, strict=True):
        seen = curve(rows, phase, "episode_return_mean")
        _draw_returns(returns, seen, run.label, color, marker=marker)
        seen = curve(rows, "train", "sparsity")
        sparsity.plot(seen.steps, nanmean(seen.values, axis=0), color=color, marker=marker)
    returns.set_ylabel(f"{METRICS['episode_return_mean'].label} ({PHASES[phase]})")
    if any(run.label for run in runs):
        returns.legend()
    sparsity.set(ylabel=METRICS["sparsity"].label, ylim=(-0.03, 1.03))
    steps_axis(sparsity, label)
    from_zero(returns)
    note = f"line: mean; thin: seeds; {SEEDS_BAND}{dotted([returns])}"
    say(figure, about(runs, "returns and sparsity"), note)
    return figure


def _draw_returns(axes: Axes, returns: Curve, label: str, color: ColorType, *, marker: str) -> None:
    for seed_values in returns.values:
        axes.plot(returns.steps, seed_values, color=color, alpha=0.25, linewidth=0.8)
    num_seeds = len(returns.values)
    name = f"{label} ({num_seeds} seed{'s' if num_seeds > 1 else ''})" if label else None
    draw_mean(axes, returns, color, name, marker=marker)


def write_csv(runs: Sequence[Run], out: Path) -> None:
    """Writes every training and evaluation row of every run, its label first.

    Behind the first columns come every other of `PLAYED` and those of single networks.
    """
    logs = Logs(runs)
    columns = dict.fromkeys((*_FIRST_COLUMNS, *logs.with_networks(PLAYED)))
    logs.write_csv(out, columns, PHASES)


main = command(
    "curves",
    "Draws returns and sparsity over a run: mean of the seeds and 95 % bootstrap interval.",
    "--run=dense=runs/dense --run=pruned=runs/pruned --out=compare.png",
    lambda flags: draw(flags.run, flags.phase),
    lambda flags: write_csv(flags.run, flags.csv),
    phase=PHASE_FLAG,
)


if __name__ == "__main__":
    raise SystemExit(main())

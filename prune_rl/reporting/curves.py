"""Draws the learning curves and the sparsity of runs, from what they wrote to disk.

    python -m prune_rl.reporting.curves --run=dense=runs/dense --run=pruned=runs/pruned \\
      --out=compare.png
"""

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError

_NUM_RESAMPLES = 2_000
_CSV_FIELDS = (
    "seed",
    "iteration",
    "phase",
    "agent_steps",
    "gradient_steps",
    "frames",
    "episode_return_mean",
    "num_episodes",
    "sparsity",
)


class Run(NamedTuple):
    """A run directory and the name it goes by in the picture."""

    directory: Path
    label: str = ""


class Curve(NamedTuple):
    """One quantity of one run and phase: agent steps (T,), values (S, T), NaN where missing."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl.

    Raises:
      ConfigError: there is no such file, or no row in it.
    """
    path = directory / "metrics.jsonl"
    if not path.is_file():
        raise ConfigError(f"--run={directory}: holds no metrics.jsonl; expected a run directory")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if not rows:
        raise ConfigError(f"--run={directory}: no iteration has finished yet")
    return rows


def curve(rows: Sequence[dict[str, Any]], phase: str, field: str) -> Curve:
    """Arranges `field` of one phase's rows by seed and iteration."""
    rows = [row for row in rows if row["phase"] == phase]
    seeds = sorted({row["seed"] for row in rows})
    steps = sorted({row["agent_steps"] for row in rows})
    values = np.full((len(seeds), len(steps)), np.nan)
    for row in rows:
        value = row[field]
        values[seeds.index(row["seed"]), steps.index(row["agent_steps"])] = (
            np.nan if value is None else value
        )
    return Curve(np.array(steps, np.int64), values)


def bootstrap_interval(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """95 % percentile bootstrap interval of the mean over seeds: (S, T) to two (T,) arrays.

    Seeds are resampled, always with the same generator. NaNs are left out of the means.
    """
    picks = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    means = _nanmean(values[picks], axis=1)  # (resamples, T)
    with warnings.catch_warnings():
        # No episode of any seed has ended yet: NaN is the answer.
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return low, high


def draw(runs: Sequence[Run], out: Path) -> None:
    """Writes a picture: mean return over seeds above, sparsity below.

    Thin lines are seeds, the band is `bootstrap_interval` (three seeds or more). Evaluation
    returns are drawn where every run has them, else training returns.
    """
    metrics = [read_metrics(run.directory) for run in runs]
    has_evaluation = all(any(row["phase"] == "eval" for row in rows) for rows in metrics)
    phase = "eval" if has_evaluation else "train"
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    returns, sparsity = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for index, (run, rows) in enumerate(zip(runs, metrics, strict=True)):
        color = f"C{index}"
        _draw_returns(returns, curve(rows, phase, "episode_return_mean"), run.label, color)
        seen = curve(rows, "train", "sparsity")
        sparsity.plot(seen.steps, seen.values.mean(axis=0), color=color, marker=".")
    returns.set_ylabel(f"episode return ({'evaluation' if has_evaluation else 'training'})")
    if any(run.label for run in runs):
        returns.legend()
    sparsity.set(ylabel="sparsity", xlabel="agent steps per seed", ylim=(-0.03, 1.03))
    for axes in (returns, sparsity):
        axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


def _draw_returns(axes: Axes, returns: Curve, label: str, color: str) -> None:
    for seed_values in returns.values:
        axes.plot(returns.steps, seed_values, color=color, alpha=0.25, linewidth=0.8)
    num_seeds = len(returns.values)
    if num_seeds >= 3:
        low, high = bootstrap_interval(returns.values)
        axes.fill_between(returns.steps, low, high, color=color, alpha=0.15)
    name = f"{label} ({num_seeds} seed{'s' if num_seeds > 1 else ''})" if label else None
    mean = _nanmean(returns.values, axis=0)
    axes.plot(returns.steps, mean, color=color, label=name, marker=".")


def _nanmean(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Mean over `axis` without NaNs; NaN, silently, where nothing else is there."""
    count = np.sum(~np.isnan(values), axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis) / np.maximum(count, 1), np.nan)


def write_csv(runs: Sequence[Run], out: Path) -> None:
    """Writes every row of every run, its label first: the numbers behind the picture."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("run", *_CSV_FIELDS))
        for run in runs:
            for row in read_metrics(run.directory):
                writer.writerow((run.label, *(row[field] for field in _CSV_FIELDS)))


def _parse_run(text: str) -> Run:
    label, separator, directory = text.partition("=")
    return Run(Path(directory), label) if separator else Run(Path(text), Path(text).name)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m prune_rl.reporting.curves")
    parser.add_argument(
        "--run",
        action="append",
        required=True,
        type=_parse_run,
        metavar="LABEL=RUN",
        help="a run directory and its name in the legend; repeat to compare",
    )
    parser.add_argument("--out", required=True, type=Path, help="the picture (.png, .pdf, .svg)")
    parser.add_argument("--csv", type=Path, help="also write the numbers here")
    flags = parser.parse_args(argv)
    try:
        draw(flags.run, flags.out)
        if flags.csv:
            write_csv(flags.run, flags.csv)
    except (ConfigError, OSError) as error:
        print(f"prune_rl.reporting.curves: {error}", file=sys.stderr)
        return 2
    print(f"wrote {flags.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

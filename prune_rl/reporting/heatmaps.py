"""Draws gradient covariance matrices as heat maps, as the paper's figure 13.

    python -m prune_rl.reporting.heatmaps --run=dense=runs/dense --run=pruned=runs/pruned \\
      --out=heatmaps.png
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError
from prune_rl.recording.metrics import CLOCKS
from prune_rl.reporting.command import command
from prune_rl.reporting.figures import say
from prune_rl.reporting.runs import Run, common_clock, write_rows
from prune_rl.reporting.style import DIVERGING, NOTHING, new_figure
from prune_rl.reporting.titles import about

_SHOWN_SEEDS = 5

Matrix = npt.NDArray[np.float32]
Maps = tuple[str, Sequence[tuple[str, Matrix]]]  # a label and named matrices (k, k)


class Matrices(NamedTuple):
    """Gradient covariances of one run: `matrix` (S, k, k), its seeds (S,), and when."""

    iteration: int
    clock: str
    steps: int
    seeds: npt.NDArray[np.int64]
    matrix: Matrix


def read_matrices(directory: Path, iteration: int | None = None, network: str = "") -> Matrices:
    """The matrices stored after an iteration, by default the last that has them.

    Those of one `network` of an agent that has several, else of the one there is.

    Raises:
        ConfigError: there are none, or none of that iteration.
    """
    paths = sorted((directory / "diagnostics" / network).glob("gradient_covariance_[0-9]*.npz"))
    by_iteration = {int(re.findall(r"\d+", path.stem)[-1]): path for path in paths}
    if not by_iteration:
        named = [x.name for x in sorted((directory / "diagnostics").glob("*/"))]
        advice = "train with --gin_files=diagnostics/all.gin"
        advice = f"networks that do, for --network: {', '.join(named)}" if named else advice
        raise ConfigError(f"--run={directory}: holds no gradient covariance; {advice}")
    chosen = max(by_iteration) if iteration is None else iteration
    if chosen not in by_iteration:
        closest = min(by_iteration, key=lambda stored: abs(stored - chosen))
        raise ConfigError(f"--iteration={chosen}: not stored in {directory}; nearest: {closest}")
    with np.load(by_iteration[chosen]) as stored:
        (clock,) = CLOCKS.keys() & stored.keys()
        return Matrices(chosen, clock, int(stored[clock]), stored["seeds"], stored["matrix"])


def _read(runs: Sequence[Run], iteration: int | None, network: str) -> list[Matrices]:
    """Those of all runs, of one clock."""
    stored = [read_matrices(run.directory, iteration, network) for run in runs]
    common_clock(runs, [own.clock for own in stored])
    return stored


def mean_off_diagonal(matrix: Matrix) -> float:
    """Mean |C_ij| over i != j; NaN if one is NaN, 0 for a single sample."""
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    return float(np.abs(others, dtype=np.float64).mean()) if others.size else 0.0


def draw(runs: Sequence[Run], iteration: int | None = None, network: str = "") -> Figure:
    """A picture with a row for each run and a column for each of its first five seeds.

    Colours are the paper's: dark red -1, white 0, dark blue 1; what is not finite is grey.
    Transitions are in the order in which they were drawn from the replay.

    Raises:
        ConfigError: a run has stored no matrices, or none of that iteration, or clocks differ.
    """
    stored = _read(runs, iteration, network)
    rows = []
    for run, own in zip(runs, stored, strict=True):
        maps = [(f"seed {x}", matrix) for x, matrix in zip(own.seeds, own.matrix, strict=True)]
        rows.append((run.label, maps[:_SHOWN_SEEDS]))
    figure = draw_rows(rows)
    say(figure, about(runs, "gradient covariance"), _NOTE)
    return figure


_NOTE = "correlation of the gradients of transitions, in the order they were drawn; no band"


def draw_rows(rows: Sequence[Maps]) -> Figure:
    """A row for each label, a heat map for each of its matrices (k, k), with its mean |C|.

    Dark red is -1, white 0, dark blue 1, what is not finite grey.
    """
    columns = max(len(maps) for _, maps in rows)
    size = (max(6.5, 2.1 * columns + 1.4), 2.4 * len(rows) + 1)
    figure = new_figure(*size)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for row, (label, maps) in zip(panels, rows, strict=True):
        row[0].set_ylabel(label)
        for axes in row[len(maps) :]:
            axes.set_visible(False)
        for axes, (name, matrix) in zip(row, maps, strict=False):
            axes.set_facecolor(NOTHING)
            image = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{name}: mean |C| {mean_off_diagonal(matrix):.2f}", fontsize=8)
    figure.colorbar(image, ax=panels, shrink=0.7, aspect=30, label="gradient correlation")
    return figure


def write_csv(
    runs: Sequence[Run], out: Path, iteration: int | None = None, network: str = ""
) -> None:
    """Writes a row for each run and seed: the mean |C_ij| off the diagonal."""
    stored = _read(runs, iteration, network)
    rows = [
        (run.label, int(seed), own.iteration, own.steps, mean_off_diagonal(matrix))
        for run, own in zip(runs, stored, strict=True)
        for seed, matrix in zip(own.seeds, own.matrix, strict=True)
    ]
    write_rows(out, ("run", "seed", "iteration", stored[0].clock, "mean_abs_off_diagonal"), rows)


main = command(
    "heatmaps",
    "Draws the gradient covariance of runs trained with --gin_files=diagnostics/all.gin.",
    "--run=dense=runs/dense --run=pruned=runs/pruned --out=heatmaps.png",
    lambda flags: draw(flags.run, flags.iteration, flags.network),
    lambda flags: write_csv(flags.run, flags.csv, flags.iteration, flags.network),
    iteration={"type": int, "help": "from 0; default: the last stored"},
    network={"default": "", "help": "of an agent that has several, as critic"},
)


if __name__ == "__main__":
    raise SystemExit(main())

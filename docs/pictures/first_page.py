"""Draws first_page.png from what results/ holds: curves of Breakout, scores at width 1 and 8.

python docs/pictures/first_page.py [OUT]
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from prune_rl.reporting.figures import draw_mean, from_zero, save, say, steps_axis
from prune_rl.reporting.runs import Curve
from prune_rl.reporting.statistics import Interval, interval, iqm
from prune_rl.reporting.style import colors, new_figure

_RESULTS = Path(__file__).parents[2] / "results"
_GAMES = ("breakout", "asterix")
_WIDTHS = (1, 8)
_NAMES = {"dense": "dense", "pruned": "pruned to 95 %", "static": "95 %, drawn at the start"}
_NOTE = (
    "Left: MinAtar Breakout, DQN, width 1, means of five seeds and their 95 % bootstrap intervals. "
    "Right: Breakout and Asterix, 300,000 agent steps, IQM over games and three seeds, score: "
    "final return / mean of dense x1. results/minatar_breakout, results/minatar_scaling"
)


def breakout(arm: str, phase: str, column: str) -> Curve:
    """A column of the runs of 'dense' or 'pruned' at width 1, by agent steps: (steps, 5 seeds)."""
    with (_RESULTS / "minatar_breakout" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == phase]
    rows = [row for row in rows if row["run"] == f"{arm} \N{MULTIPLICATION SIGN}1"]
    steps = sorted({int(row["agent_steps"]) for row in rows})
    values = np.full((len({row["seed"] for row in rows}), len(steps)), np.nan)
    for row in rows:
        values[int(row["seed"]), steps.index(int(row["agent_steps"]))] = float(row[column])
    return Curve(np.array(steps), values)


def scores(arm: str) -> list[np.ndarray]:
    """Final returns of an arm over the mean of dense x1, of each game (3 seeds,)."""
    with (_RESULTS / "minatar_scaling" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def returns(own: str, game: str) -> np.ndarray:
        found = [x for x in rows if (x["arm"], x["game"]) == (own, game) and int(x["seed"]) < 3]
        return np.array([float(row["return"]) for row in found])

    return [returns(arm, game) / returns("dense_x1", game).mean() for game in _GAMES]


def aggregate(arm: str) -> Interval:
    """IQM of the `scores` and its interval."""
    return interval(iqm, scores(arm), rng=np.random.default_rng(0))


def draw() -> Figure:
    """The picture."""
    figure = new_figure(9, 4.2)
    places = [["returns", "scores"], ["sparsity", "scores"]]
    panels = figure.subplot_mosaic(places, height_ratios=(3, 1))
    palette = dict(zip(_NAMES, colors(len(_NAMES)), strict=True))
    for arm in ("dense", "pruned"):
        returns = breakout(arm, "eval", "episode_return_mean")
        draw_mean(panels["returns"], returns, palette[arm], None)
        draw_mean(panels["sparsity"], breakout(arm, "train", "sparsity"), palette[arm], None)
    for place, (arm, name) in enumerate(_NAMES.items()):
        found = [aggregate(f"{arm}_x{width}") for width in _WIDTHS]
        _draw_widths(panels["scores"], 0.04 * (place - 1), found, palette[arm], name)
    panels["returns"].set(ylabel="episode return")
    panels["returns"].tick_params(labelbottom=False)
    panels["sparsity"].set(ylabel="sparsity", ylim=(-0.05, 1.05))
    steps_axis(panels["sparsity"], "agent steps")
    panels["scores"].set(ylabel="score (IQM)", xlabel="width", xticks=range(len(_WIDTHS)))
    panels["scores"].set_xticklabels([f"\N{MULTIPLICATION SIGN}{width}" for width in _WIDTHS])
    panels["scores"].set_xlim(-0.35, len(_WIDTHS) - 0.65)
    panels["scores"].legend(loc="lower right")
    from_zero(panels["returns"])
    panels["scores"].set_ylim(0, 1.2)
    say(figure, "", _NOTE)
    return figure


def _draw_widths(
    axes: Axes, aside: float, found: Sequence[Interval], color: ColorType, name: str
) -> None:
    values, lows, highs = (np.array(part, float) for part in zip(*found, strict=True))
    places, errors = np.arange(len(found)) + aside, (values - lows, highs - values)
    axes.errorbar(places, values, errors, color=color, label=name, marker="o", capsize=4)


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png")
    save(draw(), Path(out))

"""Tables as pictures: means and spreads over seeds, and what one arm gains on another."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from prune_rl.reporting import statistics
from prune_rl.reporting.figures import say
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.style import INK, PALETTE, new_figure

BETTER, WORSE, PLAIN = PALETTE[0], PALETTE[1], INK  # of intervals above, below and around 0
Row = Mapping[str, "Text"]  # by column


class Text(NamedTuple):
    """What stands in a cell of a table, of one line or two."""

    text: str
    color: str = PLAIN


class Spread(NamedTuple):
    """Final scores of an arm on a game: returns as they are.

    `std` is of the sample, over num_seeds - 1; NaN of a single seed.
    """

    mean: float
    std: float
    num_seeds: int

    def __str__(self) -> str:
        return f"{self.mean:,.0f} ± {self.std:,.0f}" if self.num_seeds > 1 else f"{self.mean:,.0f}"


def returns_of(study: Study, arm: Arm, game: str) -> dict[int, float]:
    """Final return by seed, of the runs that count."""
    found = {x.seed: x.value for x in study.scores if (x.arm, x.game) == (arm.name, game)}
    return dict(sorted(found.items()))


def spread_of(study: Study, arm: Arm, game: str) -> Spread | None:
    """None where no run counts."""
    values = [*returns_of(study, arm, game).values()]
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(np.mean(values)), std, len(values))


def gain_of(study: Study, arm: Arm, other: Arm, game: str) -> statistics.Interval | None:
    """Mean return of `arm` less that of `other`, over the seeds of both, which are paired.

    The interval is a 95 % bootstrap over seeds, NaN of fewer than three; None without a seed.
    """
    sides = returns_of(study, arm, game), returns_of(study, other, game)
    seeds = sorted(sides[0].keys() & sides[1].keys())
    if not seeds:
        return None
    pair = [[np.array([own[seed] for seed in seeds])] for own in sides]
    found = statistics.interval(
        lambda x, y: statistics.mean(x) - statistics.mean(y), *pair, rng=study.rng(), paired=True
    )
    return statistics.Interval(*map(float, found))  # type: ignore[arg-type]


def in_brackets(gain: statistics.Interval) -> Text:
    """'+12 [3, 20]', coloured where the interval is on one side of 0."""
    value, low, high = gain
    if math.isnan(low):
        return Text(f"{value:+,.0f}")
    color = BETTER if low > 0 else WORSE if high < 0 else PLAIN
    return Text(f"{value:+,.0f} [{low:+,.0f}, {high:+,.0f}]", color)


def draw_table(title: str, note: str, columns: Sequence[str], rows: Mapping[str, Row]) -> Figure:
    """A row for each label, a cell for each column; what a row lacks stays empty."""
    texts = [[row.get(column, Text("")) for column in columns] for row in rows.values()]
    lines = max((cell.text.count("\n") + 1 for row in texts for cell in row), default=1)
    size = (2.2 + 3.0 * len(columns), 1.6 + 0.28 * (lines * len(rows) + 1))
    figure = new_figure(*size)
    axes = figure.subplots()
    axes.axis("off")
    table = axes.table(
        [[cell.text for cell in row] for row in texts],
        rowLabels=list(rows),
        colLabels=list(columns),
        cellLoc="center",
        bbox=Bbox.unit(),
    )
    for i, j in np.ndindex(len(rows), len(columns)):
        table[i + 1, j].get_text().set_color(texts[i][j].color)
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    say(figure, title, note)
    return figure

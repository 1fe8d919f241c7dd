"""Figures that are panels of curves, each of one game: returns or a loss against steps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_rl.recording.metrics import METRICS
from prune_rl.reporting.diagnostics import PHASE, RETURNS
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
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.runs import PHASES, Curve, bootstrap_interval, curve, nanmean
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.words import named, unfinished

HEADER = ("panel", "quantity", "arm", "steps", "mean", "low", "high")


class Cell(NamedTuple):
    """One panel.

    Attributes:
        title: above it.
        game: whose runs it shows.
        quantity: of `METRICS`: returns, of the study's phase, or what diagnostics measured; of the
            actor, where an agent has several networks.
        lines: label to arm.
    """

    title: str
    game: str
    quantity: str
    lines: Mapping[str, Arm]


def draw_cells(
    study: Study, name: str, title: str, cells: Sequence[Cell], columns: int, note: str = ""
) -> Picture:
    """A panel for each cell, rows of so many columns: means over seeds with their intervals.

    The y axis is shared by nobody: robots return hundreds or thousands.
    """
    figure, panels = grid(len(cells), columns, (3.6, 2.9))
    numbers = [
        row for axes, x in zip(panels, cells, strict=True) for row in draw_cell(axes, study, x)
    ]
    return picture_of(study, name, title, (figure, panels), cells, (HEADER, numbers), note)


def picture_of(
    study: Study,
    name: str,
    title: str,
    drawn: tuple[Figure, Sequence[Axes]],
    cells: Sequence[Cell],
    table: tuple[tuple[str, ...], list[Numbers]],
    note: str = "",
) -> Picture:
    """The picture of panels that are `drawn`, with its legend, its words and its numbers."""
    figure, panels = drawn
    legend(figure, panels)
    arms = {arm.name: arm for cell in cells for arm in cell.lines.values()}
    games = list(dict.fromkeys(cell.game for cell in cells))
    said = f"line: mean over seeds; {SEEDS_BAND}{dotted(panels)}{note}"
    said += unfinished(study, [*arms.values()], games)
    say(figure, title, said)
    return Picture(name, title, f"{said}.", figure, *table)


def draw_cell(axes: Axes, study: Study, cell: Cell) -> list[Numbers]:
    """Its lines and bands into a panel; their numbers as `HEADER` names them."""
    numbers = list[Numbers]()
    for label, arm in cell.lines.items():
        seen = values_of(study, arm, cell.game, cell.quantity)
        if not seen.values.size:
            continue
        draw_mean(axes, seen, study.color(arm), label, marker=study.marker(arm))
        low, high = bootstrap_interval(seen.values)
        rows = zip(seen.steps.tolist(), nanmean(seen.values, axis=0), low, high, strict=True)
        numbers += [(cell.title, cell.quantity, arm.name, *row) for row in rows]
    whose = f" ({PHASES[study.phase]})" if cell.quantity == RETURNS else ""
    axes.set_title(cell.title, fontsize="medium")
    axes.set_ylabel(METRICS[cell.quantity].label + whose, fontsize="small")
    steps_axis(axes, study.steps_label)
    from_zero(axes)
    return numbers


def values_of(study: Study, arm: Arm, game: str, quantity: str) -> Curve:
    """Of all seeds (S, T); of the actor, where only single networks have it."""
    if quantity == RETURNS:
        return study.returns(arm, game)
    rows = [row for row in arm.rows(game) if row["phase"] == PHASE]
    names = (quantity, f"actor/{quantity}")
    there = [name for name in names if any(name in row for row in rows)]
    if not there:
        return Curve(np.empty(0, np.int64), np.empty((0, 0)))
    return curve(rows, PHASE, there[0])


def is_measured(study: Study, arm: Arm, quantity: str) -> bool:
    """Whether some run of it has measured that."""
    return any(values_of(study, arm, game, quantity).values.size for game in arm.games)


def not_drawn(arms: Sequence[Arm]) -> str:
    """Arms of the kinds shown that the figure leaves out, in words; '' if there are none."""
    return named("not drawn", [arm.name for arm in arms])

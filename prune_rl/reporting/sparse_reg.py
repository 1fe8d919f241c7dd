"""Sparse-Reg's tables and figures (Arnob et al.), of the runs of its agents on small data.

Its figures 3 and 7 are the aggregated scores against samples, of expert and of medium data; its
figures 1 and 10 curves of behaviour cloning, 8 and 9 its losses.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from prune_rl.reporting import sparse_reg_tables as tables
from prune_rl.reporting.diagnostics import RETURNS
from prune_rl.reporting.figures import grid
from prune_rl.reporting.layers import layer_means
from prune_rl.reporting.paper_curves import (
    HEADER,
    Cell,
    draw_cell,
    draw_cells,
    is_measured,
    picture_of,
)
from prune_rl.reporting.paper_drawings import Line, Panel, draw_panels
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.sparse_reg_arms import (
    Pair,
    arms_of,
    by_data,
    games_of,
    has_dense,
    is_made_once,
    is_sparse_reg,
    pairs,
    short,
    where,
)
from prune_rl.reporting.sparse_reg_bars import rivals
from prune_rl.reporting.study import Arm, Study, is_dense
from prune_rl.reporting.style import colors, markers
from prune_rl.reporting.words import games_in_words

LOSSES = ("probe_loss", "validation_loss")
Draw = Callable[[Study, str, str], Picture | None]


class Drawing(NamedTuple):
    """One table or figure.

    Attributes:
        title: what it shows.
        needs: what must be among the runs, in words.
        draw: of the study, name and title the picture, None where runs do not cover it.
    """

    title: str
    needs: str
    draw: Draw

    def drawn(self, study: Study, name: object) -> Picture | None:
        """None where the runs do not cover it."""
        kind, number = str(name).removeprefix("sparse_reg_").split("_")
        title = f"Sparse-Reg's {kind} {number}: {self.title} ({games_in_words(study.games)})"
        return self.draw(study, str(name), title)


def against_samples(data: str) -> Draw:
    """Figures 3 and 7: the IQM over games and seeds, by how many samples, of each agent."""

    def draw(study: Study, name: str, title: str) -> Picture | None:
        taken = [own for own in pairs(study) if own.sparse.settings.data == data]
        panels = [_over_samples(own) for own in _by_agent(taken).values() if len(own) > 1]
        return draw_panels(study, name, title, panels) if panels else None

    return draw


def _by_agent(taken: list[Pair]) -> Mapping[str, list[Pair]]:
    return {name: [own for own in taken if own.agent == name] for name in {x.agent for x in taken}}


def _over_samples(own: list[Pair]) -> Panel:
    points = {label: {x.sparse.settings.samples: x.lines[label] for x in own} for label in _LINES}
    lines = [Line(label, dict(sorted(arms.items()))) for label, arms in points.items()]
    return Panel("final", "samples", own[0].agent, lines)


_LINES = ("dense", "Sparse-Reg")


def curves(quantity: str, *, ends_only: bool = False) -> Draw:
    """Figures 1 and 10, 8 and 9: behaviour cloning, a row for each game, a column for its data."""

    def draw(study: Study, name: str, title: str) -> Picture | None:
        taken = pairs(study, "bc")
        if quantity != RETURNS:
            taken = [own for own in taken if is_measured(study, own.sparse, quantity)]
        taken = [taken[0], taken[-1]] if ends_only and len(taken) > 2 else taken
        games = sorted({game for own in taken for game in own.games})
        cells = [_cell(own, game, quantity) for game in games for own in taken if game in own.games]
        return draw_cells(study, name, title, cells, len(taken)) if cells else None

    return draw


def _cell(own: Pair, game: str, quantity: str) -> Cell:
    return Cell(f"{game}, {own.where}", game, quantity, own.lines)


def over_sparsity(study: Study, name: str, title: str) -> Picture | None:
    """Figure 6: behaviour cloning, dense and of several sparsities, a panel for game and data."""
    every = [x for x in arms_of(study, "bc") if is_dense(x.settings) or is_sparse_reg(x)]
    taken = by_data(every, least=lambda own: has_dense(own) and len(own) > 2)
    cells = [
        Cell(f"{game}, {where(own[0])}", game, RETURNS, {_aimed(x): x for x in own})
        for own in taken
        for game in games_of(own)
    ]
    return draw_cells(study, name, title, cells, 4) if cells else None


def _aimed(arm: Arm) -> str:
    return f"{100 * arm.settings.sparsity:g} %" if arm.settings.sparsity else "dense"


def overfitting(study: Study, name: str, title: str) -> Picture | None:
    """Figure 4: a row for each game; return, loss on the samples and on others; L1 beside them."""
    every = arms_of(study, "bc")
    taken = by_data(every, least=lambda own: has_dense(own) and any(map(_is_l1, own)))
    cells = [
        Cell(f"{game}, {where(own[0])}", game, quantity, {short(x): x for x in own})
        for own in taken
        for game in games_of(own)
        for quantity in (RETURNS, *LOSSES)
    ]
    measured = any(is_measured(study, arm, LOSSES[1]) for own in taken for arm in own)
    return draw_cells(study, name, title, cells, 3) if measured else None


def _is_l1(arm: Arm) -> bool:
    return arm.settings.baseline == "l1"


def periodic(study: Study, name: str, title: str) -> Picture | None:
    """Figure 5: how sparse the actor's layers are, and returns, with masks made once or anew."""
    every = [x for x in arms_of(study) if is_dense(x.settings) or _is_masked(x)]
    taken = by_data(every, least=lambda own: any(map(is_made_once, own)) and _remade(own))
    if not taken:
        return None
    masked = [arm for own in taken for arm in own if _is_masked(arm)]
    cells = [
        Cell(f"{own[0].settings.agent}, {game}, {where(own[0])}", game, RETURNS, _by_schedule(own))
        for own in taken
        for game in games_of(own)
    ]
    figure, panels = grid(len(masked) + len(cells), 3, (3.8, 2.9))
    numbers = list[Numbers]()
    for axes, arm in zip(panels, masked, strict=False):
        layers = layer_means(study, arm, "sparsity_by_layer")
        own = {layer: x for layer, x in layers.items() if layer.startswith("actor/")} or layers
        looks = zip(colors(len(own)), markers(len(own)), strict=True)
        for (layer, (steps, values)), (color, marker) in zip(own.items(), looks, strict=True):
            axes.plot(steps, values, color=color, label=layer, marker=marker)
            rows = zip(steps, values, strict=True)
            numbers += [(layer, "sparsity", arm.name, *row, np.nan, np.nan) for row in rows]
        axes.set(ylim=(-0.03, 1.03), ylabel="sparsity")
        axes.set_title(f"{arm.settings.agent}, {where(arm)}, {_made(arm)}", fontsize="medium")
    for axes, cell in zip(panels[len(masked) :], cells, strict=True):
        numbers += draw_cell(axes, study, cell)
    drawn = (figure, panels)
    note = "; sparsity: mean over games and seeds, without a band"
    return picture_of(study, name, title, drawn, cells, (HEADER, numbers), note)


def _is_masked(arm: Arm) -> bool:
    return is_sparse_reg(arm) or is_made_once(arm)


def _remade(arms: list[Arm]) -> bool:
    return any(map(is_sparse_reg, arms))


def _by_schedule(arms: list[Arm]) -> dict[str, Arm]:
    return {_made(arm): arm for arm in arms}


def _made(arm: Arm) -> str:
    if is_dense(arm.settings):
        return "dense"
    return "made once" if is_made_once(arm) else "made anew"


def _is_mixed(data: str) -> bool:
    return "+" in data or "replay" in data


_PAIR = "runs of bc, td3_bc, awac or iql on fixed data, dense and with pruning/sparse_reg.gin"
_BC = "runs of bc on fixed data, dense and with pruning/sparse_reg.gin"
_MEASURED = f"{_BC}, with diagnostics/validation.gin"

SPARSE_REG: dict[str, Drawing] = {
    "sparse_reg_table_1": Drawing(
        "expert data, without sparsity → with it",
        f"{_PAIR}, the data's path ending in 'expert'",
        tables.comparison(lambda data: data == "expert"),
    ),
    "sparse_reg_table_2": Drawing(
        "smaller dense networks", f"{_PAIR}, and dense ones of other MLPTorso.units", tables.sizes
    ),
    "sparse_reg_table_3": Drawing(
        "by sparsity and samples", f"{_PAIR}, of three sparsities at least", tables.sparsities
    ),
    "sparse_reg_table_4": Drawing(
        "medium data, without sparsity → with it",
        f"{_PAIR}, the data's path ending in 'medium'",
        tables.comparison(lambda data: data == "medium"),
    ),
    "sparse_reg_table_5": Drawing(
        "mixed data, without sparsity → with it",
        f"{_PAIR}, of medium-replay data or of mixtures",
        tables.comparison(_is_mixed),
    ),
    "sparse_reg_figure_1": Drawing(
        "behaviour cloning, of the fewest and the most samples",
        _BC,
        curves(RETURNS, ends_only=True),
    ),
    "sparse_reg_figure_2": Drawing(
        "against other regularisers", f"{_PAIR}, and with a file of regularization/", rivals
    ),
    "sparse_reg_figure_3": Drawing(
        "aggregated scores, expert data",
        f"{_PAIR}, of two numbers of samples of expert data at least",
        against_samples("expert"),
    ),
    "sparse_reg_figure_4": Drawing(
        "over-fitting of behaviour cloning",
        f"{_MEASURED}, and with regularization/l1.gin",
        overfitting,
    ),
    "sparse_reg_figure_5": Drawing(
        "masks made once and made anew",
        f"{_PAIR}, and with pruning/global_snip.gin",
        periodic,
    ),
    "sparse_reg_figure_6": Drawing(
        "behaviour cloning by sparsity", f"{_BC}, of two sparsities at least", over_sparsity
    ),
    "sparse_reg_figure_7": Drawing(
        "aggregated scores, medium data",
        f"{_PAIR}, of two numbers of samples of medium data at least",
        against_samples("medium"),
    ),
    "sparse_reg_figure_8": Drawing(
        "loss of behaviour cloning on its samples", _MEASURED, curves(LOSSES[0])
    ),
    "sparse_reg_figure_9": Drawing(
        "loss of behaviour cloning on other samples", _MEASURED, curves(LOSSES[1])
    ),
    "sparse_reg_figure_10": Drawing("behaviour cloning by samples", _BC, curves(RETURNS)),
}

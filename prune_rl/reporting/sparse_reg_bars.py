"""Sparse-Reg's figure 2: its scores beside those of other regularisers, as bars."""

import numpy as np
from matplotlib.axes import Axes

from prune_rl.reporting import statistics
from prune_rl.reporting.figures import from_zero, grid, say
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.pruned import DENSE
from prune_rl.reporting.sparse_reg_arms import arms_of, by_data, games_of, has_dense, short, where
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.style import INK, SOFT
from prune_rl.reporting.words import BOOTSTRAP, unfinished

_HEADER = ("panel", "arm", "seeds", "iqm", "low", "high")


def rivals(study: Study, name: str, title: str) -> Picture | None:
    """A panel for each agent, game and data, a bar for each regulariser; dots are seeds."""
    every = [arm for arm in arms_of(study) if not arm.settings.networks]
    taken = by_data(every, least=lambda own: has_dense(own) and any(map(_is_rival, own)))
    panels = [(own, game) for own in taken for game in games_of(own)]
    if not panels:
        return None
    figure, every_axes = grid(len(panels), 2, (5, 3.2), sharey=True)
    numbers = list[Numbers]()
    for axes, (arms, game) in zip(every_axes, panels, strict=True):
        there = [arm for arm in arms if game in study.final(arm)]
        axes.set_title(f"{arms[0].settings.agent}, {where(arms[0])}, {game}", fontsize="medium")
        axes.set_xticks(range(len(there)), [short(x) for x in there], rotation=30, ha="right")
        axes.grid(visible=False, axis="x")
        for place, arm in enumerate(there):
            found = _draw_bar(axes, study, place, arm, game)
            numbers.append((axes.get_title(), arm.name, len(study.final(arm)[game]), *found))
    from_zero(*every_axes)
    for axes in every_axes[::2]:
        axes.set_ylabel(f"IQM of {study.scale.label}")
    note = f"bar: IQM over seeds; line: {BOOTSTRAP}; dots: seeds; {study.scale.note}"
    note += unfinished(study, [arm for own in taken for arm in own], study.games)
    say(figure, title, note)
    return Picture(name, title, f"{note}.", figure, _HEADER, numbers)


def _is_rival(arm: Arm) -> bool:
    return bool(arm.settings.baseline) and arm.settings.pruner == DENSE


def _draw_bar(axes: Axes, study: Study, place: int, arm: Arm, game: str) -> tuple[float, ...]:
    """The IQM, with the ends of its interval, which are drawn too."""
    values = np.array([*study.final(arm)[game].values()])
    value, low, high = map(float, statistics.interval(statistics.iqm, [values], rng=study.rng()))
    axes.bar(place, value, 0.7, color=study.color(arm), alpha=0.6)
    axes.vlines(place, low, high, color=INK)
    axes.plot(np.full(len(values), place), values, ".", color=SOFT, markersize=4)
    return value, low, high

"""Sparsity and dormancy of single layers over time."""

import textwrap
from collections.abc import Sequence

import numpy as np

from prune_rl.recording.metrics import METRICS
from prune_rl.reporting.figures import grid, legend, say, steps_axis
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.style import colors, markers
from prune_rl.reporting.words import file_name, games_in_words, of_group, unfinished, whose

_TITLE = 40  # characters in a line of a panel's title
LAYERS = {"sparsity_by_layer": "train", "dormant_by_layer": "diagnostics"}  # whose rows hold it


def draw_layers(study: Study, group: Sequence[Arm], quantity: str) -> Picture | None:
    """A panel for each arm, a line for each layer: mean over games and seeds.

    Arms that have nothing but 0 are left out; None if no arm is left.
    """
    lines = {arm.name: layer_means(study, arm, quantity) for arm in group}
    group = [arm for arm in group if any(any(own) for _, own in lines[arm.name].values())]
    names = sorted({name for arm in group for name in lines[arm.name]})
    if not names:
        return None
    figure, panels = grid(len(group), 4, (3.1, 2.5), sharex=True, sharey=True)
    label = METRICS[quantity].label
    for axes, arm in zip(panels, group, strict=True):
        looks = zip(colors(len(names)), markers(len(names)), strict=True)
        for name, (color, marker) in zip(names, looks, strict=True):
            steps, values = lines[arm.name].get(name, ([], []))
            axes.plot(steps, values, color=color, label=name, marker=marker)
        title = textwrap.fill(f"{arm.setting} {arm.method}", _TITLE)
        axes.set_title(title, fontsize="small")
        axes.set_ylim(-0.03, 1.03)
        steps_axis(axes, study.steps_label)
    panels[0].set_ylabel(label)
    legend(figure, panels)
    title = f"By layer, {label}: {whose(group)}, {games_in_words(study.games)}"
    note = "line: mean over games and seeds, without a band; arms that are 0 throughout: left out"
    note += unfinished(study, group, study.games)
    say(figure, title, note)
    numbers: list[Numbers] = [
        (arm, name, *row)
        for arm, own in lines.items()
        for name in own
        for row in zip(*own[name], strict=True)
    ]
    header = ("arm", "layer", study.clock, quantity.removesuffix("_by_layer"))
    name = file_name("layers", header[-1], *of_group(group))
    return Picture(name, title, f"{note}.", figure, header, numbers)


def layer_means(study: Study, arm: Arm, quantity: str) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and means over games and seeds of every layer, named with its network if of several."""
    found: dict[str, dict[int, list[float]]] = {}
    rows = [row for game in arm.games for row in arm.rows(game)]
    for row in (row for row in rows if row["phase"] == LAYERS[quantity]):
        for field in (name for name in row if name.rpartition("/")[2] == quantity):
            network = field.rpartition("/")[0]
            for layer, value in (row[field] or {}).items():
                name = f"{network}/{layer}" if network else layer
                if value is not None:
                    found.setdefault(name, {}).setdefault(row[study.clock], []).append(value)
    return {
        name: ([*sorted(at)], [float(np.mean(at[step])) for step in sorted(at)])
        for name, at in found.items()
    }

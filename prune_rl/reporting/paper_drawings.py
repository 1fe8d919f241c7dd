"""How the paper's figures are drawn: panels of IQMs, schedules, curves of single games."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from prune_rl.errors import ConfigError
from prune_rl.pruning.schedule_settings import resolve_schedule
from prune_rl.pruning.schedules import PolynomialSchedule
from prune_rl.reporting.against import claims_of, draw_gains, gains, in_words
from prune_rl.reporting.config import setting
from prune_rl.reporting.diagnostics import RETURNS
from prune_rl.reporting.figures import dotted, from_zero, grid, legend, say, steps_axis
from prune_rl.reporting.offline import in_thousands
from prune_rl.reporting.overview import draw_iqm_curve
from prune_rl.reporting.paper_curves import Cell, draw_cells, not_drawn
from prune_rl.reporting.pictures import Number, Numbers, Picture, figure_name
from prune_rl.reporting.references import Claim
from prune_rl.reporting.study import HUMAN, Arm, Study, is_dense
from prune_rl.reporting.style import SOFT, colors
from prune_rl.reporting.trainings import Training
from prune_rl.reporting.words import BOOTSTRAP, unfinished

_COLUMNS = 5
_AXES = {
    **{"width": "width", "sparsity": "sparsity", "replay_ratio": "replay ratio"},
    "samples": "transitions learnt from",
}


class Line(NamedTuple):
    """What one line shows: its arms, by what stands on the x axis."""

    label: str
    arms: dict[float, Arm]


class Panel(NamedTuple):
    """One panel: 'final' IQMs over the `axis` (an attribute of `Training`), or 'curves'.

    Or 'returns' of a single game, which is then the axis.

    `left_out` are arms of the kinds that its figure shows, named in the caption; of the first.
    """

    kind: str
    axis: str
    title: str
    lines: list[Line]
    left_out: Sequence[Arm] = ()

    @property
    def arms(self) -> list[Arm]:
        """Of all lines."""
        return [arm for line in self.lines for arm in line.arms.values()]


def draw_panels(study: Study, number: Number, title: str, panels: list[Panel]) -> Picture | None:
    """IQMs, panel by panel, a row for each agent that has several; a label has one colour.

    None where returns of several games have no scale.
    """
    if not study.adds_up:
        return None
    agents = {arm.settings.agent for panel in panels for arm in panel.arms}
    rows = len(agents) if len(panels) > len(agents) else 1
    columns = min(_COLUMNS, math.ceil(len(panels) / rows))
    figure, every = grid(len(panels), columns, (4.2, 3.4), sharey=True)
    numbers, claims = list[Numbers](), claims_of(study.reference, number, agents)
    for axes, panel in zip(every, panels, strict=True):
        draw = _draw_final if panel.kind == "final" else _draw_curves
        numbers += [(panel.title, *row) for row in draw(axes, study, panel)]
        if panel.kind == "final":
            _draw_claims(axes, study, panel, claims)
        axes.set_title(panel.title, fontsize="medium")
    from_zero(*every)
    for axes in every[::columns]:
        axes.set_ylabel(f"IQM of {study.scale.label}")
    legend(figure, every)
    drawn = {"final": "bars", "curves": "bands"}
    marks = " and ".join(dict.fromkeys(drawn[panel.kind] for panel in panels))
    note = f"line: IQM over games and seeds; {marks}: {BOOTSTRAP}{dotted(every)}; "
    note += study.scale.note
    arms = {arm.name: arm for panel in panels for arm in panel.arms}
    note += missed(panels) + unfinished(study, [*arms.values()], study.games)
    note += in_words(claims)
    say(figure, title, note)
    header = ("panel", "line", "arm", "x", "iqm", "low", "high")
    return Picture(figure_name(number), title, f"{note}.", figure, header, numbers)


def missed(panels: Sequence[Panel]) -> str:
    return not_drawn([arm for panel in panels for arm in panel.left_out])


def draw_games(study: Study, number: Number, title: str, panels: list[Panel]) -> Picture | None:
    """The paper's figures 9 and 17: returns against steps, a panel for each game and width."""
    cells = [
        Cell(x.title, x.axis, RETURNS, {line.label: line.arms[0] for line in x.lines})
        for x in panels
    ]
    agents = {arm.settings.agent for arm in panels[0].arms}
    note = missed(panels) + in_words(claims_of(study.reference, number, agents))
    columns = len({cell.game for cell in cells})
    return draw_cells(study, figure_name(number), title, cells, columns, note)


def _draw_claims(axes: Axes, study: Study, panel: Panel, claims: Sequence[Claim]) -> None:
    """Gains that the paper states, over the dense arm of the same width, on the paper's scale."""
    values = sorted({x for line in panel.lines for x in line.arms})
    sparsities = values if panel.axis == "sparsity" else []
    for arm in (arm for arm in panel.arms if is_dense(arm.settings)):
        found = study.iqm(arm) if study.scale.kind == HUMAN else None
        if found:
            own = gains(claims, arm.settings.agent, arm.settings.width)
            draw_gains(axes, own, float(found.value), sparsities)


def _draw_final(axes: Axes, study: Study, panel: Panel) -> list[Numbers]:
    """Points with bars, methods side by side at each value of the axis."""
    values = sorted({x for line in panel.lines for x in line.arms})
    numbers = list[Numbers]()
    for index, line in enumerate(panel.lines):
        shift = 0.5 * (index - (len(panel.lines) - 1) / 2) / len(panel.lines)
        found = {x: study.iqm(arm) for x, arm in line.arms.items()}
        rows = [(x, *map(float, own)) for x, own in found.items() if own]
        numbers += [(line.label, line.arms[x].name, x, *own) for x, *own in rows]
        if rows:
            _, middle, low, high = np.transpose(rows)
            places = [values.index(x) + shift for x, *_ in rows]
            bars = np.abs([middle - low, high - middle])
            color = study.palette.get(line.label, _color(study, panel, line))
            axes.errorbar(
                places,
                middle,
                bars,
                fmt="o-",
                capsize=3,
                linewidth=1.2,
                color=color,
                label=line.label,
            )
    axes.set_xticks(range(len(values)), [_tick(panel.axis, value) for value in values])
    axes.set(xlabel=_AXES[panel.axis], xlim=(-0.5, len(values) - 0.5))
    return numbers


def _color(study: Study, panel: Panel, line: Line) -> ColorType:
    """Of a line whose label is no method's: its last arm's, unless its arms are of one line."""
    return SOFT if panel.axis == "sparsity" else study.color([*line.arms.values()][-1])


def _tick(axis: str, value: float) -> str:
    if axis == "sparsity":
        return f"{100 * value:g} %" if value else "dense"
    if axis == "samples":
        return in_thousands(int(value)) if value else "all"
    return f"×{value:g}" if axis == "width" else f"{value:g}"  # noqa: RUF001


def _draw_curves(axes: Axes, study: Study, panel: Panel) -> list[Numbers]:
    numbers = list[Numbers]()
    for line in panel.lines:
        for arm in line.arms.values():
            rows = draw_iqm_curve(axes, study, arm, study.color(arm), line.label)
            numbers += [(line.label, *row) for row in rows]
    steps_axis(axes, study.steps_label)
    return numbers


def draw_schedules(study: Study, number: Number, title: str, panels: list[Panel]) -> Picture:
    """The paper's figure 2: sparsity as the settings have it, and as it was counted."""
    planned: dict[tuple[tuple[int, ...], tuple[float, ...]], list[Arm]] = {}
    for arm in (arm for panel in panels for arm in panel.arms):
        planned.setdefault(_planned(arm.settings), []).append(arm)
    figure, (axes,) = grid(1, 1, (6.5, 3.6))
    numbers = list[Numbers]()
    for ((steps, target), arms), color in zip(planned.items(), colors(len(planned)), strict=True):
        more = f" and {len(arms) - 1} more" if len(arms) > 1 else ""
        axes.plot(steps, target, color=color, label=f"{arms[0].name}{more}")
        for arm in arms:
            rows = [row for own in arm.trainings for row in own.rows if "sparsity" in row]
            seen = sorted({(row["gradient_steps"], row["sparsity"]) for row in rows})
            axes.plot(*(np.transpose(seen) if seen else ([], [])), ".", color=color, markersize=4)
            numbers += [(arm.name, "planned", *row) for row in zip(steps, target, strict=True)]
            numbers += [(arm.name, "counted", *row) for row in seen]
    axes.set(ylabel="sparsity", ylim=(-0.02, 1.02))
    steps_axis(axes, "gradient steps per seed")
    legend(figure, [axes])
    note = "line: target sparsity by the settings (equation 1); dots: counted in weights; no band"
    say(figure, title, note)
    header = ("arm", "what", "gradient_steps", "sparsity")
    return Picture(figure_name(number), title, f"{note}.", figure, header, numbers)


def _planned(own: Training) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Gradient steps and target sparsities from the first to the last of a run."""
    steps = int(own.num_steps * (1 if own.clock == "gradient_steps" else own.replay_ratio))
    names = ("update_start_step", "update_end_step", "update_freq", "schedule_type", "power")
    given = {x: setting(own.config, f"create_updater_from_config.{x}") for x in names}
    kept = {name: value for name, value in given.items() if value is not None}
    schedule = resolve_schedule(steps, **kept)
    if not isinstance(schedule, PolynomialSchedule):
        raise ConfigError(f"{own.directory}: schedule_type={given['schedule_type']!r}")
    at = np.linspace(0, steps, 201)
    length = max(schedule.update_end_step - schedule.update_start_step, 1)
    progress = np.clip((at - schedule.update_start_step) / length, 0, 1)
    sparsity = own.sparsity * (1 - (1 - progress) ** schedule.power)  # the paper's equation 1
    return tuple(map(int, at)), tuple(sparsity.tolist())

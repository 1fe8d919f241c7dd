"""The pictures of every report: curves, sample efficiency, aggregates, profiles, comparisons."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from prune_rl.reporting import statistics
from prune_rl.reporting.against import draw_curve
from prune_rl.reporting.figures import (
    SEEDS_BAND,
    dotted,
    draw_line,
    draw_mean,
    from_zero,
    grid,
    legend,
    say,
    steps_axis,
)
from prune_rl.reporting.layers import LAYERS, draw_layers
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.runs import PHASES, bootstrap_interval, nanmean
from prune_rl.reporting.statistics import Estimate
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.style import SOFT, new_figure
from prune_rl.reporting.words import (
    BOOTSTRAP,
    file_name,
    games_in_words,
    of_group,
    of_scores,
    unfinished,
    whose,
)

_PANELS = {  # of rliable's layout
    "median": "median",
    "iqm": "IQM",
    "mean": "mean",
    "optimality_gap": "optimality gap, below is better",
}
_NUM_TAUS = 101


def overview(study: Study, estimates: Sequence[Estimate]) -> Iterator[Picture]:
    """The pictures that every report has, of one clock."""
    for group in groups(study):
        for game in study.games:
            own = [arm for arm in group if study.returns(arm, game).values.size]
            if own:
                yield draw_returns(study, own, game)
        if study.adds_up:
            yield draw_sample_efficiency(study, group)
        if study.adds_up and any(study.final(arm) for arm in group):
            yield draw_profiles(study, group)
        drawn = (draw_layers(study, group, quantity) for quantity in LAYERS)
        yield from (picture for picture in drawn if picture)
    if any(own.statistic in _PANELS for own in estimates):
        yield draw_aggregates(study, estimates)
    if any(own.statistic == "probability_of_improvement" for own in estimates):
        yield draw_improvement(study, estimates)


def groups(study: Study) -> list[list[Arm]]:
    """The arms of each agent and torso: those of one picture."""
    pairs = itertools.groupby(study.arms, lambda arm: (arm.settings.agent, arm.settings.torso))
    return [list(own) for _, own in pairs]


def _by_setting(group: Sequence[Arm]) -> dict[str, list[Arm]]:
    """The arms of a group by what a dense one and its rivals share: a panel each."""
    settings = dict.fromkeys(arm.setting for arm in group)
    return {name: [arm for arm in group if arm.setting == name] for name in settings}


def draw_returns(study: Study, group: Sequence[Arm], game: str) -> Picture:
    """Learning curves of all arms of an agent on one game: mean over seeds and its interval."""
    settings, numbers = _by_setting(group), list[Numbers]()
    figure, panels = grid(len(settings), 3, (4.2, 3.2), sharex=True, sharey=True)
    for axes, (name, arms) in zip(panels, settings.items(), strict=True):
        for arm in arms:
            seen, color = study.returns(arm, game), study.color(arm)
            draw_mean(axes, seen, color, arm.method, marker=study.marker(arm))
            low, high = bootstrap_interval(seen.values)
            rows = zip(seen.steps.tolist(), nanmean(seen.values, axis=0), low, high, strict=True)
            numbers += [(arm.name, len(seen.values), *row) for row in rows]
        if name == "x1" and study.clock == "agent_steps":  # all that Dopamine has
            own, last = arms[0].settings, max(study.returns(x, game).steps[-1] for x in arms)
            known = draw_curve(axes, study.reference, own.agent, own.torso, game, last)
            numbers += [(label, "", step, mean, "", "") for label, step, mean in known]
        counts = sorted({len(study.returns(arm, game).values) for arm in arms})
        seeds = "1 seed" if counts == [1] else f"{'-'.join(map(str, counts))} seeds"
        axes.set_title(f"{name} ({seeds})", fontsize="medium")
        steps_axis(axes, study.steps_label)
    from_zero(*panels)
    panels[0].set_ylabel(f"episode return ({PHASES[study.phase]})")
    legend(figure, panels)
    title = f"{game}: {whose(group)}, returns"
    note = f"line: mean over seeds; {SEEDS_BAND}{dotted(panels)}{unfinished(study, group, [game])}"
    say(figure, title, note)
    header = ("arm", "seeds", study.clock, "mean", "low", "high")
    name = file_name("returns", game, *of_group(group))
    return Picture(name, title, f"{note}.", figure, header, numbers)


def draw_sample_efficiency(study: Study, group: Sequence[Arm]) -> Picture:
    """IQM over games and seeds against steps, with its interval."""
    settings, numbers = _by_setting(group), list[Numbers]()
    figure, panels = grid(len(settings), 3, (4.2, 3.2), sharex=True, sharey=True)
    for axes, (name, arms) in zip(panels, settings.items(), strict=True):
        for arm in arms:
            numbers += draw_iqm_curve(axes, study, arm, study.color(arm), arm.method)
        axes.set_title(name, fontsize="medium")
        steps_axis(axes, study.steps_label)
    from_zero(*panels)
    panels[0].set_ylabel(f"IQM of {study.scale.label}")
    legend(figure, panels)
    title = f"Sample efficiency: {whose(group)}, {games_in_words(study.games)}"
    note = f"line: IQM over games and seeds; band: {BOOTSTRAP}{dotted(panels)}; {study.scale.note}"
    note += unfinished(study, group, study.games)
    say(figure, title, note)
    header = ("arm", study.clock, "iqm", "low", "high")
    name = file_name("sample_efficiency", *of_group(group))
    return Picture(name, title, f"{note}.", figure, header, numbers)


def draw_iqm_curve(
    axes: Axes, study: Study, arm: Arm, color: ColorType, label: str
) -> list[Numbers]:
    """One line with its band; returns its numbers: arm, steps, IQM, low, high."""
    steps, found = study.iqm_curve(arm)
    there = ~np.isnan(found.value)
    steps, (value, low, high) = steps[there], (part[there] for part in found)
    axes.fill_between(steps, low, high, color=color, alpha=0.15)
    until, marker = study.whole_until(arm), study.marker(arm)
    draw_line(axes, steps, value, until, color, label, marker=marker)
    return [(arm.name, *row) for row in zip(steps.tolist(), value, low, high, strict=True)]


def draw_aggregates(study: Study, estimates: Sequence[Estimate]) -> Picture:
    """Median, IQM, mean and optimality gap of every arm, as rliable lays them out."""
    arms = [arm for arm in study.arms if any(x.arm == arm.name for x in estimates)]
    figure = new_figure(13, 1.9 + 0.32 * len(arms))
    there = {x.statistic for x in estimates}
    named = {statistic: title for statistic, title in _PANELS.items() if statistic in there}
    panels = figure.subplots(1, len(named), sharey=True)
    for axes, (statistic, title) in zip(panels, named.items(), strict=True):
        own = {x.arm: x for x in estimates if x.statistic == statistic}
        for place, arm in enumerate(arms):
            _draw_bar(axes, place, own[arm.name], study.color(arm))
        axes.set_title(title, fontsize="medium")
        ends = [x for arm in arms for x in own[arm.name][2:5] if not np.isnan(x)]
        axes.set_xlim(min(0, *ends) * 1.06, max(0.1, *ends) * 1.06)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(arms)), [arm.name for arm in arms])
    panels[0].invert_yaxis()
    title = f"Final scores: {games_in_words(study.games)}"
    note = f"line: value; bar: {BOOTSTRAP}; {study.scale.note}"
    note += unfinished(study, study.arms, study.games)
    say(figure, title, note)
    numbers: list[Numbers] = [tuple(x) for x in estimates if x.statistic in _PANELS]
    return Picture("aggregates", title, f"{note}.", figure, statistics.ESTIMATE_COLUMNS, numbers)


def _draw_bar(axes: Axes, place: int, own: Estimate, color: ColorType) -> None:
    if not np.isnan(own.low):
        axes.barh(place, own.high - own.low, left=own.low, height=0.6, color=color, alpha=0.45)
    axes.vlines(own.value, place - 0.3, place + 0.3, color=color, linewidth=2.5)


def draw_improvement(study: Study, estimates: Sequence[Estimate]) -> Picture:
    """The probability that each arm improves on its dense one, with its interval."""
    found = {x.arm: x for x in estimates if x.statistic == "probability_of_improvement"}
    pairs = [pair for pair in study.pairs() if f"{pair[0].name} > {pair[1].name}" in found]
    own = [found[f"{arm.name} > {other.name}"] for arm, other in pairs]
    figure = new_figure(9, 1.7 + 0.34 * len(own))
    axes = figure.subplots()
    for place, (estimate, (arm, _)) in enumerate(zip(own, pairs, strict=True)):
        _draw_bar(axes, place, estimate, study.color(arm))
    axes.axvline(0.5, color=SOFT, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(own)), [arm.name for arm, _ in pairs])
    axes.set(xlim=(-0.02, 1.02), xlabel="P(a run beats one of the dense network, same game)")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    title = f"Probability of improvement on the dense network: {games_in_words(study.games)}"
    note = f"line: mean over games, ties half; bar: {BOOTSTRAP}; dashed: no difference"
    note += f"; {of_scores(study)}"
    note += unfinished(study, study.arms, study.games)
    say(figure, title, note)
    numbers: list[Numbers] = [tuple(x) for x in own]
    name = "probability_of_improvement"
    return Picture(name, title, f"{note}.", figure, statistics.ESTIMATE_COLUMNS, numbers)


def draw_profiles(study: Study, group: Sequence[Arm]) -> Picture:
    """Performance profiles: the fraction of runs above a score, for every score."""
    scored = [arm for arm in group if study.final(arm)]
    every = np.concatenate([own for arm in scored for own in study.matrix(arm)])
    low, high = min(0.0, every.min()), max(0.0, every.max())
    taus = np.linspace(low, high + 0.02 * (high - low), _NUM_TAUS)
    settings, numbers = _by_setting(scored), list[Numbers]()
    figure, panels = grid(len(settings), 3, (4.2, 3.2), sharex=True, sharey=True)
    for axes, (name, arms) in zip(panels, settings.items(), strict=True):
        for arm in arms:
            found = statistics.profile_band(study.matrix(arm), taus, study.rng())
            color = study.color(arm)
            axes.fill_between(taus, found.low, found.high, color=color, alpha=0.15)
            axes.step(taus, found.value, where="post", color=color, label=arm.method)
            numbers += [(arm.name, *row) for row in zip(taus, *found, strict=True)]
        axes.set_title(name, fontsize="medium")
        axes.set(ylim=(0, 1.02))
        if axes.xaxis.get_tick_params().get("labelbottom", True):
            axes.set_xlabel(f"{study.scale.label} (τ)")
    panels[0].set_ylabel("fraction of runs above τ")
    legend(figure, panels)
    title = f"Performance profiles: {whose(group)}, {games_in_words(study.games)}"
    note = f"line: fraction of runs above τ, mean over games; band: {BOOTSTRAP}; "
    note += study.scale.note + unfinished(study, group, study.games)
    say(figure, title, note)
    header, name = (
        ("arm", "tau", "fraction", "low", "high"),
        file_name("profiles", *of_group(group)),
    )
    return Picture(name, title, f"{note}.", figure, header, numbers)

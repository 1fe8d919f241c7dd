"""Which figures of Obando-Ceron et al. 2024 some runs cover, and how each is laid out.

The paper's ResNet figures take runs of the ResNet, or of a torso of another suite (MinAtar's); its
CNN figures those of the CNN. At width 3, or the largest that has what the figure compares.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from prune_rl.errors import ConfigError
from prune_rl.reporting import paper_drawings as drawings
from prune_rl.reporting.paper_arms import at_width, left_out, of, plain, usual
from prune_rl.reporting.paper_drawings import Line, Panel
from prune_rl.reporting.pictures import Picture
from prune_rl.reporting.study import Arm, Study, is_dense
from prune_rl.reporting.words import games_in_words

_SETTINGS = ("replay_ratio", "precision")  # that a line has one of
_MANY_GAMES = 16  # more than the 15 of the other figures


class PaperFigure(NamedTuple):
    """One figure of the paper.

    Attributes:
        title: what it shows.
        agents: whose runs it takes.
        torso: 'impala' or 'nature'; '' for any.
        needs: what must be among the runs, in words.
        panels: of the arms of one agent, empty if they do not cover it.
        draw: of the study, number, title and panels the picture, None where nothing was measured or
            games have no scale.
        most_games: that it shows; 0 for all.
    """

    title: str
    agents: tuple[str, ...]
    torso: str
    needs: str
    panels: Callable[[Study, list[Arm]], list[Panel]]
    draw: Callable[[Study, int, str, list[Panel]], Picture | None] = drawings.draw_panels
    most_games: int = 0


def draw_figures(study: Study, asked: Sequence[int] | None = None) -> Iterator[Picture]:
    """The figures that the runs cover; of those `asked` for, if any are."""
    for number in asked or FIGURES:
        picture = _draw(study, number)
        if picture:
            yield picture


def require_covered(numbers: Sequence[int], drawn: Sequence[Picture]) -> None:
    """Raises `ConfigError` unless all `numbers` were drawn; says what a figure needs."""
    for number in numbers:
        if not any(own.title.startswith(f"Figure {number}:") for own in drawn):
            scale = ", and a scale that its games share (--normalize)"
            scale = scale if FIGURES[number].draw is drawings.draw_panels else ""
            needs = f"these runs do not cover it; it needs {FIGURES[number].needs}{scale}"
            raise ConfigError(f"--figure={number}: {needs}")


def _draw(study: Study, number: int) -> Picture | None:
    figure = FIGURES[number]
    panels = [
        panel
        for agent in figure.agents
        for panel in figure.panels(study, of(study, agent, figure.torso))
    ]
    if not panels:
        return None
    arms = [arm for panel in panels for arm in panel.arms]
    missed = left_out(study, arms, any_width=any(x.axis == "width" for x in panels))
    panels = [panels[0]._replace(left_out=missed), *panels[1:]]
    whose = ", ".join(dict.fromkeys(arm.settings.torso for arm in arms))
    if figure.most_games:  # its panels name neither agent nor width
        own = arms[0].settings
        whose = f"{own.agent} {own.torso} x{own.width:g}"
    games = sorted({game for arm in arms for game in arm.games})
    games = drawings.few_games(arms, figure.most_games) if figure.most_games else games
    title = f"Figure {number}: {figure.title} ({whose}; {games_in_words(games)})"
    return figure.draw(study, number, title, panels)


def require_known(number: int) -> None:
    """Raises `ConfigError` unless it is a figure that can be drawn."""
    if number not in FIGURES:
        choices = ", ".join(map(str, sorted(FIGURES)))
        raise ConfigError(f"--figure={number}: not drawn here; choose from {choices}")


def _lines(arms: Sequence[Arm], axis: str, least: int = 2) -> list[Line]:
    """A line for each method that has `least` values of the axis."""
    grouped: dict[str, list[Arm]] = {}
    for arm in arms:
        grouped.setdefault(arm.method, []).append(arm)
    points = {name: {getattr(x.settings, axis): x for x in own} for name, own in grouped.items()}
    lines = [Line(name, dict(sorted(own.items()))) for name, own in points.items()]
    lines = [line for line in lines if len(line.arms) >= least]
    return sorted(lines, key=lambda line: not _is_dense(line))


def _is_dense(line: Line) -> bool:
    return all(is_dense(arm.settings) for arm in line.arms.values())


def _dense_and_others(lines: Sequence[Line]) -> bool:
    return len({_is_dense(line) for line in lines}) > 1


def _final(arms: Sequence[Arm], axis: str, lines: list[Line], title: str = "") -> Panel:
    agent = arms[0].settings.agent
    return Panel("final", axis, f"{agent}{title}", lines)


def _over_width(study: Study, arms: list[Arm]) -> list[Panel]:
    lines = _lines(usual(plain(arms), *_SETTINGS), "width")
    return [_final(arms, "width", lines)] if _dense_and_others(lines) else []


def _sparsities(study: Study, arms: list[Arm]) -> list[Panel]:
    """Left over time, right in the end; three sparsities at least, the dense one with them."""
    pruners = [arm.settings.pruner for arm in plain(arms) if not is_dense(arm.settings)]
    first = max(pruners, key=pruners.count, default="")
    taken = [x for x in usual(plain(arms), *_SETTINGS) if x.settings.pruner in (first, "no_prune")]
    own = at_width(taken, lambda x: len(_by_sparsity(study, x)) >= 3)
    if not own:
        return []
    by_sparsity = _by_sparsity(study, own)
    where = f" x{own[0].settings.width:g}"
    curves = [Line(arm.method, {key: arm}) for key, arm in sorted(by_sparsity.items())]
    final = [Line(f"{first}, over sparsity", dict(sorted(by_sparsity.items())))]
    return [_curves(own, curves, where), _final(own, "sparsity", final, where)]


def _by_sparsity(study: Study, arms: list[Arm]) -> dict[float, Arm]:
    """Pruned arms of one schedule, and alike in all but what they name, and their dense one."""
    pruned = usual([x for x in arms if not is_dense(x.settings)], "schedule", "apart")
    dense = study.dense_of(pruned[0]) if pruned else None
    return {arm.settings.sparsity: arm for arm in [*pruned, *([dense] if dense else [])]}


def _curves(arms: Sequence[Arm], lines: list[Line], title: str = "") -> Panel:
    return Panel("curves", "", f"{arms[0].settings.agent}{title}", lines)


def _ratios(study: Study, arms: list[Arm]) -> list[Panel]:
    taken = usual(plain(arms), "precision")
    own = at_width(taken, lambda x: _dense_and_others(_lines(x, "replay_ratio")))
    return _ratio_panels(own)


def _ratio_panels(arms: list[Arm]) -> list[Panel]:
    if not arms:
        return []
    lines, where = _lines(arms, "replay_ratio"), f" x{arms[0].settings.width:g}"
    return [_final(arms, "replay_ratio", lines, where)] if _dense_and_others(lines) else []


def _ratios_by_width(study: Study, arms: list[Arm]) -> list[Panel]:
    widths = sorted({arm.settings.width for arm in arms})
    taken = usual(plain(arms), "precision")
    own = ([arm for arm in taken if arm.settings.width == width] for width in widths)
    return [panel for arms in own for panel in _ratio_panels(arms)]


def _dense_and_pruned(arms: list[Arm]) -> bool:
    return any(is_dense(x.settings) for x in arms) and any(x.settings.sparsity for x in arms)


def _over_time(study: Study, arms: list[Arm]) -> list[Panel]:
    own = at_width(usual(plain(arms), *_SETTINGS), _dense_and_pruned)
    lines = [Line(arm.method, {0: arm}) for arm in own]
    return [_curves(own, lines, f" x{own[0].settings.width:g}")] if own else []


def _over_time_of_many_games(study: Study, arms: list[Arm]) -> list[Panel]:
    covered = len({game for arm in arms for game in arm.games}) >= _MANY_GAMES
    return _over_time(study, arms) if covered else []


def _over_time_by_width(study: Study, arms: list[Arm]) -> list[Panel]:
    taken = usual(plain(arms), *_SETTINGS)
    widths = sorted({arm.settings.width for arm in taken})
    by_width = ([arm for arm in taken if arm.settings.width == width] for width in widths)
    return [panel for own in by_width if _dense_and_pruned(own) for panel in _over_time(study, own)]


def _schedules(study: Study, arms: list[Arm]) -> list[Panel]:
    def differ(own: list[Arm]) -> bool:
        pruned = [x for x in own if x.settings.pruner == "magnitude"]
        return len({x.settings.schedule for x in pruned}) > 1

    own = at_width(usual(plain(arms), *_SETTINGS), differ)
    taken = [x for x in own if x.settings.pruner in ("no_prune", "magnitude")]
    lines = [Line(x.method, {0: x}) for x in taken]
    return [_curves(own, lines, f" x{own[0].settings.width:g}")] if own else []


def _methods(study: Study, arms: list[Arm]) -> list[Panel]:
    """Left curves at a width, right final scores over widths; a baseline at least, and dense."""

    def compared(own: list[Arm]) -> bool:
        return any(x.settings.baseline for x in own) and _dense_and_pruned(own)

    taken = usual(arms, *_SETTINGS)
    own = at_width(taken, compared)
    if not own:
        return []
    where = f" x{own[0].settings.width:g}"
    panels = [_curves(own, [Line(arm.method, {0: arm}) for arm in own], where)]
    lines = _lines(taken, "width")
    return [*panels, _final(own, "width", lines)] if _dense_and_others(lines) else panels


def _pruned_gradually(study: Study, arms: list[Arm]) -> list[Panel]:
    own = [x for x in arms if x.settings.schedule.startswith("polynomial")]
    return [_curves(own, [Line(arm.name, {0: arm}) for arm in own])] if own else []


def _measured(study: Study, arms: list[Arm]) -> list[Panel]:
    own = [x for x in usual(plain(arms), *_SETTINGS) if drawings.measured(x)]
    return _over_time(study, own)


_DQN, _BOTH = ("dqn",), ("dqn", "rainbow")
_WIDTHS = "dense and pruned runs of two widths at least"
_SPARSITIES = "a dense network and two sparsities of one width at least"
_RATIOS = "dense and pruned runs of two replay ratios at least"
_PAIR = "dense and pruned runs of one width"
_DIAGNOSED = f"{_PAIR}, trained with --gin_files=diagnostics/all.gin"

FIGURES: dict[int, PaperFigure] = {
    1: PaperFigure("scaling network widths", _BOTH, "impala", _WIDTHS, _over_width),
    2: PaperFigure(
        "gradual pruning schedules",
        ("dqn", "rainbow", "cql", "cql_c51", "der", "drq_eps"),
        "",
        "gradually pruned runs",
        _pruned_gradually,
        drawings.draw_schedules,
    ),
    3: PaperFigure("varying sparsity", _DQN, "impala", _SPARSITIES, _sparsities),
    4: PaperFigure("scaling the width of the CNN", _BOTH, "nature", _WIDTHS, _over_width),
    5: PaperFigure("scaling the replay ratio", ("rainbow",), "impala", _RATIOS, _ratios),
    6: PaperFigure("offline agents", ("cql", "cql_c51"), "impala", _PAIR, _over_time_by_width),
    7: PaperFigure(
        "the full suite",
        _BOTH,
        "impala",
        f"{_PAIR} on {_MANY_GAMES} games at least",
        _over_time_of_many_games,
    ),
    8: PaperFigure("low-data agents, long", ("drq_eps", "der"), "impala", _PAIR, _over_time),
    10: PaperFigure(
        "pruning schedules", _DQN, "impala", "runs of two pruning schedules", _schedules
    ),
    11: PaperFigure(
        "analyses of dense and pruned networks",
        _DQN,
        "impala",
        _DIAGNOSED,
        _measured,
        drawings.draw_analyses,
        drawings.ANALYSED,
    ),
    12: PaperFigure(
        "against plasticity baselines",
        _DQN,
        "impala",
        f"{_PAIR}, and a baseline of plasticity/",
        _methods,
    ),
    13: PaperFigure(
        "gradient covariance",
        _DQN,
        "impala",
        _DIAGNOSED,
        _measured,
        drawings.draw_covariances,
        drawings.MAPPED,
    ),
    14: PaperFigure("varying sparsity of the CNN", _BOTH, "nature", _SPARSITIES, _sparsities),
    15: PaperFigure("varying sparsity", ("rainbow",), "impala", _SPARSITIES, _sparsities),
    16: PaperFigure("scaling the replay ratio", _DQN, "impala", _RATIOS, _ratios_by_width),
}

"""Which panels a figure of the paper has, of the arms it takes; none if they do not cover it."""

from collections.abc import Callable, Sequence

from prune_rl.reporting.paper_analyses import measured
from prune_rl.reporting.paper_arms import at_width, plain, usual
from prune_rl.reporting.paper_drawings import Line, Panel
from prune_rl.reporting.study import Arm, Study, is_dense

SETTINGS = ("replay_ratio", "precision")  # that a line has one of
MANY_GAMES = 16  # more than the 15 of the other figures


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


def over_width(study: Study, arms: list[Arm]) -> list[Panel]:
    lines = _lines(usual(plain(arms), *SETTINGS), "width")
    return [_final(arms, "width", lines)] if _dense_and_others(lines) else []


def sparsities(study: Study, arms: list[Arm]) -> list[Panel]:
    """Left over time, right in the end; three sparsities at least, the dense one with them."""
    pruners = [arm.settings.pruner for arm in plain(arms) if not is_dense(arm.settings)]
    first = max(pruners, key=pruners.count, default="")
    taken = [x for x in usual(plain(arms), *SETTINGS) if x.settings.pruner in (first, "no_prune")]
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


def ratios(study: Study, arms: list[Arm]) -> list[Panel]:
    taken = usual(plain(arms), "precision")
    own = at_width(taken, lambda x: _dense_and_others(_lines(x, "replay_ratio")))
    return _ratio_panels(own)


def _ratio_panels(arms: list[Arm]) -> list[Panel]:
    if not arms:
        return []
    lines, where = _lines(arms, "replay_ratio"), f" x{arms[0].settings.width:g}"
    return [_final(arms, "replay_ratio", lines, where)] if _dense_and_others(lines) else []


def ratios_by_width(study: Study, arms: list[Arm]) -> list[Panel]:
    widths = sorted({arm.settings.width for arm in arms})
    taken = usual(plain(arms), "precision")
    own = ([arm for arm in taken if arm.settings.width == width] for width in widths)
    return [panel for arms in own for panel in _ratio_panels(arms)]


def _dense_and_pruned(arms: list[Arm]) -> bool:
    return any(is_dense(x.settings) for x in arms) and any(x.settings.sparsity for x in arms)


def over_time(study: Study, arms: list[Arm]) -> list[Panel]:
    own = at_width(usual(plain(arms), *SETTINGS), _dense_and_pruned)
    lines = [Line(arm.method, {0: arm}) for arm in own]
    return [_curves(own, lines, f" x{own[0].settings.width:g}")] if own else []


def over_time_of_many_games(study: Study, arms: list[Arm]) -> list[Panel]:
    covered = len({game for arm in arms for game in arm.games}) >= MANY_GAMES
    return over_time(study, arms) if covered else []


def over_time_by_width(study: Study, arms: list[Arm]) -> list[Panel]:
    taken = usual(plain(arms), *SETTINGS)
    widths = sorted({arm.settings.width for arm in taken})
    by_width = ([arm for arm in taken if arm.settings.width == width] for width in widths)
    return [panel for own in by_width if _dense_and_pruned(own) for panel in over_time(study, own)]


def schedules(study: Study, arms: list[Arm]) -> list[Panel]:
    def differ(own: list[Arm]) -> bool:
        pruned = [x for x in own if x.settings.pruner == "magnitude"]
        return len({x.settings.schedule for x in pruned}) > 1

    own = at_width(usual(plain(arms), *SETTINGS), differ)
    taken = [x for x in own if x.settings.pruner in ("no_prune", "magnitude")]
    lines = [Line(x.method, {0: x}) for x in taken]
    return [_curves(own, lines, f" x{own[0].settings.width:g}")] if own else []


def methods(study: Study, arms: list[Arm]) -> list[Panel]:
    """Left curves at a width, right final scores over widths; a baseline at least, and dense."""

    def compared(own: list[Arm]) -> bool:
        return any(x.settings.baseline for x in own) and _dense_and_pruned(own)

    taken = usual(arms, *SETTINGS)
    own = at_width(taken, compared)
    if not own:
        return []
    where = f" x{own[0].settings.width:g}"
    panels = [_curves(own, [Line(arm.method, {0: arm}) for arm in own], where)]
    lines = _lines(taken, "width")
    return [*panels, _final(own, "width", lines)] if _dense_and_others(lines) else panels


def pruned_gradually(study: Study, arms: list[Arm]) -> list[Panel]:
    own = [x for x in arms if x.settings.schedule.startswith("polynomial")]
    return [_curves(own, [Line(arm.name, {0: arm}) for arm in own])] if own else []


def measured_arms(study: Study, arms: list[Arm]) -> list[Panel]:
    own = [x for x in usual(plain(arms), *SETTINGS) if measured(x)]
    return over_time(study, own)


def of_games(*stems: str) -> Callable[[Study, list[Arm]], list[Panel]]:
    """Panels of each width and game of these, of any version: a line for each sparsity."""

    def panels(study: Study, arms: list[Arm]) -> list[Panel]:
        taken = usual(plain(arms), *SETTINGS)
        taken = [arm for arm in taken if any(own.startswith(stems) for own in arm.games)]
        widths = sorted({arm.settings.width for arm in taken})
        by_width = [[arm for arm in taken if arm.settings.width == width] for width in widths]
        covered = [own for own in by_width if _dense_and_pruned(own)]
        return [
            _returns(own, game)
            for own in covered
            for game in sorted({game for arm in own for game in arm.games})
            if game.startswith(stems)
        ]

    return panels


def _returns(arms: Sequence[Arm], game: str) -> Panel:
    lines = [Line(arm.method, {0: arm}) for arm in arms if game in arm.games]
    return Panel("returns", game, f"{game} x{arms[0].settings.width:g}", lines)

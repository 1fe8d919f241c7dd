"""How the paper's figures of its section 5 are drawn: small multiples and heat maps."""

from collections.abc import Sequence

from prune_rl.errors import ConfigError
from prune_rl.recording.metrics import METRICS
from prune_rl.reporting.against import claims_of, in_words
from prune_rl.reporting.diagnostics import FIGURE_11, PHASE, RETURNS
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
from prune_rl.reporting.heatmaps import Maps, Matrix, draw_rows, mean_off_diagonal, read_matrices
from prune_rl.reporting.paper_drawings import Panel, missed
from prune_rl.reporting.pictures import Number, Numbers, Picture, figure_name
from prune_rl.reporting.runs import PHASES, bootstrap_interval, curve, nanmean
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.words import unfinished

# Of its figures 13 and 11, and how many games a picture shows.
_OF_THE_PAPER = ("Breakout", "VideoPinball", "BeamRider", "Enduro")
ANALYSED, MAPPED = 6, 2


def measured(arm: Arm) -> bool:
    """Whether diagnostics were measured in a run of it."""
    return any(row["phase"] == PHASE for own in arm.trainings for row in own.rows)


def few_games(arms: Sequence[Arm], most: int) -> list[str]:
    """At most so many of the games that the arms share: the paper's first."""
    shared = set.intersection(*(set(arm.games) for arm in arms))
    first = [game for game in _OF_THE_PAPER if game in shared]
    return sorted([*first, *sorted(shared - {*first})][:most])


def draw_analyses(study: Study, number: Number, title: str, panels: list[Panel]) -> Picture | None:
    """The paper's figure 11: a row for each game, a column for each quantity."""
    arms, games = panels[0].arms, few_games(panels[0].arms, ANALYSED)
    if not games:
        return None
    columns = len(FIGURE_11)
    figure, every = grid(len(games) * columns, columns, (2.7, 2.3), sharex=True)
    numbers = list[Numbers]()
    pairs = [(game, quantity) for game in games for quantity in FIGURE_11]
    for axes, (game, quantity) in zip(every, pairs, strict=True):
        phase = study.phase if quantity == RETURNS else PHASE
        for arm in arms:
            seen = curve(arm.rows(game), phase, quantity)
            draw_mean(axes, seen, study.color(arm), arm.method, marker=study.marker(arm))
            low, high = bootstrap_interval(seen.values)
            rows = zip(seen.steps.tolist(), nanmean(seen.values, axis=0), low, high, strict=True)
            numbers += [(game, quantity, arm.name, *row) for row in rows]
        steps_axis(axes, "")
        from_zero(axes)
    for axes, quantity in zip(every, FIGURE_11, strict=False):
        whose = f" ({PHASES[study.phase]})" if quantity == RETURNS else ""
        axes.set_title(METRICS[quantity].label + whose, fontsize="medium")
    for axes, game in zip(every[::columns], games, strict=True):
        axes.set_ylabel(game)
    for axes in every[-columns:]:
        axes.set_xlabel(study.steps_label)
    legend(figure, every)
    note = f"line: mean over seeds; {SEEDS_BAND}{dotted(every)}{missed(panels)}"
    note += unfinished(study, arms, games)
    note += in_words(claims_of(study.reference, number, {arm.settings.agent for arm in arms}))
    say(figure, title, note)
    header = ("game", "quantity", "arm", study.clock, "mean", "low", "high")
    return Picture(figure_name(number), title, f"{note}.", figure, header, numbers)


def draw_covariances(
    study: Study, number: Number, title: str, panels: list[Panel]
) -> Picture | None:
    """The paper's figure 13: a row of heat maps for each arm, some seeds of each game."""
    games, rows, numbers = few_games(panels[0].arms, MAPPED), list[Maps](), list[Numbers]()
    seeds = 5 if len(games) < 2 else 3
    for arm in panels[0].arms:
        found = {game: _last_maps(arm, game) for game in games}
        pairs = [(game, seed) for game, own in found.items() for seed in list(own)[:seeds]]
        maps = [(game, seed, *found[game][seed]) for game, seed in pairs]
        said = [(f"{game}, seed {seed}\nat {steps:,}", own) for game, seed, steps, own in maps]
        rows.append((arm.method, said))
        numbers += [
            (game, arm.name, seed, steps, mean_off_diagonal(matrix))
            for game, own in found.items()
            for seed, (steps, matrix) in own.items()
        ]
    if not numbers:
        return None
    figure = draw_rows(rows)
    note = "correlation of the gradients of transitions, in the order they were drawn, at the last "
    note += f"measurement, at how many {study.steps_label}; |C|: mean off the diagonal; no band"
    note += missed(panels) + unfinished(study, panels[0].arms, games)
    agents = {arm.settings.agent for arm in panels[0].arms}
    note += in_words(claims_of(study.reference, number, agents))
    say(figure, title, note)
    header = ("game", "arm", "seed", study.clock, "mean_abs_off_diagonal")
    return Picture(figure_name(number), title, f"{note}.", figure, header, numbers)


def _last_maps(arm: Arm, game: str) -> dict[int, tuple[int, Matrix]]:
    """Steps and matrix by seed, of the runs that have stored any."""
    found: dict[int, tuple[int, Matrix]] = {}
    for own in (x for x in arm.trainings if x.game == game):
        try:
            stored = read_matrices(own.directory)
        except ConfigError:  # has measured nothing yet
            continue
        pairs = zip(stored.seeds, stored.matrix, strict=True)
        found |= {int(seed): (stored.steps, matrix) for seed, matrix in pairs}
    return dict(sorted(found.items()))

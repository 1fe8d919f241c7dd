"""Sparse-Reg's tables 1 to 5, in its layout, with intervals of what sparsity gains."""

from collections.abc import Callable, Sequence

from prune_rl.reporting.config import setting
from prune_rl.reporting.paper_tables import (
    Row,
    Text,
    draw_table,
    gain_of,
    in_brackets,
    returns_of,
    spread_of,
)
from prune_rl.reporting.pictures import Numbers, Picture
from prune_rl.reporting.runs import PHASES
from prune_rl.reporting.sparse_reg_arms import (
    AGENTS,
    Pair,
    arms_of,
    by_data,
    games_of,
    is_sparse_reg,
    pairs,
    samples_in_words,
    where,
)
from prune_rl.reporting.study import Arm, Study, is_dense
from prune_rl.reporting.words import unfinished

_PAIRED = (
    *("data", "samples", "agent", "game", "dense", "sparse", "seeds"),
    *("dense_mean", "dense_std", "sparse_mean", "sparse_std", "gain", "low", "high"),
)
_EACH = ("data", "samples", "agent", "game", "arm", "seeds", "mean", "std")
_SPREAD = "± standard deviation over seeds (n - 1)"
_GAIN = (
    "below: mean difference of paired seeds and its 95 % bootstrap interval, from three seeds on, "
    "blue above 0, vermilion below"
)


def _scores(study: Study) -> str:
    """What a return in a table is, in words."""
    phase = "evaluations" if study.phase == "eval" else PHASES[study.phase]
    return f"return of {phase}, mean of a run's last quarter, {_SPREAD}"


def comparison(of: Callable[[str], bool]) -> Callable[[Study, str, str], Picture | None]:
    """Rows: samples and agents; columns: robots; 'dense → sparse'. Of the data that are `of` it."""

    def draw(study: Study, name: str, title: str) -> Picture | None:
        taken = [own for own in pairs(study) if of(own.sparse.settings.data)]
        taken.sort(key=_order)
        if not taken:
            return None
        games = sorted({game for own in taken for game in own.games})
        rows = {f"{own.where}, {own.agent}": _compared(study, own) for own in taken}
        numbers = [row for own in taken for row in _numbers(study, own)]
        arms = [arm for own in taken for arm in (own.dense, own.sparse)]
        note = f"dense → sparse: {_scores(study)}; {_GAIN}{unfinished(study, arms, games)}"
        figure = draw_table(title, note, games, rows)
        return Picture(name, title, f"{note}.", figure, _PAIRED, numbers)

    return draw


def _order(own: Pair) -> tuple[object, ...]:
    settings = own.sparse.settings
    return settings.data, settings.samples, AGENTS.index(settings.agent)


def _compared(study: Study, pair: Pair) -> Row:
    return {game: _both(study, pair, game) for game in pair.games}


def _both(study: Study, pair: Pair, game: str) -> Text:
    sides = [str(spread_of(study, arm, game) or "-") for arm in (pair.dense, pair.sparse)]
    gain = gain_of(study, pair.sparse, pair.dense, game)
    below = in_brackets(gain) if gain else Text("")
    return below._replace(text=f"{' → '.join(sides)}\n{below.text}")


def _numbers(study: Study, pair: Pair) -> list[Numbers]:
    rows = list[Numbers]()
    for game in pair.games:
        gain = gain_of(study, pair.sparse, pair.dense, game)
        sides = [spread_of(study, arm, game) for arm in (pair.dense, pair.sparse)]
        if gain and sides[0] and sides[1]:
            seeds = [returns_of(study, arm, game).keys() for arm in (pair.dense, pair.sparse)]
            own = pair.sparse.settings
            named = (own.data, samples_in_words(pair.sparse), pair.agent, game)
            both = (pair.dense.name, pair.sparse.name, len(seeds[0] & seeds[1]))
            rows.append((*named, *both, *sides[0][:2], *sides[1][:2], *gain))
    return rows


def _each(
    study: Study,
    name: str,
    title: str,
    rows: dict[str, dict[str, tuple[Arm, str]]],
) -> Picture:
    """A table of single arms: of each row label and column an arm and a game."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    texts: dict[str, Row] = {
        label: {column: Text(str(spread_of(study, *own) or "-")) for column, own in row.items()}
        for label, row in rows.items()
    }
    cells = [own for row in rows.values() for own in row.values()]
    arms = list({arm.name: arm for arm, _ in cells}.values())
    games = sorted({game for _, game in cells})
    note = f"{_scores(study)}{unfinished(study, arms, games)}"
    numbers = list[Numbers]()
    for arm, game in cells:
        found = spread_of(study, arm, game)
        if found:
            own = (arm.settings.data, samples_in_words(arm), arm.settings.agent, game, arm.name)
            numbers.append((*own, found.num_seeds, found.mean, found.std))
    figure = draw_table(title, note, columns, texts)
    return Picture(name, title, f"{note}.", figure, _EACH, numbers)


def sizes(study: Study, name: str, title: str) -> Picture | None:
    """The paper's table 2: dense networks of several sizes, and the sparse one."""
    taken = by_data(arms_of(study), least=lambda own: len({_units(x) for x in own} - {0}) > 1)
    rows = {
        f"{game}, {where(own[0])}, {own[0].settings.agent}": {
            _size(arm): (arm, game) for arm in _by_size(own) if game in arm.games
        }
        for own in taken
        for game in games_of(own)
    }
    return _each(study, name, title, rows) if rows else None


def _units(arm: Arm) -> float:
    """Of a hidden layer of a dense network; 0 for others, which are not what is compared."""
    if not is_dense(arm.settings):
        return 0
    return arm.settings.width * float(setting(arm.settings.config, "MLPTorso.units", 0))


def _by_size(arms: Sequence[Arm]) -> list[Arm]:
    """The largest dense network first, the sparse one last."""
    kept = [arm for arm in arms if is_dense(arm.settings) or is_sparse_reg(arm)]
    return sorted(kept, key=lambda arm: -_units(arm))


def _size(arm: Arm) -> str:
    return f"dense, {_units(arm):g} units" if is_dense(arm.settings) else "Sparse-Reg"


def sparsities(study: Study, name: str, title: str) -> Picture | None:
    """The paper's table 3: samples by sparsity, the highest first."""
    every = [arm for arm in arms_of(study) if is_sparse_reg(arm)]
    taken = by_data(every, least=lambda own: len({x.settings.sparsity for x in own}) > 2)
    rows = {
        f"{game}, {where(own[0])}, {own[0].settings.agent}": {
            f"{100 * arm.settings.sparsity:g} %": (arm, game)
            for arm in sorted(own, key=lambda x: -x.settings.sparsity)
            if game in arm.games
        }
        for own in taken
        for game in games_of(own)
    }
    return _each(study, name, title, rows) if rows else None

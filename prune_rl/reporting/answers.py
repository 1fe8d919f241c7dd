"""Answers to the questions that a study wrote down before it ran, from the scores of its cells.

A cell is what one training of a grid is called, without its seeds: ('sac', 'x1', 'dense',
'Walker2d-v5'). What differs between cells is decided by the interval of a paired difference.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prune_rl import configuration, grid
from prune_rl.errors import ConfigError
from prune_rl.reporting.normalized import expert_normalized
from prune_rl.reporting.runs import SEEDS_OF_AN_INTERVAL, Floats, final_returns, write_rows
from prune_rl.reporting.statistics import Scores, interval, mean
from prune_rl.reporting.trainings import FINAL, Training, read_training

Cell = tuple[str, ...]
CellScores = Mapping[Cell, Mapping[int, float]]  # of each seed
Term = tuple[float, Sequence[Cell]]  # a factor, and cells over which it is a mean
_SEED = 0  # of the bootstrap


class Answer(NamedTuple):
    """What came out of a claim; NaN where there are no seeds, or none for an interval."""

    claim: str
    quantity: str
    value: float
    low: float
    high: float
    seeds: int
    answer: str


class Questions(NamedTuple):
    """What a study was to train, and what it asks of that.

    Attributes:
        grids: gin files of its cells, whose names have equally many parts.
        columns: what those parts are, seeds not among them: ('agent', 'width', 'arm', 'game').
        answers: of the scores.
    """

    grids: Sequence[str]
    columns: Sequence[str]
    answers: Callable[[CellScores], Sequence[Answer]]


def answer_study(argv: Sequence[str], description: str | None, asked: Questions) -> int:
    """Reads runs, writes answers.csv and scores.csv and prints both; 2 if called wrong.

    Cells of the grids that have not finished, or never began, are named.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args(argv)
    try:
        scores, missing = read_cells(flags.runs, cells_of(asked.grids))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print("not finished:", *missing, sep="\n  ")
    answers = asked.answers(scores)
    flags.out.mkdir(parents=True, exist_ok=True)
    write_rows(flags.out / "answers.csv", Answer._fields, answers)
    rows = [(*cell, seed, x) for cell, own in sorted(scores.items()) for seed, x in own.items()]
    write_rows(flags.out / "scores.csv", (*asked.columns, "seed", "score"), rows)
    print(say(answers))
    return 0


def cells_of(grids: Sequence[str]) -> list[grid.Cell]:
    """All cells of these gin files, in their order; gin's state is the last file's."""
    found: list[grid.Cell] = []
    for file in grids:
        configuration.load([file], [])
        found += grid.Grid().cells()
    return found


def read_cells(
    folders: Sequence[Path], expected: Sequence[grid.Cell]
) -> tuple[CellScores, list[str]]:
    """D4RL's scores of every finished seed below the folders, and what has not finished, in words.

    A score is that of the mean return of evaluations over the last quarter of a run. Cells are
    named by the last parts of their directory, as those `expected` are. Which seeds train together
    may differ from what is expected.

    Raises:
        ConfigError: there is no run, or one cannot be understood.
    """
    depth = expected[0].name.count("/")  # parts of a name but the seeds
    found: dict[Cell, dict[int, float]] = {}
    begun: dict[Cell, set[int]] = {}
    missing = []
    directories = [x.parent for own in folders for x in sorted(own.rglob("config.gin"))]
    if not directories:
        raise ConfigError(f"{', '.join(map(str, folders))}: holds no run")
    for directory in directories:
        own = read_training(directory)
        cell = directory.parts[-depth - 1 : -1]
        begun.setdefault(cell, set()).update(own.seeds)
        if own.state in FINAL:
            found.setdefault(cell, {}).update(_scores(own))
        else:
            done = f"{own.iterations_done} of {own.num_iterations} iterations"
            missing.append(f"{'/'.join(directory.parts[-depth - 1 :])}: {own.state} after {done}")
    for asked in expected:
        rest = _not_begun(asked, begun.get(tuple(asked.name.split("/")[:-1]), ()))
        missing += [f"{name}: not begun" for name in rest]
    return found, missing


def _not_begun(cell: grid.Cell, begun: Collection[int]) -> Iterator[str]:
    """The cell, or those of its seeds that are missing while others are there."""
    rest = [seed for seed in cell.seeds if seed not in begun]
    if len(rest) == len(cell.seeds):
        yield cell.name
    else:
        yield from (f"{cell.name.rpartition('/')[0]}/{seed}" for seed in rest)


def _scores(own: Training) -> dict[int, float]:
    returns = final_returns(own.rows, "eval")
    known = own.references
    return {seed: expert_normalized(own.game, value, known) for seed, value in returns.items()}


def contrast(
    scores: CellScores, claim: str, quantity: str, terms: Sequence[Term], margin: float = 0.0
) -> Answer:
    """The sum of factor times mean of each term's cells, over the seeds that all of them have.

    Its interval is a 95 % bootstrap over seeds, the same draws in every cell. `margin` is what
    counts as no loss, in the scores' unit.
    """
    cells = [cell for _, own in terms for cell in own]
    shared = set.intersection(*(set(scores.get(cell, ())) for cell in cells))
    seeds = sorted(shared)
    if not seeds:
        nothing = float("nan")
        return Answer(claim, quantity, nothing, nothing, nothing, 0, "no seed has all cells")
    sides = [[np.array([scores[x][seed] for seed in seeds]) for x in own] for _, own in terms]
    factors = [factor for factor, _ in terms]

    def total(*arms: Scores) -> Floats:
        return np.sum([x * mean(own) for x, own in zip(factors, arms, strict=True)], axis=0)

    rng = np.random.default_rng(_SEED)
    # One array of seeds for each term: the same draw of seeds in all cells of all terms.
    means = [[np.mean(own, axis=0)] for own in sides]
    value, low, high = map(float, interval(total, *means, rng=rng, paired=True))
    return Answer(claim, quantity, value, low, high, len(seeds), decide(low, high, margin))


def decide(low: float, high: float, margin: float = 0.0) -> str:
    """'yes' where the interval is above -margin, 'no' where it is below 0, else 'undecided'."""
    if np.isnan(low):
        return f"undecided (fewer than {SEEDS_OF_AN_INTERVAL} seeds)"
    if low > -margin:
        return "yes" if high >= 0 else "yes, within the margin, and a little less"
    return "no" if high < 0 else "undecided"


def say(answers: Sequence[Answer]) -> str:
    """Rows of a table in Markdown."""
    header = "| claim | quantity | value [95 %] | seeds | answer |\n| --- | --- | --- | --- | --- |"
    rows = [f"| {x.claim} | {x.quantity} | {_value(x)} | {x.seeds} | {x.answer} |" for x in answers]
    return "\n".join([header, *rows])


def _value(own: Answer) -> str:
    """With its interval, as far as there are numbers."""
    if np.isnan(own.value):
        return "none"
    within = "" if np.isnan(own.low) else f" [{own.low:+.1f}, {own.high:+.1f}]"
    return f"{own.value:+.1f}{within}"

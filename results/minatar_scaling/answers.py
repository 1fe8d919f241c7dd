"""Answers the questions of README.md from the study's runs, by the rules written down there.

    python results/minatar_scaling/answers.py runs/minatar_scaling results/minatar_scaling

Writes answers.csv (a row for each claim) and runs.csv (one for each finished run), and says which
seeds are whole and which cells have not finished.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prune_rl.reporting.runs import write_rows
from prune_rl.reporting.statistics import interval, iqm, probability_of_improvement
from prune_rl.reporting.trainings import FINISHED, Training, read_training

_GAMES = ("breakout", "asterix")
_ARMS = (
    *("dense_x1", "pruned_x1", "static_x1", "dense_x8", "pruned_x8", "static_x8"),
    *("dense_x8_pooled", "pruned_x8_pooled"),
)
_LEAST_SEEDS, _SEED, _MARGIN = 3, 0, 0.05
_DIAGNOSTICS = ("parameter_norm", "q_variance", "dormant", "value_churn", "policy_churn")
_MORE = ("srank", "q_norm", "q_target_variance", "gradient_correlation")
Scores = Mapping[str, list[np.ndarray]]  # of each arm, of each game (seeds,)


class Answer(NamedTuple):
    """What came out of a claim."""

    claim: str
    quantity: str
    value: float
    low: float
    high: float
    answer: str
    improvement: str = ""


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the answers, prints both; 1 if no seed is whole, 2 if called wrong."""
    if len(argv) != 2:
        print("expected two folders: the runs, and where the answers go", file=sys.stderr)
        return 2
    folder, out = map(Path, argv)
    found = [read_training(path.parent, folder) for path in sorted(folder.rglob("config.gin"))]
    runs = {_cell(training): training for training in found}
    done = {cell: own for cell, own in runs.items() if own.state == FINISHED}
    asked = [(arm, game, seed) for seed in range(5) for game in _GAMES for arm in _ARMS]
    seeds = [x for x in range(5) if all(cell in done for cell in asked if cell[2] == x)]
    print(f"whole seeds: {seeds}; cells that have not finished:")
    print("\n".join(f"  {'/'.join(map(str, cell))}" for cell in asked if cell not in done))
    _write_runs(out / "runs.csv", done)
    if not seeds:
        return 1
    returns = _collected(
        done, seeds, lambda own: _last_quarter(own, "train", "episode_return_mean")
    )
    base = [own.mean() for own in returns["dense_x1"]]
    scores = {arm: _divided(own, base) for arm, own in returns.items()}
    answers = _of_returns(scores, len(seeds)) + _of_diagnostics(done, seeds)
    write_rows(out / "answers.csv", Answer._fields, answers)
    for arm in _ARMS:
        raw = ", ".join(
            f"{game} {own.mean():.2f}" for game, own in zip(_GAMES, returns[arm], strict=True)
        )
        print(f"{arm}: IQM {iqm(scores[arm]):.3f} ({raw})")
    for own in answers:
        print(
            f"| {own.claim} | {own.value:+.3f} [{own.low:+.3f}, {own.high:+.3f}] | {own.answer} |"
        )
    return 0


def _cell(training: Training) -> tuple[str, str, int]:
    arm, game, seed = training.name.split("/")
    return arm, game, int(seed)


def _last_quarter(training: Training, phase: str, field: str) -> float:
    """Mean over the rows of the last quarter of the iterations that have it."""
    first = training.num_iterations - -(-training.num_iterations // 4)
    own = [
        row[field]
        for row in training.rows
        if row["phase"] == phase and row["iteration"] >= first and row.get(field) is not None
    ]
    return float(np.mean(own))


def _collected(
    done: Mapping[tuple[str, str, int], Training],
    seeds: Sequence[int],
    measure: Callable[[Training], float],
) -> Scores:
    return {
        arm: [np.array([measure(done[arm, game, x]) for x in seeds]) for game in _GAMES]
        for arm in _ARMS
    }


def _divided(values: Sequence[np.ndarray], base: Sequence[float]) -> list[np.ndarray]:
    return [own / unit for own, unit in zip(values, base, strict=True)]


def _of_returns(scores: Scores, num_seeds: int) -> list[Answer]:
    def difference(claim: str, better: str, worse: str, margin: float = 0.0) -> Answer:
        statistic = lambda x, y: iqm(x) - iqm(y)  # noqa: E731
        pair = scores[better], scores[worse]
        found = interval(statistic, *pair, rng=np.random.default_rng(_SEED), paired=True)
        won = interval(probability_of_improvement, *pair, rng=np.random.default_rng(_SEED))
        said = _answer(*map(float, found[1:]), num_seeds, margin)
        named = "P({} > {}) = {:.2f} [{:.2f}, {:.2f}]".format(better, worse, *map(float, won))
        return Answer(claim, f"{better} - {worse}", *map(float, found), said, named)

    names = ("pruned_x8", "pruned_x1", "dense_x8", "dense_x1")
    widths = interval(
        lambda p8, p1, d8, d1: (iqm(p8) - iqm(p1)) - (iqm(d8) - iqm(d1)),
        *(scores[name] for name in names),
        rng=np.random.default_rng(_SEED),
        paired=True,
    )
    said = _answer(*map(float, widths[1:]), num_seeds)
    quantity = "(pruned_x8 - pruned_x1) - (dense_x8 - dense_x1)"
    return [
        Answer("1. width helps pruned more", quantity, *map(float, widths), said),
        difference("2. pruned >= dense, width 8", "pruned_x8", "dense_x8", _MARGIN),
        difference("3a. gradual beats static, width 1", "pruned_x1", "static_x1"),
        difference("3b. gradual beats static, width 8", "pruned_x8", "static_x8"),
        difference("4. pooling does as much", "dense_x8_pooled", "pruned_x8", _MARGIN),
        difference("beside: pruned - dense, width 1", "pruned_x1", "dense_x1"),
        difference("beside: pruned - dense, pooled", "pruned_x8_pooled", "dense_x8_pooled"),
        difference("beside: width, dense", "dense_x8", "dense_x1"),
        difference("beside: width, pruned", "pruned_x8", "pruned_x1"),
    ]


def _of_diagnostics(
    done: Mapping[tuple[str, str, int], Training], seeds: Sequence[int]
) -> list[Answer]:
    answers = []
    for field in (*_DIAGNOSTICS, *_MORE):
        values = _collected(done, seeds, lambda own, field=field: _measured(own, field))
        base = [own.mean() for own in values["dense_x8"]]
        pair = [_divided(values[arm], base) for arm in ("pruned_x8", "dense_x8")]
        found = interval(_mean_difference, *pair, rng=np.random.default_rng(_SEED), paired=True)
        said = _answer(-float(found.high), -float(found.low), len(seeds))
        claim = f"5. pruning lowers {field}" if field in _DIAGNOSTICS else f"beside: {field} lower"
        answers.append(Answer(claim, "pruned_x8 - dense_x8", *map(float, found), said))
    return answers


def _measured(training: Training, field: str) -> float:
    return _last_quarter(training, "diagnostics", field)


def _mean_difference(scores: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    pairs = zip(scores, others, strict=True)
    return np.mean([own.mean(axis=-1) - other.mean(axis=-1) for own, other in pairs], axis=0)


def _answer(low: float, high: float, num_seeds: int, margin: float = 0.0) -> str:
    if num_seeds < _LEAST_SEEDS:
        return "undecided (fewer than three seeds)"
    if low > -margin and high < 0:
        return "yes, within the margin, and a little less"
    if low > -margin:
        return "yes"
    return "no" if high < 0 else "undecided"


def _write_runs(out: Path, done: Mapping[tuple[str, str, int], Training]) -> None:
    fields = ("parameter_norm", *_DIAGNOSTICS[1:], *_MORE)
    rows = [
        (
            *cell,
            _last_quarter(own, "train", "episode_return_mean"),
            *(_measured(own, field) for field in fields),
        )
        for cell, own in sorted(done.items())
    ]
    write_rows(out, ("arm", "game", "seed", "return", *fields), rows)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

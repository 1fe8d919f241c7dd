"""Statistics of a few runs on several games, after Agarwal et al. 2021 (rliable).

The scores of an arm are num_runs by num_games: a sequence with an array (..., num_runs) for each
game, which need not have as many runs as the others. Leading axes are whatever they are, resamples
for example; statistics reduce the last. Games count alike, however many runs each has.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.reporting.runs import SEEDS_OF_AN_INTERVAL, Floats

Scores = Sequence[Floats]  # of each game (..., num_runs)
Picks = list[npt.NDArray[np.int64]]  # of each game (num_resamples, num_runs): which runs
Statistic = Callable[..., Floats]  # of the scores of one arm or of several

NUM_RESAMPLES = 50_000  # of an interval of single numbers, as rliable's
NUM_CURVE_RESAMPLES = 2_000  # of a band, as rliable's profiles
_AT_ONCE = 10_000  # resamples in memory
_BOUNDS = (2.5, 97.5)  # percentiles: a 95 % interval


class Interval(NamedTuple):
    """A statistic and its 95 % stratified bootstrap interval, numbers or arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


class Estimate(NamedTuple):
    """One statistic of one arm, or of two ('X > Y'), with its 95 % interval.

    Attributes:
        arm: whose; of a comparison both.
        statistic: 'iqm', 'median', 'mean', 'optimality_gap', 'probability_of_improvement',
            'iqm_difference'.
        num_games: that it is over.
        num_runs: of the arm, over all games.
        scale: of the scores, in words, as 'return / mean final return of dqn minatar x1 dense'.
        phase: whose returns they are of, 'train' or 'eval'.
    """

    arm: str
    statistic: str
    value: float
    low: float
    high: float
    num_games: int
    num_runs: int
    scale: str = ""
    phase: str = ""


ESTIMATE_COLUMNS = (*Estimate._fields[:-2], "normalized_as", "phase")  # in CSV, as of scores


def mean(scores: Scores) -> Floats:
    """Mean over games of their means: (...)."""
    return np.mean([own.mean(axis=-1) for own in scores], axis=0)


def median(scores: Scores) -> Floats:
    """Median over games of their means: (...)."""
    return np.median([own.mean(axis=-1) for own in scores], axis=0)


def optimality_gap(scores: Scores, gamma: float = 1.0) -> Floats:
    """By how much scores fall short of `gamma`, those above it not at all; mean over games."""
    return gamma - np.mean([np.minimum(own, gamma).mean(axis=-1) for own in scores], axis=0)


def iqm(scores: Scores) -> Floats:
    """Interquartile mean: of all runs without the lowest and the highest quarter, (...).

    A quarter is rounded down to whole runs, as scipy's `trim_mean` does. Where games differ in
    their number of runs, a quarter is of the games' weight: a run of a game of few weighs more.
    """
    pooled = np.concatenate(scores, axis=-1)
    weights = _weights([own.shape[-1] for own in scores])
    order = np.argsort(pooled, axis=-1)
    ends = np.cumsum(weights[order], axis=-1)  # whole numbers, so that a cut is exact
    total, count = int(weights.sum()), len(weights)
    cut = total // count * (count // 4)
    kept = np.minimum(ends, total - cut) - np.maximum(ends - weights[order], cut)
    kept = np.maximum(kept, 0)
    values = np.take_along_axis(pooled, order, axis=-1)
    return np.where(kept > 0, values * kept, 0.0).sum(axis=-1) / (total - 2 * cut)


def _weights(num_runs: Sequence[int]) -> npt.NDArray[np.int64]:
    """Of every run (sum of num_runs,): whole, the same sum for each game, and that divisible."""
    each = math.lcm(*num_runs) * sum(num_runs)
    return np.repeat([each // count for count in num_runs], num_runs)


AGGREGATES: dict[str, Statistic] = {
    "iqm": iqm,
    "median": median,
    "mean": mean,
    "optimality_gap": optimality_gap,
}


def probability_of_improvement(scores: Scores, others: Scores) -> Floats:
    """P(a run of `scores` beats one of `others` on the same game), a tie half; mean over games.

    The Mann-Whitney statistic of each game over its number of pairs.
    """
    won = [_won(own, other) for own, other in zip(scores, others, strict=True)]
    return np.mean(won, axis=0)


def _won(scores: Floats, others: Floats) -> Floats:
    own, other = scores[..., :, None], others[..., None, :]
    return ((own > other) + 0.5 * (own == other)).mean(axis=(-2, -1))


def profile(scores: Scores, taus: Floats) -> Floats:
    """The fraction of runs that score more than each of `taus` (K,), mean over games: (..., K)."""
    above = [(own[..., None] > taus).mean(axis=-2) for own in scores]
    return np.mean(above, axis=0)


def draw_picks(rng: np.random.Generator, scores: Scores, num_resamples: int) -> Picks:
    """Which runs are in each resample: of every game as many as it has, drawn within the game."""
    counts = [own.shape[-1] for own in scores]
    return [rng.integers(0, count, (num_resamples, count)) for count in counts]


def resampled(scores: Scores, picks: Picks) -> Scores:
    """Of each game (num_resamples, num_runs)."""
    return [own[own_picks] for own, own_picks in zip(scores, picks, strict=True)]


def interval(
    statistic: Statistic,
    *arms: Scores,
    rng: np.random.Generator,
    paired: bool = False,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The statistic of the arms and its percentile bootstrap interval.

    The interval is NaN where a game has fewer than three runs, as in every picture.

    Args:
        statistic: of the scores of as many arms as there are, of each game (..., num_runs).
        *arms: of each game (num_runs,).
        rng: draws the resamples, runs within games; the same seed, the same interval.
        paired: draws the same runs of every arm: its run i is the others' run i.
        num_resamples: how many.

    Raises:
        ValueError: a game without runs, or paired arms of unequal numbers of runs.
    """
    counts = [[len(own) for own in arm] for arm in arms]
    if not all(all(own) for own in counts) or (paired and counts != counts[:1] * len(arms)):
        raise ValueError(f"no interval of arms with these numbers of runs: {counts}")
    value = statistic(*arms)
    if min(map(min, counts)) < SEEDS_OF_AN_INTERVAL:
        return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    draws = [statistic(*parts) for parts in _resamples(arms, rng, paired, num_resamples)]
    low, high = np.percentile(np.concatenate(draws), _BOUNDS, axis=0)
    return Interval(value, low, high)


def _resamples(
    arms: Sequence[Scores], rng: np.random.Generator, paired: bool, num_resamples: int
) -> Iterator[list[Scores]]:
    for done in range(0, num_resamples, _AT_ONCE):
        size = min(_AT_ONCE, num_resamples - done)
        picks = [draw_picks(rng, arm, size) for arm in (arms[:1] if paired else arms)]
        picks = picks * len(arms) if paired else picks
        yield [resampled(arm, own) for arm, own in zip(arms, picks, strict=True)]


def aggregate(
    arm: str, scores: Scores, rng: np.random.Generator, best: float = 1.0
) -> list[Estimate]:
    """The `AGGREGATES` of one arm, of the same resamples each; its gap is to the score `best`."""
    (seed,) = rng.integers(0, 2**63, 1)
    found = []
    gap = partial(optimality_gap, gamma=best)
    for name, statistic in (AGGREGATES | {"optimality_gap": gap}).items():
        own = interval(statistic, scores, rng=np.random.default_rng(seed))
        found.append(_estimate(arm, name, own, scores))
    return found


def compare(
    arm: str, scores: Scores, other: str, others: Scores, rng: np.random.Generator
) -> Estimate:
    """The probability that `arm` improves on `other`; each arm's runs are drawn for themselves."""
    found = interval(probability_of_improvement, scores, others, rng=rng)
    return _estimate(f"{arm} > {other}", "probability_of_improvement", found, scores)


def difference(
    arm: str, scores: Scores, other: str, others: Scores, rng: np.random.Generator
) -> Estimate:
    """IQM of `arm` less that of `other`, whose runs are the same seeds in the same order."""
    found = interval(lambda x, y: iqm(x) - iqm(y), scores, others, rng=rng, paired=True)
    return _estimate(f"{arm} - {other}", "iqm_difference", found, scores)


def _estimate(arm: str, statistic: str, found: Interval, scores: Scores) -> Estimate:
    value, low, high = map(float, found)
    return Estimate(arm, statistic, value, low, high, len(scores), sum(map(len, scores)))


def profile_band(scores: Scores, taus: Floats, rng: np.random.Generator) -> Interval:
    """The performance profile of an arm at `taus` (K,) and its band: (K,) each."""
    resamples = NUM_CURVE_RESAMPLES
    return interval(lambda x: profile(x, taus), scores, rng=rng, num_resamples=resamples)


def curve_band(scores: Scores, rng: np.random.Generator) -> Interval:
    """The IQM over time and its band, (T,) each, of each game's (num_runs, T).

    At every time it is of the runs that have a number there; NaN where a game has none left.
    """
    bands = [_at(scores, t, rng) for t in range(scores[0].shape[1])]
    return Interval(*(np.array(part) for part in zip(*bands, strict=True)))


def _at(scores: Scores, t: int, rng: np.random.Generator) -> Interval:
    there = [own[:, t][~np.isnan(own[:, t])] for own in scores]
    if not all(len(own) for own in there):
        return Interval(*[np.float64("nan")] * 3)  # type: ignore[arg-type]
    return interval(iqm, there, rng=rng, num_resamples=NUM_CURVE_RESAMPLES)

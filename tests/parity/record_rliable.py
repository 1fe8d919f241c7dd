"""Writes what rliable 1.2.0 makes of scores and resamples: record_rliable.py IN.npz OUT.npz.

IN holds `x` and `y` (num_runs, num_games), `taus` (K,) and which runs are in each resample,
`x_picks` and `y_picks` (num_resamples, num_runs, num_games): rliable draws from NumPy's global
generator and ignores the state that it is given, so that here its draws are replaced by these.
"""

import itertools
import sys

import numpy as np
from rliable import library, metrics

STATISTICS = {
    "iqm": metrics.aggregate_iqm,
    "median": metrics.aggregate_median,
    "mean": metrics.aggregate_mean,
    "optimality_gap": metrics.aggregate_optimality_gap,
}


def main(source, target):
    given = np.load(source)
    x, y, x_picks, y_picks = given["x"], given["y"], given["x_picks"], given["y_picks"]
    found = {}
    for name, statistic in STATISTICS.items():
        found[name] = _interval(x, lambda scores, own=statistic: np.array([own(scores)]), x_picks)
    both = itertools.chain.from_iterable(zip(x_picks, y_picks, strict=True))
    found["probability_of_improvement"] = _interval(
        [x, y],
        lambda a, b: np.array([metrics.probability_of_improvement(a, b)]),
        both,
        len(x_picks),
    )
    taus = given["taus"]
    found["profile"] = _interval(x, lambda own: library.score_distributions(own, taus), x_picks)
    np.savez(target, **found)


def _interval(scores, statistic, picks, reps=None):
    """Value, low and high: (3, K)."""
    draws = iter(picks)
    np.random.choice = lambda count, shape, replace: next(draws)
    value, bounds = library.get_interval_estimates({"": scores}, statistic, reps=reps or len(picks))
    return np.concatenate([value[""][None], bounds[""]])


if __name__ == "__main__":
    main(*sys.argv[1:])

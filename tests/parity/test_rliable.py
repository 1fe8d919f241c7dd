"""Our statistics against rliable 1.2.0 itself, on the same scores and the same resamples.

It runs in an environment of its own, as it needs pandas < 3 (rliable_environment.sh).
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from prune_rl.reporting import statistics
from prune_rl.reporting.statistics import AGGREGATES, draw_picks

_HERE = Path(__file__).parent
_RESAMPLES, _SECONDS = 400, 600
_TAUS = np.linspace(-1, 3, 9)


def _scores(num_runs, num_games, seed):
    """Skewed, some of them equal, a column for each game."""
    rng = np.random.default_rng(seed)
    return np.round(rng.lognormal(0, 0.7, (num_runs, num_games)), 1)


_X, _Y = _scores(5, 15, 0), _scores(4, 15, 1)


def _columns(scores):
    return list(scores.T)


@pytest.fixture(scope="module")
def rliable(tmp_path_factory):
    """Value, low and high (3, K) of every statistic; the resamples are those of seed 3."""
    folder = tmp_path_factory.mktemp("rliable")
    rng = np.random.default_rng(3)
    picks = [np.stack(draw_picks(rng, _columns(own), _RESAMPLES), axis=2) for own in (_X, _Y)]
    given = {"x": _X, "y": _Y, "taus": _TAUS, "x_picks": picks[0], "y_picks": picks[1]}
    np.savez(folder / "in.npz", **given)
    command = ["bash", str(_HERE / "rliable_environment.sh"), str(_HERE / "record_rliable.py")]
    command += [str(folder / "in.npz"), str(folder / "out.npz")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"rliable's environment could not be made: {error}")
    if "Traceback" not in done.stderr and done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"rliable's environment could not be made: {reason}")
    assert done.returncode == 0, done.stderr
    return np.load(folder / "out.npz")


@pytest.mark.parametrize("name", AGGREGATES)
def test_aggregates_and_their_intervals_are_its_own(rliable, name):
    rng = np.random.default_rng(3)
    found = statistics.interval(AGGREGATES[name], _columns(_X), rng=rng, num_resamples=_RESAMPLES)
    np.testing.assert_allclose(found, rliable[name][:, 0], rtol=1e-12, atol=1e-12)


def test_the_probability_of_improvement_is_its_own(rliable):
    found = statistics.interval(
        statistics.probability_of_improvement,
        _columns(_X),
        _columns(_Y),
        rng=np.random.default_rng(3),
        num_resamples=_RESAMPLES,
    )
    expected = rliable["probability_of_improvement"][:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_performance_profiles_are_its_own(rliable):
    found = statistics.interval(
        lambda scores: statistics.profile(scores, _TAUS),
        _columns(_X),
        rng=np.random.default_rng(3),
        num_resamples=_RESAMPLES,
    )
    np.testing.assert_allclose(found, rliable["profile"], rtol=1e-12, atol=1e-12)


def test_what_it_made_is_no_constant(rliable):
    """Else the tests above would say nothing."""
    for name in rliable:
        _, low, high = rliable[name]
        assert (low < high).any(), name

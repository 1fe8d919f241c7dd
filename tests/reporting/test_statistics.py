"""Statistics by hand, by scipy, and by what must hold of any scores."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.reporting import statistics
from prune_rl.reporting.statistics import AGGREGATES, interval

_FEW = settings(max_examples=40, deadline=None)
_numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
_game = st.lists(_numbers, min_size=1, max_size=6).map(lambda own: np.array(own, np.float64))
_scores = st.lists(_game, min_size=1, max_size=5)


def _rng(seed=0):
    return np.random.default_rng(seed)


def _normal(num_games=15, num_runs=5, seed=0, shift=0.0):
    return list(_rng(seed).normal(shift, 1, (num_games, num_runs)))


def test_aggregates_of_two_games_by_hand():
    scores = [np.array([0.0, 1.0]), np.array([2.0, 8.0])]
    assert statistics.iqm(scores) == 1.5  # of 0, 1, 2, 8 one falls at each end
    assert statistics.mean(scores) == 2.75
    assert statistics.median(scores) == 2.75
    assert statistics.optimality_gap(scores) == pytest.approx(1 - (0.5 + 1) / 2)


def test_the_median_is_over_games():
    scores = [np.array([0.0, 0.0]), np.array([1.0, 9.0]), np.array([100.0, 100.0])]
    assert statistics.median(scores) == 5


@pytest.mark.parametrize("num_runs", [1, 2, 3, 5, 7])
def test_the_iqm_of_equal_numbers_of_runs_is_the_trimmed_mean(num_runs):
    scores = _normal(3, num_runs)
    expected = scipy.stats.trim_mean(np.concatenate(scores), 0.25)
    assert statistics.iqm(scores) == pytest.approx(expected, rel=1e-12)


def test_games_count_alike_however_many_runs_they_have():
    """Runs of a game that are there three times are one run each, in all statistics."""
    one, two = np.array([1.0, 2, 4, 7]), np.array([5.0, 9, 20, 31])
    for name, statistic in AGGREGATES.items():
        assert statistic([one, np.repeat(two, 3)]) == pytest.approx(statistic([one, two])), name
    taus = np.array([1.5, 6])
    np.testing.assert_allclose(
        statistics.profile([one, np.repeat(two, 3)], taus), statistics.profile([one, two], taus)
    )


def test_statistics_of_resamples_are_those_of_each():
    scores, picks = _normal(4, 3), statistics.draw_picks(_rng(), _normal(4, 3), 10)
    drawn = statistics.resampled(scores, picks)
    for statistic in AGGREGATES.values():
        each = [statistic([own[i] for own in drawn]) for i in range(10)]
        np.testing.assert_allclose(statistic(drawn), each, rtol=1e-12)


def test_resamples_stay_within_their_game_and_seeds_are_drawn_for_each_game():
    scores = [np.array([1.0, 2, 3]), np.array([10.0, 20])]
    picks = statistics.draw_picks(_rng(), scores, 500)
    assert [own.shape for own in picks] == [(500, 3), (500, 2)]
    assert [set(own.ravel()) for own in picks] == [{0, 1, 2}, {0, 1}]
    assert not np.array_equal(picks[0][:, :2] % 2, picks[1])


def test_probability_of_improvement_by_hand():
    better = [np.array([1.0, 5]), np.array([2.0, 2])]
    worse = [np.array([1.0, 3, 0]), np.array([2.0])]
    # 1 beats 0, ties with 1, loses to 3; 5 beats all: 4.5 of 6. The second game is a tie.
    assert statistics.probability_of_improvement(better, worse) == pytest.approx(
        (4.5 / 6 + 0.5) / 2
    )


def test_the_profile_is_the_fraction_above():
    scores = [np.array([0.0, 1.0]), np.array([2.0, 3.0])]
    found = statistics.profile(scores, np.array([-1.0, 0, 1.5, 3]))
    np.testing.assert_array_equal(found, [1, 0.75, 0.5, 0])


@_FEW
@given(_scores)
def test_the_iqm_lies_between_the_ends(scores):
    every = np.concatenate(scores)
    assert every.min() - 1e-9 <= statistics.iqm(scores) <= every.max() + 1e-9


@_FEW
@given(_scores, st.randoms(use_true_random=False))
def test_neither_the_order_of_runs_nor_of_games_matters(scores, random):
    shuffled = [np.array(random.sample(own.tolist(), len(own))) for own in scores]
    random.shuffle(shuffled)
    for name, statistic in AGGREGATES.items():
        assert statistic(shuffled) == pytest.approx(statistic(scores), abs=1e-9), name


@_FEW
@given(st.lists(st.tuples(_game, _game), min_size=1, max_size=4))
def test_one_of_two_improves_on_the_other(pairs):
    scores, others = zip(*pairs, strict=True)
    found = statistics.probability_of_improvement(scores, others)
    back = statistics.probability_of_improvement(others, scores)
    assert found + back == pytest.approx(1)
    assert 0 <= found <= 1


@_FEW
@given(_scores, st.lists(_numbers, min_size=1, max_size=5).map(sorted))
def test_profiles_fall(scores, taus):
    found = statistics.profile(scores, np.array(taus))
    assert (np.diff(found) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("num_runs", [[3, 3], [3, 5, 4]])
def test_constant_scores_have_a_point_as_interval(num_runs):
    scores = [np.full(count, 0.7) for count in num_runs]
    for statistic in AGGREGATES.values():
        value, low, high = interval(statistic, scores, rng=_rng(), num_resamples=100)
        assert low == high == pytest.approx(value)


def test_an_interval_is_of_its_seed():
    scores = _normal()
    first, again, other = (
        interval(statistics.iqm, scores, rng=_rng(seed), num_resamples=500) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.low != other.low
    assert first.value == other.value


def test_the_interval_of_a_mean_is_the_normal_one():
    scores = _normal(num_games=20, num_runs=40)
    value, low, high = interval(statistics.mean, scores, rng=_rng(), num_resamples=20_000)
    half = 1.96 * np.sqrt(sum(own.var() / 40 for own in scores)) / 20
    assert value - low == pytest.approx(half, rel=0.05)
    assert high - value == pytest.approx(half, rel=0.05)


def test_resamples_are_as_many_as_asked_for(monkeypatch):
    """Also where they do not fit into memory at once."""
    monkeypatch.setattr(statistics, "_AT_ONCE", 30)
    seen = []

    def spy(scores):
        seen.append(np.shape(scores[0]))
        return statistics.mean(scores)

    interval(spy, _normal(2, 3), rng=_rng(), num_resamples=70)
    assert seen == [(3,), (30, 3), (30, 3), (10, 3)]


def test_fewer_than_three_runs_of_a_game_have_no_interval():
    value, low, high = interval(statistics.iqm, [np.arange(5.0), np.arange(2.0)], rng=_rng())
    assert not np.isnan(value)
    assert np.isnan([low, high]).all()


def test_paired_arms_draw_the_same_seeds():
    """One is the other and a bit: unpaired their difference would vary."""
    scores = _normal(seed=4)
    better = [own + 0.25 for own in scores]
    found = statistics.difference("a", better, "b", scores, _rng())
    assert (found.arm, found.statistic) == ("a - b", "iqm_difference")
    assert found.value == pytest.approx(0.25)
    assert found.high - found.low < 0.1
    apart = interval(
        lambda x, y: statistics.mean(x) - statistics.mean(y), better, scores, rng=_rng()
    )
    assert apart.high - apart.low > 0.3


@pytest.mark.parametrize(
    ("arms", "paired"), [(([np.ones(3)], [np.ones(4)]), True), (([np.empty(0)],), False)]
)
def test_what_has_no_interval_is_said(arms, paired):
    with pytest.raises(ValueError, match="no interval of arms with these numbers of runs"):
        interval(lambda *x: statistics.mean(x[0]), *arms, rng=_rng(), paired=paired)


def test_estimates_say_whose_and_of_how_many():
    scores, others = [np.arange(3.0), np.arange(4.0)], [np.arange(3.0) + 9, np.arange(5.0) + 9]
    found = statistics.aggregate("a", scores, _rng())
    assert [own.statistic for own in found] == list(AGGREGATES)
    assert {(own.arm, own.num_games, own.num_runs) for own in found} == {("a", 2, 7)}
    compared = statistics.compare("a", scores, "b", others, _rng())
    assert compared[:5] == ("a > b", "probability_of_improvement", 0, 0, 0)


def test_a_band_is_that_of_each_time_and_of_the_runs_that_are_there():
    rng, nan = _rng(5), np.nan
    one, two = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    one[4, 1:] = nan  # it stopped early
    two[:, 2] = nan  # nobody has come so far
    value, low, high = statistics.curve_band([one, two], _rng())
    rng, count = _rng(), statistics.NUM_CURVE_RESAMPLES
    for t, kept in ((0, 5), (1, 4)):
        there = [one[:kept, t], two[:, t]]
        own = interval(statistics.iqm, there, rng=rng, num_resamples=count)
        assert (value[t], low[t], high[t]) == own
    assert np.isnan([value[2], low[2], high[2]]).all()


def test_a_profile_has_its_band():
    found = statistics.profile_band(_normal(), np.array([-9.0, 0, 9]), _rng())
    np.testing.assert_array_equal(found.value[[0, 2]], [1, 0])
    np.testing.assert_array_equal(found.low[[0, 2]], [1, 0])
    assert found.low[1] < found.value[1] < found.high[1]

"""The numbers of every stream: a change here changes every run that was ever made."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl import randomness

SEEDS = (0, 7, 2**31 - 1)
fold_in, PRNGKey = jax.random.fold_in, jax.random.PRNGKey


def words(key):
    return tuple(np.asarray(key).tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_jax_streams_of_a_seed(seed):
    """0 trains, 1 evaluates, 2 makes masks."""
    root = PRNGKey(seed)
    weights, exploration = jax.random.split(fold_in(root, 0))
    expected = [words(weights), words(exploration)]
    assert [words(key) for key in randomness.training_keys(root)] == expected
    for iteration in (0, 1, 199):
        evaluation = words(fold_in(fold_in(root, 1), iteration))
        assert words(randomness.evaluation_keys([seed], iteration)[0]) == evaluation
    assert words(randomness.mask_key(root)) == words(fold_in(root, 2))


def test_an_interventions_stream_is_3_of_the_exploration_key_and_then_its_position():
    key = PRNGKey(5)
    for position in range(3):
        expected = words(fold_in(fold_in(key, 3), position))
        assert words(randomness.intervention_key(key, position)) == expected


def test_the_first_network_has_the_key_itself_and_others_one_of_their_place():
    key = PRNGKey(5)
    assert words(randomness.network_key(key, 0)) == words(key)
    for place in (1, 2, 5):
        assert words(randomness.network_key(key, place)) == words(fold_in(key, 2**31 + place))


@pytest.mark.parametrize("seed", SEEDS)
def test_numpy_streams_of_a_seed(seed):
    """Games of training and of each evaluation; what the replay draws."""

    def first_word(*entropy):
        return int(np.random.SeedSequence(entropy).generate_state(1)[0]) % 2**31

    assert randomness.environment_seed(seed, randomness.TRAINING) == first_word(seed, 0)
    for iteration in (0, 1, 199):
        game = randomness.environment_seed(seed, randomness.EVALUATION, iteration)
        assert game == first_word(seed, 1, iteration)
    for name, streams in (
        (b"replay", randomness.replay_streams([seed])),
        (b"probe srank 3", randomness.replay_streams([seed], "probe srank 3")),
    ):
        expected = np.random.Generator(np.random.PCG64([seed, *name])).integers(0, 2**63, 4)
        np.testing.assert_array_equal(streams[0].integers(0, 2**63, 4), expected)


def test_numbers_as_they_were_first_drawn():
    """Of seed 7, whatever a library makes of the calls above."""
    weights, exploration = randomness.training_keys(PRNGKey(7))
    keys = [weights, exploration, randomness.mask_key(PRNGKey(7))]
    keys += [randomness.evaluation_keys([7], 2)[0], randomness.intervention_key(exploration, 1)]
    assert [words(key) for key in keys] == [
        (2737751932, 2099591257),
        (533473832, 2443621858),
        (966301609, 1948237315),
        (3281109246, 2806878594),
        (1052902796, 412145351),
    ]
    games = [randomness.environment_seed(7, 0), randomness.environment_seed(7, 1, 2)]
    assert games == [2083679832, 1734722684]
    assert randomness.replay_streams([7])[0].integers(0, 1000, 4).tolist() == [126, 545, 4, 79]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), st.integers(0, 10**6))
def test_evaluation_keys_are_a_seeds_own_whoever_runs_beside_it(seeds, iteration):
    together = randomness.evaluation_keys(seeds, iteration)
    assert together.shape == (len(seeds), 2)
    for seed, key in zip(seeds, together, strict=True):
        assert words(key) == words(randomness.evaluation_keys([seed], iteration)[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1), st.lists(st.integers(0, 2**31), max_size=2))
def test_games_are_seeded_below_2_to_the_31(seed, stream):
    """More than the emulator takes would be refused there."""
    assert 0 <= randomness.environment_seed(seed, *stream) < 2**31

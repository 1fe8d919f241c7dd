import jax.numpy as jnp
import numpy as np

from prune_rl.pruning.scores import PRUNER_TYPES, SCORES, magnitude


def test_magnitude_is_the_distance_from_zero_whatever_the_gradient():
    param, grad = jnp.array([[-3.0, 0.5], [-0.0, jnp.nan]]), jnp.full((2, 2), 7.0)
    scores = magnitude(param, grad, jnp.zeros(2, jnp.uint32))
    np.testing.assert_array_equal(scores, [[3.0, 0.5], [0.0, np.nan]])


def test_pruner_types_are_the_scores_and_none():
    assert set(PRUNER_TYPES) == {"no_prune", *SCORES}

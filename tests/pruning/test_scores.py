import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.pruning.scores import gradient, magnitude, random, saliency

_PARAM = jnp.array([[-3.0, 0.5], [-0.0, jnp.nan]])
_GRAD = jnp.array([[7.0, -2.0], [5.0, -1.0]])
_KEY = jax.random.PRNGKey(4)


def test_magnitude_is_the_distance_from_zero_whatever_the_gradient():
    np.testing.assert_array_equal(magnitude(_PARAM, _GRAD, _KEY), [[3.0, 0.5], [0.0, np.nan]])


def test_saliency_is_the_size_of_weight_times_gradient():
    np.testing.assert_array_equal(saliency(_PARAM, _GRAD, _KEY), [[21.0, 1.0], [0.0, np.nan]])


def test_gradient_is_its_size_whatever_the_weight():
    np.testing.assert_array_equal(gradient(_PARAM, _GRAD, _KEY), [[7.0, 2.0], [5.0, 1.0]])


def test_random_is_uniform_and_of_its_key():
    scores = random(jnp.zeros((100, 100)), jnp.zeros((100, 100)), _KEY)
    np.testing.assert_array_equal(scores, jax.random.uniform(_KEY, (100, 100)))

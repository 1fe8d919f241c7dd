"""The conservative penalty and the loss it is part of, by hand."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.learning.conservative import conservative, conservative_gap
from prune_rl.learning.distributional import categorical_rules
from prune_rl.learning.temporal_difference import td_rules
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.specs import Batch

LOGS = jnp.log(jnp.array([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]]))  # of 8 and of 16 in all


def _batch(*actions):
    return Batch(None, jnp.array(actions), jnp.zeros(len(actions)), None, None)


def test_the_gap_by_hand():
    gap = conservative_gap(LOGS, jnp.array([1, 2]))
    np.testing.assert_allclose(gap, [math.log(8 / 2), math.log(16 / 8)], rtol=1e-6)


def test_the_loss_of_values_by_hand():
    """Huber: 2 too low costs 1.5, 0.5 too high 0.125."""
    rules = td_rules(SimpleNamespace(expectation=lambda q: q), "huber")
    rules = conservative(rules, td_coefficient=0.5, cql_coefficient=0.1)
    targets = jnp.array([math.log(2) + 2, math.log(8) - 0.5])
    losses = rules.losses(LOGS, _batch(1, 2), targets)
    expected = [0.75 + 0.1 * math.log(4), 0.0625 + 0.1 * math.log(2)]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_the_loss_of_distributions_by_hand():
    """Two atoms, -1 and 1: the values are -0.5 and 0; the first action's cross-entropy is ln 4."""
    network = QNetwork(MinAtarTorso(), num_actions=2, num_atoms=2, vmax=1.0)
    rules = categorical_rules(network)
    rules = conservative(rules, td_coefficient=2.0, cql_coefficient=0.1)
    logits, targets = jnp.array([[[math.log(3), 0.0], [0.0, 0.0]]]), jnp.array([[0.0, 1.0]])
    gap = math.log(math.exp(-0.5) + 1) + 0.5
    losses = rules.losses(logits, _batch(0), targets)
    np.testing.assert_allclose(losses, [2 * math.log(4) + 0.1 * gap], rtol=1e-6)


def test_the_rest_of_the_rules_stays():
    rules = td_rules(
        QNetwork(MinAtarTorso(), num_actions=2), "mse", augment=lambda images, key: images
    )
    wrapped = conservative(rules, td_coefficient=1.0, cql_coefficient=1.0)
    assert wrapped._replace(losses=None) == rules._replace(losses=None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-300, 300, width=32), min_size=2, max_size=6), st.data())
def test_the_gap_is_never_negative_nor_the_gradients_sum_anything_but_zero(values, data):
    """Large values do not overflow; what one action gains the others lose."""
    q, actions = jnp.array([values]), jnp.array([data.draw(st.integers(0, len(values) - 1))])
    gap, gradient = jax.value_and_grad(lambda x: conservative_gap(x, actions).sum())(q)
    low = max(values) - values[int(actions[0])]
    assert low - 1e-3 <= gap <= low + math.log(len(values)) + 1e-3
    assert gap >= 0
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-5)
    assert float(gradient[0, actions[0]]) <= 0

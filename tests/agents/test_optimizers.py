"""Adam against its published equations, and validation."""

import gin
import numpy as np
import optax
import pytest

from prune_rl.agents.optimizers import create_optimizer
from prune_rl.errors import ConfigError


def test_adam_follows_kingma_and_ba():
    rate, beta1, beta2, eps = 0.1, 0.8, 0.95, 1e-2
    optimizer = create_optimizer(learning_rate=rate, beta1=beta1, beta2=beta2, eps=eps)
    params = np.array([1.0, -2.0, 3.0], np.float32)
    expected, first, second = params.astype(np.float64), np.zeros(3), np.zeros(3)
    state = optimizer.init(params)
    for t, gradient in enumerate(np.random.default_rng(0).normal(size=(4, 3)), start=1):
        updates, state = optimizer.update(gradient.astype(np.float32), state, params)
        params = optax.apply_updates(params, updates)
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        root = np.sqrt(second / (1 - beta2**t)) + eps
        expected -= rate * first / (1 - beta1**t) / root
        np.testing.assert_allclose(params, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0), ("beta1", 1.0), ("beta2", -0.1), ("eps", 0.0), ("name", "adamw")],
)
def test_a_wrong_value_names_its_binding(name, value):
    gin.bind_parameter(f"create_optimizer.{name}", value)
    with pytest.raises(ConfigError, match=rf"create_optimizer\.{name}="):
        create_optimizer()

"""Adam and its regularisers against their published equations, and validation."""

from functools import partial

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.errors import ConfigError
from prune_rl.learning.optimizers import create_optimizer, penalize_norms, penalize_sizes


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


def _steps(optimizer, params, gradients):
    state = optimizer.init(params)
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def _tree(seed):
    rng = np.random.default_rng(seed)
    return {
        "kernel": rng.normal(size=(3, 4)).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
    }


def test_weight_decay_is_part_of_the_gradient_under_adam():
    decay = 0.3
    gradients, params, decayed = [_tree(i) for i in range(1, 4)], _tree(0), _tree(0)
    plain = create_optimizer(learning_rate=0.1)
    state = plain.init(decayed)
    for grads in gradients:  # Adam on the gradient of loss + decay/2 ||w||^2, biases included
        total = jax.tree.map(lambda g, w: g + np.float32(decay) * w, grads, decayed)
        updates, state = plain.update(total, state, decayed)
        decayed = optax.apply_updates(decayed, updates)
    ours = _steps(create_optimizer(learning_rate=0.1, weight_decay=decay), params, gradients)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), ours, decayed)


def test_adamw_follows_loshchilov_and_hutter():
    """Algorithm 2 with their schedule eta 1, and the decay times the learning rate as in optax."""
    rate, beta1, beta2, eps, decay = 0.1, 0.7, 0.95, 1e-2, 0.3
    optimizer = create_optimizer(
        "adamw", learning_rate=rate, beta1=beta1, beta2=beta2, eps=eps, weight_decay=decay
    )
    gradients, params = [_tree(i) for i in range(1, 5)], _tree(0)
    ours = _steps(optimizer, params, gradients)
    for name, start in params.items():
        expected, first, second = start.astype(np.float64), 0.0, 0.0
        for t, grads in enumerate(gradients, start=1):
            first = beta1 * first + (1 - beta1) * grads[name]
            second = beta2 * second + (1 - beta2) * grads[name].astype(np.float64) ** 2
            root = np.sqrt(second / (1 - beta2**t)) + eps
            expected = expected - rate * (first / (1 - beta1**t) / root + decay * expected)
        np.testing.assert_allclose(ours[name], expected, rtol=1e-5, atol=1e-6)


def test_the_norm_penalty_adds_the_gradient_of_its_formula():
    params, grads, coefficient = _tree(0), _tree(1), 0.7

    def penalty(kernel):
        return coefficient / 2 * (jnp.sqrt(jnp.sum(kernel**2)) - 1) ** 2

    penalised, _ = penalize_norms(coefficient).update(grads, optax.EmptyState(), params)
    expected = grads["kernel"] + jax.grad(penalty)(params["kernel"])
    np.testing.assert_allclose(penalised["kernel"], expected, rtol=1e-5)
    np.testing.assert_array_equal(penalised["bias"], grads["bias"])
    zeros = jax.tree.map(np.zeros_like, params)
    penalised, _ = penalize_norms(coefficient).update(grads, optax.EmptyState(), zeros)
    jax.tree.map(np.testing.assert_array_equal, penalised, grads)


def test_the_l1_penalty_adds_the_sign_of_kernels_alone():
    params, grads = _tree(0), _tree(1)
    params["kernel"][0, 0] = 0.0
    penalised, _ = penalize_sizes(0.3).update(grads, optax.EmptyState(), params)
    expected = grads["kernel"] + np.float32(0.3) * np.sign(params["kernel"])
    np.testing.assert_allclose(penalised["kernel"], expected, rtol=1e-6)
    np.testing.assert_array_equal(penalised["bias"], grads["bias"])
    zeros = jax.tree.map(np.zeros_like, grads)
    shrunk = _steps(create_optimizer(learning_rate=1e-2, l1_penalty=1.0), params, [zeros] * 200)
    assert np.abs(shrunk["kernel"]).max() < np.abs(params["kernel"]).max()
    np.testing.assert_array_equal(shrunk["bias"], params["bias"])


def test_a_cosine_takes_the_learning_rate_to_zero_at_the_last_step():
    optimizer = create_optimizer(
        learning_rate=0.1, learning_rate_decay="cosine", num_gradient_steps=8
    )
    params, state, sizes = np.float32(0.0), optimizer.init(np.float32(0.0)), []
    for _ in range(10):  # of a constant gradient Adam's steps are the rate itself
        updates, state = optimizer.update(np.float32(1.0), state, params)
        sizes.append(float(-updates))
    expected = [0.05 * (1 + np.cos(np.pi * min(step, 8) / 8)) for step in range(10)]
    np.testing.assert_allclose(sizes, expected, rtol=1e-2, atol=1e-7)
    with pytest.raises(ValueError, match="num_gradient_steps"):
        create_optimizer(learning_rate_decay="cosine")


def test_the_norm_penalty_is_on_weights_by_name():
    params = {
        "kernel": jnp.full((3, 4), 2.0),
        "kernel_sigma": jnp.full((3, 4), 2.0),
        "bias": jnp.full((10, 4), 2.0),  # of ten networks
    }
    silent = jax.tree.map(jnp.zeros_like, params)
    penalised, _ = penalize_norms(0.5).update(silent, optax.EmptyState(), params)
    assert {name: bool((own != 0).all()) for name, own in penalised.items()} == {
        "kernel": True,
        "kernel_sigma": True,
        "bias": False,
    }


def test_the_norm_penalty_pulls_norms_to_one():
    zeros = jax.tree.map(np.zeros_like, _tree(0))
    optimizer = create_optimizer(learning_rate=1e-2, unit_norm_penalty=1.0)
    params = _steps(optimizer, _tree(0), [zeros] * 300)
    assert np.linalg.norm(params["kernel"]) == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(params["bias"], _tree(0)["bias"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("eps", 0.0),
        ("name", "adamax"),
        ("weight_decay", -1e-5),
        ("unit_norm_penalty", -1),
        ("l1_penalty", -0.1),
        ("learning_rate_decay", "linear"),
    ],
)
def test_a_wrong_value_names_its_binding(name, value):
    gin.bind_parameter(f"create_optimizer.{name}", value)
    with pytest.raises(ConfigError, match=rf"create_optimizer\.{name}="):
        create_optimizer()

"""The suite of diagnostics, on an agent whose loss and network are known."""

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.dqn import DQNAgent
from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.errors import ConfigError
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Batch, Discrete, ObservationSpec

pytestmark = pytest.mark.usefixtures("quick_compiling")

SHAPE, NUM_ACTIONS = (1, 4, 4, 2), 3
NUM_SEEDS, SIZE = 2, 12
SCALARS = {
    "q_variance",
    "q_target_variance",
    "q_norm",
    "parameter_norm",
    "srank",
    "dormant",
    "dead_units",
    "gradient_correlation",
    "mask_churn",
    "value_churn",
    "policy_churn",
    "probe_loss",
    "probe_grad_norm",
}


@pytest.fixture(scope="module")
def learner():
    optimizers = {"q": create_updater_from_config(10).wrap(create_optimizer())}
    agent = DQNAgent(torso=MinAtarTorso(), gamma=0.9)
    return agent.learner(ObservationSpec(SHAPE[1:]), Discrete(NUM_ACTIONS), optimizers)


@pytest.fixture(scope="module")
def batch():
    rng, size = np.random.default_rng(0), (NUM_SEEDS, SIZE)
    return Batch(
        rng.integers(0, 256, (*size, *SHAPE), dtype=np.uint8),
        rng.integers(0, NUM_ACTIONS, size, dtype=np.int32),
        rng.normal(size=size).astype(np.float32),
        np.full(size, 0.9, np.float32),
        rng.integers(0, 256, (*size, *SHAPE), dtype=np.uint8),
    )


@pytest.fixture(scope="module")
def state(learner):
    """Two seeds whose target networks are not their online networks."""
    state = learner.init([0, 1])
    own = state.networks["q"]
    target_params = jax.tree.map(lambda leaf: leaf * 1.5, own.params)
    return state.with_network("q", own.replace(target_params=target_params))


@pytest.fixture(scope="module")
def measure(learner):
    """Compiled once for all tests: (batch, state) -> rows."""
    bound = Diagnostics().bind(learner)

    def rows(batch, state):
        first = jax.tree.map(lambda leaf: leaf[:, :5], batch)
        inputs = batch.inputs
        probe = {"values": batch, "srank": inputs, "dormant": inputs, "gradients": first}
        probe["churn"] = first
        return bound.rows(state, probe)

    return rows


@pytest.fixture(scope="module")
def rows(measure, batch, state):
    return measure(batch, state)


def test_every_measurement_has_a_row_entry(rows):
    assert len(rows) == NUM_SEEDS
    for row in rows:
        assert {name for name, value in row.items() if isinstance(value, float)} == SCALARS
        assert row["gradient_covariance"].shape == (5, 5)
        assert row["dormant_by_layer"].keys() == {"torso/Conv_0", "torso/Dense_0"}
        assert row["dead_units_by_layer"].keys() == {"torso/Conv_0", "torso/Dense_0"}
        assert "head/kernel" in row["parameter_norm_by_tensor"]
    assert rows[0] != rows[1]


def test_values_are_those_of_the_agents_loss_and_network_in_float64(rows, batch, state):
    row = rows[1]
    params, target_params = (
        jax.tree.map(lambda leaf: np.float64(leaf[1]), own["params"])
        for own in (state.params["q"], state.networks["q"].target_params)
    )

    def forward(params, observations):
        image = observations[:, 0] / 255.0
        rows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))
        conv = np.einsum("bijchw,hwcu->biju", rows, params["torso"]["Conv_0"]["kernel"])
        dense = np.maximum(conv, 0).reshape(len(image), -1) @ params["torso"]["Dense_0"]["kernel"]
        features = np.maximum(dense, 0)
        return features, features @ params["head"]["kernel"]

    features, q = forward(params, batch.s_tm1[1])
    _, q_t = forward(target_params, batch.s_t[1])
    targets = batch.r_t[1] + batch.discount_t[1] * q_t.max(axis=1)
    losses = (targets - q[np.arange(SIZE), batch.a_tm1[1]]) ** 2
    singular = np.linalg.svd(features, compute_uv=False)
    share = np.cumsum(singular) / singular.sum()
    expected = {
        "q_variance": q.var(),
        "q_target_variance": targets.var(),
        "q_norm": np.linalg.norm(q, axis=1).mean(),
        "probe_loss": losses.mean(),
        "srank": 1 + np.count_nonzero(share < 0.99),
        "parameter_norm": np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(params))),
        "mask_churn": 0.0,
        "dead_units": 0.0,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-4), name


def test_gradients_are_those_of_single_transitions(learner, rows, batch, state):
    matrix = rows[0]["gradient_covariance"]
    network = jax.tree.map(lambda leaf: leaf[0], state.networks["q"].replace(opt_state=()))
    own, losses = state.with_network("q", network), learner.quantities["q"].losses
    gradient = jax.jit(jax.grad(lambda p, one: losses(p, own, one)[0]))
    flat = []
    for i in range(5):
        one = jax.tree.map(lambda leaf, i=i: leaf[0, i : i + 1], batch)
        grads = gradient(network.params, one)
        flat.append(np.concatenate([np.float64(g).ravel() for g in jax.tree.leaves(grads)]))
    gram = np.array(flat) @ np.array(flat).T
    norms = np.sqrt(np.diag(gram))
    np.testing.assert_allclose(matrix, gram / np.outer(norms, norms), atol=1e-5)


def test_a_number_that_is_not_finite_is_not_averaged_away(learner, measure, batch):
    state = learner.init([0, 1])
    layer = state.params["q"]["params"]["torso"]["Conv_0"]
    layer["kernel"] = layer["kernel"].at[0, 0, 0, 0, 0].set(jnp.nan)
    bad, good = measure(batch, state)
    finite = {"mask_churn", "q_target_variance"}
    for name in SCALARS - finite:
        assert np.isnan(bad[name]), name
    assert np.isfinite(bad["q_target_variance"])  # made by the target network
    assert np.isnan(bad["dormant_by_layer"]["torso/Conv_0"])
    assert all(np.isfinite(good[name]) for name in SCALARS)


def test_a_seed_is_measured_as_alone(measure, rows, batch, state):
    alone = jax.tree.map(lambda leaf: leaf[1:] if leaf.ndim else leaf, (batch, state))
    (row,) = measure(*alone)
    jax.tree.map(np.testing.assert_array_equal, row, rows[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantities", ["sranc"]),
        ("period", 0),
        ("fixed_probe", "yes"),
        ("probe_size", 0),
        ("srank_probe_size", 2048.0),
        ("dormant_probe_size", True),
        ("num_gradients", 0),
        ("dead_neurons_threshold", -0.1),
        ("srank_delta", 0.0),
    ],
)
def test_a_wrong_setting_names_its_binding(name, value):
    gin.bind_parameter(f"Diagnostics.{name}", value)
    with pytest.raises(ConfigError, match=rf"Diagnostics\.{name}="):
        Diagnostics()

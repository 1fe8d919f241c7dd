"""What each measurement is handed: on a hand-made agent whose numbers say what they came from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_batching import custom_vmap

from prune_rl.diagnostics.measurements import MEASUREMENTS
from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner, OneSeed
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import STRATEGIES, Separate, split_seeds
from prune_rl.learning.state import AgentState, Network
from prune_rl.specs import Batch, Draw, Inputs

pytestmark = pytest.mark.usefixtures("quick_compiling")

SEEDS, FEATURES = 2, 6
SHAPE = (1, 1, 1, FEATURES)
SIZES = {"values": 7, "srank": 13, "dormant": 9, "gradients": 5, "churn": 3}
DIAGNOSTICS = Diagnostics(
    probe_size=7,
    srank_probe_size=13,
    dormant_probe_size=9,
    num_gradients=5,
    churn_batch_size=3,
    dead_neurons_threshold=0.0,
)


class _Churn(NamedTuple):
    churn: jax.Array


def _rows(inputs):
    return inputs.observations.reshape(-1, FEATURES).astype(jnp.float32)


def _target_scale(state):
    return state.networks["q"].target_params["scale"]


def _losses(params, state, batch):
    return (params["scale"] * batch.r_t - _target_scale(state) * batch.discount_t) ** 2


QUANTITIES = Quantities(
    init_params=lambda key: {"scale": jnp.float32(1)},
    inputs=Inputs(np.zeros(SHAPE, np.uint8), np.int32(0)),
    wiring={"first": ("second",), "second": ("head",)},
    activations=lambda params, inputs: {
        "first": _rows(inputs)[:, :4] * params["scale"],
        "second": _rows(inputs)[:, 4:] * params["scale"],
    },
    features=lambda params, inputs: _rows(inputs) * params["scale"],
    q_values=lambda params, inputs: _rows(inputs)[:, :3] * params["scale"],
    q_targets=lambda state, batch: _target_scale(state) * batch.r_t + batch.discount_t,
    losses=_losses,
)

AXES = AgentState({"q": Network(0, 0, 0)}, None, 0, 0)


def _update(state, batch):
    """Takes the batch's rewards off the scale, which may turn its sign."""
    own = state.networks["q"]
    params = own.params | {"scale": own.params["scale"] - batch.r_t.sum()}
    return state.with_network("q", own.replace(params=params)), None, None


def _learner(quantities=QUANTITIES):
    return Learner(
        *[None] * 5,  # no function of it is called
        one=OneSeed(None, _update, None, None),
        strategy=lambda num_seeds: "unroll",
        state_axes=AXES,
        quantities={"q": quantities},
        members={"q": None},
        target_sparsities={},
    )


def _state():
    """Scales 2 and 3, targets' 5 and 7; of three-unit layers seed 0 has one and two dead units."""
    params = {"scale": np.array([2.0, 3.0], np.float32), "params": {}}
    for layer in ("first", "second", "head"):
        kernel = np.ones((SEEDS, 3, 3), np.float32)
        params["params"][layer] = {"kernel": kernel}
    params["params"]["first"]["kernel"][0, :, 0] = 0
    params["params"]["second"]["kernel"][0, :, :2] = 0
    target = {"scale": np.array([5.0, 7.0], np.float32)}
    churn = _Churn(np.array([0.25, 0.5], np.float32))
    networks = {"q": Network(params, target, churn)}
    keys, diverged_at = np.zeros((SEEDS, 2), np.uint32), np.zeros(SEEDS, np.int32)
    return jax.tree.map(jnp.asarray, AgentState(networks, np.int32(0), keys, diverged_at))


def _batch(size, seed):
    rng = np.random.default_rng(seed)
    states = rng.integers(1, 256, (2, SEEDS, size, *SHAPE), dtype=np.uint8)
    actions = rng.integers(0, 3, (SEEDS, size), dtype=np.int32)
    rewards, discounts = rng.normal(size=(2, SEEDS, size)).astype(np.float32)
    return Batch(states[0], actions, rewards, discounts, states[1])


def _inputs(observations):
    return Inputs(observations, np.zeros(observations.shape[:2], np.int32))


def _srank_inputs():
    """Seed 0 sees two directions, seed 1 three, each as often as the others."""
    observations = np.zeros((SEEDS, SIZES["srank"], *SHAPE), np.uint8)
    for i in range(SIZES["srank"]):
        observations[0, i, ..., i % 2] = observations[1, i, ..., i % 3] = 9
    return _inputs(observations)


def _dormant_inputs():
    """Seed 0: one silent unit of the first layer's four; seed 1: one of the second's two."""
    observations = _batch(SIZES["dormant"], 3).s_tm1
    observations[0, ..., 2] = 0
    observations[1, ..., 5] = 0
    return _inputs(observations)


def _churn_batch():
    """An update on it makes the scale of seed 0 a half of 2, and that of seed 1 three less 4."""
    batch = _batch(SIZES["churn"], 4)
    rewards = np.array([[0.25, 0.25, 0.5], [1.0, 1.0, 2.0]], np.float32)
    return batch._replace(r_t=rewards)


def _probe():
    return {
        "values": _batch(SIZES["values"], 1),
        "srank": _srank_inputs(),
        "dormant": _dormant_inputs(),
        "gradients": _batch(SIZES["gradients"], 2),
        "churn": _churn_batch(),
    }


@pytest.fixture(scope="module", params=STRATEGIES)
def measured(request):
    """(rows, state, probe, shapes that the quantities saw)."""
    seen = {}

    def spied(name, function):
        def call(*args):
            sizes = jax.tree.map(lambda leaf: leaf.shape[:1], args[-1])
            seen.setdefault(name, set()).update(
                size for (size,) in jax.tree.leaves(sizes, _is_size)
            )
            return function(*args)

        return call

    names = ("activations", "features", "q_values", "q_targets", "losses")
    spies = {name: spied(name, getattr(QUANTITIES, name)) for name in names}
    bound = DIAGNOSTICS.bind(_learner(QUANTITIES._replace(**spies)))
    state, probe = _state(), _probe()
    lying = Separate(split_seeds(state, AXES)) if request.param == "unroll" else state
    return bound.rows(lying, probe), state, probe, seen


def _is_size(node):
    return isinstance(node, tuple) and len(node) == 1


def test_each_quantity_has_a_batch_of_its_own_size(measured):
    bound = DIAGNOSTICS.bind(_learner())
    assert bound.draws == {
        "values": Draw(7),
        "srank": Draw(13, inputs_only=True),
        "dormant": Draw(9, inputs_only=True),
        "gradients": Draw(5),
        "churn": Draw(3),
    }
    *_, seen = measured
    assert seen["q_values"] == seen["q_targets"] == {7}
    assert seen["activations"] == {9}
    assert seen["losses"] == {7, 1}  # the mean, and single transitions under vmap
    assert seen["features"] == {1}  # under lax.map


@pytest.mark.parametrize(("asked", "drawn"), [(2, FEATURES), (FEATURES, FEATURES), (30, 30)])
def test_srank_never_sees_fewer_observations_than_there_are_features(asked, drawn):
    bound = Diagnostics(srank_probe_size=asked).bind(_learner())
    assert bound.draws["srank"] == Draw(drawn, inputs_only=True)


@pytest.mark.parametrize(
    ("quantities", "drawn"),
    [
        (["srank"], {"srank"}),
        (["q_norm", "dormant"], {"values", "dormant"}),
        (["gradient_covariance"], {"gradients"}),
        (["churn"], {"values", "churn"}),
        (["validation_loss"], {"validation"}),
        (["loss", "validation_loss"], {"values", "validation"}),
        (["mask_churn", "dead_units", "parameter_norm"], set()),
    ],
)
def test_only_what_is_measured_is_drawn(quantities, drawn):
    bound = Diagnostics(quantities=quantities).bind(_learner(), has_held_out=True)
    assert bound.draws.keys() == drawn
    assert {name for name, own in bound.draws.items() if own.held_out} == drawn & {"validation"}


def test_the_validation_loss_is_that_of_the_held_out_probe():
    asked = Diagnostics(quantities=["loss", "validation_loss"], probe_size=7)
    bound, probe = asked.bind(_learner(), has_held_out=True), _probe()
    assert bound.draws == {"values": Draw(7), "validation": Draw(7, held_out=True)}
    other = _batch(7, seed=31)
    rows = bound.rows(_state(), {"values": probe["values"], "validation": other})
    for seed, row in enumerate(rows):
        assert row.keys() == {"probe_loss", "validation_loss"}
        scale, target = ((2.0, 5.0), (3.0, 7.0))[seed]
        for name, batch in (("probe_loss", probe["values"]), ("validation_loss", other)):
            own = jax.tree.map(lambda leaf, i=seed: np.float64(leaf[i]), batch)
            errors = scale * own.r_t - target * own.discount_t
            assert row[name] == pytest.approx((errors**2).mean(), rel=1e-5)


def test_where_nothing_is_held_out_there_is_no_validation_loss():
    assert "validation" not in DIAGNOSTICS.bind(_learner()).draws
    assert "validation" in DIAGNOSTICS.bind(_learner(), has_held_out=True).draws
    expected = r"^Diagnostics\.quantities='validation_loss': expected fixed data of which some are"
    with pytest.raises(ConfigError, match=expected):
        Diagnostics(quantities=["loss", "validation_loss"]).bind(_learner())


def test_only_what_is_asked_for_is_in_the_rows():
    (row, _) = (
        Diagnostics(quantities=["dead_units", "mask_churn"]).bind(_learner()).rows(_state(), {})
    )
    assert row.keys() == {"dead_units", "dead_units_by_layer", "mask_churn"}


@pytest.mark.parametrize("needs", sorted({m.needs for m in MEASUREMENTS.values() if m.needs}))
def test_an_agent_that_lacks_a_quantity_is_told_so_only_when_it_is_asked_for(needs):
    empty = {} if needs == "wiring" else None
    without = _learner(QUANTITIES._replace(**{needs: empty}))
    lost = {name for name, m in MEASUREMENTS.items() if m.needs == needs}
    for name in lost:
        with pytest.raises(ConfigError, match=rf"Diagnostics\.quantities='{name}'.*mask_churn"):
            Diagnostics(quantities=[name]).bind(without, has_held_out=True)
    bound, probe = DIAGNOSTICS.bind(without), _probe()
    (row, _) = bound.rows(_state(), {name: probe[name] for name in bound.draws})
    assert not lost & row.keys()
    assert "mask_churn" in row


@pytest.mark.parametrize("seed", range(SEEDS))
def test_values_targets_loss_and_gradient_share_a_batch_and_tell_the_networks_apart(measured, seed):
    rows, _, probe, _ = measured
    batch = jax.tree.map(lambda leaf: np.float64(leaf[seed]), probe["values"])
    scale, target = ((2.0, 5.0), (3.0, 7.0))[seed]
    q = batch.s_tm1.reshape(7, FEATURES)[:, :3] * scale
    errors = scale * batch.r_t - target * batch.discount_t
    expected = {
        "q_variance": q.var(),
        "q_norm": np.linalg.norm(q, axis=1).mean(),
        "q_target_variance": (target * batch.r_t + batch.discount_t).var(),
        "probe_loss": (errors**2).mean(),
        "probe_grad_norm": abs((2 * errors * batch.r_t).mean()),
    }
    for name, value in expected.items():
        assert rows[seed][name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("seed", range(SEEDS))
def test_churn_is_what_an_update_on_one_batch_changes_on_the_states_of_another(measured, seed):
    rows, _, probe, _ = measured
    values = np.float64(probe["values"].s_tm1[seed]).reshape(7, FEATURES)[:, :3]
    before, after = ((2.0, 1.0), (3.0, -1.0))[seed]
    assert rows[seed]["value_churn"] == pytest.approx((values * abs(after - before)).mean())
    turned = (values.argmax(axis=1) != (values * after).argmax(axis=1)).mean()
    assert rows[seed]["policy_churn"] == pytest.approx(turned)
    assert (turned > 0.5) == (seed == 1)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_gradients_are_compared_on_their_own_batch(measured, seed):
    rows, _, probe, _ = measured
    batch = jax.tree.map(lambda leaf: np.float64(leaf[seed]), probe["gradients"])
    scale, target = ((2.0, 5.0), (3.0, 7.0))[seed]
    # One parameter: the cosine is the sign that two gradients have together.
    signs = np.sign((scale * batch.r_t - target * batch.discount_t) * batch.r_t)
    np.testing.assert_allclose(rows[seed]["gradient_covariance"], np.outer(signs, signs), atol=1e-6)
    assert rows[seed]["gradient_correlation"] == pytest.approx(1)


def test_srank_and_dormancy_see_each_seeds_own_observations(measured):
    rows, *_ = measured
    assert [row["srank"] for row in rows] == [2, 3]
    assert [row["dormant"] for row in rows] == pytest.approx([1 / 6, 1 / 6])
    by_layer = [row["dormant_by_layer"] for row in rows]
    assert by_layer == [{"first": 0.25, "second": 0}, {"first": 0, "second": 0.5}]


def test_thresholds_are_those_asked_for():
    """Singular values go as the roots of 7, 6 and of 5, 4, 4: half of their sum takes 1 and 2."""
    own = {"quantities": ["srank", "dormant"], "srank_delta": 0.5, "dead_neurons_threshold": 1e9}
    rows = Diagnostics(**own).bind(_learner()).rows(_state(), _probe())
    assert [row["srank"] for row in rows] == [1, 2]
    assert [row["dormant"] for row in rows] == [1, 1]


def test_what_is_read_off_the_state_is_each_seeds_and_each_layers(measured):
    rows, *_ = measured
    assert [row["mask_churn"] for row in rows] == [0.25, 0.5]
    dead = [row["dead_units_by_layer"] for row in rows]
    assert dead[0] == pytest.approx({"first": 1 / 3, "second": 2 / 3})
    assert dead[1] == {"first": 0, "second": 0}
    assert [row["dead_units"] for row in rows] == pytest.approx([0.5, 0])
    squares = [{"first": 6, "second": 3, "head": 9}, {"first": 9, "second": 9, "head": 9}]
    for row, own, scale in zip(rows, squares, (2, 3), strict=True):
        expected = {f"{layer}/kernel": square**0.5 for layer, square in own.items()}
        assert row["parameter_norm_by_tensor"] == pytest.approx(expected | {"scale": scale})
        assert row["parameter_norm"] == pytest.approx((sum(own.values()) + scale**2) ** 0.5)


@pytest.mark.parametrize(("size", "chunks"), [(600, {256, 88}), (512, {256}), (100, {100})])
def test_the_network_sees_at_most_256_observations_at_once(size, chunks):
    """One direction is seen by the first observation only, one by the last only."""
    seen = set()

    @custom_vmap
    def passed(observations):
        return observations

    @passed.def_vmap
    def _(axis_size, in_batched, observations):
        seen.add(axis_size)
        return observations, in_batched[0]

    features = lambda params, inputs: _rows(  # noqa: E731
        inputs._replace(observations=passed(inputs.observations))
    )
    bound = Diagnostics(quantities=["srank"], srank_delta=1e-4).bind(
        _learner(QUANTITIES._replace(features=features))
    )
    observations = np.zeros((SEEDS, size, *SHAPE), np.uint8)
    observations[:, 1:-1, ..., 0] = observations[:, 0, ..., 1] = observations[:, -1, ..., 2] = 200
    rows = bound.rows(_state(), {"srank": _inputs(observations)})
    assert [row["srank"] for row in rows] == [3, 3]
    assert seen == chunks

"""Measurements of an agent of two networks: three critics that read actions, and an actor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner, OneSeed
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Network
from prune_rl.pruning.sparse_optimizer import SparseState
from prune_rl.specs import Batch, Draw, Inputs

pytestmark = pytest.mark.usefixtures("quick_compiling")

SEEDS, MEMBERS = 2, 3
OBSERVATION, ACTION, FEATURES = 3, 2, {"critic": 6, "actor": 7}
SIZES = {"values": 11, "srank": 13, "dormant": 9, "gradients": 5, "churn": 4}
DIAGNOSTICS = Diagnostics(
    probe_size=11,
    srank_probe_size=13,
    dormant_probe_size=9,
    num_gradients=5,
    churn_batch_size=4,
    dead_neurons_threshold=0.3,
    srank_delta=0.05,
)
OF_ACTOR = {"parameter_norm", "parameter_norm_by_tensor", "srank", "mask_churn"}
OF_CRITIC = OF_ACTOR | {
    "q_variance",
    "q_target_variance",
    "q_norm",
    "dormant",
    "dormant_by_layer",
    "dead_units",
    "dead_units_by_layer",
    "gradient_covariance",
    "gradient_correlation",
    "value_churn",
    "probe_loss",
    "probe_grad_norm",
}


def _features(params, inputs):
    return jax.nn.relu(inputs @ params["params"]["hidden"]["kernel"])


def _critic_features(params, inputs):
    return _features(params, jnp.concatenate([inputs.observations, inputs.actions], axis=1))


def _q_values(params, inputs):
    return _critic_features(params, inputs) @ params["params"]["head"]["kernel"]


def _q_targets(state, batch):
    return batch.r_t + batch.discount_t * state.networks["actor"].target_params["scale"]


def _losses(params, state, batch):
    return (_q_values(params, batch.inputs)[:, 0] - _q_targets(state, batch)) ** 2


def _kernels(name):
    read = OBSERVATION + ACTION if name == "critic" else OBSERVATION
    return {"hidden": (read, FEATURES[name]), "head": (FEATURES[name], 1)}


def _init_params(name):
    zeros = {layer: {"kernel": jnp.zeros(shape)} for layer, shape in _kernels(name).items()}
    return lambda key: {"params": zeros}


INPUTS = Inputs(np.zeros(OBSERVATION, np.float32), np.zeros(ACTION, np.float32))
QUANTITIES = {
    "critic": Quantities(
        init_params=_init_params("critic"),
        inputs=INPUTS,
        wiring={"hidden": ("head",)},
        activations=lambda params, inputs: {"hidden": _critic_features(params, inputs)},
        features=_critic_features,
        q_values=_q_values,
        q_targets=_q_targets,
        losses=_losses,
    ),
    "actor": Quantities(
        init_params=_init_params("actor"),
        inputs=INPUTS,
        features=lambda params, inputs: _features(params, inputs.observations),
    ),
}


def _update(state, batch):
    """Adds the batch's mean action to the weights of the critics' first layer."""
    shift = lambda layer: {"kernel": layer["kernel"] + batch.a_tm1.mean()}  # noqa: E731
    critic = state.networks["critic"]
    params = critic.params["params"]
    params = {"params": params | {"hidden": shift(params["hidden"])}}
    return state.with_network("critic", critic.replace(params=params)), None, None


def _learner(*names):
    axes = SparseState(0, 0, count=None, weights=0, key=0, churn=0)
    return Learner(
        *[None] * 5,  # no function of it is called
        one=OneSeed(None, _update, None, None),
        strategy=lambda num_seeds: "unroll",
        # The actor's target network is there whether the actor is measured or not.
        state_axes=AgentState({name: Network(0, 0, axes) for name in QUANTITIES}, None, 0, 0),
        quantities={name: QUANTITIES[name] for name in names},
        members={name: MEMBERS if name == "critic" else None for name in names},
        target_sparsities={},
    )


def _network(name, target_params=None):
    leading = (SEEDS, MEMBERS) if name == "critic" else (SEEDS,)
    rng = np.random.default_rng(len(leading))
    params = {
        layer: {"kernel": rng.normal(size=(*leading, *shape)).astype(np.float32)}
        for layer, shape in _kernels(name).items()
    }
    if name == "critic":  # one dead unit of the first member, three of the second
        params["hidden"]["kernel"][:, 0, :, 1] = 0
        params["head"]["kernel"][:, 1, 3:] = 0
    churn = rng.uniform(size=leading).astype(np.float32)
    opt_state = SparseState(None, None, count=np.int32(0), weights=None, key=None, churn=churn)
    return Network({"params": params}, target_params, opt_state)


@pytest.fixture(scope="module")
def state():
    target = {"scale": np.array([5.0, 7.0], np.float32)}
    networks = {"critic": _network("critic"), "actor": _network("actor", target)}
    keys, diverged_at = np.zeros((SEEDS, 2), np.uint32), np.zeros(SEEDS, np.int32)
    return jax.tree.map(jnp.asarray, AgentState(networks, np.int32(0), keys, diverged_at))


def _batch(size, seed):
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(2, SEEDS, size, OBSERVATION)).astype(np.float32)
    actions = rng.uniform(-2, 2, (SEEDS, size, ACTION)).astype(np.float32)
    rewards, discounts = rng.normal(size=(2, SEEDS, size)).astype(np.float32)
    return Batch(observations[0], actions, rewards, discounts, observations[1])


@pytest.fixture(scope="module")
def probe():
    batches = {name: _batch(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    return batches | {name: batches[name].inputs for name in ("srank", "dormant")}


@pytest.fixture(scope="module")
def rows(state, probe):
    return DIAGNOSTICS.bind(_learner("critic", "actor")).rows(state, probe)


def _srank(features):
    values = np.linalg.svd(features, compute_uv=False)
    return 1 + np.count_nonzero(np.cumsum(values) / values.sum() < 0.95)


def _norm(*tensors):
    return np.sqrt(sum((x**2).sum() for x in tensors))


def _of_member(state, probe, seed, member):
    """Every measurement of one critic of one seed, in float64."""
    critic = state.networks["critic"]
    hidden, head = (
        np.float64(critic.params["params"][layer]["kernel"][seed, member])
        for layer in ("hidden", "head")
    )
    own = {
        name: jax.tree.map(lambda leaf: np.float64(leaf[seed]), given)
        for name, given in probe.items()
    }

    def features(inputs):
        return np.maximum(np.concatenate([inputs.observations, inputs.actions], axis=1) @ hidden, 0)

    def gradients(batch):
        """(B, all weights) of the losses of single transitions; and the losses."""
        y = batch.r_t + batch.discount_t * (5.0, 7.0)[seed]
        found = features(batch.inputs)
        errors = found @ head[:, 0] - y
        read = np.concatenate([batch.s_tm1, batch.a_tm1], axis=1)
        into = read[:, :, None] * ((found > 0) * head[:, 0])[:, None, :]
        flat = np.concatenate([into.reshape(len(y), -1), found], axis=1)
        return 2 * errors[:, None] * flat, errors**2, y

    found, losses, y = gradients(own["values"])
    single, _, _ = gradients(own["gradients"])
    lengths = np.linalg.norm(single, axis=1)
    lengths[lengths == 0] = 1  # where all units are silent: zero in the matrix too
    matrix = single @ single.T / np.outer(lengths, lengths)
    q = features(own["values"].inputs) @ head
    before, hidden = hidden, hidden + own["churn"].a_tm1.mean()
    q_after, hidden = features(own["values"].inputs) @ head, before
    means = features(own["dormant"]).mean(axis=0)
    dormant = (means <= 0.3 * means.mean()).mean()
    dead = ((hidden == 0).all(axis=0) | (head == 0).all(axis=1)).mean()
    return {
        "parameter_norm": _norm(hidden, head),
        "parameter_norm_by_tensor": {"hidden/kernel": _norm(hidden), "head/kernel": _norm(head)},
        "srank": _srank(features(own["srank"])),
        "mask_churn": float(critic.opt_state.churn[seed, member]),
        "q_variance": q.var(),
        "q_target_variance": y.var(),
        "q_norm": np.abs(q).mean(),  # of one value a state
        "value_churn": np.abs(q_after - q).mean(),
        "dormant": dormant,
        "dormant_by_layer": {"hidden": dormant},
        "dead_units": dead,
        "dead_units_by_layer": {"hidden": dead},
        "gradient_covariance": matrix,
        "gradient_correlation": np.abs(matrix[~np.eye(len(matrix), dtype=bool)]).mean(),
        "probe_loss": losses.mean(),
        "probe_grad_norm": np.linalg.norm(found.mean(axis=0)),
    }


def test_names_say_the_network_and_each_has_what_it_can(rows):
    for row in rows:
        expected = {f"critic/{x}" for x in OF_CRITIC} | {f"actor/{x}" for x in OF_ACTOR}
        assert row.keys() == expected


@pytest.mark.parametrize("seed", range(SEEDS))
def test_of_a_network_with_members_a_row_says_the_mean_of_theirs(rows, state, probe, seed):
    members = [_of_member(state, probe, seed, member) for member in range(MEMBERS)]
    for name in OF_CRITIC:
        expected = jax.tree.map(lambda *own: np.mean(own, axis=0), *[x[name] for x in members])
        measured = rows[seed][f"critic/{name}"]
        if isinstance(expected, dict):
            assert measured == pytest.approx(expected, rel=1e-4), name
        else:
            np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        differ = {float(np.sum(jax.tree.leaves(own[name])[0])) for own in members}
        assert len(differ) > 1 or name == "q_target_variance", name  # targets are the actor's


@pytest.mark.parametrize("seed", range(SEEDS))
def test_of_a_network_without_members_a_row_says_its_own(rows, state, probe, seed):
    actor = state.networks["actor"]
    hidden, head = (
        np.float64(actor.params["params"][layer]["kernel"][seed]) for layer in ("hidden", "head")
    )
    observations = np.float64(probe["srank"].observations[seed])
    row = rows[seed]
    assert row["actor/parameter_norm"] == pytest.approx(_norm(hidden, head))
    norms = {"hidden/kernel": _norm(hidden), "head/kernel": _norm(head)}
    assert row["actor/parameter_norm_by_tensor"] == pytest.approx(norms)
    assert row["actor/mask_churn"] == pytest.approx(float(actor.opt_state.churn[seed]))
    assert row["actor/srank"] == _srank(np.maximum(observations @ hidden, 0))


def test_a_lone_networks_names_have_no_prefix(rows, state, probe):
    alone = DIAGNOSTICS.bind(_learner("critic")).rows(state, probe)
    for own, row in zip(alone, rows, strict=True):
        assert own.keys() == OF_CRITIC
        for name in OF_CRITIC:
            jax.tree.map(np.testing.assert_array_equal, own[name], row[f"critic/{name}"])


@pytest.mark.parametrize(("asked", "drawn"), [(2, 7), (7, 7), (30, 30)])
@pytest.mark.parametrize("names", [("critic", "actor"), ("actor", "critic")])
def test_srank_draws_as_many_as_the_widest_network_has_features(names, asked, drawn):
    bound = Diagnostics(srank_probe_size=asked).bind(_learner(*names))
    assert bound.draws["srank"] == Draw(drawn, inputs_only=True)


def test_what_one_network_lacks_is_measured_of_the_other(state, probe):
    bound = Diagnostics(quantities=["q_norm", "mask_churn"]).bind(_learner("actor", "critic"))
    assert bound.draws.keys() == {"values"}
    for row in bound.rows(state, {"values": probe["values"]}):
        assert row.keys() == {"critic/q_norm", "critic/mask_churn", "actor/mask_churn"}
    with pytest.raises(ConfigError, match=r"Diagnostics\.quantities='q_norm'.*mask_churn"):
        Diagnostics(quantities=["q_norm"]).bind(_learner("actor"))


@pytest.mark.parametrize(
    ("draw", "depending"),
    [
        ("values", {"q_variance", "q_norm", "probe_loss", "probe_grad_norm", "value_churn"}),
        ("churn", {"value_churn"}),
        ("srank", {"srank"}),
        ("dormant", {"dormant", "dormant_by_layer"}),
        ("gradients", {"gradient_covariance", "gradient_correlation"}),
    ],
)
def test_a_critic_sees_the_actions_of_its_draw(rows, state, probe, draw, depending):
    name = "actions" if isinstance(probe[draw], Inputs) else "a_tm1"
    still = np.zeros_like(getattr(probe[draw], name))
    without = probe | {draw: probe[draw]._replace(**{name: still})}
    changed = set()
    for row, other in zip(
        rows, DIAGNOSTICS.bind(_learner("critic")).rows(state, without), strict=True
    ):
        own = {x: jax.tree.leaves(row[f"critic/{x}"]) for x in OF_CRITIC}
        changed |= {x for x in own if not np.array_equal(own[x], jax.tree.leaves(other[x]))}
    assert changed == depending

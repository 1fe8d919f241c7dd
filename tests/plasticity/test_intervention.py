"""Interventions bound to an agent of three networks: each network and member changes as alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl import randomness
from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import AgentState, Network
from prune_rl.plasticity.intervention import bind
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Inputs

from .conftest import QUANTITIES

SEEDS, MEMBERS, POSITION = 2, 3, 1
EXPLORATION = np.array([[1, 2], [3, 4]], np.uint32)  # a key of each seed
SCALAR = Quantities(
    init_params=lambda key: {"params": {"log_alpha": jax.random.normal(key, ())}},
    inputs=QUANTITIES.inputs,
)
# Sorted by name, their places would be others.
NETWORKS = {
    "critic": (QUANTITIES, MEMBERS),
    "temperature": (SCALAR, None),
    "actor": (QUANTITIES, None),
}
INTERVENTIONS = {
    "redo": ReDo(dead_neurons_threshold=0.0),
    "reset": Reset(reset_layers="torso/*"),
    "reset_all": Reset(reset_layers="all"),
}


def _optimizer():
    return create_updater_from_config(10).wrap(optax.adam(0.0))


def _learner(strategy="unroll", names=tuple(NETWORKS)):
    axes = {name: Network(0, 0, _optimizer().seed_axes) for name in names}
    return Learner(
        *[None] * 5,  # no function of it is called
        strategy=strategy,
        state_axes=AgentState(axes, None, 0),
        quantities={name: NETWORKS[name][0] for name in names},
        members={name: NETWORKS[name][1] for name in names},
    )


def _stack(networks):
    """Networks on a new leading axis, which only the optimizer's count does not have."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    shared = stacked.opt_state._replace(count=jnp.copy(networks[0].opt_state.count))
    return stacked.replace(opt_state=shared)


def _scalar(seed):
    params = SCALAR.init_params(jax.random.PRNGKey(seed))
    return Network(params, params, _optimizer().init(params, jax.random.PRNGKey(seed)))


@pytest.fixture(scope="module")
def alone(make_network):
    """{name: (S) lists of each member's network}; another unit is dormant in every one of them."""
    critics = [
        [make_network(10 * s + m, dead=[m], dead_dense=[s], sparsity=0.5) for m in range(MEMBERS)]
        for s in range(SEEDS)
    ]
    actors = [[make_network(50 + s, dead=[s], dead_dense=[3], sparsity=0.7)] for s in range(SEEDS)]
    return {
        "critic": critics,
        "temperature": [[_scalar(s)] for s in range(SEEDS)],
        "actor": actors,
    }


def _state(alone, names=tuple(NETWORKS)):
    """New at every call: what is handed to an intervention is donated."""
    networks = {}
    for name in names:
        members = NETWORKS[name][1]
        networks[name] = _stack([_stack(own) if members else own[0] for own in alone[name]])
    return AgentState(networks, jnp.int32(4), jnp.asarray(EXPLORATION))


@pytest.fixture(scope="module")
def seen(inputs):
    """Of 20 transitions of each seed."""
    return Inputs(
        np.stack([inputs.observations, inputs.observations[::-1] // 2]),
        np.zeros((SEEDS, 20), np.int32),
    )


@pytest.fixture(scope="module", params=INTERVENTIONS)
def intervention(request):
    return INTERVENTIONS[request.param]


def _inputs_of(intervention, seen):
    return seen if intervention.statistics_batch_size else None


def _apply(intervention, learner, state, seen):
    """Bound at `POSITION`, behind another."""
    bound = bind([Reset(), intervention], learner, 10, 10)[POSITION]
    assert bound.num_inputs == intervention.statistics_batch_size
    return bound.apply(state, _inputs_of(intervention, seen))


def _keys(name, seed):
    """Of each member of a network, from the seed's exploration key."""
    key = randomness.intervention_key(jnp.asarray(EXPLORATION[seed]), POSITION)
    own = randomness.network_key(key, list(NETWORKS).index(name))
    members = NETWORKS[name][1]
    return jax.random.split(own, members) if members else [own]


def _equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def _of(network, *place):
    """The network of one seed (and member)."""
    count = network.opt_state.count
    own = jax.tree.map(lambda leaf: leaf[place] if leaf.ndim else leaf, network)
    return own.replace(opt_state=own.opt_state._replace(count=count))


@pytest.mark.parametrize("strategy", ["vmap", "unroll"])
def test_each_member_of_each_network_changes_as_it_would_alone(alone, seen, intervention, strategy):
    after = _apply(intervention, _learner(strategy), _state(alone), seen)
    apply = jax.jit(functools.partial(intervention.apply, QUANTITIES))
    for name in ("critic", "actor"):
        for s, keys in ((s, _keys(name, s)) for s in range(SEEDS)):
            shown = jax.tree.map(lambda leaf, s=s: leaf[s], _inputs_of(intervention, seen))
            for m, key in enumerate(keys):
                place = (s, m) if NETWORKS[name][1] else (s,)
                before = alone[name][s][m]
                changed = _of(after.networks[name], *place)
                _equal(changed, apply(before, shown, key))
                weights = [
                    x.params["params"]["torso"]["Conv_0"]["kernel"] for x in (before, changed)
                ]
                assert (weights[0] != weights[1]).any()


def test_what_lacks_the_layers_and_what_is_no_weight_stay_as_they_are(alone, seen, intervention):
    before = _state(alone)
    after = _apply(intervention, _learner(), _state(alone), seen)
    _equal(after.networks["temperature"], before.networks["temperature"])
    for name in NETWORKS:
        _equal(after.networks[name].target_params, before.networks[name].target_params)
    assert after.step == before.step
    np.testing.assert_array_equal(after.keys, before.keys)


def test_members_and_networks_draw_different_weights(alone, seen):
    after = _apply(INTERVENTIONS["reset"], _learner(), _state(alone), seen)
    networks = [_of(after.networks["critic"], s, m) for s in range(SEEDS) for m in range(MEMBERS)]
    networks += [_of(after.networks["actor"], s) for s in range(SEEDS)]
    kernels = [np.asarray(own.params["params"]["torso"]["Dense_0"]["kernel"]) for own in networks]
    for i, one in enumerate(kernels):
        for other in kernels[:i]:
            both = (one != 0) & (other != 0)
            assert both.any()
            assert (one[both] != other[both]).all()


@pytest.mark.parametrize("name", ["critic", "actor"])
def test_a_lone_network_draws_what_the_first_of_several_does(alone, seen, intervention, name):
    after = _apply(intervention, _learner(names=(name,)), _state(alone, (name,)), seen)
    together = _apply(intervention, _learner(), _state(alone), seen)
    same = jax.tree.map(
        lambda one, other: bool((one == other).all()),
        after.networks[name].params,
        together.networks[name].params,
    )
    assert all(jax.tree.leaves(same)) == (name == "critic")


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (ReDo(layers="torso/Conv_9"), r"ReDo\.layers='torso/Conv_9'.*torso/Conv_0"),
        (Reset(reset_layers=["torso/Conv_9"]), r"Reset\.reset_layers=.*torso/Conv_9.*torso/Conv_0"),
    ],
)
def test_what_fits_no_network_is_refused(intervention, message):
    with pytest.raises(ConfigError, match=message):
        bind([intervention], _learner(), 10, 10)


def test_what_fits_the_last_network_alone_changes_that_alone(alone, seen):
    """The first is another scalar: its weights are there, and nothing names its layers."""
    learner = _learner()
    without = learner._replace(quantities=dict(learner.quantities) | {"critic": SCALAR})
    after = _apply(INTERVENTIONS["redo"], without, _state(alone), seen)
    together = _apply(INTERVENTIONS["redo"], learner, _state(alone), seen)
    _equal(after.networks["critic"], _state(alone).networks["critic"])
    _equal(after.networks["actor"], together.networks["actor"])

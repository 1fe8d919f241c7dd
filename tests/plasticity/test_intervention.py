"""Interventions bound to an agent of three networks: each network and member changes as alone."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl import randomness
from prune_rl.errors import ConfigError
from prune_rl.learning.learner import Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import Separate
from prune_rl.learning.state import AgentState, Network
from prune_rl.plasticity.intervention import bind
from prune_rl.plasticity.occasions import Occasions
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Inputs

from ..seeds import laid_as, stacked
from .conftest import QUANTITIES

SEEDS, MEMBERS, POSITION = 2, 3, 1
EXPLORATION = np.array([[1, 2], [3, 4]], np.uint32)  # a key of each seed
SCALAR = Quantities(
    init_params=lambda key: {"params": {"log_alpha": jax.random.normal(key, ())}},
    inputs=QUANTITIES.inputs,
)
# Begins with weights twice as large, so that it is not renewed as another is.
DOUBLED = QUANTITIES._replace(
    init_params=lambda key: jax.tree.map(lambda leaf: 2 * leaf, QUANTITIES.init_params(key))
)
# Sorted by name, their places would be others.
NETWORKS = {
    "critic": (QUANTITIES, MEMBERS),
    "temperature": (SCALAR, None),
    "actor": (DOUBLED, None),
}
# Neither fits the temperature.
REDO, RESET = ReDo(dead_neurons_threshold=0.0), Reset(reset_layers="all")
BOTH = pytest.mark.parametrize(
    ("intervention", "strategy"), [(REDO, "vmap"), (RESET, "unroll")], ids=["redo", "reset"]
)


def _optimizer():
    return create_updater_from_config(10).wrap(optax.adam(0.0))


def _learner(strategy="unroll", names=tuple(NETWORKS)):
    axes = {name: Network(0, 0, _optimizer().seed_axes) for name in names}
    return Learner(
        *[None] * 6,  # no function of it is called
        strategy=lambda num_seeds: strategy,
        state_axes=AgentState(axes, None, 0, 0),
        quantities={name: NETWORKS[name][0] for name in names},
        members={name: NETWORKS[name][1] for name in names},
        target_sparsities={},
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


def _state(alone, names=tuple(NETWORKS), diverged_at=(0, 0)):
    """New at every call: what is handed to an intervention is donated."""
    networks = {}
    for name in names:
        members = NETWORKS[name][1]
        networks[name] = _stack([_stack(own) if members else own[0] for own in alone[name]])
    diverged = jnp.asarray(diverged_at, jnp.int32)
    return AgentState(networks, jnp.int32(4), jnp.asarray(EXPLORATION), diverged)


def _after(intervention, strategy, state, seen):
    """What becomes of a stacked state, by the strategy, as second of two interventions; stacked."""
    learner = _learner(strategy, tuple(state.networks))
    own, axes = bind([Reset(), intervention], learner, 10, 10)[POSITION], learner.state_axes
    if strategy == "unroll":
        state = laid_as(Separate([]), state, axes)
    return stacked(own.apply(state, seen if own.num_inputs else None), axes)


@pytest.fixture(scope="module")
def seen(inputs):
    """Of 20 transitions of each seed."""
    return Inputs(
        np.stack([inputs.observations, inputs.observations[::-1] // 2]),
        np.zeros((SEEDS, 20), np.int32),
    )


@pytest.fixture(scope="module")
def apply(alone, seen):
    """(intervention, strategy, names of networks) -> the state after it, as second of two."""

    @functools.cache
    def applied(intervention, strategy="unroll", names=tuple(NETWORKS)):
        return _after(intervention, strategy, _state(alone, names), seen)

    return applied


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


@BOTH
def test_each_member_of_each_network_changes_as_it_would_alone(
    alone, seen, apply, intervention, strategy
):
    after = apply(intervention, strategy)
    names = ("critic", "actor")
    applied = {x: jax.jit(functools.partial(intervention.apply, NETWORKS[x][0])) for x in names}
    for name, s in itertools.product(names, range(SEEDS)):
        shown = jax.tree.map(lambda leaf, s=s: leaf[s], seen)
        for m, key in enumerate(_keys(name, s)):
            before = alone[name][s][m]
            expected = applied[name](before, shown, key)
            place = (s, m) if NETWORKS[name][1] else (s,)
            _equal(_of(after.networks[name], *place), expected)
            kernels = [
                own.params["params"]["torso"]["Conv_0"]["kernel"] for own in (before, expected)
            ]
            assert (kernels[0] != kernels[1]).any()


@BOTH
def test_a_seed_that_has_diverged_stays_as_it_is(alone, seen, apply, intervention, strategy):
    before, changed = _state(alone), apply(intervention, strategy)
    after = _after(intervention, strategy, _state(alone, diverged_at=(0, 3)), seen)
    for name in NETWORKS:
        _equal(_of(after.networks[name], 0), _of(changed.networks[name], 0))
        _equal(_of(after.networks[name], 1), _of(before.networks[name], 1))
    assert after.diverged_at.tolist() == [0, 3]


@BOTH
def test_what_lacks_the_layers_and_what_is_no_weight_stay_as_they_are(
    alone, apply, intervention, strategy
):
    before, after = _state(alone), apply(intervention, strategy)
    _equal(after.networks["temperature"], before.networks["temperature"])
    for name in NETWORKS:
        _equal(after.networks[name].target_params, before.networks[name].target_params)
    assert after.step == before.step
    np.testing.assert_array_equal(after.keys, before.keys)


def test_members_and_networks_draw_different_weights(apply):
    after = apply(RESET)
    networks = [_of(after.networks["critic"], s, m) for s in range(SEEDS) for m in range(MEMBERS)]
    networks += [_of(after.networks["actor"], s) for s in range(SEEDS)]
    kernels = [np.asarray(own.params["params"]["torso"]["Dense_0"]["kernel"]) for own in networks]
    for one, other in itertools.combinations(kernels, 2):
        both = (one != 0) & (other != 0)
        assert both.any()
        assert (one[both] != other[both]).all()


def test_a_lone_network_draws_what_the_first_of_several_does(apply):
    lone = apply(RESET, names=("critic",))
    _equal(lone.networks["critic"], apply(RESET).networks["critic"])


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (ReDo(layers="torso/Conv_9"), r"ReDo\.layers='torso/Conv_9'.*torso/Conv_0"),
        (Reset(reset_layers=["torso/Conv_9"]), r"Reset\.reset_layers=.*torso/Conv_9.*torso/Conv_0"),
    ],
    ids=["redo", "reset"],
)
def test_what_fits_no_network_is_refused(intervention, message):
    with pytest.raises(ConfigError, match=message):
        bind([intervention], _learner(), 10, 10)


def test_each_acts_on_its_own_occasions_before_the_runs_end():
    """Of 10 nominal gradient steps the run makes 8."""
    interventions = [Reset(reset_period=0.5), ReDo(reset_period=3, reset_start_step=0.2)]
    bound = bind(interventions, _learner(), 8, 10)
    assert [own.occasions for own in bound] == [Occasions(5, 0, 8), Occasions(3, 2, 8)]
    assert [own.num_inputs for own in bound] == [0, 256]

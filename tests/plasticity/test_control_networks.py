"""Reset and ReDo on agents of several networks, with members and with a temperature."""

import jax
import numpy as np
import pytest

from prune_rl.agents.iql import IQLAgent
from prune_rl.agents.sac import SACAgent
from prune_rl.errors import ConfigError
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.plasticity.intervention import bind
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset

from ..agents import control

pytestmark = pytest.mark.usefixtures("quick_compiling")


def _apply(intervention, learner, state):
    (bound,) = bind([intervention], learner, 100, 100)
    inputs = control.make_batch(batch_size=max(1, bound.num_inputs)).inputs
    return jax.device_get(bound.apply(state, inputs if bound.num_inputs else None))


def _trained(kind, **settings):
    learner = control.make_learner(kind, **settings)
    state, _, _ = learner.update(learner.init(control.SEEDS), control.make_batch())
    return learner, state


@pytest.mark.parametrize("kind", [SACAgent, IQLAgent])
def test_a_reset_of_all_makes_every_network_of_layers_new_and_leaves_a_temperature(kind):
    learner, state = _trained(kind, torso=MLPTorso(units=4, layer_norm=True))
    before = jax.device_get(state)
    after = _apply(Reset(reset_layers="all", reset_period=10), learner, state)
    for name in after.networks:
        pairs = zip(
            *(jax.tree.leaves(x.networks[name].params) for x in (before, after)), strict=True
        )
        changed = [bool((a != b).any()) for a, b in pairs]
        assert all(changed) == (name != "temperature"), name
        assert any(changed) == (name != "temperature"), name
    critics = after.networks["critic"].params["params"]["torso"]["Dense_0"]["kernel"]
    flat = critics.reshape(-1, *critics.shape[2:])
    assert len(np.unique(flat[:, 0, 0])) == len(flat)  # of each seed and member its own


def test_redo_recycles_dormant_units_of_each_member_by_its_own_activations():
    learner, state = _trained(SACAgent)
    networks = {}
    for name in ("actor", "critic"):
        params = jax.tree.map(np.array, state.networks[name].params)
        layer = params["params"]["torso"]["Dense_0"]
        # Unit 2 of the actor, and of the second critic, never fires.
        place = (0, ..., 2) if name == "actor" else (0, 1, ..., 2)
        layer["kernel"][place], layer["bias"][place] = 0.0, -1.0
        networks[name] = state.networks[name].replace(params=params)
    state = state.replace(networks=state.networks | networks)
    before = jax.device_get(state)
    settings = {"dead_neurons_threshold": 0.0, "reset_period": 10, "layers": ["torso/Dense_0"]}
    after = _apply(ReDo(**settings), learner, state)
    for name in ("actor", "critic"):
        kernels = [
            own.networks[name].params["params"]["torso"]["Dense_0"]["kernel"]
            for own in (before, after)
        ]
        # (S, members) of recycled units, the seed and member in front.
        recycled = (kernels[0] != kernels[1]).all(axis=-2)
        place = (0, 2) if name == "actor" else (0, 1, 2)
        assert recycled[place]
        reader = after.networks[name].params["params"]["torso"]["Dense_1"]["kernel"]
        assert (reader[(*place[:-1], 2)] == 0).all()
    critics = after.networks["critic"].params["params"]["torso"]["Dense_1"]["kernel"]
    assert (critics[0, 0, 2] != 0).any()  # the first critic's fires
    temperature = after.networks["temperature"].params
    jax.tree.map(np.testing.assert_array_equal, temperature, before.networks["temperature"].params)


def test_layers_that_no_network_has_are_one_line():
    learner = control.make_learner(SACAgent)
    with pytest.raises(ConfigError, match=r"ReDo\.layers='torso/Conv_0'"):
        bind([ReDo(layers="torso/Conv_0")], learner, 100, 100)

"""The state of named networks: its clock, and one step of one network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.learning.seed_axis import STRATEGIES
from prune_rl.learning.state import AgentState, Network
from prune_rl.pruning.config import create_updater_from_config

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

NUM_SEEDS = 3


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("pruner_type", ["no_prune", "magnitude"])
def test_the_clock_is_the_pruners_own_and_one_for_all_seeds(
    make_learner, make_batch, strategy, pruner_type
):
    sparsity = 0.5 if pruner_type == "magnitude" else 0.0
    pruner = create_updater_from_config(
        10, pruner_type, sparsity=sparsity, update_start_step=1, update_end_step=3, update_freq=1
    )
    learner = make_learner(strategy, pruner=pruner)
    state = learner.init(range(NUM_SEEDS))
    for made in range(5):
        seen = stacked(state, learner.state_axes)
        for clock in (seen.step, seen.networks["q"].opt_state.count):
            assert (clock.shape, clock.dtype, int(clock)) == ((), np.int32, made)
        state, *_ = learner.update(state, make_batch(NUM_SEEDS, made))


def _network(kernel):
    params = {"kernel": jnp.asarray(kernel, jnp.float32)}
    pruner = create_updater_from_config(
        2, "magnitude", dist_type="uniform", sparsity=0.5, update_start_step=0, update_end_step=0
    )
    optimizer = pruner.wrap(optax.sgd(0.5, momentum=1.0))
    return Network(params, {"kernel": -params["kernel"]}, optimizer.init(params)), optimizer


def test_a_networks_step_by_hand():
    """Half the weights fall to 0 at the first step; the others move by 0.5 g, then 0.5 (g + g)."""
    network, optimizer = _network([[1.0, -4.0], [3.0, 2.0]])
    grads = {"kernel": jnp.array([[1.0, 1.0], [-1.0, 1.0]])}
    once = network.apply_gradients(optimizer, grads)
    assert once.params["kernel"].tolist() == [[0.0, -4.5], [3.5, 0.0]]
    twice = once.apply_gradients(optimizer, grads)
    assert twice.params["kernel"].tolist() == [[0.0, -5.5], [4.5, 0.0]]
    assert [int(own.opt_state.count) for own in (network, once, twice)] == [0, 1, 2]
    for own in (once, twice):
        assert own.target_params is network.target_params


def test_another_network_of_a_name_leaves_all_else():
    (first, _), (second, _), (other, _) = (_network(np.full((2, 2), i)) for i in (1.0, 2.0, 3.0))
    state = AgentState({"b": first, "a": second}, jnp.int32(7), jax.random.PRNGKey(1), jnp.int32(5))
    after = state.with_network("b", other)
    assert list(after.networks) == ["b", "a"]
    assert after.networks["b"] is other
    assert after.networks["a"] is second
    for name in ("step", "keys", "diverged_at"):
        assert getattr(after, name) is getattr(state, name)
    assert after.params == {"b": other.params, "a": second.params}
    assert state.networks["b"] is first

"""A seed that is no longer finite: found at its gradient step, frozen, alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.learning.learner import build_learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import STRATEGIES
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Inputs

from ..seeds import laid_as, stacked

INF, NAN = np.inf, np.nan
BOTH = pytest.mark.parametrize("strategy", STRATEGIES)
ONE_WEIGHT = Quantities(lambda key: {"kernel": jnp.full((1, 1), 10.0)}, Inputs(None, None))


def _learner(strategy, metric="loss"):
    """A weight, 10 at first, moves by minus what it is told; so does its loss. Nobody reads b's."""
    optimizers = {x: create_updater_from_config(9).wrap(optax.sgd(1.0)) for x in ("a", "b")}

    def update(state, told):
        weight, number = told
        grad = {"kernel": jnp.full((1, 1), weight)}
        state = state.with_network("a", state.networks["a"].apply_gradients(optimizers["a"], grad))
        still = jax.tree.map(jnp.zeros_like, grad)
        state = state.with_network("b", state.networks["b"].apply_gradients(optimizers["b"], still))
        return state.replace(keys=state.keys + 1), {metric: number}, jnp.zeros(1)

    return build_learner(
        dict.fromkeys(optimizers, ONE_WEIGHT),
        optimizers,
        targets=["a"],
        update=update,
        act=None,
        act_eval=None,
        strategy=lambda num_seeds: strategy,
    )


def _weights(state, name="a"):
    return stacked(state.params)[name]["kernel"].ravel().tolist()


def _target_weights(learner, state):
    network = stacked(state, learner.state_axes).networks["a"]
    return network.target_params["kernel"].ravel().tolist()


def _diverged_at(state):
    return np.asarray(state.diverged_at).tolist()


@BOTH
@pytest.mark.parametrize("metric", ["loss", "grad_norm", "critic/loss", "critic/grad_norm"])
@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_a_seed_stops_at_the_update_whose_number_is_not_finite(strategy, metric, number):
    learner = _learner(strategy, metric)
    state = learner.init([3, 4])
    keys = np.array(state.keys)
    assert (_diverged_at(state), np.asarray(state.diverged_at).dtype) == ([0, 0], np.int32)
    told = [[(1, 0), (2, 0)], [(1, 0), (3, number)], [(1, 0), (4, 0)], [(1, 0), (5, NAN)]]
    seen = []
    for pairs in told:
        pairs = np.array(pairs, np.float32)
        state, metrics, _ = learner.update(state, (pairs[:, 0], pairs[:, 1]))
        np.testing.assert_array_equal(stacked(metrics)[metric], pairs[:, 1])
        seen.append((_weights(state), _diverged_at(state)))
    assert seen == [([9, 8], [0, 0]), ([8, 8], [0, 2]), ([7, 8], [0, 2]), ([6, 8], [0, 2])]
    after = stacked(state, learner.state_axes)
    assert int(after.step) == 4
    assert [int(own.opt_state.count) for own in after.networks.values()] == [4, 4]
    np.testing.assert_array_equal(after.keys, keys + 4)
    assert _target_weights(learner, state) == [10, 10]
    assert _target_weights(learner, learner.sync_target(state)) == [6, 8]


@BOTH
def test_other_metrics_may_be_anything(strategy):
    learner = _learner(strategy, "q_mean")
    state, *_ = learner.update(learner.init([3]), (np.ones(1, np.float32), np.full(1, np.nan)))
    assert (_weights(state), _diverged_at(state)) == ([9], [0])


@BOTH
@pytest.mark.parametrize("number", [NAN, INF])
def test_weights_that_do_not_show_in_the_loss_are_found_at_a_hundredth_update(strategy, number):
    learner = _learner(strategy)
    first = learner.init([3, 4])
    state = stacked(first, learner.state_axes)
    poisoned = jnp.array([10.0, number]).reshape(2, 1, 1)
    state = state.with_network("b", state.networks["b"].replace(params={"kernel": poisoned}))
    state = laid_as(first, state, learner.state_axes)
    told = (np.float32([1, 1]), np.float32([0, 0]))
    for _ in range(99):
        state, *_ = learner.update(state, told)
    assert _diverged_at(state) == [0, 0]
    for _ in range(2):
        state, *_ = learner.update(state, told)
    assert _diverged_at(state) == [0, 100]
    assert _weights(state) == [-91, -89]


def _poisoned(learner, states, seed):
    """With one weight of the seed that is no number."""
    state = stacked(states, learner.state_axes)
    network = state.networks["q"]
    params = jax.tree.map(lambda leaf: leaf, network.params)
    kernel = params["params"]["head"]["kernel"]
    params["params"]["head"]["kernel"] = kernel.at[seed, 1, 2].set(NAN)
    state = state.with_network("q", network.replace(params=params))
    return laid_as(states, state, learner.state_axes)


@BOTH
@pytest.mark.parametrize("method", ["magnitude", "rigl", "random_ste"])
def test_a_poisoned_seed_stays_as_it_is_and_its_neighbour_does_not_notice(
    make_learner, make_batch, strategy, method
):
    pruner = create_updater_from_config(
        20, method, sparsity=0.5, update_start_step=1, update_end_step=9, update_freq=2
    )
    learner = make_learner(strategy, pruner=pruner)

    def on_host(tree, axes):
        return jax.device_get(stacked(tree, axes))

    def train(state):
        first = on_host(state, learner.state_axes)
        for number in range(12):
            state, metrics, _ = learner.update(state, make_batch(2, number))
        return first, on_host(state, learner.state_axes), on_host(metrics, 0)

    _, plain, metrics = train(learner.init([3, 4]))
    first, poisoned, own_metrics = train(_poisoned(learner, learner.init([3, 4]), 1))
    assert plain.diverged_at.tolist() == [0, 0]
    assert poisoned.diverged_at.tolist() == [0, 1]
    assert int(poisoned.networks["q"].opt_state.count) == int(poisoned.step) == 12
    trees = [jax.tree.leaves(state.networks) for state in (first, plain, poisoned)]
    changed = 0
    for before, healthy, after in zip(*trees, strict=True):
        if after.ndim:
            np.testing.assert_array_equal(after[0], healthy[0])
            np.testing.assert_array_equal(after[1], before[1])
            changed += bool((healthy[1] != before[1]).any())
    assert changed > 5  # parameters, moments and masks
    for name, values in metrics.items():
        assert values[0] == own_metrics[name][0]

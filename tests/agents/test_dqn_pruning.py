"""A pruned learner: exact zeros online and in the target, for every seed alike."""

import jax
import numpy as np
import pytest

from prune_rl.learning.seed_axis import STRATEGIES
from prune_rl.pruning.config import create_updater_from_config

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

NUM_UPDATES, NUM_SEEDS = 12, 3


def _pruner(pruner_type):
    """Keeps half of each kernel from gradient step 8 of 20 on."""
    return create_updater_from_config(
        num_gradient_steps=20,
        pruner_type=pruner_type,
        dist_type="uniform",
        update_start_step=2,
        update_end_step=8,
        update_freq=2,
        sparsity=0.5,
    )


@pytest.fixture
def pruner():
    return _pruner("magnitude")


def kernels(tree):
    """The kernels (S, ...) of the linear torso, 18 x 5, and of the head, 5 x 4."""
    layers = jax.device_get(tree)["params"]
    return layers["torso"]["Dense_0"]["kernel"], layers["head"]["kernel"]


def network_kernels(state):
    """Kernels of the online network, and of the target."""
    network = state.networks["q"]
    return kernels(network.params), kernels(network.target_params)


def seen(learner, state):
    """The state with a leading seed axis."""
    return stacked(state, learner.state_axes)


def train(learner, make_batch):
    state = learner.init(range(NUM_SEEDS))
    for step in range(NUM_UPDATES):
        state, *_ = learner.update(state, make_batch(NUM_SEEDS, step))
    return state


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pruned_weights_are_zero_and_reach_the_target(make_learner, make_batch, pruner, strategy):
    learner = make_learner(strategy, pruner=pruner)
    state = train(learner, make_batch)
    online, target = network_kernels(seen(learner, state))
    for kernel, kept in zip(online, (45, 10), strict=True):
        assert [(k != 0).sum() for k in kernel] == [kept] * NUM_SEEDS
    assert all((k != 0).all() for k in target)  # as at the start
    _, synced = network_kernels(seen(learner, learner.sync_target(state)))
    for kernel, own in zip(synced, online, strict=True):
        np.testing.assert_array_equal(kernel != 0, own != 0)


def test_a_straight_through_network_acts_and_bootstraps_sparse_and_never_settles(
    make_learner, make_batch
):
    learner = make_learner(pruner=_pruner("random_ste"))
    state, masks = learner.init(range(NUM_SEEDS)), []
    for step in range(NUM_UPDATES):
        state, *_ = learner.update(state, make_batch(NUM_SEEDS, step))
        masks.append([k != 0 for k in network_kernels(state)[0]])
    (acting, _), stored = network_kernels(state), kernels(state.networks["q"].opt_state.weights)
    _, bootstrapping = network_kernels(learner.sync_target(state))
    for kernel, dense, target, kept in zip(acting, stored, bootstrapping, (45, 10), strict=True):
        assert [(k != 0).sum() for k in kernel] == [kept] * NUM_SEEDS
        assert (dense != 0).all()
        np.testing.assert_array_equal(target, kernel)
    # Masks change at 2, 4, 6, 8 and, behind the schedule, at 10.
    changed = [(masks[i][0] != masks[i - 1][0]).any() for i in range(1, NUM_UPDATES)]
    assert np.flatnonzero(changed).tolist() == [1, 3, 5, 7, 9]


def test_strategies_make_the_same_masks(make_learner, make_batch, pruner):
    masks = []
    for strategy in STRATEGIES:
        learner = make_learner(strategy, pruner=pruner)
        opt_state = seen(learner, train(learner, make_batch)).networks["q"].opt_state
        assert opt_state.count.shape == ()
        assert opt_state.count == NUM_UPDATES
        masks.append(jax.device_get(opt_state.masks))
    jax.tree.map(np.testing.assert_array_equal, *masks)


def test_masks_are_made_only_when_due_under_vmap(make_learner, make_batch, pruner):
    """The shared count keeps the mask update a branch; batched, it would be a select."""
    learner = make_learner("vmap", pruner=pruner)
    program = str(jax.make_jaxpr(learner.update)(learner.init([0, 1]), make_batch(2)))
    assert "cond[" in program


def test_a_network_that_starts_sparse_is_so_before_any_update(make_learner):
    pruner = create_updater_from_config(
        20, pruner_type="static_sparse", dist_type="uniform", sparsity=0.5
    )
    state = make_learner(pruner=pruner).init(range(NUM_SEEDS))
    for own in network_kernels(state):
        for kernel, kept in zip(own, (45, 10), strict=True):
            assert [(k != 0).sum() for k in kernel] == [kept] * NUM_SEEDS
    (one, other, _), _ = network_kernels(state)[0]
    assert ((one != 0) != (other != 0)).any()


def test_snip_takes_its_gradients_at_the_dense_weights(make_learner, make_batch):
    pruner = create_updater_from_config(
        20,
        pruner_type="snip",
        dist_type="uniform",
        update_start_step=0,
        update_end_step=1,
        update_freq=1,
        sparsity=0.5,
    )
    learner = make_learner(pruner=pruner)
    state, seen = learner.init([3]), []
    for _ in range(3):
        seen.append(network_kernels(state)[0][0])
        state, *_ = learner.update(state, make_batch(1))
    first, second, third, fourth = *seen, network_kernels(state)[0][0]
    mask = second != 0
    assert mask.sum() == 45
    np.testing.assert_array_equal(second, np.where(mask, first, 0))
    # The same batch at the same dense weights: at the sparse ones its scores would differ.
    np.testing.assert_array_equal(third, second)
    assert (fourth[mask] != third[mask]).any()
    assert (fourth[~mask] == 0).all()

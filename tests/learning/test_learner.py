"""A learner of two networks, one an ensemble: hand-made, written for one seed and one batch.

Each network has a hidden layer, 15 x 10, and a head, 10 x 5, without biases. ERK at 80 % keeps 40
of a network's 200 weights in proportion to inputs plus outputs: 25 of 150 and 15 of 50.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl import randomness
from prune_rl.learning.learner import build_learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import STRATEGIES
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Batch, Inputs

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

INPUTS, HIDDEN, OUTPUTS = 15, 10, 5
MEMBERS = {"actor": None, "critics": 3}
KEPT = {"hidden": 25, "head": 15}
SEEDS, BATCH_SIZE, NUM_UPDATES = [3, 4], 6, 4


def init_params(key):
    hidden, head = jax.random.split(key)
    return {
        "hidden": {"kernel": jax.random.normal(hidden, (INPUTS, HIDDEN))},
        "head": {"kernel": jax.random.normal(head, (HIDDEN, OUTPUTS))},
    }


QUANTITIES = Quantities(init_params, Inputs(jnp.zeros(INPUTS), jnp.zeros(OUTPUTS)))


def outputs_of(params, observation):
    """Of one member."""
    return jnp.tanh(observation @ params["hidden"]["kernel"]) @ params["head"]["kernel"]


def create_optimizers(pruned="critics", method="magnitude"):
    """One is pruned from the first update to the third and learns by Adam; the other rests."""
    settings = {"sparsity": 0.8, "update_start_step": 0, "update_end_step": 2, "update_freq": 2}
    sparse = create_updater_from_config(NUM_UPDATES, method, **settings)
    dense = create_updater_from_config(NUM_UPDATES)
    return {
        name: sparse.wrap(optax.adam(0.01), members)
        if name == pruned
        else dense.wrap(optax.sgd(0.0), members)
        for name, members in MEMBERS.items()
    }


def make_learner(optimizers, strategy="unroll", act_eval=None):
    def update(state, batch):
        actor, critics = state.networks["actor"], state.networks["critics"]

        def losses_of(params, critics_params):
            errors = outputs_of(params, batch.s_tm1) - batch.a_tm1  # (B, 5)
            values = jax.vmap(outputs_of, (0, None))(critics_params, batch.s_tm1).mean(2)
            following = jax.vmap(outputs_of, (0, None))(critics.target_params, batch.s_t).mean(2)
            wrong = values - batch.r_t - batch.discount_t * following.min(0)  # (members, B)
            return jnp.square(errors).mean() + jnp.square(wrong).mean(), jnp.square(wrong).mean(0)

        grads_of = jax.value_and_grad(losses_of, (0, 1), has_aux=True)
        (loss, priorities), grads = grads_of(actor.params, critics.params)
        for (name, own), grad in zip(state.networks.items(), grads, strict=True):
            state = state.with_network(name, own.apply_gradients(optimizers[name], grad))
        return state, {"loss": loss}, priorities

    def act(params, key, observation, scale):
        key, noise_key = jax.random.split(key)
        noise = scale * jax.random.normal(noise_key, (OUTPUTS,))
        return jnp.tanh(outputs_of(params["actor"], observation)) + noise, key

    return build_learner(
        dict.fromkeys(optimizers, QUANTITIES),
        optimizers,
        targets=["critics"],
        update=update,
        act=act,
        act_eval=act_eval or act,
        strategy=lambda num_seeds: strategy,
    )


def make_batch(num_seeds, seed=0):
    rng, size = np.random.default_rng(seed), (num_seeds, BATCH_SIZE)
    numbers = [rng.normal(size=(*size, *own)) for own in ((INPUTS,), (OUTPUTS,), (), (INPUTS,))]
    s_tm1, a_tm1, r_t, s_t = (np.float32(own) for own in numbers)
    return Batch(s_tm1, a_tm1, r_t, np.full(size, 0.9, np.float32), s_t)


def train(strategy, seeds, own=slice(None), **settings):
    """(state, metrics, priorities, actions), on the host, after some updates and an action."""
    learner = make_learner(create_optimizers(**settings), strategy)
    state = learner.init(seeds)
    for number in range(NUM_UPDATES):
        batch = jax.tree.map(lambda leaf: leaf[own], make_batch(len(SEEDS), number))
        state, metrics, priorities = learner.update(state, batch)
    actions, keys = learner.act(state.params, state.keys, batch.s_tm1[:, 0], 0.5)
    state = stacked(state.replace(keys=keys), learner.state_axes)
    return jax.device_get((state, *map(stacked, (metrics, priorities, actions))))


def first_states(optimizers, strategy="unroll"):
    """Of a learner's seeds, stacked."""
    learner = make_learner(optimizers, strategy)
    return stacked(learner.init(SEEDS), learner.state_axes)


def kernels(params):
    return {layer: np.asarray(own["kernel"]) for layer, own in params.items()}


def num_kept(params):
    """By layer, weights that are not 0: (S,) or (S, members)."""
    return {layer: (k != 0).sum((-2, -1)).tolist() for layer, k in kernels(params).items()}


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.fixture(scope="module")
def trained():
    return train("unroll", SEEDS)


def test_arrays_have_axes_of_seeds_and_of_members_and_counts_none(trained):
    state, metrics, priorities, actions = trained
    shapes = {"hidden": (INPUTS, HIDDEN), "head": (HIDDEN, OUTPUTS)}
    for name, axes in (("actor", (2,)), ("critics", (2, 3))):
        network = state.networks[name]
        for layer, kernel in kernels(network.params).items():
            assert kernel.shape == (*axes, *shapes[layer])
        assert network.opt_state.count.shape == ()
        assert network.opt_state.key.shape == (*axes, 2)
    moment = optax.tree.get(state.networks["critics"].opt_state.inner_state, "mu")
    assert moment["head"]["kernel"].shape == (2, 3, HIDDEN, OUTPUTS)
    assert (state.step.shape, int(state.step)) == ((), NUM_UPDATES)
    assert state.keys.shape == (2, 2)
    assert metrics["loss"].shape == (2,)
    assert priorities.shape == (2, BATCH_SIZE)
    assert actions.shape == (2, OUTPUTS)


def test_a_learner_tells_its_networks_and_their_members():
    learner = make_learner(create_optimizers())
    assert list(learner.quantities) == ["actor", "critics"]
    assert learner.members == MEMBERS
    assert (learner.strategy(2), learner.state_axes.step) == ("unroll", None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_first_network_starts_as_it_would_alone(strategy):
    optimizers = create_optimizers()
    together = first_states(optimizers, strategy)
    alone = first_states({"actor": optimizers["actor"]}, strategy)
    assert list(alone.networks) == ["actor"]
    assert_equal(together.networks["actor"], alone.networks["actor"])
    np.testing.assert_array_equal(together.keys, alone.keys)
    for i, seed in enumerate(SEEDS):
        weights, _ = jax.random.split(jax.random.fold_in(jax.random.PRNGKey(seed), 0))
        first = jax.tree.map(lambda leaf, i=i: leaf[i], together.networks["actor"].params)
        assert_equal(first, jax.jit(init_params)(weights))


def test_further_networks_and_their_members_start_from_keys_of_their_own():
    networks = first_states(create_optimizers()).networks
    heads = [networks["actor"].params["head"]["kernel"][:, None]]
    heads = np.concatenate([*heads, networks["critics"].params["head"]["kernel"]], axis=1)
    assert len(np.unique(heads.reshape(2 * 4, -1)[:, 0])) == 2 * 4  # two seeds' actor and critics
    for i, seed in enumerate(SEEDS):
        weights, _ = randomness.training_keys(jax.random.PRNGKey(seed))
        keys = jax.random.split(jax.random.fold_in(weights, 2**31 + 1), 3)
        expected = jnp.stack([init_params(key)["head"]["kernel"] for key in keys])
        np.testing.assert_allclose(heads[i, 1:], expected, rtol=1e-6)


def test_masks_of_every_network_and_member_come_from_keys_of_their_own():
    """Of a seed's stream 2, then the network's place, the member, and the pruner's rng_seed 8."""
    networks = first_states(create_optimizers()).networks
    for i, seed in enumerate(SEEDS):
        root = jax.random.fold_in(jax.random.PRNGKey(seed), 2)
        actor = jax.random.fold_in(root, 8)
        np.testing.assert_array_equal(networks["actor"].opt_state.key[i], actor)
        members = jax.random.split(jax.random.fold_in(root, 2**31 + 1), 3)
        critics = jnp.stack([jax.random.fold_in(key, 8) for key in members])
        np.testing.assert_array_equal(networks["critics"].opt_state.key[i], critics)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("pruned", "other"), [("critics", "actor"), ("actor", "critics")])
def test_a_network_is_pruned_and_moved_by_its_own_optimizer_only(strategy, pruned, other):
    """To ERK's numbers in every member; the other one's optimizer neither moves nor prunes."""
    networks = train(strategy, SEEDS, pruned=pruned)[0].networks
    members = MEMBERS[pruned]
    expected = {x: [kept if members is None else [kept] * members] * 2 for x, kept in KEPT.items()}
    assert num_kept(networks[pruned].params) == expected
    first = first_states(create_optimizers(pruned), strategy).networks
    assert_equal(networks[other].params, first[other].params)
    assert not jax.tree.leaves(networks[other].opt_state.masks)
    for layer, kernel in kernels(networks[pruned].params).items():
        before = np.asarray(first[pruned].params[layer]["kernel"])
        assert (kernel != before)[kernel != 0].all()
    if members:
        head = networks[pruned].params["head"]["kernel"] != 0
        assert len(np.unique(head.reshape(2 * members, -1), axis=0)) == 2 * members


@pytest.mark.parametrize("pruned", MEMBERS)
def test_what_starts_sparse_is_so_in_every_member_and_in_its_target(pruned):
    sparse = create_updater_from_config(1, "static_sparse", sparsity=0.8)
    optimizers = create_optimizers()
    optimizers[pruned] = sparse.wrap(optax.adam(0.01), MEMBERS[pruned])
    networks = first_states(optimizers).networks
    size = 2 * (MEMBERS[pruned] or 1)
    masks = kernels(networks[pruned].params)["head"].reshape(size, -1) != 0
    assert masks.sum(1).tolist() == [KEPT["head"]] * size
    assert len(np.unique(masks, axis=0)) == size
    assert networks["actor"].target_params is None
    assert_equal(networks["critics"].target_params, networks["critics"].params)


def test_only_networks_that_ask_for_a_target_have_one_and_syncing_copies_it(trained):
    learner = make_learner(create_optimizers())
    state = learner.init(SEEDS)
    first = jax.device_get([own.networks["critics"].params for own in state.trees])
    state, *_ = learner.update(state, make_batch(2))
    for synced in (False, True):
        state = learner.sync_target(state) if synced else state
        for own, before in zip(state.trees, first, strict=True):
            critics = own.networks["critics"]
            assert own.networks["actor"].target_params is None
            assert_equal(critics.target_params, critics.params if synced else before)
    leaves = jax.tree.leaves(state)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
    assert trained[0].networks["actor"].target_params is None


def test_strategies_agree(trained):
    mapped = train("vmap", SEEDS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), mapped, trained
    )


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_unrolled_a_seed_is_the_same_bits_alone(trained, index):
    own = slice(index, index + 1)
    among = jax.tree.map(lambda leaf: leaf[own] if leaf.ndim else leaf, trained)
    assert_equal(among, train("unroll", SEEDS[own], own))


def test_mapped_a_seed_is_hardly_another_alone():
    together, alone = train("vmap", SEEDS), train("vmap", SEEDS[1:], slice(1, 2))
    for name in MEMBERS:
        a, b = (state.networks[name].params for state, *_ in (together, alone))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x[1:], y, rtol=1e-4, atol=1e-6), a, b)
    np.testing.assert_array_equal(together[0].keys[1:], alone[0].keys)
    np.testing.assert_allclose(together[3][1:], alone[3], rtol=1e-4, atol=1e-6)


def test_actions_are_of_the_parameters_keys_and_numbers_given():
    learner = make_learner(create_optimizers())
    state, observations = learner.init(SEEDS), make_batch(2).s_tm1[:, 0]
    quiet, keys = learner.act(state.params, state.keys, observations, 0.0)
    noisy, again = learner.act(state.params, state.keys, observations, 2.0)
    np.testing.assert_array_equal(keys, again)
    for i in range(2):
        own = state.trees[i]
        greedy = np.tanh(outputs_of(own.params["actor"], observations[i]))
        np.testing.assert_allclose(quiet.trees[i], greedy, rtol=1e-5, atol=1e-6)
        following, noise_key = jax.random.split(own.keys)
        np.testing.assert_array_equal(keys.trees[i], following)
        noise = 2 * jax.random.normal(noise_key, (OUTPUTS,))
        difference = noisy.trees[i] - quiet.trees[i]
        np.testing.assert_allclose(difference, noise, rtol=1e-4, atol=1e-6)


def test_evaluation_acts_as_it_is_told_to():
    same = make_learner(create_optimizers())
    assert same.act_eval is same.act  # so it is compiled once

    def still(params, key, observation):
        return jnp.zeros(OUTPUTS), key

    learner = make_learner(create_optimizers(), act_eval=still)
    state = learner.init(SEEDS)
    actions, keys = learner.act_eval(state.params, state.keys, make_batch(2).s_tm1[:, 0])
    np.testing.assert_array_equal(actions, np.zeros((2, OUTPUTS)))
    np.testing.assert_array_equal(keys, state.keys)

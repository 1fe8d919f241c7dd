"""An agent's state as states of its seeds: names, copies, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.seed_axis import STRATEGIES, Separate, join_seeds, split_seeds
from prune_rl.learning.state import AgentState, Network
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.state import flatten, unflatten

from ..seeds import laid_as, stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

NUM_SEEDS = 3
_PRUNED = {"sparsity": 0.5, "update_start_step": 1, "update_end_step": 3, "update_freq": 1}
AXES = AgentState(
    {"actor": Network(0, None, 0), "critic": Network(0, 0, {"mu": 0, "count": None})},
    None,
    0,
    0,
)


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)


@pytest.fixture(params=STRATEGIES)
def made(request):
    """By hand: a critic of two members with a target network, an actor without, seeds 0 to 2."""

    def numbers(*shape, start=0):
        count = NUM_SEEDS * int(np.prod(shape))
        return jnp.arange(start, start + count, dtype=jnp.float32).reshape(NUM_SEEDS, *shape)

    critic = {"params": {"head": {"kernel": numbers(2, 4, 5), "bias": numbers(2, 5)}}}
    target = jax.tree.map(lambda x: x + 1000, critic)
    actor = {"params": {"head": {"kernel": numbers(4, 1, start=500)}}}
    opt_state = {"mu": jax.tree.map(jnp.negative, critic), "count": jnp.int32(6)}
    networks = {
        "critic": Network(critic, target, opt_state),
        "actor": Network(actor, None, {"mu": jax.tree.map(jnp.negative, actor)}),
    }
    keys = jnp.arange(2 * NUM_SEEDS, dtype=jnp.uint32).reshape(NUM_SEEDS, 2)
    state = AgentState(networks, jnp.int32(9), keys, jnp.zeros(NUM_SEEDS, jnp.int32))
    return state if request.param == "vmap" else laid_as(Separate([]), state, AXES)


def test_arrays_have_the_names_of_their_places_and_the_values_of_their_seed(made):
    states = to_states(made, AXES)
    assert len(states) == NUM_SEEDS
    head = "params/head"
    for seed, state in enumerate(states):
        flat = flatten(state)
        critic = np.arange(40 * seed, 40 * (seed + 1), dtype=np.float32).reshape(2, 4, 5)
        expected = {
            f"networks/critic/params/{head}/kernel": critic,
            f"networks/critic/params/{head}/bias": critic.ravel()[:10].reshape(2, 5) - 30 * seed,
            f"networks/critic/target_params/{head}/kernel": critic + 1000,
            f"networks/actor/params/{head}/kernel": 500
            + np.arange(4 * seed, 4 * seed + 4, dtype=np.float32).reshape(4, 1),
            "networks/critic/opt_state/count": np.int32(6),
            "step": np.int32(9),
            "keys": np.array([2 * seed, 2 * seed + 1], np.uint32),
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(flat[name], values)
            assert (flat[name].shape, flat[name].dtype) == (values.shape, values.dtype)
        assert not [name for name in flat if name.startswith("networks/actor/target")]
        assert len(flat) == len(expected) + 5  # keys, step, diverged_at and two counts
        assert all(type(x) is np.ndarray for x in flat.values())


def test_what_is_made_by_hand_comes_back(made):
    like = jax.tree.map(jnp.zeros_like, made)
    assert_same(from_states(to_states(made, AXES), like, AXES), made)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_agent_goes_on_bit_for_bit(make_learner, make_batch, strategy):
    learner = make_learner(strategy, pruner=create_updater_from_config(10, "magnitude", **_PRUNED))
    state, axes = learner.init(range(NUM_SEEDS)), learner.state_axes
    for i in range(3):
        state, *_ = learner.update(state, make_batch(NUM_SEEDS, i))
    state = learner.sync_target(state)
    states = to_states(state, axes)
    restored = from_states(states, learner.init(range(5, 5 + NUM_SEEDS)), axes)
    assert_same(restored, state)
    kernels = stacked(state, axes).networks["q"].params["params"]["head"]["kernel"]
    for seed, own in enumerate(states):
        flat = flatten(own)
        np.testing.assert_array_equal(flat["networks/q/params/params/head/kernel"], kernels[seed])
        assert flat["step"] == 3
    batch = make_batch(NUM_SEEDS, 3)
    assert_same(learner.update(restored, batch)[0], learner.update(state, batch)[0])


@pytest.mark.parametrize(("written", "read"), [("vmap", "unroll"), ("unroll", "vmap")])
def test_what_one_layout_has_written_the_other_takes_up(make_learner, make_batch, written, read):
    """The same names, values and dtypes; and it can be trained on, as the donor would be."""
    pruner = create_updater_from_config(10, "magnitude", **_PRUNED)
    one, other = (make_learner(strategy, pruner=pruner) for strategy in (written, read))
    state, axes = one.init(range(NUM_SEEDS)), one.state_axes
    for i in range(3):
        state, *_ = one.update(state, make_batch(NUM_SEEDS, i))
    states = to_states(state, axes)
    taken = from_states(states, other.init(range(5, 5 + NUM_SEEDS)), axes)
    assert isinstance(taken, Separate) == (read == "unroll")
    assert_same(stacked(taken, axes), stacked(state, axes))
    assert_same(to_states(taken, axes), states)
    batch = make_batch(NUM_SEEDS, 3)
    trained = [
        stacked(learner.update(own, batch)[0], axes)
        for learner, own in ((one, state), (other, taken))
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *trained)


def test_states_are_copies_whatever_becomes_of_the_buffers(made):
    """Updates may reuse the memory of the state that they are given."""
    states = to_states(made, AXES)
    before = [{name: x.tolist() for name, x in flatten(own).items()} for own in states]
    on_host = [np.asarray(leaf) for leaf in jax.tree.leaves(made)]
    for own in states:
        for array in flatten(own).values():
            assert array.flags.owndata
            assert array.flags.writeable
            assert not any(np.shares_memory(array, x) for x in on_host)
    consume = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 + 77, tree), donate_argnums=0)
    jax.block_until_ready(consume(made))
    assert [{name: x.tolist() for name, x in flatten(own).items()} for own in states] == before


def test_what_is_taken_over_does_not_change_with_the_states(made):
    states = to_states(made, AXES)
    restored = from_states(states, made, AXES)
    for own in states:
        for array in flatten(own).values():
            array[...] = 0
    assert_same(restored, made)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (None, "nothing"),
        (np.zeros((2, 5, 4), np.float32), r"\(2, 5, 4\) float32"),
        (np.zeros((2, 4, 5), np.float16), r"\(2, 4, 5\) float16"),
    ],
)
@pytest.mark.parametrize("seed", range(NUM_SEEDS))
def test_an_array_that_is_missing_or_of_another_form_is_refused(made, seed, array, found):
    states = to_states(made, AXES)
    name = "networks/critic/target_params/params/head/kernel"
    flat = flatten(states[seed])
    del flat[name]
    states[seed] = unflatten(flat if array is None else flat | {name: array})
    message = rf"^checkpoint of another agent: {name} is {found}; expected \(2, 4, 5\) float32$"
    with pytest.raises(ConfigError, match=message):
        from_states(states, made, AXES)


def test_seeds_are_split_where_the_axes_say_and_joined_again():
    tree = {"own": np.arange(6).reshape(3, 2), "shared": np.arange(3), "none": None, "deep": [{}]}
    axes = {"own": 0, "shared": None, "none": 0, "deep": 0}
    trees = split_seeds(tree, axes)
    assert [own["own"].tolist() for own in trees] == [[0, 1], [2, 3], [4, 5]]
    assert all(own["shared"] is tree["shared"] for own in trees)
    assert all((own["none"], own["deep"]) == (None, [{}]) for own in trees)
    joined = join_seeds(trees, axes)
    assert joined["none"] is None
    np.testing.assert_array_equal(joined["own"], tree["own"])
    np.testing.assert_array_equal(joined["shared"], tree["shared"])


def test_one_axis_goes_for_a_whole_subtree():
    tree = {"a": {"b": np.arange(2), "c": np.arange(4).reshape(2, 2)}}
    first, second = split_seeds(tree, 0)
    assert (first["a"]["b"], second["a"]["b"]) == (0, 1)
    assert second["a"]["c"].tolist() == [2, 3]
    assert join_seeds([second, first], 0)["a"]["c"].tolist() == [[2, 3], [0, 1]]

"""Seeds that have arrays of their own: how they are looked at, mapped and donated."""

import copy
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from prune_rl.learning.seed_axis import STRATEGIES, Separate, laid_out, map_seeds, split_seeds
from prune_rl.networks.torsos.minatar import MinAtarTorso

from ..seeds import laid_as, stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

SHAPE = (1, 10, 10, 4)


class _Pair(struct.PyTreeNode):
    first: np.ndarray
    second: dict


def _pair(number):
    return _Pair(np.full(3, number), {"deep": np.float32(10 * number)})


@pytest.fixture
def pairs():
    return Separate(map(_pair, (1, 2)))


def test_attributes_are_those_of_each_seed(pairs):
    assert len(pairs) == 2
    assert [own.tolist() for own in pairs.first.trees] == [[1, 1, 1], [2, 2, 2]]
    assert pairs.second.trees == ({"deep": 10}, {"deep": 20})
    assert pairs.first.shape.trees == ((3,), (3,))
    assert pairs.trees[1].first is pairs.first.trees[1]


def test_numpy_stacks_it(pairs):
    np.testing.assert_array_equal(pairs.first, [[1, 1, 1], [2, 2, 2]])
    numbers = Separate([jnp.int32(3), jnp.int32(0)])
    seen = np.asarray(numbers)
    assert (seen.tolist(), seen.dtype, seen.shape) == ([3, 0], np.int32, (2,))
    assert np.asarray(numbers, np.float64).dtype == np.float64
    own = np.array(numbers)
    own[:] = 7
    assert np.asarray(numbers).tolist() == [3, 0]


@pytest.mark.parametrize("name", ["_x", "__array_interface__", "__jax_array__", "__iter__"])
def test_what_python_and_jax_look_for_is_none_of_the_seeds(name):
    """Even where a seed's own tree has it."""
    mine = type("Mine", (), {"_x": 1, "__array_interface__": 1, "__jax_array__": 1, "__iter__": 1})
    with pytest.raises(AttributeError, match=name):
        getattr(Separate([mine()]), name)
    assert not hasattr(Separate([mine()]), name)


def test_a_name_that_no_seed_has_is_an_attribute_error(pairs):
    with pytest.raises(AttributeError, match="third"):
        _ = pairs.third


def test_it_can_be_copied_and_pickled(pairs):
    for again in (copy.deepcopy(pairs), pickle.loads(pickle.dumps(pairs))):
        assert isinstance(again, Separate)
        np.testing.assert_array_equal(again.first, pairs.first)


def test_fields_are_replaced_seed_by_seed_and_the_rest_stays(pairs):
    new = Separate([np.zeros(1), np.ones(1)])
    after = pairs.replace(first=new)
    assert all(own.first is x for own, x in zip(after.trees, new.trees, strict=True))
    assert all(own.second is x.second for own, x in zip(after.trees, pairs.trees, strict=True))
    assert pairs.trees[0].first.tolist() == [1, 1, 1]
    both = pairs.replace(second=pairs.first, first=Separate("ab"))
    assert [own.first for own in both.trees] == ["a", "b"]
    assert both.trees[1].second is pairs.trees[1].first


def test_fields_of_another_number_of_seeds_are_refused(pairs):
    with pytest.raises(ValueError, match="zip"):
        pairs.replace(first=Separate([np.zeros(1)]))


def test_it_is_a_pytree_of_its_seeds(pairs):
    leaves, structure = jax.tree.flatten(pairs)
    assert [np.ravel(leaf)[0] for leaf in leaves] == [1, 10, 2, 20]
    again = jax.tree.unflatten(structure, leaves)
    assert isinstance(again, Separate)
    assert isinstance(again.trees, tuple)
    assert isinstance(again.trees[0], _Pair)
    doubled = jax.jit(lambda tree: jax.tree.map(lambda leaf: 2 * leaf, tree))(pairs)
    np.testing.assert_array_equal(doubled.first, 2 * np.asarray(pairs.first))
    assert jax.tree.structure(doubled) == structure
    assert structure != jax.tree.structure(Separate([pairs.trees[0]]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trees_are_laid_out_and_split_again(strategy):
    trees = [_pair(number) for number in (1, 2, 3)]
    lying = laid_out(trees, 0, strategy)
    assert isinstance(lying, Separate) == (strategy == "unroll")
    jax.tree.map(np.testing.assert_array_equal, split_seeds(lying, 0), trees)


def test_each_seed_is_handed_its_part_of_the_hosts_batch_without_a_copy():
    """Called as Python, a spy sees what is handed to the program of one seed."""
    seen = []

    def spy(state, batch, shared):
        seen.append((state, batch, shared))
        return state

    states = Separate([np.float32(1), np.float32(2)])
    batch = {"x": np.arange(8.0).reshape(2, 4), "y": np.arange(2)}
    shared = np.arange(3)
    with jax.disable_jit():
        map_seeds(spy, (0, 0, None), 0)(states, batch, shared)
    for i, (state, part, own) in enumerate(seen):
        assert state is states.trees[i]
        np.testing.assert_array_equal(part["x"], batch["x"][i])
        assert np.shares_memory(part["x"], batch["x"])
        assert part["y"] == i
        assert own is shared
    assert len(seen) == 2


def test_mixed_arguments_give_what_all_stacked_ones_give():
    def function(state, batch, shared):
        return {"sum": state["x"] + batch.sum() + shared}, batch

    over_seeds = map_seeds(function, (0, 0, None), (0, 0))
    state, batch = {"x": np.arange(6.0).reshape(3, 2)}, np.arange(12.0).reshape(3, 4)
    expected = over_seeds(state, batch, 5.0)
    apart = laid_as(Separate([]), state)
    for own in (batch, jnp.asarray(batch), laid_as(Separate([]), batch)):
        mixed = tuple(map(stacked, over_seeds(apart, own, 5.0)))
        jax.tree.map(np.testing.assert_array_equal, mixed, expected)


@pytest.fixture
def learner(make_learner):
    return make_learner("unroll", torso=MinAtarTorso(), shape=SHAPE)


def test_every_seeds_buffers_are_donated(learner, make_batch):
    state = learner.init([3, 4])
    for change in (
        lambda own: learner.update(own, make_batch(2, 0, SHAPE))[0],
        learner.sync_target,
    ):
        before, state = state, change(state)
        for own in before.trees:
            network = own.networks["q"]
            leaves = jax.tree.leaves((network.params, network.opt_state))
            assert all(leaf.is_deleted() for leaf in leaves)
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    leaves = jax.tree.leaves(state)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_a_state_restored_or_renewed_by_one_seed_leaves_the_others_alone(learner, make_batch):
    """No buffer is two seeds', not even of what they share: else the first would donate both."""
    for own in (
        learner.init([3, 4]),
        learner.update(learner.init([3, 4]), make_batch(2, 0, SHAPE))[0],
    ):
        first, second = (
            {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree)} for tree in own.trees
        )
        assert not first & second


def test_a_seed_gets_the_bits_of_its_own_program(learner, make_batch):
    """As `jax.jit(learner.one.update)` and `.act` make them, through updates and a sync."""
    states, seeds = learner.init([5, 6, 7]), range(3)
    update, sync, act = map(jax.jit, (learner.one.update, learner.one.sync_target, learner.one.act))
    alone = [jax.tree.map(jnp.copy, own) for own in states.trees]
    for step in range(3):
        batch = make_batch(3, step, SHAPE)
        states, *rest = learner.update(learner.sync_target(states), batch)
        own = [
            update(sync(alone[i]), jax.tree.map(lambda leaf, i=i: leaf[i], batch)) for i in seeds
        ]
        alone = [state for state, *_ in own]
        for i in seeds:
            among = (states.trees[i], *(tree.trees[i] for tree in rest))
            jax.tree.map(np.testing.assert_array_equal, among, own[i])
    acted = learner.act(states.params, states.keys, batch.s_tm1[:, 0], 0.5)
    for i in seeds:
        expected = act(alone[i].params, alone[i].keys, batch.s_tm1[i, 0], 0.5)
        jax.tree.map(np.testing.assert_array_equal, tuple(x.trees[i] for x in acted), expected)


def _compiled_text(program, state, batch):
    return program.lower(state, batch).compile().as_text()


def test_the_program_of_one_seed_has_no_axis_of_seeds(learner, make_batch):
    """Of 11 seeds, a number that no shape of this agent has: the stacked program alone has it."""
    states, batch = learner.init(range(11)), make_batch(11, 0, SHAPE)
    one, over_seeds = learner.update.programs
    own = jax.tree.map(lambda leaf: leaf[0], batch)
    texts = [
        _compiled_text(one, states.trees[0], own),
        _compiled_text(over_seeds, stacked(states, learner.state_axes), batch),
    ]
    leading = re.compile(r"[a-z]+\d+\[11[,\]]")
    assert [bool(leading.search(text)) for text in texts] == [False, True]
    closed = jax.make_jaxpr(learner.one.update)(states.trees[0], own)
    assert not leading.search(str(closed))


def test_a_diverged_seed_among_others_waits_while_they_learn(learner, make_batch):
    states = learner.init([3, 4])
    marked = states.replace(diverged_at=Separate([jnp.int32(0), jnp.int32(9)]))
    before = jax.device_get([own.params for own in marked.trees])
    states, *_ = learner.update(marked, make_batch(2, 0, SHAPE))
    changed = [
        any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (old, own.params)), strict=True))
        for old, own in zip(before, states.trees, strict=True)
    ]
    assert changed == [True, False]
    assert np.asarray(states.diverged_at).tolist() == [0, 9]

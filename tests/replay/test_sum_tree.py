"""Sum trees against running sums over plain lists."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.replay.sum_tree import SumTrees

# Eighths add up without rounding in any order.
EIGHTHS = st.sampled_from([0.0, 0.0, 0.125, 0.5, 1.0, 3.375, 1000.0])
# Magnitudes that swallow one another.
AWKWARD = st.sampled_from([0.0, 0.0, 5e-324, 1e-300, 0.1, 0.3, 1 / 3, 1.0, 1e16, 1e38])


def set_all(trees, writes):
    if writes:
        columns = (np.array(column) for column in zip(*writes, strict=True))
        trees.set(*columns)


def draw_writes(data, num_trees, capacity, values, max_size=60):
    write = st.tuples(st.integers(0, num_trees - 1), st.integers(0, capacity - 1), values)
    return data.draw(st.lists(write, max_size=max_size))


def first_exceeding(leaves, target):
    return next(i for i, total in enumerate(accumulate(leaves)) if total > target)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), num_trees=st.integers(1, 4), capacity=st.integers(1, 40))
def test_agrees_with_running_sums(data, num_trees, capacity):
    trees, naive = SumTrees(num_trees, capacity), np.zeros((num_trees, capacity)).tolist()
    for _ in range(3):
        writes = draw_writes(data, num_trees, capacity, EIGHTHS)
        set_all(trees, writes)
        for tree, leaf, value in writes:
            naive[tree][leaf] = value
        totals = trees.totals
        assert totals.tolist() == [sum(leaves) for leaves in naive]
        shares = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8))
        found = trees.find(np.array(shares) * totals[:, None])
        assert found.shape == (num_trees, len(shares))
        values = trees.values(found)
        for tree, leaves in enumerate(naive):
            if totals[tree]:
                targets = [share * totals[tree] for share in shares]
                assert found[tree].tolist() == [first_exceeding(leaves, x) for x in targets]
                assert values[tree].tolist() == [leaves[i] for i in found[tree]]


@pytest.mark.parametrize("capacity", [1, 2, 7, 8])
def test_every_edge_of_every_leaf(capacity):
    leaves = [float(i % 3) for i in range(1, capacity + 1)]
    trees = SumTrees(2, capacity)
    set_all(trees, [(1, i, value) for i, value in enumerate(leaves)])
    sums = [0.0, *accumulate(leaves)]
    for i, value in enumerate(leaves):
        if value:
            targets = np.array([[0.0, 0.0], [sums[i], np.nextafter(sums[i + 1], 0)]])
            assert trees.find(targets)[1].tolist() == [i, i]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 40))
def test_never_finds_a_leaf_of_value_zero(data, capacity):
    trees = SumTrees(2, capacity)
    set_all(trees, draw_writes(data, 2, capacity, AWKWARD))
    set_all(trees, [(tree, data.draw(st.integers(0, capacity - 1)), 0.7) for tree in (0, 1)])
    shares = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    below = np.nextafter(trees.totals, 0)[:, None]
    targets = np.concatenate([np.array(shares) * below, below, trees.totals[:, None]], axis=1)
    found = trees.find(targets)
    assert found.min() >= 0
    assert found.max() < capacity
    assert trees.values(found).min() > 0


def test_rounding_that_pushes_a_target_past_a_sum():
    """Without a look at the right child, every target near the total ends in the last leaf."""
    trees = SumTrees(1, 8)
    set_all(trees, [(0, i, value) for i, value in enumerate([0.1, 0.2, 0.3, 0.7, 0.1, 0.0])])
    total = float(trees.totals[0])
    targets = total - np.arange(50) * np.spacing(total)
    assert set(trees.find(targets[None])[0].tolist()) == {4}


@settings(max_examples=30, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 40))
def test_rounding_errors_do_not_pile_up(data, capacity):
    """Nodes are those of a tree that was set once: no trace of values long overwritten."""
    used, fresh = SumTrees(2, capacity), SumTrees(2, capacity)
    for _ in range(5):
        set_all(used, draw_writes(data, 2, capacity, AWKWARD, max_size=10))
    leaves = np.tile(np.arange(capacity), (2, 1))
    final = used.values(leaves)
    fresh.set(np.repeat([0, 1], capacity), leaves.ravel(), final.ravel())
    np.testing.assert_array_equal(used.totals, fresh.totals)


def test_a_zero_after_a_huge_value_leaves_nothing():
    trees = SumTrees(1, 1000)
    set_all(trees, [(0, 3, 0.1), (0, 500, 1e30)])
    set_all(trees, [(0, 500, 0.0)])
    assert trees.totals[0] == 0.1


def test_a_tree_is_indifferent_to_its_neighbours():
    rng = np.random.default_rng(0)
    values, targets = rng.random((3, 100)), rng.random((3, 50))
    leaves = np.arange(100)
    together = SumTrees(3, 100)
    together.set(np.repeat([0, 1, 2], 100), np.tile(leaves, 3), values.ravel())
    found = together.find(targets * together.totals[:, None])
    for tree in range(3):
        alone = SumTrees(1, 100)
        alone.set(np.zeros(100, int), leaves, values[tree])
        assert alone.totals[0] == together.totals[tree]
        own = alone.find(targets[tree : tree + 1] * alone.totals[:, None])
        np.testing.assert_array_equal(own[0], found[tree])


def test_arguments_are_left_as_they_were():
    trees, leaves, values = np.array([0, 0, 1]), np.array([3, 6, 5]), np.array([1.0, 2.0, 3.0])
    forest, targets = SumTrees(2, 7), np.array([[2.5], [0.0]])
    forest.set(trees, leaves, values)
    assert forest.find(targets).tolist() == [[6], [5]]
    assert (trees.tolist(), leaves.tolist(), values.tolist()) == ([0, 0, 1], [3, 6, 5], [1, 2, 3])
    assert targets.tolist() == [[2.5], [0.0]]
    forest.totals[:] = 9
    assert forest.totals.tolist() == [3, 3]

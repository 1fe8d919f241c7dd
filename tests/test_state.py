"""The form of a seed's state: flat by path and back, text in arrays, seeds one by one."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_rl.state import Rows, array_to_json, flatten, json_to_array, part, per_seed, unflatten

_NAMES = st.text(st.characters(blacklist_characters="/"), min_size=1, max_size=4)
_TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(_NAMES, inner, min_size=1))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_paths_name_what_lies_within():
    rows = Rows(0, 3, 8, 1, lambda start: iter(()))
    array = np.arange(3)
    state = {"a": {"b": {"c": array}, "rows": rows}, "d": array[:1]}
    flat = flatten(state)
    assert list(flat) == ["a/b/c", "a/rows", "d"]
    assert flat["a/b/c"] is array
    assert flat["a/rows"] is rows  # a tuple, but whole
    assert unflatten(flat) == state


@given(st.dictionaries(_NAMES, _TREES))
def test_a_state_comes_back_from_its_paths(state):
    flat = flatten(state)
    assert not any(isinstance(value, dict) for value in flat.values())
    assert unflatten(flat) == state


@given(_JSON)
def test_json_comes_back_from_its_bytes(value):
    array = json_to_array(value)
    assert (array.ndim, array.dtype) == (1, np.uint8)
    assert json.loads(bytes(array.tolist())) == value
    assert array_to_json(array) == value


def test_numbers_that_are_none_come_back_too():
    first, second = array_to_json(json_to_array([math.nan, -math.inf]))
    assert math.isnan(first)
    assert second == -math.inf


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", np.int64(3)])
def test_what_json_cannot_hold_is_refused_at_once(value):
    with pytest.raises(TypeError):
        json_to_array({"inner": value})


def test_each_seed_has_the_part_that_is_its_own():
    states = per_seed(cursor=[4, 5], stack=[{"a": 1}, {"a": 2}])
    assert states == [{"cursor": 4, "stack": {"a": 1}}, {"cursor": 5, "stack": {"a": 2}}]
    assert part(states, "cursor") == [4, 5]


def test_parts_for_another_number_of_seeds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        per_seed(cursor=[4, 5], stack=[6])

"""How arrays are stored without their zeros."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from prune_rl.exporting import numpy_policy
from prune_rl.exporting.files import gaps_of, stored_form, write_policy
from prune_rl.exporting.layers import Layer


def test_gaps_by_hand():
    assert gaps_of(np.array([0, 1, 3])).tolist() == [0, 0, 1]
    assert gaps_of(np.array([254])).tolist() == [254]
    assert gaps_of(np.array([255])).tolist() == [255, 0]
    assert gaps_of(np.array([2, 2 + 1 + 511])).tolist() == [2, 255, 255, 1]
    assert gaps_of(np.array([], np.intp)).tolist() == []


@pytest.mark.parametrize(
    ("kept", "stored", "size"),
    [
        (1000, "whole", 4000),
        (900, "mask", 900 * 4 + 125),  # one bit for each of 1,000
        (300, "mask", 300 * 4 + 125),
        (100, "gaps", 100 * 4 + 100),  # one byte for each that is there
        (0, "gaps", 0),
    ],
)
def test_the_smallest_form_is_taken(kept, stored, size):
    array = np.zeros((10, 100), np.float32)
    places = np.random.default_rng(0).permutation(1000)[:kept]
    array.reshape(-1)[places] = 1.5
    form, arrays = stored_form(array)
    assert form == stored
    assert sum(x.nbytes for x in arrays.values()) == pytest.approx(size, abs=5)


@given(
    shape=st.sampled_from([(1,), (7, 3), (2, 3, 3, 5), (40, 50), (0, 4)]),
    density=st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@example(shape=(40, 50), density=0.002, seed=0)  # gaps of more than a byte
@settings(max_examples=60, deadline=None)
def test_what_is_read_is_what_was_stored(tmp_path_factory, shape, density, seed):
    rng = np.random.default_rng(seed)
    array = rng.normal(size=shape).astype(np.float32) * (rng.random(shape) < density)
    folder = tmp_path_factory.mktemp("stored")
    about = {"observation": {"shape": [1], "dtype": "float32"}, "actions": {"kind": "box"}}
    write_policy(folder, [Layer("dense", (0,), {"kernel": array, "bias": array})], about)
    description = json.loads((folder / "policy.json").read_text())["policy"]
    arrays = numpy_policy._arrays(folder / "policy.safetensors", description["weights"])
    got = numpy_policy._filled(description["layers"][0]["arrays"], "0.", arrays)
    for name in ("kernel", "bias"):
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], array)


def test_a_mask_is_bits_in_row_order_and_the_file_one_that_safetensors_reads(tmp_path):
    array = np.zeros((3, 4), np.float32)
    array[0, 1], array[1, 3], array[2] = 5, 6, [1, 2, 3, 4]
    about = {"observation": {"shape": [4], "dtype": "float32"}, "actions": {"kind": "box"}}
    write_policy(tmp_path, [Layer("dense", (0,), {"kernel": array, "bias": array[:, 0]})], about)
    stored = load_file(tmp_path / "policy.safetensors")
    assert stored["0.kernel"].tolist() == [5, 6, 1, 2, 3, 4]
    assert stored["0.kernel.mask"].tolist() == [0b01000001, 0b11110000]

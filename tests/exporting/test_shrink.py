"""What is removed, by hand; and that no answer changes, for networks of every kind with holes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.exporting.layers import Layer, Layers, units
from prune_rl.exporting.shrink import shrink
from tests.exporting.policies import (
    CASES,
    answers,
    answers_of_flax,
    full_layers,
    num_inputs,
    observations,
    of_dtype,
    random_params,
)

pytestmark = pytest.mark.usefixtures("quick_compiling")


def dense(kernel, bias):
    """Units in rows."""
    return {"kernel": np.array(kernel, np.float32), "bias": np.array(bias, np.float32)}


def chain(*steps):
    """Layers that read the one before: kinds, or (kind, arrays, settings)."""
    made = Layers()
    for place, step in enumerate(steps):
        kind, arrays, own = (step, {}, {}) if isinstance(step, str) else (*step, {})[:3]
        made.add(kind, place, arrays=arrays, **own)
    return made.made


def conv(kernel, bias, pads=((0, 0), (0, 0))):
    """kernel (units, kh, kw, C)."""
    own = {"kernel": np.array(kernel, np.float32), "bias": np.array(bias, np.float32)}
    return "conv", own, {"strides": [1, 1], "pads": pads}


def test_a_unit_without_inputs_goes_into_the_bias_of_its_reader():
    first = dense([[1, 2], [0, 0], [0, 0], [0, 3]], [0.5, 2, -1, 0])
    last = dense([[3, 5, 7, 0], [-1, 4, 2, 0]], [1, 10])
    small = shrink(chain(("dense", first), "relu", ("dense", last)), 2)
    # The second is always 2, the third silent behind its ReLU, and nobody reads the fourth.
    assert small[0].arrays["kernel"].tolist() == [[1, 2]]
    assert small[0].arrays["bias"].tolist() == [0.5]
    assert small[2].arrays["kernel"].tolist() == [[3], [-1]]
    assert small[2].arrays["bias"].tolist() == [1 + 2 * 5, 10 + 2 * 4]


def test_without_a_relu_a_negative_constant_counts():
    first, last = dense([[1], [0]], [0, -2]), dense([[1, 3]], [1])
    small = shrink(chain(("dense", first), ("dense", last)), 1)
    assert units(small) == [1, 1]
    assert small[1].arrays["bias"].tolist() == [1 - 2 * 3]


def test_removal_spreads_through_all_layers_before_and_behind():
    """Who has lost all readers is read no more; who has lost all inputs is a constant."""
    first = dense(np.eye(3), [1, 1, 1])
    second = dense([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 0, 0])
    third = dense([[1, 0, 0]], [0])
    small = shrink(chain(("dense", first), "relu", ("dense", second), "relu", ("dense", third)), 3)
    assert units(small) == [1, 1, 1]
    forward = dense([[0, 0], [1, 0]], [3, 0])
    middle, last = dense([[2, 0], [0, 1]], [1, 0]), dense([[1, 1]], [0])
    small = shrink(chain(("dense", forward), "relu", ("dense", middle), "relu", ("dense", last)), 2)
    assert units(small) == [1, 1, 1]
    assert small[4].arrays["bias"].tolist() == [3 * 2 + 1]


@pytest.mark.parametrize(
    ("weights", "bias", "left"),
    [
        ([-1, -2], 0, 1),  # images are not negative: silent
        ([-1, -2], 0.5, 2),
        ([-1, 0.5], -0.4, 2),
        ([-1, 0.5], -0.6, 1),  # 0.5 at most, for an image is at most 1
        ([-1, 0.5], -0.5, 2),  # but for rounding
    ],
)
def test_a_unit_that_its_relu_always_silences_is_removed(weights, bias, left):
    kernel = np.array([[1, 1], weights], np.float32).reshape(2, 1, 1, 2)
    last = dense([[1, 1]], [0])
    layers = chain("image", conv(kernel, [0, bias]), "relu", "flatten", ("dense", last))
    small = shrink(layers, 2)
    assert units(small) == [left, 1]
    assert small[4].arrays["bias"].tolist() == [0]


def test_a_vector_may_be_negative():
    first, last = dense([[1], [-1]], [0, 0]), dense([[1, 1]], [0])
    assert units(shrink(chain(("dense", first), "relu", ("dense", last)), 1)) == [2, 1]


@pytest.mark.parametrize(
    ("constant", "pads", "left", "bias"),
    [
        (2, ((0, 0), (0, 0)), 1, 10 + 2 * (3 + 4)),
        (2, ((0, 0), (0, 1)), 2, 10),  # at the right border it meets a zero instead
        (0, ((0, 0), (0, 1)), 1, 10),
        (-2, ((0, 0), (0, 1)), 1, 10),  # zero behind its ReLU
    ],
)
def test_a_constant_channel_is_folded_only_where_no_border_shows(constant, pads, left, bias):
    first = conv(np.array([1, 0]).reshape(2, 1, 1, 1), [0, constant])
    second = conv([[[[1, 3], [1, 4]]]], [10], pads)  # one row, two columns, two channels
    last = dense(np.ones((1, 6 if pads[1][1] else 4)), [0])
    layers = chain("image", first, "relu", second, "relu", "flatten", ("dense", last))
    small = shrink(layers, 1)
    assert units(small) == [left, 1, 1]
    assert small[3].arrays["bias"].tolist() == [bias]
    image = np.array([[0, 51, 255], [102, 0, 51]], np.uint8).reshape(1, 1, 2, 3, 1)
    assert played(layers, image) == pytest.approx(played(small, image), rel=1e-6)


def played(layers, image):
    from prune_rl.exporting.numpy_policy import Policy

    form = {"shape": image.shape[1:], "dtype": "uint8"}
    policy = Policy(
        {"observation": form, "actions": {"kind": "numbered"}}, [vars(x) for x in layers]
    )
    return policy.values(image)[0]


def stream(readers):
    """A residual stream of three channels, two that write to it after the first, and readers."""
    made = Layers()
    first = made.add("dense", 0, arrays=dense(np.eye(3), [0, 0, 0]))
    inner = made.add("dense", made.add("relu", first), arrays=dense(readers[0], [0]))
    back = made.add("dense", made.add("relu", inner), arrays=dense([[1], [1], [1]], [0, 0, 0]))
    total = made.add("add", first, back)
    made.add("dense", made.add("relu", total), arrays=dense(readers[1], [0]))
    return made.made


def test_a_channel_of_a_stream_stays_if_anyone_reads_it():
    assert units(shrink(stream([[[1, 0, 0]], [[0, 1, 0]]]), 3)) == [2, 1, 2, 1]
    assert units(shrink(stream([[[1, 0, 0]], [[1, 0, 0]]]), 3)) == [1, 1, 1, 1]


def test_a_channel_of_a_stream_is_no_constant_if_anyone_writes_to_it():
    layers = stream([[[1, 0, 0]], [[1, 1, 1]]])
    layers[0].arrays["kernel"][1:] = 0  # the block writes to these two
    assert units(shrink(layers, 3)) == [3, 1, 3, 1]
    layers[4].arrays["kernel"][2] = 0
    layers[4].arrays["bias"][2] = 5
    small = shrink(layers, 3)
    assert units(small) == [2, 1, 2, 1]
    assert small[-1].arrays["bias"].tolist() == [5]


def test_a_normalisation_keeps_all_that_it_reads():
    norm = {"scale": np.array([1, 0, 1], np.float32), "bias": np.array([0, 4, 0], np.float32)}
    first, last = dense([[1], [0], [2]], [0, 1, 0]), dense([[1, 2, 0]], [0])
    layers = chain(("dense", first), ("layer_norm", norm, {"epsilon": 1e-6}), ("dense", last))
    small = shrink(layers, 1)
    assert units(small) == [3, 1]
    # With a scale of zero it answers its bias, whatever it reads.
    assert small[2].arrays["kernel"].tolist() == [[1, 0, 0]]
    assert small[2].arrays["bias"].tolist() == [8]


def test_a_norm_is_not_that_of_fewer_features_unless_they_are_zeros():
    first, last = dense([[1], [0], [2], [0]], [0, 3, 0, -1]), dense([[1, 0, 0, 1]], [0])
    layers = chain(("dense", first), "relu", ("l2", {}, {"least": 1e-12}), ("dense", last))
    small = shrink(layers, 1)
    assert units(small) == [3, 1]  # all but the last, which is silent
    assert small[0].arrays["bias"].tolist() == [0, 3, 0]


def test_a_layer_keeps_a_unit():
    first, last = dense([[1], [1]], [0, 0]), dense([[0, 0]], [7])
    small = shrink(chain(("dense", first), "relu", ("dense", last)), 1)
    assert units(small) == [1, 1]
    assert small[-1].arrays["bias"].tolist() == [7]


def test_a_kernel_that_does_not_fit_is_no_policy():
    bad = [Layer("dense", (0,), dense([[1, 2, 3]], [0]))]
    with pytest.raises(ValueError, match="cannot read 2 channels"):
        shrink(bad, 2)


@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_no_answer_changes(name, seed):
    """Exactly, in float64; and what flax answers in float32."""
    case, rng = CASES[name], np.random.default_rng(seed)
    params = random_params(case, rng)
    batch = observations(case, rng)
    full, channels = full_layers(case, params), num_inputs(case)
    small, exact = shrink(full, channels), of_dtype(full, np.float64)
    wanted = answers(case, exact, batch)
    size = np.abs(wanted).max() + 1e-3
    assert np.abs(answers(case, shrink(exact, channels), batch) - wanted).max() < 1e-12 * size
    assert np.abs(answers_of_flax(case, params, batch) - answers(case, small, batch)).max() < (
        2e-5 * size
    )
    assert units(shrink(small, channels)) == units(small)


def test_holes_of_every_kind_are_found():
    """The test above would be empty if nothing were removed."""
    removed = {}
    for name, case in CASES.items():
        full = full_layers(case, random_params(case, np.random.default_rng(3)))
        removed[name] = sum(units(full)) - sum(units(shrink(full, num_inputs(case))))
    assert [name for name, count in removed.items() if not count] == [
        *("mlp, normalised", "mlp, normalised last", "mlp, spectral, normalised last")
    ]

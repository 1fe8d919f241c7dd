"""Convolutions by patches and by pairs of columns against XLA's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.networks import convolution
from prune_rl.networks.convolution import by_pairs, by_patches, by_xla, convolution_for
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso

CASES = [  # size of the image, channels, kernel, stride, padding
    ((10, 10), 4, (3, 3), 1, "VALID"),
    ((10, 12), 3, (3, 3), 1, "SAME"),
    ((19, 24), 4, (3, 3), 1, "SAME"),
    ((7, 9), 4, (3, 3), 1, "SAME"),  # an odd number of columns
    ((11, 10), 5, (3, 3), 1, "SAME"),  # more channels
    ((21, 30), 2, (4, 6), 1, "SAME"),
    ((21, 30), 4, (8, 7), (4, 2), "SAME"),
    ((21, 30), 4, (4, 5), (3, 1), "VALID"),
]


def value_and_gradients(function, size, channels, kernel, stride, padding, dtype):
    """Of a layer of seven units with this convolution, of two images: value, their gradients."""
    layer = nn.Conv(7, kernel, stride, padding, conv_general_dilated=function, param_dtype=dtype)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *size, channels)), dtype)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype),
        jax.eval_shape(layer.init, jax.random.PRNGKey(0), images[0])["params"],
    )

    def outputs(params, images):
        return jax.vmap(lambda image: layer.apply({"params": params}, image))(images)

    values, pullback = jax.vjp(jax.jit(outputs), params, images)
    cotangents = jnp.asarray(rng.normal(size=values.shape), dtype)
    return jax.tree.leaves((values, pullback(cotangents)))


def deviations(function, case, dtype):
    """Largest differences from XLA's convolution, relative to its largest number."""
    ours, theirs = (value_and_gradients(own, *case, dtype) for own in (function, by_xla))
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape
        assert own.dtype == other.dtype
        yield float(abs(own - other).max() / abs(other).max())


@pytest.mark.parametrize("function", [by_patches, by_pairs])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_xla(function, case):
    with jax.enable_x64(True):
        assert max(deviations(function, case, jnp.float64)) < 1e-13
    assert max(deviations(function, case, jnp.float32)) < 2e-5


@pytest.mark.parametrize(
    ("case", "is_paired"),
    list(zip(CASES, [True, True, True, False, False, True, False, False], strict=True)),
)
def test_columns_are_paired_where_they_can_be_and_channels_are_few(monkeypatch, case, is_paired):
    strides = []

    def spy(x, kernel, window_strides, *args, **kwargs):
        strides.append(tuple(window_strides))
        return jax.lax.conv_general_dilated(x, kernel, window_strides, *args, **kwargs)

    monkeypatch.setattr(convolution, "by_xla", spy)
    value_and_gradients(by_pairs, *case, jnp.float32)
    own = case[3] if isinstance(case[3], tuple) else (case[3],) * 2
    assert set(strides) == {(1, 2) if is_paired else own}


@pytest.mark.parametrize("function", [by_patches, by_pairs])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_dilation": 2},
        {"kernel_dilation": (1, 2)},
        {"input_dilation": 2, "padding": ((1, 1), (1, 1))},
        {"feature_group_count": 2},
        {"padding": ((1, 1), (2, 1))},
        {"padding": 1},
    ],
    ids=str,
)
def test_what_neither_can_compute_is_left_to_xla(function, options):
    images = np.random.default_rng(0).normal(size=(2, 10, 12, 4)).astype(np.float32)
    ours, theirs = (
        nn.Conv(8, (3, 3), conv_general_dilated=own, **options) for own in (function, by_xla)
    )
    params = theirs.init(jax.random.PRNGKey(0), images)
    np.testing.assert_array_equal(ours.apply(params, images), theirs.apply(params, images))


@pytest.mark.parametrize("function", [by_patches, by_pairs])
@pytest.mark.parametrize("dimension_numbers", [None, ("NHWC", "HWIO", "NCHW")])
def test_other_layouts_are_left_to_xla(function, dimension_numbers):
    images, kernel = jnp.ones((2, 4, 6, 6)), jnp.ones((4, 4, 3, 3))
    if dimension_numbers:
        images, kernel = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 4, 4))
    found, expected = (
        own(images, kernel, (1, 1), "VALID", dimension_numbers=dimension_numbers)
        for own in (function, by_xla)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("backend", "shape", "expected"),
    [
        ("cpu", (10, 10, 4), by_patches),
        ("cpu", (16, 16, 4), by_patches),
        ("cpu", (16, 17, 4), by_pairs),
        ("cpu", (84, 84, 4), by_pairs),
        ("gpu", (10, 10, 4), by_xla),
        ("tpu", (84, 84, 4), by_xla),
    ],
)
def test_the_choice_follows_the_image_and_the_backend(monkeypatch, backend, shape, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert convolution_for(shape) is expected


@pytest.mark.parametrize(
    ("torso", "shape"),
    [
        (MinAtarTorso(), (1, 10, 10, 4)),
        (ImpalaTorso(), (1, 10, 10, 4)),
        (ImpalaTorso(), (4, 18, 18, 1)),
    ],
)
def test_a_torso_has_the_same_first_weights_and_features_as_with_xla(monkeypatch, torso, shape):
    observation = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    init = partial(torso.init, jax.random.PRNGKey(0), observation)
    params, features = init(), torso.apply(init(), observation)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.tree.map(np.testing.assert_array_equal, params, init())
    expected = torso.apply(params, observation)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6 * expected.max())


def test_no_torso_for_small_images_has_a_convolution_left_for_a_loop_to_slow_down():
    for torso in (MinAtarTorso(), ImpalaTorso()):
        shape = jax.ShapeDtypeStruct((1, 10, 10, 4), jnp.uint8)
        params = jax.eval_shape(torso.init, jax.random.PRNGKey(0), shape)
        loss = jax.grad(lambda params, image, torso=torso: torso.apply(params, image).sum())
        assert "conv_general_dilated" not in str(jax.make_jaxpr(loss)(params, shape))

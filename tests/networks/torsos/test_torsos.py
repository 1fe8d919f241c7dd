"""Torsos against convolutions written in NumPy float64, and against published sizes."""

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaStack, ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

ATARI, MINATAR = (4, 84, 84, 1), (1, 10, 10, 4)
KEY = jax.random.PRNGKey(0)


def size(torso, shape, num_actions):
    network = QNetwork(torso, num_actions)
    shapes = jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(shape, jnp.uint8))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def random_params(module, example):
    """Parameters of `module` in float64, drawn by NumPy, biases included."""
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(module.init, KEY, example)["params"]
    return jax.tree.map(lambda leaf: rng.normal(0, leaf.size**-0.25, leaf.shape), shapes)


def apply(module, params, example):
    return jax.jit(module.apply)({"params": jax.tree.map(jnp.float32, params)}, example)


def relu(x):
    return np.maximum(x, 0)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def padded(x, kernel, stride, fill):
    """SAME padding as TensorFlow defines it: the odd pixel goes below and to the right."""
    total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[:2]]
    sides = [(t // 2, t - t // 2) for t in total]
    return np.pad(x, [*sides, (0, 0)], constant_values=fill)


def conv(x, layer, stride=1, same=True):
    kernel, k = layer["kernel"], layer["kernel"].shape[0]
    x = padded(x, k, stride, 0.0) if same else x
    rows = range(0, x.shape[0] - k + 1, stride)
    columns = range(0, x.shape[1] - k + 1, stride)
    windows = np.array([[x[i : i + k, j : j + k] for j in columns] for i in rows])
    return np.einsum("ijhwc,hwco->ijo", windows, kernel) + layer["bias"]


def max_pool(x):
    x = padded(x, 3, 2, -np.inf)
    size_out = [(n - 3) // 2 + 1 for n in x.shape[:2]]
    return np.array(
        [
            [x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1)) for j in range(size_out[1])]
            for i in range(size_out[0])
        ]
    )


def impala_stack(x, params):
    x = max_pool(conv(x, params["Conv_0"]))
    for block in (params["ResidualBlock_0"], params["ResidualBlock_1"]):
        x = x + conv(relu(conv(relu(x), block["Conv_0"])), block["Conv_1"])
    return x


def image(observation):
    """Oldest frame's channels first, in [0, 1]."""
    return np.concatenate(list(observation.astype(np.float64) / 255), axis=-1)


def minatar_image(observation, params):
    return relu(conv(image(observation), params["Conv_0"], same=False))


def nature_image(observation, params):
    x = image(observation)
    for i, stride in enumerate((4, 2, 1)):
        x = relu(conv(x, params[f"Conv_{i}"], stride))
    return x


def impala_image(observation, params):
    x = image(observation)
    for i in range(3):
        x = impala_stack(x, params[f"ImpalaStack_{i}"])
    return relu(x)


def flattened(layers):
    """Features that read every place of the last image."""

    def reference(observation, params):
        return relu(dense(layers(observation, params).reshape(-1), params["Dense_0"]))

    return reference


def pooled(layers):
    """Features that read the mean of each of its channels."""

    def reference(observation, params):
        return relu(dense(layers(observation, params).mean(axis=(0, 1)), params["Dense_0"]))

    return reference


nature, minatar, impala = map(flattened, (nature_image, minatar_image, impala_image))


@pytest.mark.parametrize(
    ("torso", "shape", "reference"),
    [
        (NatureTorso(), (4, 21, 30, 1), nature),
        (NatureTorso(width=2), (2, 16, 16, 2), nature),
        (MinAtarTorso(), (1, 10, 10, 6), minatar),
        (MinAtarTorso(width=3), (2, 10, 10, 4), minatar),
        (ImpalaTorso(), (4, 9, 12, 1), impala),
        (ImpalaTorso(width=2, scale_hidden=True), MINATAR, impala),
        (ImpalaTorso(stacks=(3, 7, 5)), MINATAR, impala),
        (NatureTorso(width=2, scale_hidden=True), (2, 16, 16, 2), nature),
        (NatureTorso(global_average_pooling=True), (4, 21, 30, 1), pooled(nature_image)),
        (MinAtarTorso(width=2, global_average_pooling=True), MINATAR, pooled(minatar_image)),
        (ImpalaTorso(global_average_pooling=True), (4, 9, 12, 1), pooled(impala_image)),
    ],
)
def test_features_match_numpy(torso, shape, reference):
    observation = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    params = random_params(torso, observation)
    features = apply(torso, params, observation)
    expected = reference(observation, params)
    assert features.dtype == jnp.float32
    assert 0.2 < (expected > 0).mean() < 0.8  # neither dead nor linear
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_impala_stack_matches_numpy():
    x = np.random.default_rng(1).normal(size=(7, 8, 3))
    stack = ImpalaStack(channels=5)
    params = random_params(stack, jnp.float32(x))
    out = apply(stack, params, jnp.float32(x))
    assert out.shape == (4, 4, 5)
    np.testing.assert_allclose(out, impala_stack(x, params), rtol=1e-4, atol=1e-4)


def test_q_network_puts_a_linear_head_on_the_torso():
    observation = np.random.default_rng(1).integers(0, 256, MINATAR, dtype=np.uint8)
    network = QNetwork(MinAtarTorso(), num_actions=6)
    params = random_params(network, observation)
    values = apply(network, params, observation)
    expected = dense(minatar(observation, params["torso"]), params["head"])
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("torso", "shape", "num_actions", "sizes"),
    [
        # Nature x1 and all of Impala: sizes of Dopamine's networks.
        (ImpalaTorso, ATARI, 18, [2_089_954, 4_363_698, 6_830_978, 9_491_794, 12_346_146]),
        (NatureTorso, ATARI, 18, [4_052_658, 8_234_834, 12_556_274, 17_016_978, 21_616_946]),
        (MinAtarTorso, MINATAR, 6, [132_566, 264_230, 395_894, 527_558, 659_222]),
    ],
)
def test_parameter_counts_of_widths_one_to_five(torso, shape, num_actions, sizes):
    assert [size(torso(width=w), shape, num_actions) for w in range(1, 6)] == sizes


@pytest.mark.parametrize(
    ("torso", "shape", "num_actions", "sizes"),
    [
        # By hand, layer by layer; width 1 is as without.
        (NatureTorso, ATARI, 18, [4_052_658, 16_174_418, 36_365_298]),
        (MinAtarTorso, MINATAR, 6, [132_566, 527_270, 1_184_118]),
    ],
)
def test_parameter_counts_with_the_dense_layer_scaled(torso, shape, num_actions, sizes):
    counted = [size(torso(width=w, scale_hidden=True), shape, num_actions) for w in (1, 2, 3)]
    assert counted == sizes


@pytest.mark.parametrize(("width", "expected"), [(1, 4_363_698), (3, 39_203_058)])
def test_parameter_counts_of_labs_redo(width, expected):
    """Those of Dopamine's ScalableDQNResNet."""
    torso = ImpalaTorso(width=width, stacks=[32, 64, 64], scale_hidden=True)
    assert size(torso, ATARI, 18) == expected


def test_parameter_count_of_rainbow_on_a_resnet_scaled_as_a_whole():
    """As Dopamine's ParameterizedRainbowNetwork on the Impala encoder, nn_scale 2, not dueling."""
    network = QNetwork(ImpalaTorso(width=2, scale_hidden=True), 18, num_atoms=51)
    shapes = jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(ATARI, jnp.uint8))
    convolutions = 4_363_698 - (11 * 11 * 64 + 1) * 512 - 513 * 18
    dense = (11 * 11 * 64 + 1) * 1024 + 1025 * 18 * 51
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == convolutions + dense


def test_scale_hidden_widens_only_the_dense_layer():
    flat, extra = 11 * 11 * 32 * 3, 2 * 512  # 1,024 more features at width 3
    grown = (flat + 1) * extra + extra * 18
    plain = size(ImpalaTorso(width=3), ATARI, 18)
    assert size(ImpalaTorso(width=3, scale_hidden=True), ATARI, 18) == plain + grown


def test_impala_has_fifteen_convolutions():
    observation = jax.ShapeDtypeStruct(ATARI, jnp.uint8)
    params = jax.eval_shape(ImpalaTorso().init, KEY, observation)
    assert sum(leaf.ndim == 4 for leaf in jax.tree.leaves(params)) == 15


def test_initialisers_of_impala():
    """Xavier uniform is bounded by its limit; LeCun normal's tail exceeds it."""
    params = ImpalaStack(channels=32).init(KEY, jnp.zeros((3, 3, 32)))["params"]
    first = params["Conv_0"]["kernel"]
    residual = params["ResidualBlock_0"]["Conv_0"]["kernel"]
    limit = np.sqrt(6 / (9 * 32 + 9 * 32))
    assert 0.98 * limit < np.abs(first).max() <= limit
    assert np.abs(residual).max() > 1.2 * limit
    np.testing.assert_allclose(residual.std(), np.sqrt(1 / (9 * 32)), rtol=0.05)


@pytest.mark.parametrize("torso", [NatureTorso, ImpalaTorso, MinAtarTorso])
@pytest.mark.parametrize("width", [0, -1, 1.5, "3", True])
def test_a_wrong_width_names_its_binding(torso, width):
    with pytest.raises(ConfigError, match=rf"{torso.__name__}\.width=.*integer >= 1"):
        torso(width=width)


@pytest.mark.parametrize("torso", [NatureTorso, ImpalaTorso, MinAtarTorso])
def test_a_wrong_scale_hidden_names_its_binding(torso):
    with pytest.raises(ConfigError, match=rf"{torso.__name__}\.scale_hidden=1: expected True"):
        torso(scale_hidden=1)


@pytest.mark.parametrize("stacks", [(16, 32), (16, 32, 32, 32), (16, 32, 0), (16, 32, 2.0), 16])
def test_wrong_stacks_name_their_binding(stacks):
    with pytest.raises(ConfigError, match=r"ImpalaTorso\.stacks=.*three integers >= 1"):
        ImpalaTorso(stacks=stacks)


def test_gin_sets_the_width():
    gin.bind_parameter("ImpalaTorso.width", 3)
    try:
        assert ImpalaTorso().width == 3
    finally:
        gin.clear_config()


@pytest.mark.parametrize("torso", [NatureTorso, ImpalaTorso, MinAtarTorso])
def test_vectors_are_refused(torso):
    with pytest.raises(ConfigError, match=r"observations of shape=\(3,\): expected images; vec"):
        torso().init(jax.random.PRNGKey(0), jnp.zeros(3))

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.pruning.distributions import erk, uniform


def _impala(width):
    """Shapes of the Impala ResNet with a hidden layer of 512 and 18 actions on 84x84x4."""
    shapes, channels_in = {}, 4
    for stack, channels in enumerate((16 * width, 32 * width, 32 * width)):
        shapes[f"stack_{stack}_in"] = (3, 3, channels_in, channels)
        shapes |= {f"stack_{stack}_{conv}": (3, 3, channels, channels) for conv in range(4)}
        channels_in = channels
    shapes |= {"hidden": (11 * 11 * channels_in, 512), "head": (512, 18)}
    return _tree(shapes)


def _tree(shapes):
    return {
        name: {
            "kernel": jax.ShapeDtypeStruct(shape, jnp.float32),
            "bias": jax.ShapeDtypeStruct(shape[-1:], jnp.float32),
        }
        for name, shape in shapes.items()
    }


def _num_kept(params, sparsities):
    return {
        name: round(layer["kernel"].size * (1 - sparsities[name]["kernel"]))
        for name, layer in params.items()
    }


@pytest.mark.parametrize(
    ("width", "total_kept"), [(1, 104_459), (2, 218_130), (3, 341_473), (4, 474_487), (5, 617_174)]
)
def test_erk_keeps_of_impala_what_jaxpruner_keeps(width, total_kept):
    params = _impala(width)
    sparsities = erk(params, 0.95)
    assert sum(_num_kept(params, sparsities).values()) == total_kept
    dense = [name for name, own in sparsities.items() if own["kernel"] == 0.0]
    assert dense == ["head"]


def test_erk_layer_by_layer_of_impala_at_width_3():
    params = _impala(3)
    sparsities = erk(params, 0.95)
    kept = _num_kept(params, sparsities)
    expected = {
        "stack_0_in": (0.2322655, 1327),
        "stack_0_0": (0.8874872, 2333),
        "stack_1_in": (0.9172700, 3431),
        "stack_2_3": (0.9453982, 4529),
        "hidden": (0.9533567, 277_406),
    }
    for name, (sparsity, num_kept) in expected.items():
        assert sparsities[name]["kernel"] == pytest.approx(sparsity, abs=5e-8)
        assert kept[name] == num_kept


@pytest.mark.parametrize("distribution", [uniform, erk])
def test_only_kernels_get_a_sparsity(distribution):
    sparsities = distribution(_tree({"a": (8, 4), "b": (3, 3, 2, 5)}), 0.5)
    assert sparsities["a"]["bias"] is None
    assert sparsities["b"]["bias"] is None
    assert type(sparsities["a"]["kernel"]) is float
    assert distribution({"bias": jnp.ones(3)}, 0.5) == {"bias": None}


@pytest.mark.parametrize("distribution", [uniform, erk])
def test_a_tensor_of_any_rank_and_another_name_gets_none_and_pays_for_nothing(distribution):
    tree = _tree({"a": (8, 4), "b": (3, 3, 2, 5)})
    alone = distribution(tree, 0.5)
    tree["a"]["bias"] = jax.ShapeDtypeStruct((10, 4), jnp.float32)  # as of ten members
    tree["c"] = {"embedding": jax.ShapeDtypeStruct((50, 4), jnp.float32)}
    assert distribution(tree, 0.5) == alone | {"c": {"embedding": None}}


def test_uniform_is_the_same_everywhere():
    sparsities = uniform(_tree({"a": (8, 4), "b": (3, 3, 2, 5)}), 0.7)
    assert sparsities["a"]["kernel"] == sparsities["b"]["kernel"] == 0.7


def test_erk_at_zero_is_dense_to_the_last_bit():
    sparsities = erk(_impala(1), 0.0)
    assert {own["kernel"] for own in sparsities.values()} == {0.0}


_SHAPES = st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple), min_size=1)


@given(_SHAPES, st.floats(0.01, 0.99))
@settings(max_examples=50, deadline=None)
def test_erk_keeps_the_budget_and_density_follows_the_shape(shapes, sparsity):
    tree = _tree({str(i): shape for i, shape in enumerate(shapes)})
    by_name = erk(tree, sparsity)
    sparsities = [by_name[name]["kernel"] for name in tree]
    sizes = np.array([math.prod(shape) for shape in shapes])
    densities = 1 - np.array(sparsities)
    assert (densities <= 1).all()
    assert (densities >= 0).all()
    budget = (sizes - np.floor(sparsity * sizes)).sum()
    assert (densities * sizes).sum() == pytest.approx(budget, rel=1e-9)
    raw = np.array([sum(shape) for shape in shapes]) / sizes
    for i, j in itertools.combinations(range(len(shapes)), 2):
        if sparsities[i] > 0 and sparsities[j] > 0:
            assert densities[i] / densities[j] == pytest.approx(raw[i] / raw[j], rel=1e-6)
        if raw[i] > raw[j]:
            assert densities[i] >= densities[j] - 1e-9


@pytest.mark.parametrize("distribution", [uniform, erk])
def test_dense_layers_are_left_out_and_pay_for_nothing(distribution):
    tree = {"params": {"torso": _impala(1), "head": _tree({"x": (512, 18)})["x"]}}
    sparsities = distribution(tree, 0.9, ["head", "torso/stack_0*"])["params"]
    assert sparsities["head"]["kernel"] is None
    dense = [name for name in tree["params"]["torso"] if name.startswith("stack_0")]
    assert len(dense) == 5
    assert all(sparsities["torso"][name]["kernel"] is None for name in dense)
    others = {name: own for name, own in tree["params"]["torso"].items() if name not in dense}
    alone = distribution(others, 0.9)
    assert {name: sparsities["torso"][name] for name in others} == alone


def test_a_pattern_that_fits_no_layer_names_the_nearest():
    tree = {"params": _impala(1)}
    with pytest.raises(ConfigError, match=r"dense_layers='haed': fits no layer.*'head'"):
        erk(tree, 0.9, ["haed"])
    with pytest.raises(ConfigError, match="expected to leave a layer to prune"):
        uniform(tree, 0.9, ["*"])


@pytest.mark.parametrize("share", [uniform, erk])
def test_a_network_without_layers_has_none_to_leave_dense(share):
    """As the temperature of an agent whose other networks have a head."""
    assert share({"params": {"log_alpha": np.zeros(())}}, 0.5, ["head"]) == {
        "params": {"log_alpha": None}
    }

import jax
import numpy as np
import pytest
from flax import nnx

from prune_rl.pruning.tensors import is_prunable, layer_of, prunable_tensors, tensor_name
from prune_rl.pruning.ties import is_weight

_TREE = {
    "params": {"torso": {"Conv_0": {"kernel": 0}}, "kernel_net": {"bias": 0}},
    "other": {"x": 0},
}


def test_names_are_paths_below_params():
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(_TREE)]
    names = ["other/x", "kernel_net/bias", "torso/Conv_0/kernel"]
    assert [tensor_name(path) for path in paths] == names
    assert [layer_of(name) for name in names] == ["other", "kernel_net", "torso/Conv_0"]


def test_names_are_those_of_variables_elements_and_fields():
    tree = nnx.State({"layer": {"kernel": nnx.Param(np.ones((2, 2)))}})
    ((path, _),) = jax.tree_util.tree_leaves_with_path(tree)
    assert tensor_name(path) == "layer/kernel"
    ((path, _),) = jax.tree_util.tree_leaves_with_path([(None, {"w": 0})])
    assert (tensor_name(path), layer_of(tensor_name(path))) == ("0/1/w", "0/1")
    assert layer_of("w") == "w"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["kernel"], {"a/kernel", "kernel"}),
        (["w*"], {"b/w", "w1"}),
        (["b/*"], {"b/w", "b/c/x"}),
        (["*/w", "w1"], {"b/w", "w1"}),
        (["*"], {"a/kernel", "kernel", "b/w", "w1", "b/c/x"}),
    ],
)
def test_patterns_are_of_last_parts_or_of_whole_names(patterns, names):
    tree = {"a": {"kernel": 2, "bias": 1}, "kernel": 3, "b": {"w": 2, "c": {"x": 2}}, "w1": 2}
    params = jax.tree.map(lambda axes: np.ones((2,) * axes), tree)
    assert prunable_tensors(params, patterns).keys() == names


@pytest.mark.parametrize(
    ("name", "prunable", "weight"),
    [
        ("torso/Conv_0/kernel", True, True),
        ("kernel", True, True),
        ("head/kernel_sigma", False, True),
        ("head/bias", False, False),
        ("head/bias_sigma", False, False),
        ("kernel/bias", False, False),
        ("head/my_kernel", False, False),
        ("head/embedding", False, False),
    ],
)
def test_the_last_part_of_a_name_decides(name, prunable, weight):
    assert is_prunable(name) == prunable
    assert is_weight(name) == weight

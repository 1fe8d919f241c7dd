import jax
import pytest

from prune_rl.pruning.tensors import is_prunable, layer_of, tensor_name
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

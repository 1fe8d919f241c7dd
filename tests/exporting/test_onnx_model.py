"""The ONNX graph, run by onnxruntime, against flax."""

import sys

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.exporting.onnx_model import OnnxPolicy, require_onnx, write_onnx
from prune_rl.exporting.shrink import shrink
from tests.exporting.policies import (
    CASES,
    about,
    answers_of_flax,
    full_layers,
    num_inputs,
    observations,
    random_params,
)

pytestmark = pytest.mark.usefixtures("quick_compiling")


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_answers_what_flax_does(name, tmp_path):
    case, rng = CASES[name], np.random.default_rng(2)
    params, batch = random_params(case, rng), observations(case, rng)
    layers = shrink(full_layers(case, params), num_inputs(case))
    path = tmp_path / "policy.onnx"
    assert write_onnx(path, layers, about(case)) == path.stat().st_size
    policy, wanted = OnnxPolicy(path), answers_of_flax(case, params, batch)
    if about(case)["actions"]["kind"] == "numbered":
        np.testing.assert_allclose(policy.values(batch), wanted, atol=2e-5)
        assert policy.act(batch).tolist() == wanted.argmax(axis=1).tolist()
    else:
        np.testing.assert_allclose(policy.act(batch), wanted, atol=2e-5)
    assert policy.act(batch[:1]).shape[0] == 1


def test_without_onnx_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"--onnx: needs onnxruntime; pip install 'prune_rl\[onn"):
        require_onnx()

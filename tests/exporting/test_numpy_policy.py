"""An exported policy on a machine with NumPy alone, and what it says of damage."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from prune_rl.exporting.files import write_policy
from prune_rl.exporting.numpy_policy import digest_of, load_policy
from prune_rl.exporting.shrink import shrink
from tests.exporting.policies import (
    CASES,
    about,
    answers,
    answers_of_flax,
    full_layers,
    num_inputs,
    observations,
    random_params,
)

pytestmark = pytest.mark.usefixtures("quick_compiling")


def written(name, folder):
    """A policy on disk: its case, some observations, and what flax answers."""
    case, rng = CASES[name], np.random.default_rng(1)
    params, batch = random_params(case, rng), observations(case, rng, 40)
    write_policy(folder, shrink(full_layers(case, params), num_inputs(case)), about(case))
    return case, batch, answers_of_flax(case, params, batch)


@pytest.fixture(scope="module")
def minatar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    return folder, *written("minatar", folder)


@pytest.fixture
def copy(minatar, tmp_path):
    """A folder to damage."""
    folder = tmp_path / "copy"
    shutil.copytree(minatar[0], folder)
    return folder


_ALONE = """\
import sys

class Refuse:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("jax", "flax", "prune_rl", "safetensors", "scipy", "onnx"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ".")
import numpy as np
from numpy_policy import load_policy

policy, seen = load_policy("."), np.load("observations.npy")
np.save("answers.npy", policy.act(seen))
np.save("alone.npy", np.stack([policy.act(own) for own in seen]))
assert "prune_rl" not in sys.modules
"""


@pytest.mark.parametrize("name", ["minatar", "mlp, deterministic"])
def test_a_copied_folder_plays_where_only_numpy_is(name, tmp_path):
    case, batch, wanted = written(name, tmp_path / "own")
    folder = shutil.copytree(tmp_path / "own", tmp_path / "elsewhere")
    np.save(folder / "observations.npy", batch)
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    got, alone = (np.load(folder / f"{x}.npy") for x in ("answers", "alone"))
    if about(case)["actions"]["kind"] == "numbered":
        assert got.dtype == np.int32
        assert got.tolist() == alone.tolist() == wanted.argmax(axis=1).tolist()
    else:
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        np.testing.assert_allclose(alone, wanted, atol=1e-5)


def test_one_observation_has_no_batch_axis(minatar):
    folder, _, batch, wanted = minatar
    policy = load_policy(folder)
    assert policy.act(batch[0]).shape == ()
    assert policy.values(batch[0]).shape == wanted[0].shape
    np.testing.assert_allclose(policy.values(batch), wanted, atol=1e-5)
    assert policy.act(batch[:0]).shape == (0,)


def test_of_equal_values_the_first_is_chosen(minatar, tmp_path):
    _, case, batch, _ = minatar
    params = random_params(case, np.random.default_rng(0))
    params["params"]["head"]["kernel"][:] = 0
    params["params"]["head"]["bias"][:] = [1, 2, 2, 0]
    write_policy(tmp_path, full_layers(case, params), about(case))
    assert set(load_policy(tmp_path).act(batch).tolist()) == {1}


@pytest.mark.parametrize("density", [0.01, 0.05])
def test_a_large_sparse_layer_is_computed_from_its_weights_alone(density):
    """Against the dense product; a unit without weights answers its bias."""
    from prune_rl.exporting import numpy_policy

    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(300, 6000)) * (rng.random((300, 6000)) < density)
    kernel[[0, 17, 299]] = 0
    arrays = {"kernel": kernel, "bias": rng.normal(size=300)}
    function = numpy_policy._dense(arrays, {})
    assert function.__name__ == "sparse"
    x = rng.normal(size=(3, 6000))
    np.testing.assert_allclose(function(x), x @ kernel.T + arrays["bias"], atol=1e-12)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            np.zeros((11, 9, 2), np.uint8),
            r"\(11, 9, 2\): expected \(2, 11, 9, 2\), or \(B, 2, 11, 9, 2\)$",
        ),
        (np.zeros((2, 11, 9, 2), np.float32), "float32: expected uint8"),
        (np.zeros((2, 11, 9, 2), bool), "bool: expected uint8"),
        (np.zeros((2, 11, 9, 2), np.uint16), "uint16: expected uint8"),
        (np.zeros((2, 2, 2, 11, 9, 2), np.uint8), "expected"),
    ],
)
def test_other_observations_are_refused(minatar, given, expected):
    with pytest.raises(ValueError, match=expected):
        load_policy(minatar[0]).act(given)


def test_vectors_may_be_of_another_precision_and_have_no_values(tmp_path):
    _, batch, wanted = written("mlp", tmp_path)
    policy = load_policy(tmp_path)
    np.testing.assert_allclose(policy.act(batch.astype(np.float64)), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="no values: its actions are vectors"):
        policy.values(batch)


def test_a_changed_byte_of_the_weights_is_noticed(copy):
    path = copy / "policy.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"policy\.safetensors: damaged; its bytes are not"):
        load_policy(copy)
    path.write_bytes(data[:-9])
    with pytest.raises(ValueError, match=r"policy\.safetensors: damaged"):
        load_policy(copy)
    path.unlink()
    with pytest.raises(ValueError, match=r"policy\.safetensors: No such file"):
        load_policy(copy)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"policy": 3, "sha256": ""}', "\x00\xff"])
def test_a_description_that_is_none_is_damaged(copy, text):
    (copy / "policy.json").write_text(text, "latin-1")
    with pytest.raises(ValueError, match=r"policy\.json: damaged"):
        load_policy(copy)


def test_a_changed_description_is_noticed(copy):
    path = copy / "policy.json"
    path.write_text(path.read_text().replace('"relu"', '"tanh"', 1))
    with pytest.raises(ValueError, match=r"policy\.json: damaged; it is not what was written"):
        load_policy(copy)


def rewritten(folder, change):
    """Another description, with its own digest."""
    path = folder / "policy.json"
    own = json.loads(path.read_text())["policy"]
    change(own)
    path.write_text(json.dumps({"sha256": digest_of(own), "policy": own}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda own: own.update(format=2), "format 2; this numpy_policy.py reads 1"),
        (lambda own: own["layers"][1].update(kind="lstm"), "a layer 'lstm', which is not known"),
        (lambda own: own["layers"][1]["arrays"]["kernel"].update(stored="zip"), "stored as 'zip'"),
        (lambda own: own.pop("layers"), "cannot be understood"),
        (lambda own: own["layers"][1]["arrays"].pop("bias"), "cannot be understood"),
    ],
)
def test_what_is_not_known_is_refused(copy, change, expected):
    rewritten(copy, change)
    with pytest.raises(ValueError, match=expected):
        load_policy(copy)


def test_no_folder_is_said_in_a_line(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of an exported policy"):
        load_policy(tmp_path / "none")


def test_layers_answer_what_flax_does_before_anything_is_removed(minatar):
    _, case, _, _ = minatar
    rng = np.random.default_rng(5)
    params, batch = random_params(case, rng), observations(case, rng)
    got = answers(case, full_layers(case, params), batch)
    np.testing.assert_allclose(got, answers_of_flax(case, params, batch), atol=1e-5)

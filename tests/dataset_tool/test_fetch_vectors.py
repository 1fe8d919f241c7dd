"""Sets of D4RL's and Minari's from a mirror, or by Minari itself: where they then lie, whole."""

import hashlib
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl.dataset_tool import command, fetch_vectors, server
from prune_rl.datasets import d4rl_names
from prune_rl.datasets.finding import find_runs
from tests.datasets.vector_episodes import play, publish, read

from .faulty_server import FaultyServer

_BELOW = "gym_mujoco_v2/halfcheetah_medium_replay-v2.hdf5"
_NAME = "halfcheetah-medium-replay-v2"
_ID = "mujoco/hopper/expert-v0"


@pytest.fixture
def faulty(monkeypatch, tmp_path):
    monkeypatch.setattr(server, "_LONGEST_PAUSE", 0.01)
    faulty = FaultyServer()
    file = publish(tmp_path / "published.hdf5", play([5, 4], "to"))
    faulty.files = {_BELOW: file.read_bytes()}
    for name in ("main_data.hdf5", "metadata.json"):
        faulty.files[f"{_ID}/data/{name}"] = np.random.default_rng(0).bytes(20_000)
    yield faulty
    faulty.close()


def _fetch(faulty, out, dataset="d4rl", name=_NAME):
    flags = [f"--dataset={dataset}", f"--game={name}", f"--out={out}", f"--mirror={faulty.url}"]
    return command.main(["fetch", *flags])


def test_a_set_of_d4rl_comes_to_where_it_is_found_by_its_name(faulty, tmp_path, monkeypatch, capfd):
    out = tmp_path / "out"
    assert _fetch(faulty, out) == 0
    assert [path.name for path in out.iterdir()] == ["halfcheetah_medium_replay-v2.hdf5"]
    size = len(faulty.files[_BELOW]) / 1000
    assert capfd.readouterr().out == f"1 files, {size:.1f} kB, whole: {out}\n"
    monkeypatch.setenv("D4RL_DATASET_DIR", str(out))
    (run,) = find_runs("Dataset.path", _NAME)
    assert len(read(run)) == 9
    assert _fetch(faulty, out) == 0
    assert len(faulty.gets(_BELOW)) == 1  # it is there


def test_the_published_address(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(fetch_vectors.fetch, "fetch", lambda wanted, *_, **__: asked.extend(wanted))
    fetch_vectors.d4rl(tmp_path, "hopper-medium-v2")
    (one,) = asked
    where = "http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2"
    assert one.url == f"{where}/hopper_medium-v2.hdf5"
    assert (one.path, one.sha256) == (tmp_path / "hopper_medium-v2.hdf5", None)


def test_what_is_cut_is_resumed_and_what_a_list_contradicts_is_not_kept(faulty, tmp_path, capfd):
    faulty.cuts[_BELOW] = [1000, 2000]
    assert _fetch(faulty, tmp_path / "a") == 0
    assert faulty.gets(_BELOW) == [None, "bytes=1000-", "bytes=3000-"]
    faulty.files["SHA256SUMS"] = f"{hashlib.sha256(b'').hexdigest()}  {_BELOW}\n".encode()
    assert _fetch(faulty, tmp_path / "b") == 1
    assert "sha256" in capfd.readouterr().err
    assert not list((tmp_path / "b").rglob("*.hdf5"))


def test_a_set_of_minari_from_a_mirror(faulty, tmp_path):
    assert _fetch(faulty, tmp_path, "minari", _ID) == 0
    for name in ("main_data.hdf5", "metadata.json"):
        path = f"{_ID}/data/{name}"
        assert (tmp_path / path).read_bytes() == faulty.files[path]
    gets = [path for method, path, _ in faulty.asked if method == "GET" and "SUMS" not in path]
    assert gets[-1].endswith("metadata.json")  # which says that it is there


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("d4rl --game=halfcheetah-medum-v2", "d4rl has 48 sets .*; did you mean 'halfcheetah-med"),
        ("d4rl --game=hopper-medium-v2 --run=1", "--run: --dataset=d4rl has no runs; leave it out"),
        ("minari --game=a/b-v0 --checkpoints=1", "--checkpoints: --dataset=minari has no checkp"),
        ("dqn_replay --game=Pong", "--run: not given; expected 1 to 5 of --dataset=dqn_replay"),
        ("minari --game=mujoco/hopper/expert", "expected a name as .*; did you mean 'mujoco/hopp"),
    ],
)
def test_flags_that_are_wrong(flags, said, tmp_path, capfd):
    assert command.main(["fetch", *f"--dataset={flags}".split(), f"--out={tmp_path}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(said, line)


def test_what_a_server_does_not_have(faulty, tmp_path, capfd):
    assert _fetch(faulty, tmp_path, name="hopper-medium-v2") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("gym_mujoco_v2: nothing of the run is there")


def _fake(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(download_dataset=download))


def test_minari_fetches_to_where_we_say(tmp_path, monkeypatch, capfd):
    asked = []
    monkeypatch.setenv("MINARI_DATASETS_PATH", "before")
    _fake(monkeypatch, lambda name: asked.append((name, os.environ["MINARI_DATASETS_PATH"])))
    flags = ["fetch", "--dataset=minari", f"--game={_ID}", f"--out={tmp_path}"]
    assert command.main(flags) == 0
    assert asked == [(_ID, str(tmp_path))]
    assert os.environ["MINARI_DATASETS_PATH"] == "before"
    assert capfd.readouterr().out == f"fetched: {tmp_path / _ID}\n"


def test_what_minari_says_is_one_line(tmp_path, monkeypatch, capfd):
    def fail(name):
        raise ValueError("no such\ndataset")

    _fake(monkeypatch, fail)
    flags = ["fetch", "--dataset=minari", f"--game={_ID}", f"--out={tmp_path}"]
    assert command.main(flags) == 1
    assert capfd.readouterr().err.endswith("minari: ValueError: no such dataset\n")
    assert "MINARI_DATASETS_PATH" not in os.environ
    monkeypatch.setitem(sys.modules, "minari", None)
    assert command.main(flags) == 2
    assert "pip install 'prune_rl[minari]'" in capfd.readouterr().err


def test_names_are_those_of_gym_mujoco():
    """d4rl/infos.py: four robots, six qualities, v1 and v2."""
    assert len(set(d4rl_names.NAMES)) == 4 * 6 * 2
    assert "walker2d-full-replay-v2" in d4rl_names.NAMES
    assert d4rl_names.path_below("ant-medium-expert-v1") == (
        "gym_mujoco_v1/ant_medium_expert-v1.hdf5"
    )

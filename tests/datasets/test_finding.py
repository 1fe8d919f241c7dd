"""Which runs a path holds, in both formats alike."""

import json
import shutil
from pathlib import Path

import pytest

from prune_rl.datasets.experience import Share
from prune_rl.datasets.finding import find_runs
from prune_rl.errors import ConfigError

from . import replay_logs as logs

_SPLIT = {"name": "checkpoint_00", "shardLengths": ["1"]}
_FEATURES = ("observation", "action", "reward", "is_first", "is_last", "is_terminal")


def _write_replay(root, game, number):
    folder = root / game / str(number) / "replay_logs"
    logs.publish(folder, logs.play(0, [30], 4), 20)
    return folder


def _write_rlu(root, game, number):
    """What describes a run of tensorflow-datasets, without its records."""
    config = f"{game}_run_{number}"
    folder = root / "rlu_atari_checkpoints_ordered" / config / "1.1.0"
    folder.mkdir(parents=True)
    info = {"name": "rlu_atari_checkpoints_ordered", "configName": config, "version": "1.1.0"}
    (folder / "dataset_info.json").write_text(json.dumps(info | {"splits": [_SPLIT]}))
    features = {name: {} for name in _FEATURES}
    features["observation"] = {"image": {"shape": {"dimensions": ["84", "84", "1"]}}}
    steps = {"sequence": {"feature": {"featuresDict": {"features": features}}}}
    said = {"featuresDict": {"features": {"steps": steps}}}
    (folder / "features.json").write_text(json.dumps(said))
    return folder


_WRITERS = {"dqn_replay": _write_replay, "rl_unplugged": _write_rlu}


@pytest.fixture(params=_WRITERS)
def write(request):
    return _WRITERS[request.param]


def _found(path):
    return [(run.game, run.number) for run in find_runs("Dataset.path", path)]


@pytest.mark.parametrize("root", ["", "data", "a/b/c/d"])
def test_runs_are_found_at_any_depth(tmp_path, monkeypatch, write, root):
    """From the folder itself and from all above it, however the path is written."""
    expected = [("Pong", 1), ("Pong", 2), ("Qbert", 1)]
    folder, *_ = [write(tmp_path / root, game, number) for game, number in expected]
    run, game = folder.parent, folder.parent.parent
    ours = {folder: 1, run: 1}
    if folder.name == "replay_logs":
        ours[game] = 2
    monkeypatch.chdir(tmp_path)
    for path in (folder, *folder.parents):
        if not path.is_relative_to(tmp_path):
            break
        relative = path.relative_to(tmp_path)
        for form in (path, str(path), f"{path}/", str(relative), f"{relative}/", f"./{relative}"):
            assert _found(form) == expected[: ours.get(path, 3)], form
        monkeypatch.chdir(path)
        assert _found(".") == expected[: ours.get(path, 3)]
        monkeypatch.chdir(tmp_path)


def test_hidden_folders_are_not_looked_into_but_if_they_are_asked_for(tmp_path, write):
    write(tmp_path / "data", "Pong", 1)
    write(tmp_path / "data/deep/.partial", "Qbert", 2)
    assert _found(tmp_path) == [("Pong", 1)]
    assert _found(tmp_path / "data/deep/.partial") == [("Qbert", 2)]


def test_what_lies_inside_a_dataset_is_not_looked_at(tmp_path, write):
    folder = write(tmp_path, "Pong", 1)
    write(folder / "old", "Qbert", 2)
    assert _found(tmp_path) == [("Pong", 1)]


def test_checkpoints_of_an_agent_are_no_dataset(tmp_path):
    folder = _write_replay(tmp_path, "Pong", 1)
    shutil.copytree(folder, folder.parent / "checkpoints")
    assert _found(tmp_path) == [("Pong", 1)]


@pytest.mark.parametrize("target", ["store/deep/..", "data"])
def test_links_are_followed_but_not_back(tmp_path, write, target):
    write(tmp_path / "store/deep", "Pong", 1)
    data = tmp_path / "data"
    data.mkdir()
    (data / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "store/back").symlink_to(tmp_path / target)
    (tmp_path / "store/nowhere").symlink_to(tmp_path / "gone")
    assert _found(data) == [("Pong", 1)]


@pytest.mark.parametrize("both", [("dqn_replay", "rl_unplugged"), ("dqn_replay",) * 2])
def test_a_run_that_is_there_twice_is_refused_in_one_line(tmp_path, both):
    roots = (tmp_path / "one", tmp_path / "other")
    places = [_WRITERS[kind](root, "Pong", 3) for kind, root in zip(both, roots, strict=True)]
    _write_replay(roots[1], "Pong", 4)
    with pytest.raises(ConfigError) as caught:
        find_runs("Dataset.path", tmp_path)
    one, other = (f"Dataset.path='{place}'" for place in places)
    said = f"Dataset.path='{tmp_path}': run 3 of Pong is there twice; choose one: {one} or {other}"
    assert str(caught.value) == said
    assert _found(places[0]) == _found(places[1]) == [("Pong", 3)]


def test_a_path_without_data_is_refused(tmp_path):
    file = tmp_path / "a" / "file"
    file.parent.mkdir()
    file.touch()
    for path in (tmp_path, file):
        with pytest.raises(ConfigError, match="no dataset there; expected GAME/RUN/replay_logs"):
            find_runs("Dataset.path", path)
    with pytest.raises(ConfigError, match="no such directory"):
        find_runs("Dataset.path", Path(tmp_path / "b"))


@pytest.mark.parametrize("share", [Share(count=3), Share(unit="first")])
def test_of_frames_only_fractions_are_taken(tmp_path, write, share):
    write(tmp_path, "Pong", 1)
    (run,) = find_runs("Dataset.path", tmp_path)
    with pytest.raises(ConfigError, match="expected a fraction: counts are of vectors alone"):
        run.parts(share)

"""Sets that Minari itself has written, and files in its layout: what is learned from them."""

import json
import shutil
import warnings

import h5py
import numpy as np
import pytest

from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.finding import find_runs as find_any
from prune_rl.datasets.hdf5_files import BLOCK_ROWS
from prune_rl.datasets.minari import find_runs, num_rows, problems
from prune_rl.errors import ConfigError
from prune_rl.specs import Box

from .vector_episodes import read

minari = pytest.importorskip("minari")
gymnasium = pytest.importorskip("gymnasium")

ID = "mujoco/hopper/medium-v0"
_ENDS = ((4, True, False), (1, False, True), (6, True, True), (3, False, False))  # steps, flags


def _episodes(rng):
    for steps, terminated, truncated in _ENDS:
        flags = np.zeros((2, steps), bool)
        flags[:, -1] = terminated, truncated
        yield minari.data_collector.EpisodeBuffer(
            observations=rng.normal(size=(steps + 1, 11)),
            actions=rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
            rewards=rng.normal(size=steps),
            terminations=flags[0],
            truncations=flags[1],
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Minari's folder, with a set that it has written of Hopper-v5."""
    root = tmp_path_factory.mktemp("minari")
    buffers = list(_episodes(np.random.default_rng(0)))
    with pytest.MonkeyPatch.context() as patch, gymnasium.make("Hopper-v5") as env:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        with warnings.catch_warnings(action="ignore"):  # that nobody is named
            minari.create_dataset_from_buffers(
                ID, buffers, env=env, algorithm_name="SAC", ref_min_score=1.0, ref_max_score=9.0
            )
    return root


@pytest.fixture
def own(root, tmp_path):
    """A copy to damage: the folder of its two files."""
    return shutil.copytree(root, tmp_path / "minari") / ID / "data"


def _run(path):
    (run,) = find_runs(path)
    return run


def _change(folder, **changes):
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: x for name, x in metadata.items() if x is not None}))


def _replace(folder, name, values):
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file[name]
        if values is not None:
            file[name] = values


def _every(episodes):
    """(observation, action, reward, what follows) of each transition, as Minari gives them."""
    for own in episodes:
        for t in range(len(own.rewards)):
            after = None if own.terminations[t] else own.observations[t + 1].astype(np.float32)
            yield own.observations[t].astype(np.float32), own.actions[t], own.rewards[t], after


def _same(found, expected):
    assert len(found) == len(expected) > 0
    for (frame, action, reward, discount, after), own in zip(found, expected, strict=True):
        assert frame.tobytes() == own[0].tobytes()
        assert action.tobytes() == own[1].tobytes()
        assert reward == np.float32(own[2])
        assert discount == (0.0 if own[3] is None else 0.5)
        assert (after is None) == (own[3] is None)
        assert after is None or after.tobytes() == own[3].tobytes()


def test_every_transition_is_there_as_minari_gives_it(root, monkeypatch):
    """Also the last of an episode that was truncated, or goes on; terminated wins where both."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    expected = list(_every(minari.load_dataset(ID)))
    assert len(expected) == sum(steps for steps, *_ in _ENDS)
    _same(read(_run(root)), expected)
    (run,) = find_any("Dataset.path", ID)
    assert run.path == root / ID / "data"


def test_what_a_collector_has_recorded(tmp_path, monkeypatch):
    """Of a robot itself, with infos beside; cut by the time limit and by the end of it."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gymnasium.make("Walker2d-v5", max_episode_steps=7))
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(17):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    with warnings.catch_warnings(action="ignore"):
        data = env.create_dataset("mujoco/walker2d/simple-v0")
    run = _run(tmp_path)
    assert (run.game, run.observation_spec.shape) == ("Walker2d-v5", (17,))
    expected = list(_every(data))
    assert len(expected) == 17
    _same(read(run), expected)
    env.close()


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("unit", ["transitions", "windows", "first"])
def test_a_share_holds_what_its_windows_need(root, unit, horizon):
    every = {x[0].tobytes(): x for x in read(_run(root), Share(horizon=horizon))}
    order = list(every)
    for seed in range(4):
        found = read(_run(root), Share(unit=unit, seed=seed, horizon=horizon, count=6))
        assert [str(x) for x in found] == [str(every[x[0].tobytes()]) for x in found]
        places = [order.index(x[0].tobytes()) for x in found]
        assert len(places) == 6
        assert unit == "transitions" or np.ptp(places) == 5
        assert unit != "first" or places == list(range(6))


def test_long_episodes_are_read_in_blocks(own):
    steps = 2 * BLOCK_ROWS
    rng = np.random.default_rng(0)
    _replace(own, "episode_2/observations", rng.normal(size=(steps + 1, 11)))
    _replace(own, "episode_2/actions", np.zeros((steps, 3), np.float32))
    _replace(own, "episode_2/rewards", np.zeros(steps))
    for name in ("terminations", "truncations"):
        _replace(own, f"episode_2/{name}", np.zeros(steps, bool))
    run = _run(own)
    (part,) = run.parts(Share())
    blocks = list(part.blocks())
    assert max(len(block.ends) for block in blocks) == BLOCK_ROWS
    assert sum(len(block.ends) for block in blocks) == part.num_rows
    assert len(read(run)) == steps + 8


def test_what_is_said_of_a_set(root):
    run = _run(root)
    assert (run.game, run.suite, run.number, run.gaps) == ("Hopper-v5", "mujoco", 1, [])
    assert run.action_spec == Box((-1.0,) * 3, (1.0,) * 3)
    protocol = dict(run.protocol)
    assert protocol.pop("path") == str(root / ID / "data")
    assert protocol == {
        "format": "minari",
        "dataset": ID,
        "stored_rewards": "as they are",
        "algorithm": "SAC",
        "reference_scores": [1.0, 9.0],
    }


def test_without_reference_scores_a_line_says_whose_are_taken(own):
    _change(own, ref_max_score=None)
    run = _run(own)
    assert run.protocol["reference_scores"] == [-20.272305, 3234.3]
    assert run.gaps == ["no reference scores in metadata.json: D4RL's of that game are taken"]
    _change(own, env_spec='{"id": "Swimmer-v5"}')
    run = _run(own)
    assert run.protocol["reference_scores"] is None
    assert run.gaps == ["no reference scores in metadata.json: returns cannot be normalised"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [((9.0, 9.0), "9.0 and 9.0"), ((1.0, float("nan")), "1.0 and nan"), ((0, "9"), "0 and '9'")],
)
def test_reference_scores_that_are_no_scale_are_not_taken(own, scores, said):
    _change(own, ref_min_score=scores[0], ref_max_score=scores[1])
    run = _run(own)
    assert run.protocol["reference_scores"] == [-20.272305, 3234.3]
    expected = f"reference scores {said}, expected the first below the second, in metadata.json"
    assert run.gaps == [f"{expected}: D4RL's of that game are taken"]


def test_identity_changes_with_either_file(own, root):
    before = _run(root).identity()
    assert _run(own).identity() == before
    _change(own, author=["someone"])
    changed = _run(own).identity()
    _replace(own, "episode_0/rewards", np.zeros(4))
    assert len({before, changed, _run(own).identity()}) == 3


_LONE = {"type": "Dict", "subspaces": {}}
_IMAGE = {"type": "Box", "shape": [8, 8, 3], "low": 0, "high": 255}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"observation_space": None}, "metadata.json: observation_space=None, expected str"),
        ({"observation_space": "[]"}, r"observation_space: '\[\]' is no space as Minari writes it"),
        ({"observation_space": json.dumps(_LONE)}, "a Dict; expected a Box of one axis: vectors"),
        ({"action_space": json.dumps(_IMAGE)}, r"a Box of shape \[8, 8, 3\]; expected a Box"),
        ({"data_format": "arrow"}, "metadata.json: data_format='arrow': expected 'hdf5'"),
        ({"env_spec": None}, "env_spec: expected the specification of the environment"),
        ({"total_episodes": "4"}, "metadata.json: total_episodes='4', expected int"),
        ({"total_episodes": 5}, "main_data.hdf5: no episode_4, which metadata.json counts"),
        ({"total_episodes": 0}, "no transition to learn from"),
    ],
)
def test_metadata_that_are_wrong_are_one_line(own, changes, said):
    _change(own, **changes)
    with pytest.raises(ConfigError, match=said) as caught:
        read(_run(own))
    assert "\n" not in str(caught.value)
    assert str(own) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("episode_2/rewards", None, "episode_2 rewards: missing"),
        ("episode_2/actions", np.zeros((5, 3)), r"episode_2 actions: .*\(5, 3\), expected .*6, 3"),
        ("episode_2/observations", np.zeros((6, 11)), r"expected numbers \(7, 11\)"),
        ("episode_2/observations", np.zeros((7, 17)), r"expected numbers \(7, 11\)"),
        ("episode_2/observations", np.full((7, 11), np.nan), "observations: row 0 has nan"),
        ("episode_2/rewards", np.full(6, np.inf), "rewards: row 0 has inf"),
        ("episode_2/terminations", np.ones(6), "episode_2: goes on after step 0, with which it e"),
        ("episode_2/truncations", np.full(6, 7), "truncations: row 0 is 7.0, expected 0 or 1"),
    ],
)
def test_episodes_that_are_wrong_are_one_line(own, name, values, said):
    assert list(problems(_run(own))) == []
    _replace(own, name, values)
    with pytest.raises(Damaged, match=said) as caught:
        read(_run(own))
    assert "\n" not in str(caught.value)
    found = list(problems(_run(own)))
    assert len(found) == 1
    assert str(caught.value) == found[0]


def test_files_that_are_damaged_or_missing(own):
    (own / "main_data.hdf5").write_bytes((own / "main_data.hdf5").read_bytes()[:-100])
    with pytest.raises(Damaged, match=r"main_data.hdf5: cannot be read: .*truncated file"):
        read(_run(own))
    (own / "main_data.hdf5").unlink()
    with pytest.raises(Damaged, match=r"data: no main_data.hdf5"):
        find_runs(own)
    (own / "metadata.json").write_text("{")
    with pytest.raises(Damaged, match=r"metadata.json: cannot be read"):
        find_runs(own)
    (own / "metadata.json").write_text('{"name": "something else"}')
    assert find_runs(own) == []


def test_a_name_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"Dataset.path='D4RL/pen/human-v2': not there; expect"):
        find_any("Dataset.path", "D4RL/pen/human-v2")


def test_verify_counts_transitions_and_names_actions_out_of_bounds(own):
    told = []
    run = _run(own)
    assert list(problems(run, told.append)) == []
    assert sum(told) == num_rows(run) == 14
    _replace(own, "episode_3/actions", np.full((3, 3), 1 + 1e-6))  # as training lets them pass
    assert list(problems(_run(own))) == []
    _replace(own, "episode_3/actions", np.full((3, 3), 1.1))
    (line,) = problems(_run(own))
    assert line.endswith("main_data.hdf5: episode_3: an action outside of its space's bounds")

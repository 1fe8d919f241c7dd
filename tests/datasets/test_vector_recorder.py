"""What is recorded in D4RL's and Minari's layouts, read by them, by others' rules and by us."""

import json
import resource

import h5py
import numpy as np
import pytest

from prune_rl.datasets import d4rl, d4rl_writer, minari
from prune_rl.datasets.experience import Share
from prune_rl.datasets.finding import find_runs
from prune_rl.datasets.recorder import Played
from prune_rl.datasets.vector_recorder import WRITERS, vector_recorder
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete, ObservationSpec

from .played import FACTS, HOPPER, play
from .vector_episodes import read

STEPS = 100
D4RL_FILE = "hopper_run_{}-v5.hdf5"


def _record(root, format, steps=STEPS, num_runs=2):
    with vector_recorder(root, HOPPER, num_runs, format) as recorder:
        seen = play(recorder, steps, num_runs)
        abouts = recorder.finish([FACTS] * num_runs)
    return seen, abouts


@pytest.fixture(params=WRITERS)
def recorded(request, tmp_path):
    """Where two runs lie, and what they saw."""
    seen, _ = _record(tmp_path, request.param)
    return tmp_path, seen


def _same(found, expected):
    """Whether transitions of a run are those that were seen, in their order, to the bit."""
    assert len(found) == len(expected)
    for (frame, action, reward, discount, after), own in zip(found, expected, strict=True):
        observation, own_action, own_reward, terminated, _, following = own
        assert frame.tobytes() == observation.tobytes()
        assert action.tobytes() == own_action.tobytes()
        assert (reward, discount) == (own_reward, 0.0 if terminated else 0.5)
        assert (after is None) == terminated
        assert after is None or after.tobytes() == following.tobytes()


def test_each_transition_comes_back_once_and_bootstraps_unless_terminal(recorded):
    root, seen = recorded
    runs = find_runs("Dataset.path", root)
    assert [(run.game, run.suite, run.number) for run in runs] == [
        ("Hopper-v5", "mujoco", 1),
        ("Hopper-v5", "mujoco", 2),
    ]
    for run, own in zip(runs, seen, strict=True):
        _same(read(run), own)
        assert run.parts(Share())[0].total_transitions == STEPS


def test_the_run_knows_its_form_and_who_played(recorded):
    run, _ = find_runs("Dataset.path", recorded[0])
    assert (run.observation_spec, run.action_spec) == (HOPPER.observation_spec, HOPPER.action_spec)
    expected = {"algorithm": "SACAgent", "stored_rewards": "raw"}
    assert {name: run.protocol[name] for name in expected} == expected
    assert run.protocol["reference_scores"] == [-20.272305, 3234.3]
    assert run.gaps == []


def test_nothing_is_wrong_with_it(recorded):
    for run in find_runs("Dataset.path", recorded[0]):
        module = {"d4rl": d4rl, "minari": minari}[run.protocol["format"]]
        assert list(module.problems(run)) == []


def test_files_are_as_d4rl_has_published_them(tmp_path, monkeypatch):
    """Keys, shapes and dtypes; rows are written a few at a time."""
    monkeypatch.setattr(d4rl_writer, "_CHUNK_ROWS", 16)
    seen, abouts = _record(tmp_path, "d4rl")
    assert [about["transitions"] for about in abouts] == [STEPS, STEPS]
    assert sorted(x.name for x in tmp_path.iterdir()) == [D4RL_FILE.format(i) for i in (1, 2)]
    columns = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
    for i, own in enumerate(seen, 1):
        with h5py.File(tmp_path / D4RL_FILE.format(i)) as file:
            assert set(file) == {*columns, "metadata"}
            for name, values in zip(columns, zip(*own, strict=True), strict=True):
                expected = np.array(values)
                assert file[name].dtype == expected.dtype, name
                np.testing.assert_array_equal(file[name][:], expected)
            assert file["terminals"].dtype == bool
            metadata = {name: file["metadata"][name][()] for name in file["metadata"]}
        about = json.loads(metadata.pop("about"))
        assert metadata == {"algorithm": b"SACAgent", "iteration": 30}
        assert about == json.loads(json.dumps(abouts[i - 1]))
        assert (about["game"], about["run"], about["seed"]) == ("Hopper-v5", i, 3)


def test_minari_reads_what_we_write(tmp_path, monkeypatch):
    package = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    seen, _ = _record(tmp_path, "minari")
    names = [f"mujoco/hopper/run_{i}-v0" for i in (1, 2)]
    assert list(package.list_local_datasets()) == names
    for name, own in zip(names, seen, strict=True):
        data = package.load_dataset(name)
        assert (data.total_steps, data.spec.env_spec.id) == (STEPS, "Hopper-v5")
        assert data.observation_space.shape == (11,)
        assert data.action_space.low.tolist() == [-1.0] * 3
        assert package.get_normalized_score(data, np.array(3234.3)) == 1
        place = 0
        for episode in data.iterate_episodes():
            steps = own[place : place + len(episode.rewards)]
            observations, actions, rewards, terminated, truncated, after = zip(*steps, strict=True)
            np.testing.assert_array_equal(episode.observations, [*observations, after[-1]])
            np.testing.assert_array_equal(episode.actions, actions)
            np.testing.assert_array_equal(episode.rewards, rewards)
            np.testing.assert_array_equal(episode.terminations, terminated)
            place += len(steps)
            is_cut = truncated[-1] or (place == STEPS and not terminated[-1])
            assert episode.truncations.tolist() == [False] * (len(steps) - 1) + [is_cut]
        assert place == STEPS
        data.recover_environment().close()
        first = next(iter(data.storage.get_episode_metadata([0])))
        assert first["rewards_sum"] == pytest.approx(data[0].rewards.sum())


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("played", ["images", "numbers"])
def test_what_is_no_vector_is_refused(tmp_path, format, played):
    image = ObservationSpec((10, 10, 4))
    spec, actions = (image, HOPPER.action_spec), (HOPPER.observation_spec, Discrete(3))
    own = Played("minatar", "breakout", *(spec if played == "images" else actions))
    said = f"--format={format}: holds vectors alone; breakout has images or numbered actions"
    with pytest.raises(ConfigError, match=said):
        vector_recorder(tmp_path, own, 1, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", WRITERS)
def test_a_full_disk_is_an_os_error_and_can_be_left(tmp_path, format):
    """A limit on file size stands in for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with vector_recorder(tmp_path, HOPPER, 1, format) as recorder:
        play(recorder, 300, 1)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
            with pytest.raises(OSError, match="File too large"):
                recorder.finish([FACTS])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _record(tmp_path / "again", format, steps=20)
    assert len(find_runs("x", tmp_path / "again")) == 2

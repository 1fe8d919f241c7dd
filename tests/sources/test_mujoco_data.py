"""A robot's data on the device, learned from and evaluated, through the command line's door."""

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from prune_rl import train
from prune_rl.acting.policy import Policy
from prune_rl.data_loop import DataLoop
from prune_rl.environments.mujoco import MujocoEnvironment
from prune_rl.environments.reference_scores import normalized, reference_scores
from prune_rl.environments.scaled import Scale
from tests.datasets.vector_episodes import play, publish
from tests.interrupted.again import at
from tests.interrupted.ends import left, newest

_BINDINGS = (
    "Runner.create_source_fn = @DeviceDatasetSource",
    "DeviceDatasetSource.create_dataset_fn = @Dataset",
    "Dataset.batch_size = 8",
    "Dataset.num_transitions = 30",
    "Dataset.unit = 'first'",
    "Dataset.normalize_observations = True",
    "MLPTorso.units = 8",
    "Runner.num_seeds = 2",
    "Runner.num_iterations = 3",
    "Runner.training_steps = 20",
    "Runner.num_eval_episodes = 2",
    "Runner.max_steps_per_episode = 5",
    "create_updater_from_config.update_start_step = 2",
    "create_updater_from_config.update_end_step = 40",
    "create_updater_from_config.update_freq = 5",
)


@pytest.fixture(scope="module")
def arrays():
    """Of a file as D4RL's: of the robot's sizes, on a scale of their own."""
    own = play([25, 20], "oo")
    return own | {name: 3 * own[name] + 2 for name in ("observations", "next_observations")}


@pytest.fixture(scope="module")
def flags(arrays, tmp_path_factory):
    path = publish(tmp_path_factory.mktemp("data") / "halfcheetah_medium-v2.hdf5", arrays)
    files = ("agents/sac.gin", "suites/mujoco.gin", "pruning/magnitude.gin")
    bindings = (*_BINDINGS, f"Dataset.path = {str(path)!r}")
    return [
        *(f"--gin_files={file}" for file in files),
        *(f"--gin_bindings={binding}" for binding in bindings),
    ]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """A run's directory; and what its games showed, and its policy saw."""
    base_dir = tmp_path_factory.mktemp("whole") / "run"
    shown, seen = [], []

    def note(method):
        def spied(self, *args):
            answer = method(self, *args)
            shown.append((answer if isinstance(answer, np.ndarray) else answer[0]).copy())
            return answer

        return spied

    def exploit(self, params, keys, observations):
        seen.append(observations.copy())
        return play_on(self, params, keys, observations)

    play_on = Policy.exploit
    with pytest.MonkeyPatch.context() as patch:
        for name in ("reset", "step"):
            patch.setattr(MujocoEnvironment, name, note(getattr(MujocoEnvironment, name)))
        patch.setattr(Policy, "exploit", exploit)
        assert train.main([f"--base_dir={base_dir}", *flags]) == 0
    return base_dir, shown, seen


def test_a_run_on_the_device_is_evaluated_beside_training(whole, read_metrics):
    rows = read_metrics(whole[0])
    assert [row["phase"] for row in rows[::2]] == [
        "train",
        "train",
        "eval",
        "train",
        "eval",
        "eval",
    ]
    evaluated = [row for row in rows if row["phase"] == "eval"]
    assert [row["gradient_steps"] for row in evaluated[::2]] == [20, 40, 60]
    assert {row["num_episodes"] for row in evaluated} == {2}
    references = reference_scores("HalfCheetah-v4")
    for row in evaluated:
        score = normalized(row["episode_return_mean"], references)
        assert row["normalized_score"] == pytest.approx(score)
    trained = [row for row in rows if row["phase"] == "train"]
    assert np.isfinite([row["critic/loss"] for row in trained]).all()
    assert trained[-1]["actor/sparsity"] == pytest.approx(0.95, abs=0.05)


def test_games_are_shown_on_the_scale_of_the_data(whole, arrays):
    """To the bit that of the rows that are learned from, of those of the first 30 transitions."""
    base_dir, shown, seen = whole
    states = arrays["observations"][:30].astype(np.float64)
    scale = Scale(states.mean(axis=0), states.std(axis=0) + 1e-3)
    allowed = {scale(frame).tobytes() for frame in shown}
    observations = [own for both in seen for own in both]
    assert len(observations) >= 3 * 2 * 10
    assert {own.tobytes() for own in observations} <= allowed
    protocol = json.loads((base_dir / "provenance.json").read_text())[0]["protocol"]
    (told,) = protocol["observation_scales"]
    np.testing.assert_allclose(told["mean"], scale.mean)
    assert protocol["evaluation"]["observations_scaled_as"] == "those of the data"
    for seed in (0, 1):
        kept = load_file(newest(base_dir) / f"seed_{seed}.safetensors")
        for name, own in scale._asdict().items():
            np.testing.assert_allclose(kept[f"source/replay/observations/{name}"], own)


@pytest.mark.parametrize("event", [DataLoop, MujocoEnvironment])
def test_it_resumes_to_the_bit_after_a_signal(whole, flags, tmp_path, event):
    """Between two chunks, and while an evaluation is played beside the next one."""
    own = [f"--base_dir={tmp_path / 'run'}", *flags]
    count = {DataLoop: 2, MujocoEnvironment: 25}[event]
    with at(event, "step", count, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert train.main(own) == 75
    assert train.main(own) == 0
    assert left(tmp_path / "run") == left(whole[0])


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            "create_mujoco_environment.game_name = 'Hopper-v5'",
            "the data are of HalfCheetah-v4, not of the game asked for, Hopper-v5",
        ),
        (
            "Runner.create_environment_fn = @create_minatar_environment",
            "expected @create_mujoco_environment, for the data are of HalfCheetah-v4",
        ),
        ("Dataset.num_transitions = 46", "Dataset.num_transitions=46: expected at most the 45"),
        ("Runner.agent = @DQNAgent()", "DQNAgent: expected numbered actions, but this source has"),
    ],
)
def test_what_does_not_fit_the_data_is_one_line(flags, tmp_path, capsys, binding, message):
    own = [f"--base_dir={tmp_path / 'run'}", *flags, f"--gin_bindings={binding}"]
    assert train.main(own) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = [x for x in lines if x.startswith("prune_rl")]
    assert message in line
    assert not (tmp_path / "run").exists()

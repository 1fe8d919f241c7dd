"""`prune_rl.train` on a dataset of real games: made, trained on, stopped, killed, taken up."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from prune_rl import train
from prune_rl.datasets.finding import find_runs
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.state import array_to_json
from prune_rl.trainer import Trainer
from tests.interrupted import forks
from tests.interrupted.again import at
from tests.interrupted.ends import left, newest, snapshot

_ARMS = [(agent, pruned) for agent in ("cql", "cql_c51") for pruned in (False, True)]


def _protocol(base_dir):
    return json.loads((base_dir / "provenance.json").read_text())[0]["protocol"]


@pytest.mark.parametrize(("agent", "pruned"), _ARMS)
def test_each_agent_learns_dense_and_pruned(trained_on_data, read_metrics, agent, pruned):
    rows = read_metrics(trained_on_data(agent, pruned))
    for seed in (0, 1):
        own = [row for row in rows if row["seed"] == seed]
        trained = [row for row in own if row["phase"] == "train"]
        evaluated = [row for row in own if row["phase"] == "eval"]
        assert [row["gradient_steps"] for row in trained] == [10, 20, 30]
        assert [row["gradient_steps"] for row in evaluated] == [10, 20, 30]
        assert all(np.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in trained)
        assert all(row["num_episodes"] > 0 for row in evaluated)
        assert not any(row["num_episodes"] for row in trained)
        assert {row["agent_steps"] for row in own} == {0}
        expected = pytest.approx(0.95, abs=2e-3) if pruned else 0.0
        assert trained[-1]["sparsity"] == expected
        shares = [[row["sparsity"] for row in phase] for phase in (trained, evaluated)]
        assert shares[0] == shares[1]  # though the weights went on meanwhile
        assert len(set(shares[0])) == (3 if pruned else 1)


def test_the_agents_and_their_arms_differ(trained_on_data, read_metrics):
    losses = {tuple(x.get("loss") for x in read_metrics(trained_on_data(*arm))) for arm in _ARMS}
    assert len(losses) == len(_ARMS)


def test_provenance_says_which_data_and_how_they_are_evaluated(trained_on_data, made_data):
    protocol = _protocol(trained_on_data())
    runs = find_runs("path", made_data)
    share = {"fraction": 0.5, "unit": "windows", "seed": 0, "horizon": 1}
    assert protocol["data"] == [
        {"path": str(made_data), "run": run.number, "sha256": run.identity()} | share
        for run in runs
    ]
    assert protocol["data"][0]["sha256"] != protocol["data"][1]["sha256"]
    assert (protocol["suite"], protocol["game"]) == ("minatar", "breakout")
    assert protocol["stored_rewards"] == "clipped to [-1, 1]"
    assert 290 <= protocol["transitions"] <= 302
    assert protocol["evaluation"]["game"] == "breakout"


def test_a_checkpoint_says_which_data_and_holds_none(trained_on_data):
    base_dir = trained_on_data()
    for seed, own in enumerate(_protocol(base_dir)["data"]):
        arrays = load_file(newest(base_dir) / f"seed_{seed}.safetensors")
        source = {x: array for x, array in arrays.items() if x.startswith("source/")}
        assert array_to_json(source["source/replay/data"]) == own
        assert source["source/replay/drawn"] == 30
        assert sum(array.nbytes for array in source.values()) < 400


def test_what_is_read_is_said_once_and_before_it_is_trained(
    made_data, data_flags, tmp_path, capsys
):
    assert train.main(["--dry_run", *data_flags(made_data)]) == 0
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith(f"{made_data}: ")]
    assert len(said) == 1
    assert re.search(r": breakout, run 1, 2: \d+ of at most 600 transitions \(\d", said[0])


def test_it_resumes_to_the_bit_after_a_signal(trained_on_data, made_data, data_flags, tmp_path):
    flags = [f"--base_dir={tmp_path / 'run'}", *data_flags(made_data, pruned=True)]
    with at(Trainer, "step", 17, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert train.main(flags) == 75
    assert train.main(flags) == 0
    assert left(tmp_path / "run") == left(trained_on_data("cql", True))


def test_a_game_that_fails_ends_the_run_which_resumes_to_the_bit(
    trained_on_data, made_data, data_flags, tmp_path, capsys
):
    """Beside training, where only evaluations play."""
    flags = [f"--base_dir={tmp_path / 'run'}", *data_flags(made_data)]

    def fail():
        raise OSError("unplugged")

    with at(MinAtarEnvironment, "step", 90, fail):
        assert train.main(flags) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"OSError: unplugged.*; saved after \d+ gradient steps; the same co", last)
    assert train.main(flags) == 0
    assert left(tmp_path / "run") == left(trained_on_data())


def test_it_resumes_to_the_bit_after_kills(trained_on_data, made_data, data_flags, tmp_path):
    """In an update, in an evaluation beside it, and while a file is written."""
    flags = data_flags(made_data, agent="cql_c51")
    with forks.started() as processes:
        for event, count in (("step", 28), ("evaluation", 9), ("file", 20)):
            often = [*flags, "--gin_bindings=Runner.checkpoint_minutes=0.002"]
            ended = processes.run(tmp_path / "run", often, event, count)
            assert ended.code == -9, ended
        ended = processes.run(tmp_path / "run", flags)
    assert ended.code == 0, ended.err
    assert left(tmp_path / "run") == left(trained_on_data("cql_c51"))


def test_elsewhere_the_same_data_are_the_same(trained_on_data, own_data, data_flags, tmp_path):
    """A run goes on where its data were moved; nothing is left of this one, so nothing changes."""
    base_dir = shutil.copytree(trained_on_data(), tmp_path / "run")
    assert train.main([f"--base_dir={base_dir}", *data_flags(own_data[0])]) == 0
    assert left(base_dir) == left(trained_on_data())


def _append(folder):
    with (folder / "$store$_observation_ckpt.1.gz").open("ab") as file:
        file.write(b"\0")  # gzip allows zeros after its end


def _swap(folder):
    other = folder.parents[1] / "2" / "replay_logs"
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"run": 1}))


def _drop(folder):
    (folder / "$store$_reward_ckpt.2.gz").unlink()


_AT = r"Dataset.path=\{'sha256': '.*'\}: expected the data that the run began with, \{'sha256'"
_OTHERWISE = "holds a run with other settings .there: .*; now: {}."


@pytest.mark.parametrize(
    ("change", "binding", "message"),
    [
        (_append, None, _AT),
        (_swap, None, _AT),
        (_drop, None, _AT),
        (None, "Dataset.fraction = 0.6", _OTHERWISE),
        (None, "Dataset.seed = 1", _OTHERWISE),
        (None, "Dataset.unit = 'transitions'", _OTHERWISE),
        (None, "Dataset.run = 2", _OTHERWISE),
    ],
    ids=["a byte more", "another run", "a file less", "fraction", "seed", "unit", "run"],
)
def test_other_data_are_refused_and_nothing_changes(
    trained_on_data, own_data, data_flags, tmp_path, capsys, change, binding, message
):
    base_dir = shutil.copytree(trained_on_data(), tmp_path / "run")
    before, (data, folder) = snapshot(base_dir), own_data
    if change:
        change(folder)
    flags = data_flags(data, *([binding] if binding else []))
    capsys.readouterr()
    assert train.main([f"--base_dir={base_dir}", *flags]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("prune_rl")]
    assert re.search(message.replace("{}", str(binding)), line)
    assert snapshot(base_dir) == before


def test_games_beside_data_of_the_same_games(made_data, data_flags, tmp_path, read_metrics):
    """Offline to online: the clock is the agent step, and half of every batch is of the data."""
    mixed = (
        "Runner.create_source_fn=@MixedSource",
        "MixedSource.create_dataset_fn=@Dataset",
        "create_minatar_environment.game_name='breakout'",
        "CQLAgent.min_replay_history=6",
        "CQLAgent.replay_ratio=1",
        "ReplayBuffer.batch_size=4",
    )
    assert train.main([f"--base_dir={tmp_path / 'run'}", *data_flags(made_data, *mixed)]) == 0
    rows = read_metrics(tmp_path / "run")
    assert rows[-1]["agent_steps"] == 30
    assert rows[-1]["gradient_steps"] == 23  # from the eighth on
    assert np.isfinite([row["loss"] for row in rows if row["phase"] == "train"]).all()
    assert _protocol(tmp_path / "run")["dataset"]["data"][1]["run"] == 2
    arrays = load_file(newest(tmp_path / "run") / "seed_1.safetensors")
    assert array_to_json(arrays["source/replay/dataset/data"])["run"] == 2

"""`python -m prune_rl.export` on real games: what it writes, says and refuses."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from prune_rl import export, train
from prune_rl.errors import RunEnded
from prune_rl.exporting import exporter, latency
from prune_rl.exporting.numpy_policy import load_policy
from prune_rl.exporting.onnx_model import OnnxPolicy
from prune_rl.exporting.playing import game_of, observations_of
from prune_rl.loading import load_run

_SPARSE = "create_updater_from_config.update_freq=5"
_NOTHING_LEARNED = [
    "--gin_files=pruning/static_sparse.gin",
    "--gin_bindings=Runner.num_iterations=1",
    "--gin_bindings=Runner.training_steps=12",
    "--gin_bindings=Runner.num_eval_episodes=0",
    "--gin_bindings=ReplayBuffer.max_capacity=1000",
]


@pytest.fixture(scope="module")
def breakout(trained_minatar, tmp_path_factory, capfd_of_module):
    """Of a pruned run of MinAtar Breakout: the run, the folder, and what was said."""
    run = trained_minatar(_SPARSE, files=("pruning/magnitude.gin",))
    out = tmp_path_factory.mktemp("exported") / "deep" / "policy"
    assert export.main([str(run), f"--out={out}", "--seed=1", "--onnx", "--verify=500"]) == 0
    return run, out, capfd_of_module()


@pytest.fixture(scope="module")
def capfd_of_module(request):
    """What was printed to stdout since the last call."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    return lambda: capture.read_global_capture().out


def seen(run, policy, count):
    """Observations of the run's game, with random actions now and then."""
    played = observations_of(game_of(run), run.max_steps_per_episode, policy.act, count)
    return np.concatenate(list(played))


def test_the_policy_does_what_the_full_network_does_in_the_game(breakout):
    directory, out, _ = breakout
    run, policy = load_run(directory, seed=1), load_policy(out)
    batch = seen(run, policy, 250)
    assert len(np.unique(batch.reshape(250, -1), axis=0)) > 40
    q = run.values(batch)
    np.testing.assert_allclose(policy.values(batch), q, atol=1e-5 * np.abs(q).max())
    assert policy.act(batch).tolist() == run.act(batch).tolist()
    assert OnnxPolicy(out / "policy.onnx").act(batch).tolist() == run.act(batch).tolist()
    other = load_run(directory, seed=0)
    assert np.abs(other.values(batch) - q).max() > 1e-3  # it is that of --seed


def test_what_is_said_is_so(breakout):
    directory, out, said = breakout
    run = load_run(directory, seed=1)
    for name in ("numpy", "onnx"):
        line = rf"{name} +does what the full network does: 500 observations, no ties; numbers diff"
        assert re.search(line, said)
    before, after = map(
        int, re.search(r"weights +([\d,]+) -> ([\d,]+)", said.replace(",", "")).groups()
    )
    params = run.params["q"]["params"]
    import jax

    assert before == sum(x.size for x in jax.tree.leaves(params))
    assert after <= sum(int((x != 0).sum()) for x in jax.tree.leaves(params))
    assert re.search(r"size +\d+\.\d kB -> \d+\.\d kB, \d+\.\d x smaller", said)
    assert re.search(r"time +\d+ us -> \d+ us an observation, NumPy on one core, \d\.\d x fa", said)
    assert said.rstrip().endswith(f"wrote {out}")


def test_the_folder_holds_four_files_and_says_where_it_comes_from(breakout):
    directory, out, _ = breakout
    names = {path.name for path in out.iterdir()}
    assert names == {"policy.json", "policy.safetensors", "numpy_policy.py", "policy.onnx"}
    about = json.loads((out / "policy.json").read_text())["policy"]
    own = about["from"]
    assert (own["run"], own["seed"], own["agent"]) == (directory.name, 1, "DQNAgent")
    assert (own["game"], own["agent_steps"], own["sparsity"]) == ("breakout", 600, 0.95)
    assert about["observation"]["shape"] == [1, 10, 10, 4]
    assert about["actions"] == {"kind": "numbered", "size": 3, "names": ["noop", "left", "right"]}


def test_a_policy_is_replaced_and_its_onnx_is_no_leftover(breakout, tmp_path):
    directory, _, _ = breakout
    out = tmp_path / "policy"
    for flags in (["--onnx"], ["--seed=0"]):
        assert export.main([str(directory), f"--out={out}", "--verify=5", *flags]) == 0
    assert not (out / "policy.onnx").exists()
    assert json.loads((out / "policy.json").read_text())["policy"]["from"]["seed"] == 0


def test_what_does_something_else_is_not_written(breakout, tmp_path, monkeypatch, capsys):
    directory, _, _ = breakout
    shrunk = exporter.shrunk

    def wrong(run, layers):
        small = shrunk(run, layers)
        small[-1].arrays["bias"][0] += 0.1
        return small

    monkeypatch.setattr(exporter, "shrunk", wrong)
    assert export.main([str(directory), f"--out={tmp_path / 'a' / 'policy'}", "--verify=5"]) == 2
    assert "values differ from the full network's by 0.1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RunEnded("breakout raised"), 1, "breakout raised; nothing was written"),
        (MemoryError("of 3 GB"), 1, "out of memory (of 3 GB); nothing was written"),
        (OSError("No space left on device"), 1, "No space left on device; nothing was written"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
        (KeyError("of ours"), 1, "unexpected KeyError: 'of ours'; this is a mistake of ours"),
    ],
)
def test_what_stops_it_is_a_line_with_a_code(
    breakout, tmp_path, monkeypatch, capsys, error, code, said
):
    def fail(*args):
        raise error
        yield

    monkeypatch.setattr(exporter, "observations_of", fail)
    flags = [str(breakout[0]), f"--out={tmp_path / 'a' / 'policy'}"]
    assert export.main(flags) == code
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert export.main([*flags, "--traceback"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_measurement_that_fails_is_a_line(breakout, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(latency.sys, "executable", "false")
    assert export.main([str(breakout[0]), f"--out={tmp_path / 'policy'}", "--verify=5"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "measuring the policy's speed ended with 1: it said nothing; nothing was" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_mixture_of_two_policies_is_said_and_refused(
    breakout, tmp_path, monkeypatch, capsys, moves
):
    directory, first, _ = breakout
    out, move, moved = tmp_path / "policy", shutil.move, []
    shutil.copytree(first, out)

    def stopped(source, target):
        if len(moved) == moves:
            raise KeyboardInterrupt
        moved.append(move(source, target))

    monkeypatch.setattr(exporter.shutil, "move", stopped)
    flags = [str(directory), f"--out={out}", "--seed=0", "--verify=5", "--onnx"]
    assert export.main(flags) == 130
    assert f"interrupted; {out} may be half written: export again" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"policy\.safetensors"):
        load_policy(out)
    monkeypatch.undo()
    assert export.main(flags) == 0
    assert load_policy(out).about["from"]["seed"] == 0


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--verify=0"], "--verify=0: expected a number of observations"),
        (["--seed=7"], ": --seed=7: expected one"),
    ],
)
def test_wrong_flags_are_refused(breakout, tmp_path, capsys, flags, expected):
    assert export.main([str(breakout[0]), f"--out={tmp_path / 'policy'}", *flags]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_touched(breakout, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert export.main([str(breakout[0]), f"--out={tmp_path}"]) == 2
    assert f"--out={tmp_path}: holds thesis.tex; expected a new folder" in capsys.readouterr().err
    assert export.main([str(breakout[0]), f"--out={tmp_path / 'thesis.tex'}"]) == 2
    assert "there is a file" in capsys.readouterr().err


def test_no_run_is_said_in_a_line(tmp_path, capsys):
    assert export.main([str(tmp_path / "none"), f"--out={tmp_path / 'policy'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "none") in line


def test_help_teaches_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from prune_rl import export\n"
        "try:\n    export.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "assert not {'jax', 'flax', 'gin', 'onnx'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python -m prune_rl.export runs/pruned --out=policy" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def exported(tmp_path, *flags, verify):
    """Of a run that has only acted: its policy, the run, and observations of its game."""
    run, out = tmp_path / "run", tmp_path / "policy"
    assert train.main([f"--base_dir={run}", *flags, *_NOTHING_LEARNED]) == 0
    assert export.main([str(run), f"--out={out}", f"--verify={verify}"]) == 0
    own, policy = load_run(run), load_policy(out)
    return policy, own, seen(own, policy, verify)


def test_pong(tmp_path):
    flags = (
        "--gin_files=agents/dqn.gin",
        "--gin_bindings=create_atari_environment.game_name='Pong'",
        "--gin_bindings=DQNAgent.min_replay_history=900",
    )
    policy, run, batch = exported(tmp_path, *flags, verify=100)
    np.testing.assert_array_equal(policy.act(batch), run.act(batch))
    names = ["noop", "fire", "right", "left", "rightfire", "leftfire"]
    assert policy.about["actions"]["names"] == names


def test_half_cheetah(tmp_path):
    flags = (
        "--gin_files=agents/sac.gin",
        "--gin_files=suites/mujoco.gin",
        "--gin_bindings=create_mujoco_environment.game_name='HalfCheetah-v5'",
        "--gin_bindings=SACAgent.min_replay_history=900",
    )
    policy, run, batch = exported(tmp_path, *flags, verify=250)
    np.testing.assert_allclose(policy.act(batch), run.act(batch), atol=1e-5)
    assert policy.act(batch[0]).shape == (6,)
    assert policy.about["actions"]["low"] == [-1] * 6


@pytest.mark.nightly
def test_ten_thousand_observations(breakout, tmp_path, capsys):
    flags = [f"--out={tmp_path / 'policy'}", "--verify=10000", "--onnx"]
    assert export.main([str(breakout[0]), *flags]) == 0
    assert capsys.readouterr().out.count(": 10,000 observations, ") == 2

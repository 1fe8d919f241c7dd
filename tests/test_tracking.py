"""--track: refused before anything is written, or a run is shown there as in TensorBoard."""

import pytest

from prune_rl import tracking, train

from .recording.tensorboard import read_scalars

_ONE = ("Runner.num_iterations=1", "Runner.training_steps=100", "Runner.num_seeds=1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wandbb", "--track='wandbb': no such choice; did you mean 'wandb'?"),
        ("tensorboard", "no such choice; choose from wandb"),
    ],
)
def test_another_service_is_refused(tmp_path, capsys, minatar_flags, name, expected):
    flags = [*minatar_flags(tmp_path / "run"), f"--track={name}"]
    assert train.main(flags) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_package_that_is_missing_is_asked_for_before_anything_is_written(
    tmp_path, capsys, minatar_flags, monkeypatch
):
    (tmp_path / "wandb").mkdir()  # as wandb leaves where it was used; no package
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "wandb", raising=False)
    assert train.main([*minatar_flags(tmp_path / "run"), "--track=wandb"]) == 2
    advice = "wandb is not installed: pip install 'prune_rl[wandb]'\n"
    assert capsys.readouterr().err == f"prune_rl.train: --track=wandb: {advice}"
    assert not (tmp_path / "run").exists()


def test_a_training_is_shown_there_as_in_tensorboard(tmp_path, minatar_flags, monkeypatch):
    pytest.importorskip("wandb")
    from .recording.wandb_files import read_offline

    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = tmp_path / "run"
    pruned = minatar_flags(directory, *_ONE, files=["pruning/magnitude.gin"])
    assert train.main([*pruned, "--track=wandb"]) == 0
    ((own,),) = read_offline(directory).values()
    assert list(own.run.tags) == ["dqn", "breakout", "magnitude 95%"]
    assert own.config["create_minatar_environment.game_name"] == "breakout"
    assert own.config["Runner.training_steps"] == 100
    shown = {}
    for row in own.rows:
        steps = row.pop("agent_steps")
        for tag, value in row.items():
            shown.setdefault(tag, {})[steps] = pytest.approx(value, rel=1e-6)  # float32 there
    assert read_scalars(directory / "tensorboard" / "seed_0") == shown
    assert "Train/Sparsity" in shown
    assert (directory / "curve.png").exists()


def test_another_service_is_one_entry(tmp_path, minatar_flags, monkeypatch):
    """Here a list, by the name of a package that is there."""
    shown = []

    class Listed:
        def scalars(self, seed, values, steps):
            shown.append((seed, steps, sorted(values)))

        def flush(self):
            pass

        def close(self):
            shown.append("closed")

    monkeypatch.setitem(tracking.TRACKERS, "json", lambda parts: Listed())
    assert train.main([*minatar_flags(tmp_path / "run", *_ONE), "--track=json"]) == 0
    assert any("Train/Loss" in row[2] for row in shown[:-1])
    assert shown[-1] == "closed"
    assert not (tmp_path / "run" / "wandb.id").exists()

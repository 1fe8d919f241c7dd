"""Runs that are asked to stop: what is said, what is on disk, and what the same command makes."""

import os
import signal
import time

import pytest

from prune_rl.acting.evaluation import Evaluation
from prune_rl.recording import tensor_files
from prune_rl.session import Session
from prune_rl.signals import StopSignals
from prune_rl.sources.online import OnlineSource
from prune_rl.trainer import Trainer

from .again import DQN, MINATAR, Again, at
from .ends import left, newest, stands

_REDO = (
    ("experiments/minatar_breakout.gin", "pruning/magnitude.gin", "diagnostics/all.gin"),
    (
        *MINATAR,
        *DQN,
        "Runner.interventions=[@ReDo(), @Reset()]",
        "ReDo.reset_period=7",
        "ReDo.dead_neurons_threshold=0.2",
        "ReDo.statistics_batch_size=8",
        "Reset.reset_period=0.4",
        "Diagnostics.fixed_probe=True",
        "Diagnostics.probe_size=8",
        "Diagnostics.srank_probe_size=8",
        "Diagnostics.dormant_probe_size=8",
        "Diagnostics.num_gradients=4",
    ),
)
_DER = (
    ("experiments/minatar_breakout_der.gin", "pruning/magnitude.gin"),
    (*MINATAR, "RainbowAgent.min_replay_history=30", "RainbowAgent.replay_ratio=3"),
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def send(*numbers):
    return lambda: [os.kill(os.getpid(), number) for number in numbers]


def assert_saved(base_dir, steps):
    """The last checkpoint is of that step, and the logs end where it says."""
    own = stands(base_dir)
    assert own["steps"] == steps
    for name, position in own["logs"].items():
        assert (base_dir / name).stat().st_size == position["bytes"]


_CODES = [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]
# Before which call of what, and after how many steps it stands then.
_MOMENTS = {
    "the first step": (Trainer, "step", 1, 1),
    "an update": (Trainer, "learn", 3, 0),
    "the last step of an iteration": (Trainer, "step", 50, 50),
    "the first step of an evaluation": (Evaluation, "step", 1, 50),
    "an evaluation": (Evaluation, "step", 30, 100),
    "the last iteration": (Trainer, "step", 137, 137),
    "saving": (Session, "_save", 1, 50),
    "writing": (tensor_files, "write_bytes", 5, 0),
    "starting": (OnlineSource, "start", 1, 1),
}


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [(moment, *_CODES[i % 3]) for i, moment in enumerate(_MOMENTS)]
    + [("an evaluation", *own) for own in _CODES[:2]],
)
def test_a_signal_saves_and_the_run_goes_on_to_the_bit(
    tmp_path, capsys, dqn, whole, moment, number, code
):
    run = tmp_path / "run"
    *where, steps = _MOMENTS[moment]
    with at(*where, send(number)):
        assert dqn(run) == code
    if moment in ("an update", "writing"):  # which is beside training
        steps = stands(run)["steps"]
    stands_after = f"{number.name}: saved after {steps:,} agent steps; the same command goes on"
    assert capsys.readouterr().err.splitlines()[-1] == f"prune_rl.train: {stands_after}"
    assert_saved(run, steps)
    assert dqn(run) == 0
    assert f"{run}: going on after {steps:,} agent steps\n" in capsys.readouterr().err
    assert left(run) == left(whole)


def test_the_handlers_are_those_of_before_once_a_run_has_ended(tmp_path, dqn):
    before = [signal.getsignal(number) for number, _ in _CODES]
    with at(Trainer, "step", 3, send(signal.SIGTERM)):
        assert dqn(tmp_path / "run") == 75
    assert [signal.getsignal(number) for number, _ in _CODES] == before


def test_a_second_signal_of_slurm_changes_nothing(tmp_path, capsys, dqn, whole):
    """USR1, then TERM while it saves: the first one names the code."""
    run = tmp_path / "run"
    with (
        at(Trainer, "step", 60, send(signal.SIGUSR1)),
        at(Session, "_save", 2, send(signal.SIGTERM)),
    ):
        assert dqn(run) == 75
    assert "prune_rl.train: SIGUSR1: saved after 60 agent steps;" in capsys.readouterr().err
    assert_saved(run, 60)
    assert dqn(run) == 0
    assert left(run) == left(whole)


def test_a_run_stops_again_and_again(tmp_path, dqn, whole):
    run, steps = tmp_path / "run", 0
    for count in (1, 30, 19, 1, 28, 55):
        with at(Trainer, "step", count, send(signal.SIGTERM)):
            assert dqn(run) == 75
        steps += count
        assert_saved(run, steps)
    assert dqn(run) == 0
    assert left(run) == left(whole)


def test_a_second_interrupt_ends_it_at_once(tmp_path, capsys, dqn, whole):
    run = tmp_path / "run"

    def interrupt():
        while not (run / "checkpoints" / "1").exists():  # which is not waited for
            time.sleep(0.01)
        send(signal.SIGINT, signal.SIGINT)()

    with at(Trainer, "step", 60, interrupt) as counted:
        assert dqn(run) == 130
    assert counted["step"] == 60
    expected = "prune_rl.train: interrupted; the same command resumes from the last checkpoint"
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert stands(run)["steps"] == 50
    assert dqn(run) == 0
    assert left(run) == left(whole)


def test_a_signal_after_the_last_step_changes_nothing(tmp_path, dqn, whole):
    run = tmp_path / "run"
    with at(Session, "_save", 3, send(signal.SIGTERM)):
        assert dqn(run) == 0
    assert left(run) == left(whole)


def test_checkpoints_within_iterations_change_nothing(tmp_path, dqn, whole):
    run = tmp_path / "run"
    assert dqn(run, minutes=2e-4) == 0
    assert int(newest(run).name) > 9
    assert left(run) == left(whole)


def test_a_run_killed_between_such_checkpoints_goes_on_to_the_bit(tmp_path, dqn, whole):
    """Those of an evaluation among them."""

    class Gone(BaseException):
        pass

    def die():
        raise Gone

    run = tmp_path / "run"
    for owner, count in ((Trainer, 20), (Evaluation, 9), (Trainer, 31)):
        with at(owner, "step", count, die), pytest.raises(Gone):
            dqn(run, minutes=1e-6)
        assert stands(run)["steps"] > 0
    assert dqn(run) == 0
    assert left(run) == left(whole)


@pytest.mark.parametrize("setting", [_REDO, _DER], ids=["redo and fixed probes", "der"])
def test_everything_that_a_run_can_hold_is_saved(tmp_path, setting):
    """Interventions, probes and means of losses; several updates a step and priorities."""
    own = Again(*setting)
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert own(whole) == 0
    for owner, count in (
        (Trainer, 43),
        (Evaluation, 11),
        (Trainer, 38),
        (Evaluation, 9),
    ):
        with at(owner, "step", count, send(signal.SIGTERM)):
            assert own(run) == 75
    assert own(run) == 0
    assert left(run) == left(whole)
    if setting is _REDO:  # all were measured
        assert len(left(run)["matrices"]) == 3


def test_the_first_signal_counts():
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert stop.received == signal.SIGTERM

"""Runs on the device that are asked to stop between two chunks, or die, and go on."""

import os
import shutil
import signal

import pytest

from prune_rl import train
from prune_rl.acting.evaluation import Evaluation
from prune_rl.device_loop import DeviceLoop

from .again import DQN, MINATAR, Again, at
from .ends import left, newest, stands

_FILES = ("experiments/minatar_breakout.gin", "pruning/magnitude.gin", "diagnostics/all.gin")
_BINDINGS = (
    *MINATAR,
    *DQN,
    "Runner.create_source_fn=@DeviceSource",
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
)


class Gone(BaseException):
    """What kills a process."""


def die():
    raise Gone


def ask():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def again():
    return Again(_FILES, _BINDINGS)


@pytest.fixture(scope="module")
def whole(again, tmp_path_factory):
    """A run of which every iteration is one chunk, and that nothing stopped."""
    base_dir = tmp_path_factory.mktemp("whole") / "run"
    assert again(base_dir) == 0
    return left(base_dir)


@pytest.fixture
def in_chunks(monkeypatch):
    """Lets every chunk take so many agent steps."""

    def of(count):
        step = DeviceLoop.step

        def counted(self, end=None):
            self._steps = count
            return step(self, end)

        monkeypatch.setattr(DeviceLoop, "step", counted)

    return of


@pytest.mark.parametrize(("count", "calls"), [(7, (1, 4, 5, 9)), (13, (3, 2))])
def test_a_run_that_is_stopped_again_and_again_goes_on_to_the_bit(
    tmp_path, capsys, again, whole, in_chunks, count, calls
):
    in_chunks(count)
    run, stood = tmp_path / "run", 0
    for number in calls:
        with at(DeviceLoop, "step", number, ask):
            assert again(run) == 75
        steps = stands(run)["steps"]
        assert f"SIGTERM: saved after {steps} agent steps;" in capsys.readouterr().err
        assert stood < steps
        stood = steps
    assert stood % 50  # within an iteration
    assert again(run) == 0
    assert left(run) == whole


def test_a_run_that_is_stopped_while_it_is_evaluated_goes_on_to_the_bit(tmp_path, again, whole):
    run = tmp_path / "run"
    with at(Evaluation, "step", 11, ask):
        assert again(run) == 75
    assert stands(run)["steps"] == 50
    assert again(run) == 0
    assert left(run) == whole


def test_a_run_that_dies_goes_on_from_a_checkpoint_within_an_iteration(
    tmp_path, again, whole, in_chunks
):
    in_chunks(6)
    run = tmp_path / "run"
    for number in (4, 11):
        with at(DeviceLoop, "step", number, die), pytest.raises(Gone):
            again(run, minutes=1e-6)
    assert stands(run)["steps"] % 50
    assert again(run) == 0
    assert left(run) == whole
    assert int(newest(run).name) > 8


@pytest.mark.parametrize("made_by", ["OnlineSource", "DeviceSource"])
def test_the_other_loop_does_not_take_up_a_run(tmp_path, capsys, train_minatar, made_by):
    """Their games and replays draw other numbers."""
    settings = "Runner.num_iterations=1", "Runner.training_steps=40", "Runner.evaluation_steps=0"
    made = train_minatar(tmp_path / "run", *settings, f"Runner.create_source_fn=@{made_by}")
    assert made == 0
    (other,) = {"OnlineSource", "DeviceSource"} - {made_by}
    before = left(shutil.copytree(tmp_path / "run", tmp_path / "copy"))
    capsys.readouterr()
    given = f"Runner.create_source_fn=@{other}"
    assert train_minatar(tmp_path / "run", *settings, given) == 2
    said = capsys.readouterr().err
    assert f"(there: {made_by}.clip_rewards = True; now: {other}.clip_rewards = True)" in said
    assert len(said.splitlines()) == 1
    assert left(tmp_path / "run") == before


def test_the_command_line_stops_and_goes_on(tmp_path, minatar_flags, in_chunks, assert_same_logs):
    in_chunks(17)
    flags = minatar_flags(tmp_path / "run", "Runner.create_source_fn=@DeviceSource")
    with at(DeviceLoop, "step", 8, ask):
        assert train.main(flags) == 75
    assert train.main(flags) == 0
    whole = minatar_flags(tmp_path / "whole", "Runner.create_source_fn=@DeviceSource")
    assert train.main(whole) == 0
    assert_same_logs(tmp_path / "run", tmp_path / "whole")

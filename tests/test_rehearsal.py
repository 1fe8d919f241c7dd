"""The pace of a run, measured by a scripted clock; a run that was rehearsed is the same run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl import configuration, rehearsal, train
from prune_rl.experiment import create_runner
from prune_rl.learning.state import AgentState
from prune_rl.price import Pace, Size, Work
from prune_rl.rehearsal import Peaks, peak_ram, rehearse
from prune_rl.trainer import Trainer


class _Clock:
    """Seconds that pass as the parts below say; a program's first call compiles."""

    def __init__(self, monkeypatch):
        self.now, self.calls, self._compiled = 1000.0, [], set()
        own = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(rehearsal, "time", own)

    def takes(self, name, seconds):
        def call(*args):
            first = name not in self._compiled
            self._compiled.add(name)
            self.now += seconds + 50 * first
            self.calls.append(name)

        return call


def _parts(clock, step, update, *, nominal, horizon=1, begin=0.5, evaluated=0.3):
    """Parts of a run that are nothing but their times."""
    evaluation = SimpleNamespace(
        start=clock.takes("start", begin - 50),
        step=clock.takes("evaluate", evaluated),
        close=clock.takes("close", 0),
    )
    play, learn = clock.takes("play", step), clock.takes("learn", update)

    def burst(updates, plays):
        for action in [learn] * updates + [play] * plays:
            action()

    return SimpleNamespace(
        trainer=SimpleNamespace(
            burst=burst, rounds_at_once=1, agent_state=AgentState({}, (), (), ())
        ),
        source=SimpleNamespace(nominal_gradient_steps=lambda steps: nominal),
        policy=SimpleNamespace(agent=SimpleNamespace(update_horizon=horizon)),
        new_evaluation=lambda iteration, params: evaluation,
    )


def _work(steps, updates, evaluations=0):
    return Work("agent_steps", 1, steps, updates, evaluations, 10 * evaluations, 3)


def _assert_pace(pace, *values):
    assert pace._replace(measuring=0.0) == pytest.approx(Pace(*values))


def test_the_pace_of_steps_updates_and_evaluations_compiling_left_out(monkeypatch):
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.01, 0.2, nominal=25_000)
    pace, _ = rehearse(parts, _work(100_000, 24_000, 5), seconds=10.0, save=0.7)
    _assert_pace(pace, 0.01, 0.2, 0.5, 0.3, 0.7)
    # A play and a round of four to begin with; then shares of ten seconds, at least so long.
    assert 0.01 + 0.24 + 10.0 <= pace.measuring <= 0.01 + 0.24 + 10.0 + 0.01 + 0.24 + 0.3
    assert clock.calls[:2] == ["play", "play"]  # a transition of one step, and one more
    assert clock.calls[2:7] == ["learn", "play", "play", "play", "play"]
    assert clock.calls[-1] == "close"


def test_several_updates_after_each_step(monkeypatch):
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.01, 0.2, nominal=200_000)
    pace, _ = rehearse(parts, _work(100_000, 190_000), seconds=1.0, save=0.0)
    _assert_pace(pace, 0.01, 0.2)
    assert clock.calls[2:5] == ["learn", "learn", "play"]


def test_a_batch_can_be_drawn_before_the_first_update(monkeypatch):
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.01, 0.2, nominal=100, horizon=60)
    rehearse(parts, _work(100, 40), seconds=1.0, save=0.0)
    assert clock.calls.index("learn") == 61


def test_without_updates_nothing_learns(monkeypatch):
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.01, 0.2, nominal=25)
    pace, _ = rehearse(parts, _work(100, 0), seconds=1.0, save=0.0)
    _assert_pace(pace, 0.01)
    assert "learn" not in clock.calls


def test_a_short_run_is_rehearsed_for_a_hundredth_of_its_time(monkeypatch):
    """2,000 steps of 1 ms and 500 updates of 6 ms are five seconds: 12 and 25 ms of measuring."""
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.001, 0.006, nominal=500)
    pace, _ = rehearse(parts, _work(2000, 500), seconds=2.0, save=0.0)
    assert 0.05 < pace.measuring < 0.07


def test_slow_updates_are_made_twice_only(monkeypatch):
    """One compiles, one is measured: a network that takes minutes must not take hours here."""
    clock = _Clock(monkeypatch)
    parts = _parts(clock, 0.01, 9.0, nominal=25_000)
    pace, _ = rehearse(parts, _work(100_000, 25_000), seconds=2.0, save=0.0)
    _assert_pace(pace, 0.01, 9.0)
    assert clock.calls.count("learn") == 2


def test_ram_is_what_compiling_took_or_training_with_a_full_replay():
    own = Size(0, 0, replay_bytes=1000, saving_bytes=300, disk_bytes=0)
    filled = 500 + 1000 + 300 + (64 << 20)
    assert peak_ram(own, Peaks(compiling=100, training=500)) == filled
    assert peak_ram(own, Peaks(compiling=filled + 1, training=500)) == filled + 1


def test_the_peak_of_ram_can_be_forgotten():
    block = np.ones(30_000_000)  # 229 MiB
    assert block[-1]
    with_block = rehearsal._peak_ram()
    del block
    rehearsal._forget_peak()
    assert rehearsal._peak_ram() < with_block - 200_000_000


def _metrics(base_dir):
    rows = [json.loads(line) for line in (base_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in rows]


@pytest.mark.parametrize(
    ("files", "bindings"),
    [
        (["experiments/minatar_breakout.gin"], ["DQNAgent.min_replay_history=60"]),
        (["experiments/minatar_breakout_der.gin"], ["RainbowAgent.min_replay_history=60"]),
    ],
    ids=["dqn", "der"],
)
def test_a_rehearsed_run_is_the_run_that_it_would_have_been(
    tmp_path, agent_leaves, files, bindings, monkeypatch
):
    bindings += [
        "Runner.num_seeds=2",
        "Runner.num_iterations=2",
        "Runner.training_steps=150",
        "Runner.evaluation_steps=30",
        "ReplayBuffer.max_capacity=120",
    ]
    told, learned, compiled = [], [], []
    learn = Trainer.learn
    monkeypatch.setattr(Trainer, "learn", lambda own: learned.append(own) or learn(own))
    for name, announce in (("plain", None), ("rehearsed", told.append)):
        configuration.load([*files, "pruning/magnitude.gin"], bindings)
        runner = create_runner(tmp_path / name)
        runner.run(announce=announce)
        runner.source.close()
        programs = runner.policy.learner.update.programs
        compiled.append(sum(own._cache_size() for own in programs))
        learned.append(name)
    updates = learned.index("plain")
    assert len(learned) > 2 * updates + 2  # it was rehearsed
    assert compiled == [1, 1]  # and what was compiled for that served the run
    (price,) = told
    assert price.work == Work("agent_steps", 2, 300, updates, 2, 60, 2, [])
    assert _metrics(tmp_path / "plain") == _metrics(tmp_path / "rehearsed")
    logs = [(tmp_path / name / "episodes.csv").read_bytes() for name in ("plain", "rehearsed")]
    assert logs[0] == logs[1]
    pairs = zip(*(agent_leaves(tmp_path / x) for x in ("plain", "rehearsed")), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_a_run_says_what_it_takes_when_it_begins_and_not_when_it_goes_on(
    tmp_path, capsys, minatar_flags
):
    flags = minatar_flags(tmp_path, "DQNAgent.min_replay_history=600")
    assert train.main([*flags, "--dollars_per_hour=3"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("size: 132,179 parameters a seed; at most RAM ")
    assert lines[1].startswith("time: about ")
    assert " for 600 agent steps and 0 gradient steps of 2 seeds, " in lines[1]
    assert lines[1].endswith(" at $3.00/hour")
    reason = "DQNAgent.min_replay_history is not below the run's 600 steps"
    assert lines[2] == f"      no gradient step is due: {reason}"
    followed = [x for x in lines[3:] if not x.startswith("malloc: ")]  # with glibc alone
    assert followed[0].startswith("iteration 1/3")
    assert train.main(flags) == 0
    assert "size:" not in capsys.readouterr().err


def test_notes_on_what_is_assumed_and_what_is_left_out(tmp_path):
    configuration.load(
        ["experiments/minatar_breakout.gin", "diagnostics/all.gin"],
        [
            "Runner.evaluation_steps=0",
            "Runner.num_eval_episodes=7",
            "Runner.num_iterations=2",
            "Runner.training_steps=2_000",
        ],
    )
    runner = create_runner(tmp_path)
    runner.source.close()
    work = runner._work()
    assert (work.evaluations, work.evaluation_steps) == (2, 2 * 7 * 1000)
    assert work.notes == [
        "evaluated episodes are taken to last 1,000 agent steps",
        "diagnostics are not counted",
    ]

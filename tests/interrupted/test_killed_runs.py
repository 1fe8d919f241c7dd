"""Killed again and again at random, the same command makes the run that was never killed."""

import random

import pytest

from . import forks
from .ends import left

_AGENTS = {
    "dqn": ("experiments/minatar_breakout.gin",),
    "c51": ("agents/c51.gin", "experiments/minatar.gin"),
    "rainbow": ("experiments/minatar_breakout_rainbow.gin",),
    "full_rainbow": ("experiments/minatar_breakout_full_rainbow.gin",),
    "drq_eps": ("experiments/minatar_breakout_drq_eps.gin",),
    "der": ("experiments/minatar_breakout_der.gin",),
}
_SHORT = (
    "Runner.num_iterations=2",
    "Runner.training_steps=60",
    "Runner.evaluation_steps=25",
    "ReplayBuffer.batch_size=4",
    "ReplayBuffer.max_capacity=80",  # the ring comes round
)
_OFTEN = "Runner.checkpoint_minutes=0.002"  # another moment of saving changes nothing
_EVENTS = ("play", "step", "evaluation", "learn", "log", "file", "part")


def flags_of(agent, *bindings):
    name = "DQNAgent" if agent == "dqn" else "RainbowAgent"
    own = (*_SHORT, f"{name}.min_replay_history=40", f"{name}.target_update_period=16")
    files = [f"--gin_files={x}" for x in _AGENTS[agent]]
    return [*files, *(f"--gin_bindings={x}" for x in (*own, *bindings))]


@pytest.fixture(scope="module")
def processes():
    with forks.started() as own:
        yield own


def kill_again_and_again(processes, folder, flags, *, kills, seed):
    """Compares a run that is killed so often with one that is not; returns where it was killed."""
    rng, whole, killed = random.Random(seed), folder / "whole", folder / "killed"
    ended = processes.run(whole, flags)
    assert ended.code == 0, ended.err
    where = []
    for event in rng.sample(_EVENTS * kills, k=kills):
        # A share of the whole run that leaves something for the next one.
        count = rng.randint(1, max(1, ended.counts[event] // kills))
        delay = rng.choice((0, rng.uniform(0, 0.05)))
        where.append(f"{event} {count} + {1000 * delay:.0f} ms")
        own = processes.run(killed, [*flags, f"--gin_bindings={_OFTEN}"], event, count, delay)
        assert own.code in (-9, 0), (where, own)
        assert "Traceback" not in own.err, (where, own)
        if own.code == 0:
            where[-1] += " (too late)"
            break
    last = processes.run(killed, flags)
    assert last.code == 0, (where, last)
    assert "is damaged" not in last.err, (where, last)
    assert left(killed) == left(whole), where
    return where


@pytest.mark.parametrize("agent", _AGENTS)
def test_three_kills_change_nothing(tmp_path, processes, agent):
    where = kill_again_and_again(processes, tmp_path, flags_of(agent), kills=3, seed=f"3 {agent}")
    print(f"{agent}: killed at {', '.join(where)}")


@pytest.mark.nightly
@pytest.mark.parametrize("agent", _AGENTS)
def test_twenty_kills_change_nothing(tmp_path, processes, agent):
    for part in range(5):  # a run is short: four times each
        folder = tmp_path / str(part)
        folder.mkdir()
        own = kill_again_and_again(
            processes, folder, flags_of(agent), kills=4, seed=f"{part} {agent}"
        )
        print(f"{agent}: killed at {', '.join(own)}")

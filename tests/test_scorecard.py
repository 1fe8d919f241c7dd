"""What an evaluation comes to, by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl.acting.lanes import Played
from prune_rl.scorecard import Result, scorecard, table
from prune_rl.specs import Box, Discrete

_BUTTONS = Discrete(6)


def results(*returns, game="Pong", protocol=None, action_spec=_BUTTONS):
    """Of each seed's returns; lengths are 10, 11, ..."""
    found = []
    for seed, own in enumerate(returns):
        run = SimpleNamespace(
            directory="runs/x",
            agent=SimpleNamespace(),
            game=game,
            protocol=protocol or {"game": game},
            seed=seed,
            agent_steps=1000,
            gradient_steps=250,
            diverged_at=7 * seed,
            sparsities={"q": 0.95, "v": 0.5},
            action_spec=action_spec,
        )
        episodes = [Played(i, float(x), 10 + i, i > 0) for i, x in enumerate(own)]
        found.append(Result(run, episodes))
    return found


def card(*returns, game="Pong", protocol=None, random_seed=0, action_spec=_BUTTONS):
    return scorecard(
        results(*returns, game=game, protocol=protocol, action_spec=action_spec),
        protocol={"game": game, "suite": "tests"},
        exploration={"epsilon": 0.001},
        random_seed=random_seed,
    )


def bootstrap(strata, seed, count=50_000):
    """Percentiles of the mean of strata's means, each drawn within itself; plain NumPy."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(own, (count, len(own))).mean(axis=1) for own in map(np.array, strata)]
    return np.percentile(np.mean(means, axis=0), (2.5, 97.5))


def test_three_seeds_have_an_interval_of_seeds():
    found = card([1, 2, 3], [4, 4, 4], [9, 0, 0])
    assert found["mean_return"] == pytest.approx((2 + 4 + 3) / 3)
    assert found["interval_95"]["of"] == "3 seeds"
    low, high = bootstrap([[2, 4, 3]], 5)
    assert found["interval_95"]["low"] == pytest.approx(low, abs=0.02)
    assert found["interval_95"]["high"] == pytest.approx(high, abs=0.02)


def test_fewer_seeds_have_one_of_their_episodes():
    own = ([1, 2, 3, 10], [4, 4, 4, 4])
    found = card(*own)
    assert found["mean_return"] == 4.0
    assert found["interval_95"]["of"] == "4 episodes of each of 2 seeds"
    low, high = bootstrap(own, 5)
    assert found["interval_95"]["low"] == pytest.approx(low, abs=0.05)
    assert found["interval_95"]["high"] == pytest.approx(high, abs=0.05)
    assert card([1, 2, 3])["interval_95"]["of"] == "3 episodes of one seed"


def test_two_episodes_have_no_interval():
    found = card([1, 2])
    assert found["interval_95"] == {"low": None, "high": None, "of": "2 episodes of one seed"}
    assert "no interval: 2 episodes of one seed" in table(found, "q")
    json.dumps(found, allow_nan=False)


def test_the_same_random_seed_gives_the_same_interval():
    own = np.random.default_rng(0).normal(size=12)
    first, again, other = (card(own, random_seed=x)["interval_95"] for x in (1, 1, 2))
    assert first == again
    assert first != other


def test_atari_is_scored_between_a_random_and_a_human_player():
    """Pong: -20.7 and 14.6 (Mnih et al. 2015, Wang et al. 2016)."""
    found = card([-20.7, -20.7, -20.7], [14.6, 14.6, 14.6])
    assert found["human_normalized"]["mean"] == pytest.approx(0.5)
    assert [own["human_normalized"] for own in found["seeds"]] == pytest.approx([0.0, 1.0])
    assert found["d4rl_normalized"] is None
    assert "human-normalised 0.5" in table(found, "q")


def test_robots_are_scored_as_d4rl_does_unless_their_data_say_otherwise():
    """HalfCheetah: -280.178953 and 12135.0 (d4rl/infos.py)."""
    middle = (-280.178953 + 12135.0) / 2
    found = card([middle] * 3, game="HalfCheetah-v5")
    assert found["d4rl_normalized"]["mean"] == pytest.approx(50)
    assert found["d4rl_normalized"]["low"] == pytest.approx(50)
    assert found["human_normalized"] is None
    protocol = {"game": "HalfCheetah-v5", "reference_scores": [0.0, 100.0]}
    found = card([30.0] * 3, game="HalfCheetah-v5", protocol=protocol)
    assert found["d4rl_normalized"]["mean"] == pytest.approx(30)


def test_json_holds_every_episode_and_what_it_was_played_with():
    found = json.loads(json.dumps(card([1, 2, 3], [4, 5, 6]), allow_nan=False))
    assert found["made_by"] == "prune_rl.evaluate"
    assert (found["agent_steps"], found["gradient_steps"]) == (1000, 250)
    assert found["exploration"] == {"epsilon": 0.001}
    assert found["provenance"]["protocol"] == {"game": "Pong", "suite": "tests"}
    assert found["provenance"]["versions"]["jax"]
    first, second = found["seeds"]
    assert first["episodes"][1] == {"return": 2.0, "length": 11, "terminated": True}
    assert [own["return"] for own in second["episodes"]] == [4.0, 5.0, 6.0]
    assert (first["diverged_at"], second["diverged_at"]) == (None, 7)
    assert first["sparsity"] == {"q": 0.95, "v": 0.5}


def test_a_table_tells_each_seed_in_a_line():
    lines = table(card([1, 2, 3], [4, 5, 9]), "v").splitlines()
    assert lines[0].endswith(
        "Pong after 1,000 agent steps, 250 gradient steps; played with epsilon 0.001"
    )
    assert lines[2].split() == ["0", "50.0%", "3", "11.0", "2.00"]
    assert lines[3].split()[:5] == ["1", "50.0%", "3", "11.0", "6.00"]
    assert lines[3].endswith("diverged at gradient step 7")
    assert lines[4].startswith("mean return 4.00 [")


def test_what_acts_in_vectors_explores_by_no_number():
    found = card([1, 2], action_spec=Box((-1.0,), (1.0,)))
    assert found["exploration"] == {}
    assert table(found, "v").splitlines()[0].endswith("played with the middle of its distribution")


def test_returns_of_a_diverged_seed_are_no_numbers():
    nan = float("nan")
    found = card([1, 2, 3], [4, nan, 9], [1, 1, float("inf")], game="HalfCheetah-v5")
    json.dumps(found, allow_nan=False)
    assert [own["mean_return"] for own in found["seeds"]] == [2.0, None, None]
    assert found["seeds"][1]["episodes"][1]["return"] is None
    assert found["seeds"][1]["d4rl_normalized"] is None
    assert (found["mean_return"], found["d4rl_normalized"]["mean"]) == (None, None)
    lines = table(found, "v").splitlines()
    assert lines[3].split()[4:6] == ["no", "number"]
    assert lines[-1] == "mean return no number (no interval: 3 seeds); D4RL's no number"

"""Hyper-parameters: schedule, exploration rate, validation, the shipped gin files."""

import dataclasses
import inspect
import re
from pathlib import Path

import gin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl import configuration
from prune_rl.agents.cql import CQLAgent
from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.errors import ConfigError
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso

GIN_CONFIGS = Path(__file__).parents[2] / "gin_configs"


def test_epsilon_by_hand():
    agent = DQNAgent(min_replay_history=1_000, epsilon_decay_period=2_000, epsilon_train=0.1)
    by_hand = {0: 1.0, 1_000: 1.0, 1_500: 0.775, 2_000: 0.55, 3_000: 0.1, 10**9: 0.1}
    assert {t: agent.epsilon(t) for t in by_hand} == pytest.approx(by_hand, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.booleans(), st.integers(0, 200))
def test_number_of_gradient_steps_counts_the_updates(history, number, often, num_agent_steps):
    """K updates after every step, or one after every P."""
    ratio, period, at_once = (number, 1, number) if often else (1 / number, number, 1)
    agent = DQNAgent(min_replay_history=history, replay_ratio=ratio)
    due = [agent.updates_due(t) for t in range(num_agent_steps)]
    after = [t > history and t % period == 0 for t in range(num_agent_steps)]
    assert due == [at_once if own else 0 for own in after]
    assert agent.num_gradient_steps(num_agent_steps) == sum(due)


def test_steps_by_hand():
    agent = DQNAgent(min_replay_history=8, replay_ratio=0.25, target_update_period=6)
    assert [t for t in range(25) if agent.updates_due(t)] == [12, 16, 20, 24]
    assert [t for t in range(25) if agent.is_target_update_step(t)] == [0, 6, 12, 18, 24]


def test_gradient_steps_of_the_published_run():
    """10M agent steps less 20,000 of warm-up, one update in four."""
    assert DQNAgent().num_gradient_steps(10_000_001) == 2_495_000


@pytest.mark.parametrize(
    ("replay_ratio", "expected"),
    [(0.25, 2_500_000), (0.5, 5_000_000), (0.333, 3_333_333), (1, 10_000_000), (2, 20_000_000)],
)
def test_nominal_gradient_steps_of_40_million_frames(replay_ratio, expected):
    """The warm-up counts: it makes no difference."""
    for min_replay_history in (0, 20_000):
        agent = DQNAgent(replay_ratio=replay_ratio, min_replay_history=min_replay_history)
        assert agent.nominal_gradient_steps(10_000_000) == expected


@pytest.mark.parametrize(
    ("ratio", "nearest"),
    [
        (1.5, "the nearest is 2"),
        (0.4, "the nearest is 0.5, one update every 2 agent steps"),
        (0.33, "the nearest is 0.3333, one update every 3 agent steps"),
    ],
)
def test_a_replay_ratio_between_two_periods_is_told_the_nearest(ratio, nearest):
    with pytest.raises(ConfigError, match=re.escape(f"DQNAgent.replay_ratio={ratio}")) as error:
        DQNAgent(replay_ratio=ratio)
    assert nearest in str(error.value)


def test_a_rounded_replay_ratio_means_its_period():
    agent = DQNAgent(min_replay_history=9, replay_ratio=0.333)
    assert [t for t in range(100, 110) if agent.updates_due(t)] == [102, 105, 108]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("torso", NatureTorso),  # the class: gin's @NatureTorso without parentheses
        ("gamma", 1.01),
        ("gamma", "0.99"),
        ("update_horizon", 0),
        ("min_replay_history", -1),
        ("min_replay_history", 1e4),
        ("replay_ratio", 0),
        ("replay_ratio", "0.25"),
        ("replay_ratio", float("inf")),
        ("replay_ratio", float("nan")),
        ("target_update_period", True),
        ("epsilon_train", -0.1),
        ("epsilon_eval", 2),
        ("epsilon_decay_period", 0),
        ("loss_type", "hubert"),
        ("seed_strategy", "vmapped"),
        ("precision", "fp16"),
    ],
)
def test_a_wrong_value_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"^DQNAgent\.{name}="):
        DQNAgent(**{name: value})


def test_a_misspelt_choice_is_told_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'huber'"):
        DQNAgent(loss_type="hubert")


@pytest.mark.parametrize(
    ("name", "agent"), [("dqn", DQNAgent), ("rainbow", RainbowAgent), ("cql", CQLAgent)]
)
def test_shipped_configuration_states_every_default(name, agent):
    default = agent()
    configuration.load([f"agents/{name}.gin"], [])
    for field in dataclasses.fields(agent):
        gin.query_parameter(f"{agent.__name__}.{field.name}")  # raises where it is not stated
    for argument, parameter in inspect.signature(create_optimizer).parameters.items():
        if argument == "num_gradient_steps":
            continue  # given by the code
        assert gin.query_parameter(f"create_optimizer.{argument}") == parameter.default
    # Only the network's first weights differ: Dopamine's Rainbow has an initialiser of its own.
    init = "rainbow" if agent is RainbowAgent else "xavier_uniform"
    assert agent() == dataclasses.replace(default, torso=NatureTorso(kernel_init=init))


@pytest.mark.parametrize(
    ("name", "torso"),
    [("nature", NatureTorso()), ("impala", ImpalaTorso()), ("minatar", MinAtarTorso())],
)
def test_a_network_file_selects_its_torso(name, torso):
    configuration.load(["agents/dqn.gin", f"networks/{name}.gin"], [])
    assert DQNAgent().torso == torso

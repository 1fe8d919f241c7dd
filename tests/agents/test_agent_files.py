"""What every agent's gin file makes of it, against Dopamine's own files (facts, not defaults).

Sources: dopamine/jax/agents/{dqn,rainbow,full_rainbow}/configs, labs/atari_100k/configs and, at
commit 81f695c, labs/offline_rl/jax: configs/{jax_dqn,jax_dr3,jax_rainbow}.gin.
"""

import gin
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl import configuration
from prune_rl.agents.awac import AWACAgent
from prune_rl.agents.bc import BCAgent
from prune_rl.agents.cql import CQLAgent
from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.iql import IQLAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.agents.sac import SACAgent
from prune_rl.agents.td3_bc import TD3BCAgent
from prune_rl.errors import ConfigError
from prune_rl.experiment import create_optimizers

_ATARI = {
    "gamma": 0.99,
    "min_replay_history": 20_000,
    "replay_ratio": 0.25,
    "target_update_period": 8_000,
    "epsilon_train": 0.01,
    "epsilon_eval": 0.001,
    "epsilon_decay_period": 250_000,
}
_C51 = {"num_atoms": 51, "vmax": 10.0, "data_augmentation": False}
_COMPACT = {"double_dqn": False, "dueling": False, "noisy": False}
_FULL = {"double_dqn": True, "dueling": True, "noisy": True}
_100K = {"update_horizon": 10, "min_replay_history": 1_600, "replay_ratio": 1.0}
_AGENTS = {
    "dqn": _ATARI | {"update_horizon": 1, "replay_scheme": "uniform", "loss_type": "mse"},
    "rainbow": _ATARI | _C51 | _COMPACT | {"update_horizon": 3, "replay_scheme": "prioritized"},
    "c51": _ATARI | _C51 | _COMPACT | {"update_horizon": 1, "replay_scheme": "uniform"},
    "full_rainbow": _ATARI | _C51 | _FULL | {"update_horizon": 3, "replay_scheme": "prioritized"},
    "der": _ATARI
    | _C51
    | _FULL
    | _100K
    | {"target_update_period": 2_000, "epsilon_decay_period": 2_000}
    | {"replay_scheme": "prioritized"},
    "drq_eps": _ATARI
    | _FULL
    | _100K
    | {"target_update_period": 1, "epsilon_decay_period": 5_000, "replay_scheme": "uniform"}
    | {"num_atoms": 1, "noisy": False, "data_augmentation": True, "loss_type": "huber"},
}
_OFFLINE = {"gamma": 0.99, "epsilon_eval": 0.001, "noisy": False, "data_augmentation": False}
_OFFLINE |= {"replay_scheme": "uniform", "cql_coefficient": 0.1, "td_coefficient": 1.0}
_AGENTS["cql"] = _OFFLINE | {"update_horizon": 1, "target_update_period": 2_000, "num_atoms": 1}
_AGENTS["cql"] |= {"double_dqn": False, "dueling": False, "loss_type": "huber"}
_AGENTS["cql_c51"] = _OFFLINE | _C51 | {"update_horizon": 3, "target_update_period": 100}
_AGENTS["cql_c51"] |= {"double_dqn": True, "dueling": True}
_KINDS = {"dqn": DQNAgent, "cql": CQLAgent, "cql_c51": CQLAgent}
_OPTIMIZERS = {"c51": (2.5e-4, 3.125e-4), "der": (1e-4, 1.5e-4), "drq_eps": (1e-4, 1.5e-4)}


@pytest.mark.parametrize("name", _AGENTS)
def test_an_agent_file_sets_what_dopamines_does(name):
    configuration.load([f"agents/{name}.gin"], [])
    agent = _KINDS.get(name, RainbowAgent)()
    assert {field: getattr(agent, field) for field in _AGENTS[name]} == _AGENTS[name]
    rates = [gin.query_parameter(f"create_optimizer.{x}") for x in ("learning_rate", "eps")]
    assert tuple(rates) == _OPTIMIZERS.get(name, (6.25e-5, 1.5e-4))


_CRITICS = {"num_critics": 2, "target_smoothing_coefficient": 0.005, "gamma": 0.99}
_CONTROL = {
    SACAgent: _CRITICS
    | {"learn_temperature": True, "initial_temperature": 1.0, "backup_entropy": True}
    | {"target_entropy": None, "replay_ratio": 1, "min_replay_history": 10_000},
    BCAgent: {"policy": "deterministic"},
    TD3BCAgent: _CRITICS
    | {"alpha": 2.5, "policy_noise": 0.2, "noise_clip": 0.5, "policy_delay": 2},
    AWACAgent: _CRITICS
    | {"advantage_temperature": 1 / 3, "largest_weight": 100.0, "min_log_std": -20.0},
    IQLAgent: _CRITICS
    | {"expectile": 0.7, "advantage_scale": 3.0, "largest_weight": 100.0, "bounded_mean": True},
}
_FILES = {SACAgent: "sac", BCAgent: "bc", TD3BCAgent: "td3_bc", AWACAgent: "awac", IQLAgent: "iql"}


@pytest.mark.parametrize("kind", _CONTROL)
def test_an_agent_of_continuous_actions_is_as_published(kind):
    """Tables and released code of the papers that agents/*.gin name."""
    configuration.load([f"agents/{_FILES[kind]}.gin"], [])
    agent = kind()
    assert {field: getattr(agent, field) for field in _CONTROL[kind]} == _CONTROL[kind]
    expected = {"name": "adam", "learning_rate": 3e-4, "eps": 1e-8, "beta1": 0.9, "beta2": 0.999}
    assert {x: gin.query_parameter(f"create_optimizer.{x}") for x in expected} == expected
    depth = 3 if kind is AWACAgent else 2  # CORL's
    assert (agent.actor_torso.units, agent.actor_torso.depth) == (256, depth)
    replay = "ReplayBuffer" if kind is SACAgent else "Dataset"
    assert gin.query_parameter(f"{replay}.batch_size") == 256


def test_simbas_actor_is_smaller_than_its_critics():
    configuration.load(["agents/sac.gin", "networks/simba.gin"], [])
    torsos = SACAgent().actor_torso, SACAgent().critic_torso
    assert [(own.units, own.num_blocks) for own in torsos] == [(128, 1), (512, 2)]


@pytest.mark.parametrize("name", ["bc", "td3_bc", "awac", "iql"])
def test_offline_control_makes_a_million_gradient_steps_and_plays_ten_episodes(name):
    configuration.load([f"agents/{name}.gin"], [])
    steps = [gin.query_parameter(f"Runner.{x}") for x in ("num_iterations", "training_steps")]
    assert steps[0] * steps[1] == 1_000_000
    assert gin.query_parameter("Runner.num_eval_episodes") == 10


@pytest.mark.parametrize(
    ("name", "observations", "rewards"),
    [("bc", False, False), ("td3_bc", True, False), ("awac", True, False), ("iql", False, True)],
)
def test_what_an_agent_normalises_is_what_its_source_does(name, observations, rewards):
    """TD3+BC's equation 6, CORL's AWAC, IQL's appendix B."""
    configuration.load([f"agents/{name}.gin"], [])
    own = [gin.query_parameter(f"Dataset.normalize_{x}") for x in ("observations", "rewards")]
    assert own == [observations, rewards]
    assert gin.query_parameter("Dataset.normalization_eps") == 1e-3


def test_only_the_actor_of_iql_has_a_learning_rate_that_falls():
    configuration.load(["agents/iql.gin"], [])
    optimizers = create_optimizers(IQLAgent().networks, 10, 10)
    params = {"kernel": jnp.ones((2, 2))}
    steps = {}
    for name in ("actor", "value"):
        state = optimizers[name].init(params)
        for _ in range(10):
            updates, state = optimizers[name].update(params, state, params)
        steps[name] = float(-updates["kernel"][0, 0])
    assert steps["value"] == pytest.approx(3e-4, rel=1e-3)
    assert steps["actor"] < 1e-5


@pytest.mark.parametrize(
    ("file", "pruned"),
    [
        ("gradual_critic", {"critic"}),
        ("static_actor", {"actor"}),
        ("gradual_critic_static_actor", {"critic", "actor"}),
        ("dense_encoder", {"critic", "actor", "value"}),
        ("sparse_reg", {"critic", "actor", "value"}),
    ],
)
def test_a_pruning_file_says_which_networks_it_prunes(file, pruned):
    configuration.load(["agents/iql.gin", f"pruning/{file}.gin"], [])
    optimizers = create_optimizers(IQLAgent().networks, 1_000, 1_000)
    params = {"params": {"torso": {"Dense_0": {"kernel": np.ones((3, 4))}}}}
    params["params"]["head"] = {"kernel": np.ones((40, 10)), "bias": np.ones(10)}
    for name, optimizer in optimizers.items():
        shares = optimizer.target_sparsities(params)["params"]
        assert shares["head"]["bias"] is None
        assert bool(shares["head"]["kernel"]) == (name in pruned)
        if file == "dense_encoder":
            assert not shares["torso"]["Dense_0"]["kernel"]


def test_a_network_that_the_agent_lacks_is_one_line():
    configuration.load(["agents/bc.gin", "pruning/gradual_critic.gin"], [])
    with pytest.raises(ConfigError, match=r"critic/create_updater.*no such network"):
        create_optimizers(BCAgent().networks, 1_000, 1_000)


@pytest.mark.parametrize("name", ["der", "drq_eps"])
def test_the_protocol_of_atari_100k(name):
    configuration.load([f"agents/{name}.gin"], [])
    expected = {
        "Runner.num_iterations": 10,
        "Runner.training_steps": 10_000,
        "Runner.evaluation_steps": 0,
        "Runner.num_eval_episodes": 100,
        "Runner.max_steps_per_episode": 27_000,
        "create_atari_environment.sticky_actions": False,
        "create_atari_environment.terminal_on_life_loss": True,
        "create_atari_environment.max_noops": 30,
        "ReplayBuffer.max_capacity": 1_000_000,
        "ReplayBuffer.batch_size": 32,
    }
    assert {binding: gin.query_parameter(binding) for binding in expected} == expected
    # 100,000 agent steps less 1,600 of warm-up, an update after each.
    assert RainbowAgent().num_gradient_steps(100_000) == 98_399


@pytest.mark.parametrize("name", ["cql", "cql_c51"])
def test_the_protocol_of_offline_learning(name):
    configuration.load([f"agents/{name}.gin"], [])
    expected = {
        "Runner.num_iterations": 200,
        "Runner.training_steps": 62_500,
        "Runner.evaluation_steps": 125_000,
        "Runner.num_eval_episodes": 0,
        "Runner.max_steps_per_episode": 27_000,
        "create_atari_environment.sticky_actions": True,
        "create_atari_environment.terminal_on_life_loss": False,
        "ReplayBuffer.batch_size": 32,
        "Dataset.fraction": 0.05,
    }
    assert {binding: gin.query_parameter(binding) for binding in expected} == expected
    source = gin.query_parameter("Runner.create_source_fn")
    assert source.selector.endswith("DatasetSource")
    assert gin.query_parameter("Runner.agent").selector.endswith("CQLAgent")


def test_no_binding_of_the_agent_that_cql_is_made_of_reaches_it():
    """gin looks values up by the class that is made: every one has to be said of CQLAgent."""
    configuration.load(["agents/cql.gin"], ["RainbowAgent.gamma=0.5"])
    assert CQLAgent().gamma == 0.99
    assert configuration.unused_bindings(["RainbowAgent.gamma=0.5"]) == ["RainbowAgent.gamma=0.5"]


def test_dopamines_name_of_the_coefficient_is_answered_with_ours():
    with pytest.raises(ConfigError, match=r"here it is CQLAgent\.cql_coefficient"):
        configuration.load(["agents/cql.gin"], ["CQLAgent.bc_coefficient=0.2"])

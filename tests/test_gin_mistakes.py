"""A mistake in a binding is answered with what to write instead, and that works."""

import re
import shlex

import gin
import pytest

from prune_rl import configuration
from prune_rl.errors import ConfigError


def _told(*bindings, files=("agents/dqn.gin",)):
    with pytest.raises(ConfigError) as caught:
        configuration.load(files, bindings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("DQNAgent.batch_size = 64", "here it is ReplayBuffer.batch_size"),
        ("SACAgent.batch_size = 64", "here it is ReplayBuffer.batch_size"),
        ("DQNAgent.learning_rate = 1e-4", "here it is create_optimizer.learning_rate"),
        ("DQNAgent.sparsity = 0.9", "here it is create_updater_from_config.sparsity"),
        ("Runner.max_capacity = 10", "here it is ReplayBuffer.max_capacity"),
        ("Runner.game_name = 'Pong'", "here it is create_atari_environment.game_name"),
        ("DQNAgent.img_pad = 4", "here it is Augmentation.img_pad"),
        ("Reset.layers = 1", "did you mean 'reset_layers'? There is also ReDo.layers"),
        ("DQNAgent.gama = 0.5", "did you mean 'gamma'?"),
        ("ReplayBuffer.zzz = 1", "choose from batch_size, create_sampler, "),
        ("Runner.gamma = 0.5", "here it is DQNAgent.gamma"),
        ("DQNAgent.num_seeds = 3", "here it is Runner.num_seeds"),
        ("SimBaTorso.zzz = 1", "choose from kernel_init, num_blocks, units, width"),
    ],
)
def test_a_parameter_of_another_configurable_is_named_with_its_owner(binding, expected):
    name, parameter = re.split(r"[. ]", binding)[:2]
    assert f"{name} has no parameter {parameter!r}; {expected}" in _told(binding)


def test_what_the_configuration_sets_goes_before_what_it_does_not():
    places = "ReplayBuffer.batch_size"
    assert _told("CQLAgent.batch_size = 3").endswith(f"here it is {places}")
    both = f"here it is Dataset.batch_size or {places}"
    assert _told("CQLAgent.batch_size = 3", files=["agents/cql.gin"]).endswith(both)
    assert _told("CQLAgent.batch_size = 3", files=[]).endswith(both)  # nothing is set


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("JaxDQNAgent.gamma = 0.9", "DQNAgent.gamma"),
        ("dopamine.jax.agents.dqn.dqn_agent.JaxDQNAgent.gamma = 0.9", "DQNAgent.gamma"),
        ("JaxDQNAgent.update_period = 4", "DQNAgent.replay_ratio, 0.25 for an update_period of 4"),
        ("JaxDQNAgent.optimizer = 'adam'", "create_optimizer.name"),
        ("DQNAgent.optimizer = 'adam'", "create_optimizer.name"),
        ("JaxDQNAgent.network = 1", "DQNAgent.torso, as @ImpalaTorso()"),
        ("JaxDQNAgent.seed = 1", "Runner.seed, the first of Runner.num_seeds"),
        ("JaxDQNAgent.summary_writing_frequency = 1", "DQNAgent, without 'summary_writing_frequ"),
        ("JaxRainbowAgent.num_atoms = 51", "RainbowAgent.num_atoms"),
        ("JaxFullRainbowAgent.noisy = True", "RainbowAgent.noisy"),
        ("RainbowAgent.vmin = -10", "RainbowAgent.vmax, the support is [-vmax, vmax]"),
        ("OfflineJaxDQNAgent.bc_coefficient = 1", "CQLAgent.cql_coefficient"),
        ("OutOfGraphReplayBuffer.replay_capacity = 10", "ReplayBuffer.max_capacity"),
        ("ReplayBuffer.replay_capacity = 10", "ReplayBuffer.max_capacity"),
        (
            "prioritized_replay_buffer.OutOfGraphPrioritizedReplayBuffer.batch_size = 32",
            "ReplayBuffer.batch_size",
        ),
        (
            "atari_lib.create_atari_environment.game_name = 'Pong'",
            "create_atari_environment.game_name",
        ),
        (
            "atari_lib.AtariPreprocessing.terminal_on_life_loss = True",
            "create_atari_environment.terminal_on_life_loss",
        ),
        ("create_runner.schedule = 'continuous_train'", "Runner.evaluation_steps, 0 for"),
        ("create_agent.agent_name = 'jax_dqn'", "Runner.agent, as @DQNAgent(); --gin_files="),
        ("Runner.clip_rewards = True", "OnlineSource.clip_rewards"),
        ("Runner.agent = @dqn_agent.JaxDQNAgent()", "DQNAgent"),
        ("DQNAgent.torso = @networks.ImpalaCNN()", "ImpalaTorso"),
        ("DQNAgent.lr = 1e-4", "create_optimizer.learning_rate"),
        ("DQNAgent.buffer_size = 10", "ReplayBuffer.max_capacity"),
        ("DQNAgent.learning_starts = 10", "DQNAgent.min_replay_history"),
        ("SACAgent.learning_starts = 10", "SACAgent.min_replay_history"),
        ("SACAgent.tau = 0.01", "SACAgent.target_smoothing_coefficient"),
        ("Runner.total_timesteps = 10", "Runner.num_iterations, of Runner.training_steps agent"),
        ("DQNAgent.target_network_frequency = 10", "DQNAgent.target_update_period"),
        ("DQNAgent.target_update_interval = 10", "DQNAgent.target_update_period"),
        ("DQNAgent.train_frequency = 4", "DQNAgent.replay_ratio, 0.25 for a train_frequency of 4"),
        ("DQNAgent.train_freq = 4", "DQNAgent.replay_ratio, 0.25 for a train_freq of 4"),
        ("DQNAgent.exploration_fraction = 0.1", "DQNAgent.epsilon_decay_period, in agent steps"),
        ("DQNAgent.end_e = 0.1", "DQNAgent.epsilon_train"),
        ("DQNAgent.exploration_final_eps = 0.1", "DQNAgent.epsilon_train"),
        ("RainbowAgent.n_steps = 3", "RainbowAgent.update_horizon"),
    ],
)
def test_a_name_of_another_project_is_answered_with_ours(binding, expected):
    told = _told(binding)
    assert f"; here it is {expected}" in told
    for owner, parameter in re.findall(r"\b([A-Z]\w+|create_\w+)\.(\w+)", told.split("; ", 1)[1]):
        with gin.unlock_config():  # what is named can be bound
            gin.bind_parameter(f"{owner}.{parameter}", 1)


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("create_atari_environment.game_name=Pong", 'create_atari_environment.game_name="Pong"'),
        (
            "create_atari_environment.game_name=PongNoFrameskip-v4",
            'create_atari_environment.game_name="Pong"',
        ),
        (
            "create_atari_environment.game_name=ALE/Pong-v5",
            'create_atari_environment.game_name="Pong"',
        ),
        (
            "create_minatar_environment.game_name = MinAtar/Breakout-v1",
            'create_minatar_environment.game_name="breakout"',
        ),
        (
            "create_mujoco_environment.game_name=HalfCheetah",
            'create_mujoco_environment.game_name="HalfCheetah-v5"',
        ),
        ("game_name=Pong", 'create_atari_environment.game_name="Pong"'),
        ("game_name=PongNoFrameskip-v4", 'create_atari_environment.game_name="Pong"'),
        ("game_name=breakout", 'create_minatar_environment.game_name="breakout"'),
        ("game_name=Hopper", 'create_mujoco_environment.game_name="Hopper-v5"'),
        ("game_name=Breakot", 'create_atari_environment.game_name="Breakot"'),
        ("Dataset.path=/data/d4rl", 'Dataset.path="/data/d4rl"'),
        ("evaluation/Suite.name=minatar", 'evaluation/Suite.name="minatar"'),
        ("OnlineSource.clip_rewards=true", "OnlineSource.clip_rewards=True"),
        ("Runner.agent=DQNAgent()", "Runner.agent=@DQNAgent()"),
        ("DQNAgent.torso=NatureTorso", "DQNAgent.torso=@NatureTorso"),
    ],
)
def test_a_value_is_written_out_as_a_shell_takes_it(binding, expected):
    flag = _told(binding).partition(" no value that gin reads; ")[2]
    (word,) = [x for x in shlex.split(flag) if x.startswith("--gin_bindings=")]
    assert word == f"--gin_bindings={expected}"
    configuration.load(["agents/dqn.gin"], [expected])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "create_atari_environment.game_name = Pong",
            'write "Pong" if it is a string (own.',
        ),
        ("OnlineSource.clip_rewards = false", "write False (own.gin, line 2)"),
        ("Dataset.path = /data", 'strings need quotes, as "Pong" (own.gin, line 2)'),
        ("import dopamine.jax.agents.dqn.dqn_agent", "no import of Dopamine here"),
        ("JaxDQNAgent.gamma = 0.5", "here it is DQNAgent.gamma ("),
    ],
)
def test_a_file_is_named_with_its_line(tmp_path, line, expected):
    own = tmp_path / "own.gin"
    own.write_text(f"include 'agents/dqn.gin'\n{line}\n")
    told = _told(files=[str(own)])
    assert expected in told
    assert "line 2" in told


def test_users_own_configurables_have_their_own_parameters():
    @gin.configurable(module="my_pruning")
    def fading(speed=1, batch_size_of_all=2):
        return speed, batch_size_of_all

    assert "fading has no parameter 'sped'; did you mean 'speed'?" in _told("fading.sped = 1")

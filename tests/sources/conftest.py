"""Games of MinAtar that were played before, as fixed data, and runs that learn from some."""

import functools
import shutil
from typing import ClassVar

import gin
import numpy as np
import pytest

from prune_rl import randomness, train
from prune_rl.agents.dqn import DQNAgent
from prune_rl.dataset_making import create_runner, make
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.streams import streams_to_words, words_to_streams
from prune_rl.sources.source import Setting

NUM_STEPS = 120


def _games(seeds, game, *stream):
    words = [randomness.environment_seed(seed, *stream) for seed in seeds]
    return EnvironmentBatch([MinAtarEnvironment(x, game, sticky_actions=True) for x in words], 1000)


class PlayedGames(ReplayBuffer):
    """What random play of `NUM_STEPS` agent steps saw; only its streams ever change."""

    protocol: ClassVar = {"suite": "minatar", "played_by": "a random policy"}

    def __init__(self, setting, reward=None, game=None):
        create = setting.create_environments
        environments = _games(setting.seeds, game, 9) if game else create(9)
        specs = {name: getattr(environments, name) for name in ("observation_spec", "action_spec")}
        agent = setting.agent
        super().__init__(
            seeds=setting.seeds,
            update_horizon=agent.update_horizon,
            gamma=agent.gamma,
            longest_run=NUM_STEPS,
            batch_size=8,
            **specs,
        )
        self.observation_spec, self.action_spec = specs.values()
        rng = np.random.default_rng(0)
        self.add_first(environments.reset())
        for _ in range(NUM_STEPS):
            actions = rng.integers(0, environments.action_spec.num_actions, len(setting.seeds))
            step = environments.step(actions)
            given = step.rewards if reward is None else np.full_like(step.rewards, reward)
            self.add(
                actions=actions,
                rewards=given,
                terminated=step.terminated,
                truncated=step.truncated,
                next_frames=step.next_frames,
                frames=step.frames,
            )

    def get_state(self):
        return [{"random_words": words} for words in streams_to_words(self._streams)]

    def set_state(self, states):
        words = np.stack([state["random_words"] for state in states])
        words_to_streams(words, self._streams)


@pytest.fixture
def played_games():
    return PlayedGames


@pytest.fixture
def make_setting():
    """A setting of two seeds on MinAtar Breakout."""
    gin.clear_config()

    def make(seeds=(3, 4), num_steps=500, **agent):
        own = DQNAgent(torso=MinAtarTorso(), **agent)
        return Setting(own, seeds, lambda *stream: _games(seeds, "breakout", *stream), num_steps)

    return make


@pytest.fixture(scope="session")
def made_data(tmp_path_factory):
    """Two runs of MinAtar Breakout, made by seeds 0 and 1 in 300 agent steps, in files of 100."""
    out = tmp_path_factory.mktemp("made") / "data"
    settings = {"agent_steps": 300, "gin_files": ["experiments/minatar_breakout.gin"]}
    bindings = ["Runner.num_seeds=2", "DQNAgent.min_replay_history=1000"]
    create = functools.partial(create_runner, **settings, gin_bindings=bindings)
    make(out, format="dqn_replay", agent_steps=300, create_runner=create, checkpoint_rows=100)
    gin.clear_config()
    return out


@pytest.fixture
def own_data(made_data, tmp_path):
    """A copy of these runs, to damage; returns the folder and that of the files of run 1."""
    folder = shutil.copytree(made_data, tmp_path / "data")
    return folder, folder / "breakout" / "1" / "replay_logs"


_SHORT = (
    "Runner.num_iterations=3",
    "Runner.training_steps=10",
    "Runner.evaluation_steps=20",
    "Runner.num_seeds=2",
    "Dataset.batch_size=4",
    "Dataset.fraction=0.5",
    "CQLAgent.target_update_period=7",
)
_PRUNED = (
    "create_updater_from_config.update_freq=2",
    "create_updater_from_config.update_start_step=4",
    "create_updater_from_config.update_end_step=24",
)


@pytest.fixture(scope="session")
def data_flags():
    """Flags of a run on data, 3 x 10 gradient steps of two seeds on MinAtar, but for its folder."""

    def flags(path, *bindings, agent="cql", pruned=False):
        files = [f"agents/{agent}.gin", "networks/minatar.gin", "suites/minatar.gin"]
        files += ["pruning/magnitude.gin"] * pruned
        given = [] if path is None else [f"Dataset.path={str(path)!r}"]
        given += [*_SHORT, *(_PRUNED if pruned else ()), *bindings]
        return [f"--gin_files={x}" for x in files] + [f"--gin_bindings={x}" for x in given]

    return flags


@pytest.fixture(scope="session")
def trained_on_data(tmp_path_factory, made_data, data_flags):
    """The directory of such a run, trained once for all tests that ask for it: to read only."""

    @functools.cache
    def trained(agent, pruned):
        base_dir = tmp_path_factory.mktemp("trained") / "run"
        own = data_flags(made_data, agent=agent, pruned=pruned)
        assert train.main([f"--base_dir={base_dir}", *own]) == 0
        gin.clear_config()
        return base_dir

    return lambda agent="cql", pruned=False: trained(agent, pruned)

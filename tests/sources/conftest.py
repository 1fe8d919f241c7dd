"""Games of MinAtar that were played before, as fixed data."""

from typing import ClassVar

import gin
import numpy as np
import pytest

from prune_rl import randomness
from prune_rl.agents.dqn import DQNAgent
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

"""A run whose rows a test writes down."""

from types import SimpleNamespace

import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete, ObservationSpec


class ScriptedRun:
    """Episodes of the given lengths, each of reward 1, in blocks of a given number of rows."""

    def __init__(self, lengths, *, number=1, path="", block_rows=4, last_ends=True):
        self.game, self.suite, self.number = "Pong", "atari", number
        self.observation_spec = ObservationSpec((84, 84, 1), stack_size=4)
        self.action_spec, self.last_ends = Discrete(3), last_ends
        self.protocol = {"format": "dqn_replay", "path": str(path), "stored_rewards": "clipped"}
        self.lengths, self.block_rows = lengths, block_rows
        self.unreadable, self.absent = None, []

    def parts(self, share):
        assert share.fraction == 1
        if self.unreadable:
            raise ConfigError(self.unreadable)
        rows = sum(self.lengths)
        part = SimpleNamespace(
            name="Pong/1 checkpoint 0",
            num_rows=rows,
            num_transitions=rows,
            total_transitions=rows,
            blocks=self._blocks,
        )
        return [part]

    def identity(self):
        return "0" * 64

    def _blocks(self):
        ages = np.concatenate([np.arange(length) for length in self.lengths]).astype(np.int32)
        ends = np.zeros(len(ages), np.uint8)
        ends[np.cumsum(self.lengths) - 1] = 1
        ends[-1] = self.last_ends
        for i in range(0, len(ages), self.block_rows):
            own = slice(i, i + self.block_rows)
            count = len(ages[own])
            yield Block(
                frames=np.zeros((count, 84, 84, 1), np.uint8),
                actions=(np.arange(count) % 2).astype(np.int32),
                rewards=np.ones(count, np.float32),
                ages=ages[own],
                ends=ends[own],
                starts=np.ones(count, bool),
            )

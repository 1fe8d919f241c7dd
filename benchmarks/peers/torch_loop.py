"""A CleanRL-style DQN in PyTorch on Pong or on MinAtar Breakout, or its update alone.

The loop is that of CleanRL's dqn_atari.py: one environment, act, step, store, update every fourth
step. Its replay is the usual array of stacks. Settings are those of our gin files.
"""

import random
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import gymnasium
import numpy as np
import torch

from benchmarks.peers.torch_dqn import Learner
from benchmarks.serve import Loop, serve

_BATCH, _UPDATE_PERIOD, _HISTORY, _WARM_UPDATES = 32, 4, 1_000, 8


class _Breakout:
    """MinAtar's in gymnasium's words; observations (4, 10, 10) uint8, 0 or 255."""

    num_actions = 3

    def __init__(self) -> None:
        import minatar

        self._game = minatar.Environment("breakout")
        self._actions = self._game.minimal_action_set()

    def reset(self) -> tuple[np.ndarray, dict]:
        self._game.reset()
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward, over = self._game.act(self._actions[action])
        return self._observe(), reward, over, False, {}

    def _observe(self) -> np.ndarray:
        return self._game.state().transpose(2, 0, 1).astype(np.uint8) * np.uint8(255)


def _pong() -> Any:
    import ale_py

    gymnasium.register_envs(ale_py)
    game = gymnasium.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.25)
    game = gymnasium.wrappers.AtariPreprocessing(game, noop_max=0)
    game = gymnasium.wrappers.FrameStackObservation(game, 4)
    game.num_actions = int(game.action_space.n)
    return game


class _Replay:
    """Stacks and their successors, oldest overwritten."""

    def __init__(self, rows: int, shape: tuple[int, ...]) -> None:
        self.states, self.next_states = (np.zeros((rows, *shape), np.uint8) for _ in range(2))
        self.actions = np.zeros(rows, np.int64)
        self.rewards, self.ends = (np.zeros(rows, np.float32) for _ in range(2))
        self._added, self._rng = 0, np.random.default_rng(0)

    def add(self, *transition: Any) -> None:
        for field, value in zip(self._fields(), transition, strict=True):
            field[self._added % len(field)] = value
        self._added += 1

    def sample(self) -> list[torch.Tensor]:
        rows = self._rng.integers(0, min(self._added, len(self.actions)), _BATCH)
        return [torch.from_numpy(field[rows]) for field in self._fields()]

    def _fields(self) -> tuple[np.ndarray, ...]:
        return self.states, self.actions, self.rewards, self.next_states, self.ends


def _training(game: Any, net: str, rows: int, learning_rate: float) -> Callable[[int], None]:
    """What makes so many agent steps."""
    learner = Learner(net, game.num_actions, learning_rate=learning_rate)
    state, _ = game.reset()
    replay, steps = _Replay(rows, np.shape(state)), count(1)
    rng = random.Random(0)

    def step(number: int) -> None:
        nonlocal state
        if rng.random() < 0.1:
            action = rng.randrange(game.num_actions)
        else:
            action = learner.act(np.asarray(state))
        next_state, reward, terminated, truncated, _ = game.step(action)
        replay.add(state, action, np.sign(reward), next_state, terminated)
        state = game.reset()[0] if terminated or truncated else next_state
        if number > _HISTORY and number % _UPDATE_PERIOD == 0:
            learner.update(*replay.sample())
        if number % 1_000 == 0:
            learner.sync_target()

    def run(number: int) -> None:
        for _ in range(number):
            step(next(steps))

    run(_HISTORY + _UPDATE_PERIOD * _WARM_UPDATES)
    return run


def _updates(net: str, layout: str) -> Callable[[int], None]:
    """What makes so many updates on one batch, with Pong's six actions."""
    learner, rng = Learner(net, 6, layout), np.random.default_rng(0)
    states = [torch.from_numpy(rng.integers(0, 256, (_BATCH, 4, 84, 84), np.uint8)) for _ in "sn"]
    actions, ones = torch.zeros(_BATCH, dtype=torch.int64), torch.ones(_BATCH)

    def run(number: int) -> None:
        for _ in range(number):
            learner.update(states[0], actions, ones, states[1], ones)

    run(_WARM_UPDATES)
    return run


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: what ('pong', 'breakout', 'update'); net and layout of an update."""
    torch.set_num_threads(1)
    if settings["what"] == "update":
        return Loop(_updates(settings["net"], settings["layout"]))
    if settings["what"] == "pong":
        run = _training(_pong(), "nature", 10_000, 6.25e-5)
    else:
        run = _training(_Breakout(), "minatar", 100_000, 2.5e-4)
    return Loop(run, quantum=_UPDATE_PERIOD)


if __name__ == "__main__":
    serve(create, ["torch", "gymnasium", "ale-py", "MinAtar", "numpy", "opencv-python-headless"])

"""The stream of dopamine_cases.py as transitions: Dopamine's, ours, and worked out by hand."""

from collections import defaultdict
from functools import cache
from typing import NamedTuple

import numpy as np

from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Discrete, ObservationSpec

from . import dopamine_cases as cases

LAST_FRAME = 255  # what the environment shows after an episode's last step


class Transition(NamedTuple):
    """Frames by number, oldest first; `terminal` where nothing is bootstrapped from."""

    state: tuple[int, ...]
    action: int
    reward: float
    next_state: tuple[int, ...]
    terminal: bool


def recorded_transitions(n: int) -> dict[int, list[Transition]]:
    """Dopamine's, by the newest frame of their state."""
    fields = ("states", "actions", "rewards", "next_states", "terminals")
    columns = [cases.recorded()[f"replay/{n}/{field}"].tolist() for field in fields]
    found = defaultdict(list)
    for state, action, reward, next_state, terminal in zip(*columns, strict=True):
        transition = Transition(tuple(state), action, reward, tuple(next_state), terminal)
        found[state[-1]].append(transition)
    return dict(found)


@cache
def our_transitions(n: int) -> dict[int, Transition]:
    """Everything our buffer holds after the same stream, by the newest frame of the state."""
    buffer = ReplayBuffer(
        seeds=[0],
        observation_spec=ObservationSpec((2, 2, 1), stack_size=4),
        action_spec=Discrete(18),
        update_horizon=n,
        gamma=cases.GAMMA,
        max_capacity=1_000,
        batch_size=5_000,
    )
    steps = cases.stream()
    buffer.add_first(_frame(steps[0][0]))
    for i, (number, action, reward, terminated, over) in enumerate(steps):
        following = steps[i + 1][0] if i + 1 < len(steps) else number + 1
        buffer.add(
            actions=np.array([action]),
            rewards=np.array([reward]),
            terminated=np.array([terminated]),
            truncated=np.array([over and not terminated]),
            next_frames=_frame(LAST_FRAME if over else following),
            frames=_frame(following),
        )
    found = {}
    s_tm1, a_tm1, r_t, discount_t, s_t = (field[0] for field in buffer.sample()[:5])
    for state, action, reward, discount, after in zip(
        _numbers(s_tm1), a_tm1.tolist(), r_t.tolist(), discount_t, _numbers(s_t), strict=True
    ):
        found[state[-1]] = Transition(state, action, reward, after, discount == 0)
    return found


def _frame(number: int) -> np.ndarray:
    return np.full((1, 2, 2, 1), number, np.uint8)


def _numbers(stacks: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(stack) for stack in stacks[:, :, 0, 0, 0].tolist()]


def episodes() -> list[list[tuple[int, int, float, bool, bool]]]:
    """The stream, cut where episodes end."""
    found: list[list[tuple[int, int, float, bool, bool]]] = [[]]
    for step in cases.stream():
        found[-1].append(step)
        if step[-1]:
            found.append([])
    return found[:-1]


def interior(n: int) -> list[int]:
    """Frames that begin a transition whose next state is one in which the agent still acted."""
    return [episode[t][0] for episode in episodes() for t in range(len(episode) - 1 - n)]


def hand_made(n: int) -> dict[int, Transition]:
    """What n-step replay should hold, by the newest frame of the state."""
    found = {}
    for episode in episodes():
        frames = [0, 0, 0, *(step[0] for step in episode), LAST_FRAME]
        terminated, length = episode[-1][3], len(episode)
        for t, (number, action, *_) in enumerate(episode):
            end = min(t + n, length)
            reward = sum(cases.GAMMA**k * episode[t + k][2] for k in range(end - t))
            terminal = terminated and end == length
            state, after = tuple(frames[t : t + 4]), tuple(frames[end : end + 4])
            found[number] = Transition(state, action, reward, after, terminal)
    return found

"""The TD3+BC of CORL in PyTorch, written again: a batch, an update, and again, eager and fp32.

What it does is that of corl-team/CORL at eeeeef2, algorithms/offline/td3_bc.py: data as tensors,
rows drawn by NumPy, two critics with an Adam each, every second update of the actor and of all
targets, losses brought to the host. CORL is no package, and D4RL, which it reads, is no more to be
installed. What it reports to a server, and how it evaluates, is left out.
"""

import copy
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.serve import Loop, serve
from benchmarks.transitions import ACTION, OBSERVATION, draw

_BATCH, _UNITS, _GAMMA, _TAU, _RATE = 256, 256, 0.99, 0.005, 3e-4
_ALPHA, _NOISE, _CLIP, _DELAY, _WARM_UPDATES = 2.5, 0.2, 0.5, 2, 8


def _mlp(inputs: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    first, second = nn.Linear(inputs, _UNITS), nn.Linear(_UNITS, _UNITS)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(_UNITS, outputs), *last)


class _Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = _mlp(OBSERVATION + ACTION, 1)

    def forward(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([states, actions], 1))


class _Learned:
    """A network, its slow target and its Adam."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.target = net, copy.deepcopy(net)
        self.optimizer = torch.optim.Adam(net.parameters(), _RATE)

    def follow(self) -> None:
        """Moves the target a little."""
        pairs = zip(self.net.parameters(), self.target.parameters(), strict=True)
        for own, target in pairs:
            target.data.copy_((1 - _TAU) * target.data + _TAU * own.data)


class _Learner:
    def __init__(self) -> None:
        torch.manual_seed(0)
        self.actor = _Learned(_mlp(OBSERVATION, ACTION, nn.Tanh()))
        self.critics = [_Learned(_Critic()) for _ in range(2)]
        self._updates = count(1)

    def update(self, batch: list[torch.Tensor]) -> list[float]:
        """One gradient step of (B, 17), (B, 6), (B, 1), (B, 17), (B, 1); the losses."""
        states, actions, *_ = batch
        target = self._target(*batch)
        losses = [functional.mse_loss(own.net(states, actions), target) for own in self.critics]
        critic_loss = losses[0] + losses[1]
        told = [critic_loss.item()]
        _descend(critic_loss, *self.critics)
        if next(self._updates) % _DELAY == 0:
            told.append(self._learn_actor(states, actions))
        return told

    @torch.no_grad()
    def _target(self, *batch: torch.Tensor) -> torch.Tensor:
        _, actions, rewards, next_states, ends = batch
        noise = (torch.randn_like(actions) * _NOISE).clamp(-_CLIP, _CLIP)
        following = (self.actor.target(next_states) + noise).clamp(-1, 1)
        values = [own.target(next_states, following) for own in self.critics]
        return rewards + (1 - ends) * _GAMMA * torch.min(*values)

    def _learn_actor(self, states: torch.Tensor, actions: torch.Tensor) -> float:
        own = self.actor.net(states)
        q = self.critics[0].net(states, own)
        scale = _ALPHA / q.abs().mean().detach()
        loss = -scale * q.mean() + functional.mse_loss(own, actions)
        told = loss.item()
        _descend(loss, self.actor)
        for learned in (*self.critics, self.actor):
            learned.follow()
        return told


def _descend(loss: torch.Tensor, *learned: _Learned) -> None:
    for own in learned:
        own.optimizer.zero_grad()
    loss.backward()
    for own in learned:
        own.optimizer.step()


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: data, how many transitions."""
    torch.set_num_threads(1)
    arrays = (np.ascontiguousarray(own) for own in draw(settings["data"]))
    fields = [torch.from_numpy(own if own.ndim > 1 else own[:, None]) for own in arrays]
    rng, learner = np.random.RandomState(0), _Learner()

    def run(updates: int) -> None:
        for _ in range(updates):
            rows = rng.randint(0, len(fields[0]), _BATCH)
            learner.update([own[rows] for own in fields])

    run(_WARM_UPDATES)
    return Loop(run, quantum=_DELAY)


if __name__ == "__main__":
    serve(create, ["torch", "numpy"])

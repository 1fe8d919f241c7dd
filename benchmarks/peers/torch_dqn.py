"""The networks and the DQN update that PyTorch is measured with, in the way CleanRL writes them.

Architectures and settings are those of our gin files: 'SAME' padding as in Dopamine, Adam, mean
squared errors, batches of 32 uint8 stacks. fp32, eager, as CleanRL runs.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class _Same(nn.Conv2d):
    """A convolution padded as 'SAME' is in JAX, also where that is more on one side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class _Pool(nn.Module):
    """3x3, stride 2, 'SAME': 84 -> 42 -> 21 -> 11."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        odd = x.shape[-1] % 2
        padded = functional.pad(x, [odd, 1, odd, 1], value=float("-inf"))
        return functional.max_pool2d(padded, 3, 2)


def _nature() -> list[nn.Module]:
    sizes = [(4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, stride in sizes:
        layers += [_Same(inputs, outputs, kernel, stride), nn.ReLU()]
    return [*layers, nn.Flatten(), nn.Linear(7744, 512), nn.ReLU()]


def _impala() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in ((4, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), _Pool()]
        layers += [_Residual(outputs), _Residual(outputs)]
    return [*layers, nn.ReLU(), nn.Flatten(), nn.Linear(3872, 512), nn.ReLU()]


def _minatar() -> list[nn.Module]:
    return [nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()]


_TORSOS: dict[str, tuple[Callable[[], list[nn.Module]], int]] = {
    "nature": (_nature, 512),
    "impala": (_impala, 512),
    "minatar": (_minatar, 128),
}


class Learner:
    """A network, its target and its optimizer.

    Args:
        net: 'nature', 'impala' or 'minatar'.
        num_actions: of the game.
        layout: of LAYOUTS.
        learning_rate: of Adam.
    """

    gamma = 0.99

    def __init__(
        self,
        net: str,
        num_actions: int,
        layout: str = "contiguous",
        learning_rate: float = 6.25e-5,
    ) -> None:
        torch.manual_seed(0)
        self._layout = LAYOUTS[layout]
        self._online, self._target = (_network(net, num_actions, self._layout) for _ in range(2))
        self.optimizer = torch.optim.Adam(self._online.parameters(), learning_rate, eps=1.5e-4)
        self.sync_target()

    def sync_target(self) -> None:
        """Makes the target network a copy."""
        self._target.load_state_dict(self._online.state_dict())

    def act(self, observation: Any) -> int:
        """The greedy action of (C, H, W) uint8."""
        with torch.no_grad():
            return int(self._values(self._online, torch.as_tensor(observation)[None]).argmax(1))

    def update(
        self, states: Any, actions: Any, rewards: Any, next_states: Any, ends: Any
    ) -> torch.Tensor:
        """One gradient step of (B, C, H, W) uint8, (B,) int64, and (B,) float32 thrice."""
        with torch.no_grad():
            best = self._values(self._target, next_states).max(1).values
            targets = rewards + self.gamma * best * (1 - ends)
        values = self._values(self._online, states).gather(1, actions[:, None]).squeeze(1)
        loss = functional.mse_loss(values, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def _values(self, network: nn.Module, observations: torch.Tensor) -> torch.Tensor:
        return network((observations / 255.0).contiguous(memory_format=self._layout))


def _network(net: str, num_actions: int, layout: Any) -> nn.Module:
    torso, features = _TORSOS[net]
    return nn.Sequential(*torso(), nn.Linear(features, num_actions)).to(memory_format=layout)

"""What networks of one torso say of their layers."""

from collections.abc import Mapping
from typing import ClassVar

from flax import linen as nn

from prune_rl.networks.torsos.torso import FEATURES


class Headed(nn.Module):
    """A torso and last layers that read its features.

    Attributes:
        torso: a module from what it reads to (features,).
        readers: names of the last layers.
    """

    torso: nn.Module
    readers: ClassVar[tuple[str, ...]] = ("head",)

    @property
    def wiring(self) -> Mapping[str, tuple[str, ...]]:
        """Hidden layers and their readers by path, as 'torso/Dense_0': ('head',); see `Torso`."""
        inner = getattr(self.torso, "wiring", {})

        def paths(readers: tuple[str, ...]) -> tuple[str, ...]:
            named = ([f"torso/{x}"] if x != FEATURES else self.readers for x in readers)
            return tuple(path for group in named for path in group)

        return {f"torso/{layer}": paths(readers) for layer, readers in inner.items()}

    @property
    def counted(self) -> Mapping[str, str]:
        """Hidden layers whose dormant units are counted, by path, and whose output shows them."""
        more = getattr(self.torso, "counted", {})
        named = {f"torso/{layer}": f"torso/{module}" for layer, module in more.items()}
        return {layer: layer for layer in self.wiring} | named

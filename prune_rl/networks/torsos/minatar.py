"""The small network that comes with MinAtar."""

from typing import ClassVar

import gin
import jax
from flax import linen as nn

from prune_rl.networks.convolution import convolution_for
from prune_rl.networks.torsos.torso import FEATURES, Torso, Wiring, merge_stack
from prune_rl.settings import checked


@gin.configurable
@checked
class MinAtarTorso(Torso):
    """One 3x3 convolution of 16·width channels without padding, then 128 dense features.

    Architecture of Young & Tian 2019 (MinAtar, section 4); Xavier-uniform weights as in the other
    torsos, where theirs are PyTorch's defaults. On (1, 10, 10, channels) observations with a
    6-action head the parameters number (131,088 + 144·channels)·width + 902: for Breakout's
    4 channels 132,566 / 264,230 / 395,894 / 527,558 / 659,222 for width 1 to 5.

    Input (stack, H, W, C) uint8, output (128,) float32, or (128·width,) with `scale_hidden`.
    """

    wiring: ClassVar[Wiring] = {"Conv_0": ("Dense_0",), "Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        init = self._initializer()
        x = merge_stack(observation)  # (H, W, stack*C)
        conv = nn.Conv(
            16 * self.width,
            (3, 3),
            padding="VALID",
            dtype=self.dtype,
            kernel_init=init,
            conv_general_dilated=convolution_for(x.shape),
        )
        return self._hidden(128, nn.relu(conv(x)))

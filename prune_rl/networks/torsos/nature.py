"""The three-convolution network of Mnih et al. 2015, as Dopamine builds it."""

from typing import ClassVar

import gin
import jax
from flax import linen as nn

from prune_rl.networks.torsos.torso import FEATURES, Torso, Wiring, merge_stack
from prune_rl.settings import checked


@gin.configurable
@checked
class NatureTorso(Torso):
    """Nature CNN: 32·width 8x8/4, 64·width 4x4/2, 64·width 3x3/1, then 512 dense features.

    SAME padding, Xavier-uniform weights (unless told otherwise) and ReLU throughout, after
    Dopamine 4.1.2 (dopamine/jax/networks.py, NatureDQNNetwork); the dense layer grows with `width`
    only if `scale_hidden`.
    On (4, 84, 84, 1) observations 7744·width values are flattened, and with an 18-action head
    the parameters number 69,632·width² + 3,973,280·width + 9,746:
    4,052,658 / 8,234,834 / 12,556,274 / 17,016,978 / 21,616,946 for width 1 to 5.

    Input (stack, H, W, C) uint8, output (512,) float32, or (512·width,) with `scale_hidden`.
    """

    wiring: ClassVar[Wiring] = {
        "Conv_0": ("Conv_1",),
        "Conv_1": ("Conv_2",),
        "Conv_2": ("Dense_0",),
        "Dense_0": (FEATURES,),
    }

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        init = self._initializer()
        x = merge_stack(observation)  # (H, W, stack*C)
        for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            channels *= self.width
            conv = nn.Conv(channels, (kernel, kernel), stride, dtype=self.dtype, kernel_init=init)
            x = nn.relu(conv(x))
        return self._hidden(512, x)

"""The residual network of Espeholt et al. 2018 (IMPALA), as Dopamine builds it for DQN."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import gin
import jax
from flax import linen as nn
from jax.nn.initializers import Initializer

from prune_rl.networks.convolution import Convolution, by_xla, convolution_for
from prune_rl.networks.max_pool import max_pool
from prune_rl.networks.torsos.torso import FEATURES, Torso, Wiring, merge_stack
from prune_rl.settings import Count, checked

_STACKS = [f"ImpalaStack_{i}" for i in range(3)]
_Stacks = Annotated[tuple[Count, Count, Count], "three integers >= 1, as (16, 32, 32)"]
_BLOCKS = [f"{stack}/ResidualBlock_{j}" for stack in _STACKS for j in range(2)]


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 convolutions that keep the shape (H, W, C)."""

    convolution: Convolution = by_xla
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        conv = partial(
            nn.Conv, channels, (3, 3), dtype=self.dtype, conv_general_dilated=self.convolution
        )
        y = conv()(nn.relu(x))  # flax's default: LeCun normal
        return x + conv()(nn.relu(y))


class MaxPool(nn.Module):
    """3x3 max-pool with stride 2, a module so that its output has a name.

    (H, W, C) to (ceil(H/2), ceil(W/2), C).
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return max_pool(x)


class ImpalaStack(nn.Module):
    """A 3x3 convolution, a 3x3/2 max-pool and two residual blocks.

    (H, W, C) to (ceil(H/2), ceil(W/2), channels).
    """

    channels: int
    initializer: Initializer = nn.initializers.xavier_uniform()
    convolution: Convolution = by_xla
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        convolution, dtype = self.convolution, self.dtype
        x = nn.Conv(
            self.channels,
            (3, 3),
            dtype=dtype,
            kernel_init=self.initializer,
            conv_general_dilated=convolution,
        )(x)
        x = MaxPool()(x)
        for _ in range(2):
            x = ResidualBlock(convolution, dtype)(x)
        return x


@gin.configurable
@checked
class ImpalaTorso(Torso):
    """Impala ResNet: three stacks of `stacks` channels times width, then 512 dense features.

    No normalisation; 15 convolutions. After Dopamine (dopamine/jax/networks.py, ImpalaEncoder and
    ImpalaDQNNetwork, commit 81f695c), where `width` is `nn_scale`. On (4, 84, 84, 1) observations
    with an 18-action head the parameters number
    2,089,954 / 4,363,698 / 6,830,978 / 9,491,794 / 12,346,146 for width 1 to 5.

    Attributes:
        width: multiplies the channels of every convolution.
        scale_hidden: the dense layer also grows, to 512·width, as in Dopamine's offline Rainbow
            (labs/offline_rl, ParameterizedRainbowNetwork).
        stacks: channels at width 1. (32, 64, 64) are those of Dopamine's labs/redo, which takes
            them together with `scale_hidden`: 4,363,698 parameters, 39,203,058 at width 3.

    Input (stack, H, W, C) uint8, output (512,) float32, or (512·width,) with `scale_hidden`.

    Dormant units are counted in the 13 layers that Dopamine's labs/redo records (its networks.py,
    ScalableDQNResNet): Dense_0 and four of the five convolutions of each stack, all after a ReLU.

        labs/redo        here                                    recorded
        Stack_i/Conv_0   ImpalaStack_i/Conv_0                    its max-pool, which block 0 reads
        Stack_i/Conv_1   ImpalaStack_i/ResidualBlock_0/Conv_0    its output, inside block 0
        Stack_i/Conv_2   ImpalaStack_i/ResidualBlock_0/Conv_1    block 0's sum, which block 1 reads
        Stack_i/Conv_3   ImpalaStack_i/ResidualBlock_1/Conv_0    its output, inside block 1
        Stack_i/Conv_4   ImpalaStack_i/ResidualBlock_1/Conv_1    never

    `wiring` has those that can be recycled, there as here: Conv_1, Conv_3 and Dense_0.
    """

    stacks: _Stacks = (16, 32, 32)
    # Only the inner convolution of a block is read by one layer and nothing else.
    wiring: ClassVar[Wiring] = {
        **{f"{block}/Conv_0": (f"{block}/Conv_1",) for block in _BLOCKS},
        "Dense_0": (FEATURES,),
    }
    counted: ClassVar[Mapping[str, str]] = {
        **{f"{stack}/Conv_0": f"{stack}/MaxPool_0" for stack in _STACKS},
        **{f"{stack}/ResidualBlock_0/Conv_1": f"{stack}/ResidualBlock_0" for stack in _STACKS},
    }

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        x = merge_stack(observation)  # (H, W, stack*C)
        convolution = convolution_for(x.shape)
        for channels in self.stacks:
            stack = ImpalaStack(channels * self.width, self._initializer(), convolution, self.dtype)
            x = stack(x)
        return self._hidden(512, nn.relu(x))

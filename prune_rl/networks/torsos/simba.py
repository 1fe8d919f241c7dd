"""The residual MLP of SimBa (Lee et al. 2024, arXiv 2410.09754, section 4)."""

from typing import Annotated, ClassVar

import gin
import jax
from flax import linen as nn

from prune_rl.networks.initializers import INITIALIZERS
from prune_rl.networks.torsos.torso import require_vector
from prune_rl.settings import Count, OneOf, checked

_EXPANSION = 4  # units of a block's hidden layer, for one of the stream


@gin.configurable
@checked
class SimBaTorso(nn.Module):
    """A linear layer, `num_blocks` residual blocks and a last layer normalisation.

    A block adds to its input what a layer of four times its units makes of it, normalised first:
    x + W₂·relu(W₁·norm(x)). Input (D,) float32, output (units·width,) float32. The running
    normalisation of observations that the paper puts in front is left out: an offline data set's
    `normalize_observations` does it once.

    Attributes:
        width: multiplies the units of every layer.
        units: of the residual stream at width 1; the paper has 128 for actors, 512 for critics.
        num_blocks: 1 for actors, 2 for critics in the paper.
        kernel_init: of the first layer, orthogonal in its code; those of blocks are He-normal as
            there.
        wiring: of blocks alone, since the residual stream reads the others.
    """

    width: Count = 1
    units: Count = 128
    num_blocks: Count = 1
    kernel_init: Annotated[str, OneOf(INITIALIZERS)] = "pytorch"
    counted: ClassVar[dict[str, str]] = {}

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        units, init = self.units * self.width, INITIALIZERS[self.kernel_init]
        he = nn.initializers.he_normal()
        x = nn.Dense(units, kernel_init=init, name="Dense_0")(require_vector(observation))
        for block in range(self.num_blocks):
            own = nn.LayerNorm(name=f"LayerNorm_{block}")(x)
            own = nn.Dense(_EXPANSION * units, kernel_init=he, name=f"Dense_{2 * block + 1}")(own)
            own = nn.Dense(units, kernel_init=he, name=f"Dense_{2 * block + 2}")(nn.relu(own))
            x = x + own
        return nn.LayerNorm(name=f"LayerNorm_{self.num_blocks}")(x)

    @property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """The hidden layer of each block feeds its second."""
        blocks = range(self.num_blocks)
        return {f"Dense_{2 * block + 1}": (f"Dense_{2 * block + 2}",) for block in blocks}

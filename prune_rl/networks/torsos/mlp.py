"""Multi-layer perceptrons of vectors, with the regularisers that pruning is compared with."""

from typing import Annotated

import gin
import jax
from flax import linen as nn

from prune_rl.networks.initializers import INITIALIZERS
from prune_rl.networks.spectral import SpectralDense
from prune_rl.networks.torsos.torso import FEATURES, Wiring, require_vector
from prune_rl.settings import Count, OneOf, Range, checked

Dropout = Annotated[float, Range(least=0, below=1), "a fraction in [0, 1), as 0.1"]


@gin.configurable
@checked
class MLPTorso(nn.Module):
    """`depth` dense layers of 256·width units, each with a ReLU.

    Input (D,) float32, output (256·width,) float32. Sizes as in SAC, TD3 and IQL (Haarnoja et al.
    2018, Fujimoto et al. 2018, Kostrikov et al. 2022). Regularisers as in Sparse-Reg, appendix
    A.3: dropout and layer normalisation in every hidden layer, spectral normalisation in the last
    of them (Gogianu et al. 2021).

    Attributes:
        width: multiplies the units of every layer.
        units: of a layer at width 1.
        depth: hidden layers.
        kernel_init: see `networks.initializers`; biases begin at zero.
        layer_norm: whether each layer is normalised (Ba et al. 2016): before its ReLU, as in CORL
            and PARS.
        layer_norm_last: that after ReLU and dropout instead, as in Sparse-Reg's released code.
        spectral_norm: whether the last layer's kernel is divided by its largest singular value.
        dropout: fraction of units silenced after each ReLU while an agent learns; those who act,
            evaluate and bootstrap are whole.
        wiring: see `torso.Torso`.
    """

    width: Count = 1
    units: Count = 256
    depth: Count = 2
    kernel_init: Annotated[str, OneOf(INITIALIZERS)] = "pytorch"
    layer_norm: bool = False
    layer_norm_last: bool = False
    spectral_norm: bool = False
    dropout: Dropout = 0.0

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        x = require_vector(observation)
        for layer in range(self.depth):
            last = layer == self.depth - 1
            kind = SpectralDense if self.spectral_norm and last else nn.Dense
            init = INITIALIZERS[self.kernel_init]
            x = kind(self.units * self.width, kernel_init=init, name=f"Dense_{layer}")(x)
            normalize = nn.LayerNorm(name=f"LayerNorm_{layer}") if self.layer_norm else _as_it_is
            x = nn.relu(x if self.layer_norm_last else normalize(x))
            if self.dropout:
                # Only who learns hands noise in.
                silent = not self.has_rng("dropout")
                x = nn.Dropout(self.dropout, deterministic=silent)(x)
            x = normalize(x) if self.layer_norm_last else x
        return x

    @property
    def wiring(self) -> Wiring:
        """Every layer feeds the next."""
        readers = [f"Dense_{layer}" for layer in range(1, self.depth)]
        return {f"Dense_{i}": (x,) for i, x in enumerate([*readers, FEATURES])}

    @property
    def counted(self) -> dict[str, str]:
        """What shows the units of a layer that is normalised before its ReLU is that."""
        if not self.layer_norm or self.layer_norm_last:
            return {}
        return {f"Dense_{layer}": f"LayerNorm_{layer}" for layer in range(self.depth)}


def _as_it_is(x: jax.Array) -> jax.Array:
    return x

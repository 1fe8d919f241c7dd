"""The kernel initialisers that configurations may name."""

from jax.nn import initializers
from jax.nn.initializers import Initializer

from prune_rl.errors import require_choice

# 'rainbow' is that of Dopamine 4.1.2's compact Rainbow (dopamine/jax/networks.py, RainbowNetwork).
_INITIALIZERS: dict[str, Initializer] = {
    "xavier_uniform": initializers.xavier_uniform(),
    "rainbow": initializers.variance_scaling(3**-0.5, "fan_in", "uniform"),
}


def kernel_initializer(binding: str, name: str) -> Initializer:
    """The initialiser called `name`.

    Raises:
        ConfigError: there is none; names `binding`.
    """
    require_choice(binding, name, _INITIALIZERS)
    return _INITIALIZERS[name]

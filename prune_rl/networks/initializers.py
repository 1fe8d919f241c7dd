"""The kernel initialisers that configurations may name."""

from jax.nn import initializers
from jax.nn.initializers import Initializer

# 'rainbow' is that of Dopamine 4.1.2's compact Rainbow (dopamine/jax/networks.py, RainbowNetwork),
# 'lecun_normal' that of the last layers of its offline one (ParameterizedRainbowNetwork), 'pytorch'
# that of torch.nn.Linear, uniform up to 1/sqrt(fan_in), 'xavier_normal' that of the policies of
# Sparse-Reg's released code.
INITIALIZERS: dict[str, Initializer] = {
    "xavier_uniform": initializers.xavier_uniform(),
    "xavier_normal": initializers.xavier_normal(),
    "rainbow": initializers.variance_scaling(3**-0.5, "fan_in", "uniform"),
    "lecun_normal": initializers.lecun_normal(),
    "pytorch": initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

"""In which arithmetic networks compute. Their parameters are float32, and so is what they answer.

So are losses, targets, the optimizer's moments and masks, and with them checkpoints, whatever the
precision; gradients have been through the layers' rounding.
"""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Precision(NamedTuple):
    """An arithmetic.

    Attributes:
        dtype: what layers round their inputs and weights to; None leaves them as they are.
        products: of float32 in convolutions and matrix products, a name of JAX's
            `default_matmul_precision`; CPUs know one only.
    """

    dtype: Any
    products: str

    def of_products(self) -> AbstractContextManager[None]:
        """Where convolutions and products that say nothing themselves are traced so."""
        return jax.default_matmul_precision(self.products)


PRECISIONS = {
    "fp32": Precision(None, "highest"),  # JAX's own default rounds on accelerators
    "tf32": Precision(None, "tensorfloat32"),
    "bf16": Precision(jnp.bfloat16, "default"),
}


def at_least_float32(x: jax.Array) -> jax.Array:
    """bfloat16 as float32; wider numbers as they are."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def wide_dot_general(inputs: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
    """`lax.dot_general` that sums bfloat16 in float32, and does not round the sums."""
    wide = jnp.promote_types(inputs.dtype, jnp.float32)
    return lax.dot_general(inputs, kernel, *args, **kwargs | {"preferred_element_type": wide})

"""Two ways to compute a convolution that XLA's own is slow at on CPU; the numbers are the same.

They are what `nn.Conv` takes as `conv_general_dilated`, so parameters and their first values are
flax's. Sums have another order: results differ from XLA's by some float32 rounding steps, in
float64 by less than 1e-13 of the largest.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import conv_general_dilated as by_xla

Convolution = Callable[..., jax.Array]
_SMALL_IMAGE = 16 * 16  # pixels; measured at 10 x 10 and, where patches lose by half, 84 x 84
_FEW_CHANNELS = 4  # with 16 of them pairs lose
_DEFAULTS = {
    "dimension_numbers": lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
    "lhs_dilation": (1, 1),
    "rhs_dilation": (1, 1),
    "feature_group_count": 1,
    "batch_group_count": 1,
    "preferred_element_type": None,
}


def convolution_for(image_shape: tuple[int, ...]) -> Convolution:
    """The convolution of a torso with 3x3 kernels that reads images (H, W, C), by measurement.

    Batch 32, CPU ms of a gradient, XLA's convolution against the one taken here:

        MinAtar x1 / x4, 10 x 10    1.1 / 2.8 against 1.3 / 3.1; in a scan 2.9 / 12.2, 0.6 / 2.5
        Impala x1 / x3, 10 x 10     7.7 / 42.8 against 6.2 / 25.5; in a scan 36 / 238, 5.1 / 25.5
        Impala, first of 84 x 84    25.2 against 15.6; forwards only 15.4 against 4.9

    XLA has a fast form of a convolution's gradient on CPU, but uses it outside of loops alone.
    Accelerators are unmeasured and have XLA's.
    """
    if jax.default_backend() != "cpu":
        return by_xla
    height, width, _ = image_shape
    return by_patches if height * width <= _SMALL_IMAGE else by_pairs


def by_patches(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: str, **options: Any
) -> jax.Array:
    """A matrix product of all windows and the kernel.

    Args:
        x: (N, H, W, C).
        kernel: (kh, kw, C, F).
        strides: of rows and columns.
        padding: 'SAME' or 'VALID'.
        options: the others of `nn.Conv`; where one but `precision` is not its default, or padding
            is none of these two, the convolution is XLA's.

    Returns:
        (N, H', W', F).
    """
    if not _is_plain(padding, options):
        return by_xla(x, kernel, strides, padding, **options)
    window = kernel.shape[:2]
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    rows, columns = (
        [slice(i, n - size + i + 1, stride) for i in range(size)]
        for n, size, stride in zip(padded.shape[1:3], window, strides, strict=True)
    )
    patches = jnp.concatenate([padded[:, row, column] for row in rows for column in columns], -1)
    return jnp.matmul(
        patches, kernel.reshape(-1, kernel.shape[-1]), precision=options.get("precision")
    )


def by_pairs(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: str, **options: Any
) -> jax.Array:
    """XLA's convolution, of two neighbouring columns at once where the input has few channels.

    They become one column with twice the channels: a kernel one column wider, once with the last
    column zero and once with the first, and twice the stride. A third more multiplications, but
    half as many windows to copy, which is what such layers spend their time on. Arguments as of
    `by_patches`.
    """
    if not _is_plain(padding, options):
        return by_xla(x, kernel, strides, padding, **options)
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    columns = x.shape[2] + sum(pads[1]) - kernel.shape[1] + 1
    if x.shape[-1] > _FEW_CHANNELS or tuple(strides) != (1, 1) or columns % 2:
        return by_xla(x, kernel, strides, padding, **options)
    left, right = (jnp.pad(kernel, ((0, 0), own, (0, 0), (0, 0))) for own in ((0, 1), (1, 0)))
    pairs = by_xla(x, jnp.concatenate([left, right], -1), (1, 2), pads, **options)
    return pairs.reshape(*pairs.shape[:2], columns, kernel.shape[-1])


def _is_plain(padding: Any, options: Mapping[str, Any]) -> bool:
    """Whether both ways can compute it; an option that is unknown here is not plain."""
    if padding not in ("SAME", "VALID"):
        return False
    given = _DEFAULTS | {name: value for name, value in options.items() if name != "precision"}
    return "dimension_numbers" in options and given == _DEFAULTS

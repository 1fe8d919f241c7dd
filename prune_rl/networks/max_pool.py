"""The 3x3 max-pool with stride 2, without the operation that XLA runs slowly on CPU.

That is the gradient of `nn.max_pool` (select-and-scatter): 20 times its forward pass. Here all is
slices, comparisons and sums, which XLA fuses; their order is fixed, on accelerators too, where the
other scatters with atomic additions.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

_SIZE, _STRIDE = 3, 2
# Where windows begin at even places, counted with the padding: an even place is the last of one
# window and the first of the next, an odd one the middle of one. (windows back, place inside)
_Kind = tuple[tuple[int, int], ...]
_WINDOWS: tuple[_Kind, _Kind] = (((1, 2), (0, 0)), ((0, 1),))
_ALL = slice(None)


def max_pool(x: jax.Array) -> jax.Array:
    """`nn.max_pool(x, (3, 3), (2, 2), padding="SAME")`: the same bits, of its gradient too.

    A window's gradient goes to the first of its largest values, row by row, and an input sums those
    of its windows in their order. Only windows that hold a NaN, whose output is NaN both ways, may
    choose another element. Forward-mode differentiation (`jax.jvp`) is not supported.

    Args:
        x: (..., H, W, C) floating point.

    Returns:
        (..., ceil(H/2), ceil(W/2), C).
    """
    return _max_pool(x.shape[-3:-1], x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_pool(size: tuple[int, int], x: jax.Array) -> jax.Array:
    return _pooled(size, x)[0]


def _pooled(size: tuple[int, int], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest value of each window, and its place there: int8, 3·row + column."""
    height, width = size
    # Columns before rows: then the first of equals is the first row by row.
    best, place = _pooled_along(x.ndim - 2, width, x, None, 1)
    return _pooled_along(x.ndim - 3, height, best, place, _SIZE)


def _backward(size: tuple[int, int], places: jax.Array, grads: jax.Array) -> tuple[jax.Array]:
    """Each window's gradient at its place: (..., H, W, C)."""
    border = {grads.ndim - 3: (1, 1), grads.ndim - 2: (1, 1)}
    places, grads = _padded(places, -1, border), _padded(grads, 0, border)
    by_row = [
        jnp.stack([_gradient(rows, columns, places, grads) for columns in _WINDOWS], axis=-2)
        for rows in _WINDOWS
    ]
    pairs = jnp.stack(by_row, axis=-4)  # (..., windows + 1, 2, windows + 1, 2, C)
    *batch, windows_h, _, windows_w, _, channels = pairs.shape
    x = pairs.reshape(*batch, 2 * windows_h, 2 * windows_w, channels)
    for dimension, length in zip((x.ndim - 3, x.ndim - 2), size, strict=True):
        start = _padding(length)[0]
        x = lax.slice_in_dim(x, start, start + length, axis=dimension)
    return (x,)


_max_pool.defvjp(_pooled, _backward)


def _pooled_along(
    dimension: int, length: int, x: jax.Array, places: jax.Array | None, step: int
) -> tuple[jax.Array, jax.Array]:
    """`_pooled` along one dimension of that length; a place further along is `step` more."""
    values = _thirds(dimension, length, x, -jnp.inf)
    inner = [jnp.int8(0)] * _SIZE if places is None else _thirds(dimension, length, places, 0)
    best, place = values[0], inner[0]
    for i in range(1, _SIZE):
        place = jnp.where(best >= values[i], place, inner[i] + jnp.int8(i * step))
        best = lax.max(best, values[i])  # unlike a choice, as `nn.max_pool` with NaN and -0
    return best, place


def _thirds(dimension: int, length: int, x: jax.Array, fill: float) -> list[jax.Array]:
    """The first, the second and the third element of every window."""
    padded = _padded(x, fill, {dimension: _padding(length)})
    span = padded.shape[dimension] - _SIZE + 1
    return [lax.slice_in_dim(padded, i, i + span, _STRIDE, dimension) for i in range(_SIZE)]


def _gradient(rows: _Kind, columns: _Kind, places: jax.Array, grads: jax.Array) -> jax.Array:
    """What inputs of one kind of row and column get from their windows, in the windows' order."""
    height, width = (n - 1 for n in grads.shape[-3:-1])
    terms = []
    for (up, row), (left, column) in itertools.product(rows, columns):
        window = (..., slice(1 - up, 1 - up + height), slice(1 - left, 1 - left + width), _ALL)
        terms.append(jnp.where(places[window] == _SIZE * row + column, grads[window], 0))
    return functools.reduce(jnp.add, terms)


def _padding(length: int) -> tuple[int, int]:
    """What SAME adds in front and behind, as TensorFlow defines it: the odd one behind."""
    total = max((-(-length // _STRIDE) - 1) * _STRIDE + _SIZE - length, 0)
    return total // 2, total - total // 2


def _padded(x: jax.Array, fill: float, sides: dict[int, tuple[int, int]]) -> jax.Array:
    config = [(*sides.get(dimension, (0, 0)), 0) for dimension in range(x.ndim)]
    return lax.pad(x, jnp.asarray(fill, x.dtype), config)

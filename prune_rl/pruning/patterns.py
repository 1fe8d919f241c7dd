"""Structured sparsity: N:M, blocks and channels, each with the signature of `masks.topk_mask`.

Names and results are those of JaxPruner (sparsity_types.py, mask_calculator.py) but for the
exceptions in tests/parity/README.md: a shape that a pattern does not divide is refused here.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from prune_rl.errors import ConfigError, require
from prune_rl.pruning.masks import topk_mask

_BINDING = "create_updater_from_config.sparsity_type"
_FORM = r"(nm|block)_([1-9]\d{0,9}),([1-9]\d{0,9})|channel_(-?\d{1,9})"
SPARSITY_TYPES = "'unstructured', 'nm_2,4' (2 kept of 4), 'block_4,4' or 'channel_-1'"


class Pattern(Protocol):
    """Which weights may be pruned apart from which others."""

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises `ConfigError` if tensor `name` cannot have the pattern."""
        ...

    def __call__(self, scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
        """The mask of one tensor, with the arguments of `masks.topk_mask`."""
        ...


@dataclass(frozen=True)
class Unstructured:
    """Every weight for itself."""

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Every tensor can."""

    def __call__(self, scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
        """See `masks.topk_mask`."""
        return topk_mask(scores, active, sparsity)


@dataclass(frozen=True)
class NByM:
    """The n highest of every m consecutive weights along the last axis.

    Ties go to the highest index, as in JaxPruner. The sparsity is 1 - n/m from the first mask
    update on, whatever the schedule says; only a sparsity of 0 keeps all.
    """

    n: int
    m: int

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises `ConfigError` unless m divides the last axis."""
        if shape[-1] % self.m:
            _refuse(f"nm_{self.n},{self.m}", name, shape, shape[-1:], (self.m,))

    def __call__(self, scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
        """See `Pattern`."""
        ranked = jnp.where(active, scores, -jnp.inf)
        groups = jnp.where(jnp.isnan(ranked), -jnp.inf, ranked).reshape(-1, self.m)
        places = jnp.argsort(jnp.argsort(groups, axis=1, stable=True), axis=1, stable=True)
        mask = (places >= self.m - self.n).reshape(scores.shape)
        return jnp.where(sparsity == 0.0, True, mask)


@dataclass(frozen=True)
class Block:
    """Blocks of height x width weights of the first two axes and all of the later ones.

    A block scores the sum of its weights', and is active while one of them is.
    """

    height: int
    width: int

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises `ConfigError` unless the block divides the first two axes."""
        if shape[0] % self.height or shape[1] % self.width:
            sizes = (self.height, self.width)
            _refuse(f"block_{self.height},{self.width}", name, shape, shape[:2], sizes)

    def __call__(self, scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
        """See `Pattern`."""
        rows, columns = scores.shape[0] // self.height, scores.shape[1] // self.width
        split = (rows, self.height, columns, self.width, -1)
        pooled = scores.reshape(split).sum(axis=(1, 3, 4))
        any_active = active.reshape(split).any(axis=(1, 3, 4))
        mask = topk_mask(pooled, any_active, sparsity)[:, None, :, None, None]
        whole = (rows, self.height, columns, self.width, math.prod(scores.shape[2:]))
        return jnp.broadcast_to(mask, whole).reshape(scores.shape)


@dataclass(frozen=True)
class Channel:
    """Slices along one axis, -1 for the units of a layer; a slice scores the sum of its weights."""

    axis: int

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises `ConfigError` unless the tensor has the axis."""
        fits = -len(shape) <= self.axis < len(shape)
        expected = f"an axis of {name}, whose shape is {shape}; the last is channel_-1"
        require(fits, _BINDING, f"channel_{self.axis}", expected)

    def __call__(self, scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
        """See `Pattern`."""
        others = tuple(i for i in range(scores.ndim) if i != self.axis % scores.ndim)
        mask = topk_mask(scores.sum(axis=others), active.any(axis=others), sparsity)
        return jnp.broadcast_to(jnp.expand_dims(mask, others), scores.shape)


def is_sparsity_type(text: str) -> bool:
    """Whether it has one of the forms `SPARSITY_TYPES`."""
    return text == "unstructured" or re.fullmatch(_FORM, text) is not None


def parse_sparsity_type(text: str) -> Pattern:
    """Reads 'unstructured', 'nm_2,4', 'block_4,4' or 'channel_-1'.

    Raises:
        ConfigError: it is none of these forms, or n is not in [1, m].
    """
    if text == "unstructured":
        return Unstructured()
    match = re.fullmatch(_FORM, str(text))
    if match is None:
        raise ConfigError(f"{_BINDING}={text!r}: expected {SPARSITY_TYPES}")
    if match[4]:
        return Channel(int(match[4]))
    first, second = int(match[2]), int(match[3])
    if match[1] == "block":
        return Block(first, second)
    require(first <= second, _BINDING, text, f"to keep at most {second} of {second}")
    return NByM(first, second)


def _refuse(
    text: str, name: str, shape: tuple[int, ...], sizes: Sequence[int], wanted: Sequence[int]
) -> None:
    # The nearest divisors; another tensor may still not like them.
    nearest = [
        min((d for d in range(1, size + 1) if size % d == 0), key=lambda d: (abs(d - given), d))
        for size, given in zip(sizes, wanted, strict=True)
    ]
    raise ConfigError(
        f"{_BINDING}={text!r}: does not divide {name}, whose shape is {shape}; the nearest that "
        f"does is {','.join(map(str, nearest))}, or leave the layer dense with dense_layers"
    )

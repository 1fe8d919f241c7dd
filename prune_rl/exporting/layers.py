"""A policy as a list of layers that anything can compute: no flax, no JAX, nothing of learning.

Kinds, what they read and what they answer, of one observation each; `numpy_policy` computes them
and `onnx_model` writes them down:

    image        (stack, H, W, C) uint8 -> (H, W, stack*C) of 0 to 1, oldest frame first
    scale        (D,) -> (x - mean) / scale, in float64; arrays mean and scale (D,) float64
    conv         (H, W, C) -> (H', W', F); arrays kernel (F, kh, kw, C) and bias (F,), settings
                 strides (rows, columns) and pads ((top, bottom), (left, right)) of zeros
    dense        (N,) -> (units,); arrays kernel (units, N) and bias (units,)
    relu         max(x, 0)
    add          the sum of two
    max_pool     (H, W, C) -> (ceil(H/2), ceil(W/2), C): 3x3, stride 2, SAME
    mean_image   (H, W, C) -> (C,)
    flatten      (H, W, C) -> (H*W*C,), the channel fastest
    layer_norm   (N,) -> (N,); arrays scale and bias (N,), setting epsilon
    l2           x / max(norm of x, sqrt(least)); setting least
    dueling      advantages (A*N,) and value (N,) -> (A*N,); setting atoms, N
    expectation  logits (A*N,) -> (A,); array support (N,)
    tanh, clip   into [-1, 1]
    box          center + half * x; arrays center and half (A,)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layer:
    """One of a list; place 0 is the observation, place i + 1 what layer i answers.

    Attributes:
        kind: see the table above.
        inputs: the places that it reads.
        arrays: its weights, by name.
        settings: JSON.
    """

    kind: str
    inputs: tuple[int, ...]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


LINEAR = ("conv", "dense")


class Layers:
    """A list of layers in the making; each `add` answers the place of what it makes."""

    def __init__(self) -> None:
        self.made: list[Layer] = []

    def add(self, kind: str, *inputs: int, arrays: Any = None, **settings: Any) -> int:
        """One more layer, which reads those places."""
        self.made.append(Layer(kind, inputs, dict(arrays or {}), settings))
        return len(self.made)


def num_weights(layers: Sequence[Layer]) -> tuple[int, int]:
    """Of all arrays: how many numbers, and how many that are not zero."""
    arrays = [array for layer in layers for array in layer.arrays.values()]
    return sum(x.size for x in arrays), sum(int(np.count_nonzero(x)) for x in arrays)


def units(layers: Sequence[Layer]) -> list[int]:
    """Of every linear layer, in their order."""
    return [len(layer.arrays["bias"]) for layer in layers if layer.kind in LINEAR]

"""Removes what a policy's answers cannot depend on, and nothing else.

Two passes over the layers. Forwards, each channel gets bounds of what it can be, whatever the
observation; where both are one number, readers take it into their biases and forget the channel:
a unit without incoming weights, or one that its ReLU always silences. Backwards, a channel is kept
if a weight that is kept reads it. Channels that a residual stream adds together live and die as
one, and what a normalisation reads is kept, for its statistics are of all of them.

At the border of a padded convolution a constant channel is no constant: there it meets zeros. So
only a channel that is always zero is taken out of the input of one.

All is exact but for rounding: biases are summed in another order.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.exporting.layers import LINEAR, Layer

Floats = npt.NDArray[np.float64]
# Of rounding in sums of float32, generously: a unit must be silent by more than that.
_SLACK = 1e-3
# Read all that there is: statistics are of all units, and an answer has all of its numbers. Other
# kinds but the linear ones keep channels apart: what reads their answer is what reads them.
_WHOLE = ("layer_norm", "dueling", "expectation", "tanh", "clip", "box")


class _Value(NamedTuple):
    """What is known of the answer of a layer.

    Attributes:
        group: number of the channels that it shares with others.
        low, high: (C,) bounds of each channel.
    """

    group: int
    low: Floats
    high: Floats


def shrink(layers: Sequence[Layer], num_inputs: int) -> list[Layer]:
    """The same policy with fewer channels and units; a second time changes nothing.

    Args:
        layers: see `exporting.layers`.
        num_inputs: channels of the observation: stack*C of an image, D of a vector.

    Returns:
        As many layers of the same kinds; every layer has at least one unit.
    """
    values, folded = _forwards(layers, num_inputs)
    needed = _needed(folded, values)
    return [
        _cut(layer, values[place + 1], [values[i] for i in layer.inputs], needed)
        for place, layer in enumerate(folded)
    ]


def _forwards(layers: Sequence[Layer], num_inputs: int) -> tuple[list[_Value], list[Layer]]:
    """Of every place what it can be, and the layers with constants in their biases."""
    unknown = np.full(num_inputs, np.inf)
    values, folded = [_Value(0, -unknown, unknown)], []
    for place, layer in enumerate(layers, start=1):
        own = [values[i] for i in layer.inputs]
        if layer.kind in LINEAR:
            layer, low, high = _linear(layer, own[0])
            values.append(_Value(place, low, high))
        elif layer.kind == "add":
            values, one, other = _joined(values, *layer.inputs)
            values.append(_Value(one.group, one.low + other.low, one.high + other.high))
        else:
            values.append(_elementwise(layer, own[0]))
        folded.append(layer)
    return values, folded


def _joined(values: list[_Value], one: int, other: int) -> tuple[list[_Value], _Value, _Value]:
    """The values with the groups of two made one."""
    old, new = values[other].group, values[one].group
    values = [own._replace(group=new) if own.group == old else own for own in values]
    return values, values[one], values[other]


def _elementwise(layer: Layer, value: _Value) -> _Value:
    """What becomes of each channel in a layer that keeps them apart."""
    group, low, high = value
    if layer.kind == "image":
        return _Value(group, np.zeros_like(low), np.ones_like(high))
    if layer.kind == "relu":
        return _Value(group, np.maximum(low, 0), np.maximum(high, 0))
    if layer.kind in ("max_pool", "mean_image", "flatten"):
        return value
    if layer.kind == "layer_norm":
        bias, fixed = layer.arrays["bias"].astype(np.float64), layer.arrays["scale"] == 0
        return _Value(group, np.where(fixed, bias, -np.inf), np.where(fixed, bias, np.inf))
    if layer.kind == "l2":  # zeros leave the norm as it is, and are zeros behind it
        silent = (low == 0) & (high == 0)
        return _Value(group, np.where(silent, 0, -np.inf), np.where(silent, 0, np.inf))
    return _Value(group, np.full_like(low, -np.inf), np.full_like(high, np.inf))


def _linear(layer: Layer, value: _Value) -> tuple[Layer, Floats, Floats]:
    """The layer without its constant inputs, and bounds of its units."""
    low, high = value.low, value.high
    if np.any(layer.settings.get("pads", 0)):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    kernel = by_channel(layer.arrays["kernel"], len(low)).copy()
    bias = layer.arrays["bias"].astype(np.float64)
    constant = low == high
    bias = bias + kernel[:, :, constant].sum(axis=1, dtype=np.float64) @ low[constant]
    kernel[:, :, constant] = 0
    arrays = {
        "kernel": kernel.reshape(layer.arrays["kernel"].shape),
        "bias": bias.astype(layer.arrays["bias"].dtype),
    }
    positive = np.where(kernel > 0, kernel, 0).sum(axis=1, dtype=np.float64)  # (units, C)
    negative = np.where(kernel < 0, kernel, 0).sum(axis=1, dtype=np.float64)
    most = _bound(positive, high, bias) + _bound(-negative, -low, bias)
    least = _bound(positive, -low, bias) + _bound(-negative, high, bias)
    return replace(layer, arrays=arrays), bias - least, bias + most


def _bound(weights: Floats, values: Floats, bias: Floats) -> Floats:
    """At least what weights (units, C), none negative, make of values (C,); 0 of no weights."""
    finite = np.where(np.isfinite(values), values, 0)
    sums = weights @ finite
    slack = _SLACK * (weights @ np.abs(finite))
    slack += np.where(slack > 0, _SLACK * np.abs(bias), 0)
    endless = (weights[:, np.isposinf(values)] > 0).any(axis=1)
    return np.where(endless, np.inf, sums + slack)


def by_channel(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel (units, ..., N) as (units, places, channels): of a window, or that were flattened.

    Raises:
        ValueError: it reads something else.
    """
    if (kernel.ndim > 2 and kernel.shape[-1] != channels) or kernel[0].size % channels:
        raise ValueError(f"a kernel {kernel.shape} cannot read {channels} channels")
    return kernel.reshape(len(kernel), -1, channels)


def _needed(layers: Sequence[Layer], values: Sequence[_Value]) -> dict[int, npt.NDArray[np.bool_]]:
    """Which channels of every group are read: those of the observation and of the answer all are.

    What a layer writes to a stream is read by layers behind it alone: one pass finds them all.
    """
    needed = {own.group: np.zeros(len(own.low), bool) for own in values}
    for group in (values[0].group, values[-1].group):
        needed[group][:] = True
    for place, layer in reversed(list(enumerate(layers, start=1))):
        for source in layer.inputs:
            read = _reads(layer, needed[values[place].group], values[source])
            needed[values[source].group] |= read
    for own in needed.values():
        own[0] |= not own.any()  # a layer of no units is more than most programs take
    return needed


def _reads(
    layer: Layer, kept: npt.NDArray[np.bool_], value: _Value
) -> npt.NDArray[np.bool_] | bool:
    """Which channels (C,) of a value a layer reads, whose units `kept` are needed."""
    if layer.kind in LINEAR:
        kernel = by_channel(layer.arrays["kernel"], len(value.low))
        return (kernel[kept] != 0).any(axis=(0, 1))
    if layer.kind == "l2":
        return (value.low != 0) | (value.high != 0)
    return layer.kind in _WHOLE


def _cut(
    layer: Layer,
    value: _Value,
    inputs: Sequence[_Value],
    needed: dict[int, npt.NDArray[np.bool_]],
) -> Layer:
    """The layer on the channels that are needed."""
    if layer.kind not in LINEAR:
        return layer  # the others with arrays are of groups that are needed whole
    units, channels = needed[value.group], needed[inputs[0].group]
    kernel = layer.arrays["kernel"]
    cut = by_channel(kernel, len(channels))[units][:, :, channels]
    shape = (len(cut), *kernel.shape[1:-1], -1) if kernel.ndim > 2 else (len(cut), -1)
    return replace(
        layer, arrays={"kernel": cut.reshape(shape), "bias": layer.arrays["bias"][units]}
    )

"""Plays an exported policy with NumPy alone: copy this file beside it, to any machine.

    from numpy_policy import load_policy

    policy = load_policy("policy")
    action = policy.act(observation)

A policy is a folder of policy.json, which says what it is made of and where it comes from, and
policy.safetensors, its weights. Weights that are zero are not stored: of a sparse array the others
lie in row order, beside a mask of one bit a weight or the gaps between them, one byte each. Nothing
that is read is run.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
DESCRIPTION, WEIGHTS = "policy.json", "policy.safetensors"
LONGEST_GAP = 255  # a byte of this is a step of so many zeros, to no weight
_DTYPES = {"F32": "<f4", "F64": "<f8", "U8": "|u1"}
_CHUNK = 32  # observations at once, for a batch's images take memory
# One core, float32, microseconds of a product with a vector, dense against 5 % in rows:
# 512 x 7744 590 and 240, 512 x 3872 170 and 113, 128 x 8192 70 and 60, 128 x 1024 8 and 11. With
# 10 % the largest is still 635 and 560, and all others are slower.
_LEAST_SPARSE, _DENSEST_SPARSE = 1_500_000, 1 / 16


class Policy:
    """What an exported policy does in a state; see `load_policy`.

    Attributes:
        about: what policy.json says of it: 'observation', 'actions', 'from', 'layers' and so on.
    """

    def __init__(self, about: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> None:
        """`layers`: of each its kind, inputs, arrays and settings; ValueError if one is unknown."""
        self.about = about
        self._shape = tuple(about["observation"]["shape"])
        self._dtype = np.dtype(about["observation"]["dtype"])
        self._numbered = about["actions"]["kind"] == "numbered"
        self._steps = [(_function(own), tuple(own["inputs"])) for own in layers]

    def act(self, observations: Any) -> Any:
        """The best action of an observation (*shape), or those of a batch (B, *shape).

        Returns:
            int32 () or (B,) of numbered actions, of equal values the first; float32 (A,) or (B, A)
            of vectors.

        Raises:
            ValueError: it sees observations of another shape, or images that are not uint8, or
                vectors that are not real numbers.
        """
        answers, alone = self._answers(observations)
        actions = answers.argmax(axis=-1).astype(np.int32) if self._numbered else answers
        return actions[0] if alone else actions

    def values(self, observations: Any) -> np.ndarray:
        """Action values (A,) of an observation, or (B, A) of a batch, float32.

        Raises:
            ValueError: as `act`, or its actions are vectors, of which it knows no values.
        """
        if not self._numbered:
            raise ValueError("this policy has no values: its actions are vectors")
        answers, alone = self._answers(observations)
        return answers[0] if alone else answers

    def _answers(self, observations: Any) -> tuple[np.ndarray, bool]:
        """(B, A), and whether it is one observation that was given."""
        given = np.asarray(observations)
        alone = given.ndim == len(self._shape)
        batch = given[None] if alone else given
        if batch.shape[1:] != self._shape:
            shapes = f"{self._shape}, or {('B', *self._shape)}".replace("'", "")
            raise ValueError(f"observations of shape {given.shape}: expected {shapes}")
        if batch.dtype != self._dtype:
            is_image = self._dtype == np.uint8  # 300 would wrap, and True be read as 1 of 255
            if is_image or not np.can_cast(batch.dtype, self._dtype, "same_kind"):
                raise ValueError(f"observations of {given.dtype}: expected {self._dtype}")
            batch = batch.astype(self._dtype)
        if len(batch) <= _CHUNK:
            return self._computed(batch), alone
        parts = [batch[i : i + _CHUNK] for i in range(0, len(batch), _CHUNK)]
        return np.concatenate([self._computed(own) for own in parts]), alone

    def _computed(self, batch: np.ndarray) -> np.ndarray:
        places = [batch]
        for function, inputs in self._steps:
            places.append(function(*[places[i] for i in inputs]))
        return places[-1]


def load_policy(directory: str | Path) -> Policy:
    """The policy that `python -m prune_rl.export` wrote to a folder.

    Raises:
        ValueError: a file is missing, damaged, or of a format that this file does not know.
    """
    folder = Path(directory)
    about = _description(folder / DESCRIPTION)
    try:
        arrays = _arrays(folder / WEIGHTS, about["weights"])
        layers = [
            {**own, "arrays": _filled(own["arrays"], f"{i}.", arrays)}
            for i, own in enumerate(about["layers"])
        ]
        return Policy(about, layers)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{folder / DESCRIPTION}: cannot be understood ({error!r})") from error


def digest_of(about: Mapping[str, Any]) -> str:
    """The SHA-256 of what policy.json says."""
    return hashlib.sha256(json.dumps(about, allow_nan=False).encode()).hexdigest()


def _description(path: Path) -> Mapping[str, Any]:
    try:
        whole = json.loads(_bytes(path))
        about: Mapping[str, Any] = whole["policy"]
        intact = digest_of(about) == whole["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, Missing):
            raise
        raise ValueError(f"{path}: damaged; it cannot be read") from error
    if not intact:
        raise ValueError(f"{path}: damaged; it is not what was written")
    if about.get("format") != FORMAT:
        form = f"format {about.get('format')}; this numpy_policy.py reads {FORMAT}"
        raise ValueError(f"{path}: {form}: take the one that was written beside it")
    return about


class Missing(ValueError):  # noqa: N818
    """A file is not there."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise Missing(f"{path}: {reason}; expected a folder of an exported policy") from error


def _arrays(path: Path, record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file that has a length and a digest."""
    data = _bytes(path)
    if len(data) != record["bytes"] or hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise ValueError(f"{path}: damaged; its bytes are not those that were written")
    begin = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    for name, own in json.loads(data[8:begin]).items():
        if name == "__metadata__":
            continue
        dtype, (first, end) = np.dtype(_DTYPES[own["dtype"]]), own["data_offsets"]
        count = (end - first) // dtype.itemsize
        arrays[name] = np.frombuffer(data, dtype, count, begin + first).reshape(own["shape"])
    return arrays


def _filled(
    forms: Mapping[str, Mapping[str, Any]], prefix: str, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays of a layer, zeros included; `forms` say how each is stored."""
    result = {}
    for name, form in forms.items():
        values, shape = arrays[prefix + name], tuple(form["shape"])
        if form["stored"] == "whole":
            result[name] = values.reshape(shape)
            continue
        if form["stored"] not in ("mask", "gaps"):
            raise ValueError(
                f"{DESCRIPTION}: stored as {form['stored']!r}, which is not known here"
            )
        places = _places(form["stored"], arrays[f"{prefix}{name}.{form['stored']}"], shape)
        result[name] = np.zeros(shape, values.dtype)
        result[name].reshape(-1)[places] = values
    return result


def _places(stored: str, code: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Where the weights lie that are not zero, in the array made flat."""
    if stored == "mask":  # as by numpy.packbits
        return np.flatnonzero(np.unpackbits(code, count=math.prod(shape)))
    is_weight = code < LONGEST_GAP
    return np.cumsum(code.astype(np.intp) + is_weight)[is_weight] - 1


def _function(layer: Mapping[str, Any]) -> Callable[..., np.ndarray]:
    """What computes a layer of batches (B, ...)."""
    if layer["kind"] not in _KINDS:
        raise ValueError(f"{DESCRIPTION}: a layer {layer['kind']!r}, which is not known here")
    return _KINDS[layer["kind"]](layer["arrays"], layer["settings"])


Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, Any]


def _image(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    def image(x: np.ndarray) -> np.ndarray:
        rows, stack, height, width, channels = x.shape
        frames = x.transpose(0, 2, 3, 1, 4).reshape(rows, height, width, stack * channels)
        return frames / np.float32(255)

    return image


def _scale(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    mean, scale = arrays["mean"], arrays["scale"]
    return lambda x: ((x - mean) / scale).astype(np.float32)


def _dense(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    kernel, bias = arrays["kernel"], arrays["bias"]
    weights = np.count_nonzero(kernel)
    if kernel.size < _LEAST_SPARSE or weights > _DENSEST_SPARSE * kernel.size:
        return lambda x: x @ kernel.T + bias
    return _sparse(kernel, bias)


def _sparse(kernel: np.ndarray, bias: np.ndarray) -> Callable[..., np.ndarray]:
    """A dense layer of few weights: they and their inputs, unit by unit."""
    units, inputs = np.nonzero(kernel)
    values = kernel[units, inputs]
    present, first = np.unique(units, return_index=True)  # a unit may have none

    def sparse(x: np.ndarray) -> np.ndarray:
        answers = np.tile(bias, (len(x), 1))
        for own, answer in zip(x, answers, strict=True):
            products = own.take(inputs, mode="clip")  # without a look at each index
            products *= values
            answer[present] += np.add.reduceat(products, first)
        return answers

    return sparse


def _conv(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    """A matrix product of all windows and the kernel."""
    kernel, bias = arrays["kernel"], arrays["bias"]
    units, height, width, _ = kernel.shape
    matrix = np.ascontiguousarray(kernel.reshape(units, -1).T)
    (down, right), pads = settings["strides"], settings["pads"]

    def conv(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(_padded(x, pads, 0))
        rows, columns = (x.shape[1] - height) // down + 1, (x.shape[2] - width) // right + 1
        b, h, w, c = x.strides
        shape = (len(x), rows, columns, height, width, x.shape[3])
        windows = np.ndarray(shape, x.dtype, x, strides=(b, h * down, w * right, h, w, c))
        answers = windows.reshape(len(x) * rows * columns, len(matrix)) @ matrix
        answers += bias
        return answers.reshape(len(x), rows, columns, units)

    return conv


def _padded(x: np.ndarray, pads: Sequence[Sequence[int]], fill: float) -> np.ndarray:
    """(B, H, W, C) with rows and columns of `fill` around."""
    (top, bottom), (left, right) = pads
    if not top + bottom + left + right:
        return x
    batch, height, width, channels = x.shape
    shape = (batch, top + height + bottom, left + width + right, channels)
    padded = np.full(shape, fill, x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


def _max_pool(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    def sides(length: int) -> tuple[int, int]:  # of SAME, as TensorFlow has it
        total = max((-(-length // 2) - 1) * 2 + 3 - length, 0)
        return total // 2, total - total // 2

    def max_pool(x: np.ndarray) -> np.ndarray:
        x = _padded(x, [sides(x.shape[1]), sides(x.shape[2])], -np.inf)
        x = np.maximum(np.maximum(x[:, :-2:2], x[:, 1:-1:2]), x[:, 2::2])
        return np.maximum(np.maximum(x[:, :, :-2:2], x[:, :, 1:-1:2]), x[:, :, 2::2])

    return max_pool


def _layer_norm(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    scale, bias, epsilon = arrays["scale"], arrays["bias"], settings["epsilon"]

    def layer_norm(x: np.ndarray) -> np.ndarray:
        # As flax has it; `add.reduce` where `mean` would take three times as long to begin.
        mean = np.add.reduce(x, axis=-1, keepdims=True) / x.shape[-1]
        variance = np.add.reduce(x * x, axis=-1, keepdims=True) / x.shape[-1] - mean * mean
        factor = scale / np.sqrt(np.maximum(variance, 0) + x.dtype.type(epsilon))
        return (x - mean) * factor + bias

    return layer_norm


def _l2(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    least = settings["least"]

    def l2(x: np.ndarray) -> np.ndarray:
        square = np.maximum(np.square(x).sum(axis=-1, keepdims=True), x.dtype.type(least))
        return x / np.sqrt(square)

    return l2


def _dueling(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    atoms = settings["atoms"]

    def dueling(advantages: np.ndarray, value: np.ndarray) -> np.ndarray:
        rows = advantages.reshape(len(advantages), -1, atoms)
        joined = value[:, None] + rows - rows.mean(axis=1, keepdims=True)
        return joined.reshape(advantages.shape)

    return dueling


def _expectation(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    support = arrays["support"]

    def expectation(x: np.ndarray) -> np.ndarray:
        logits = x.reshape(len(x), -1, len(support))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return (weights / weights.sum(axis=-1, keepdims=True)) @ support

    return expectation


def _box(arrays: Arrays, settings: Settings) -> Callable[..., np.ndarray]:
    center, half = arrays["center"], arrays["half"]
    return lambda x: center + half * x


_KINDS: dict[str, Callable[[Arrays, Settings], Callable[..., np.ndarray]]] = {
    "image": _image,
    "scale": _scale,
    "conv": _conv,
    "dense": _dense,
    "relu": lambda arrays, settings: lambda x: np.maximum(x, 0),
    "add": lambda arrays, settings: np.add,
    "max_pool": _max_pool,
    "mean_image": lambda arrays, settings: lambda x: x.mean(axis=(1, 2)),
    "flatten": lambda arrays, settings: lambda x: x.reshape(len(x), math.prod(x.shape[1:])),
    "layer_norm": _layer_norm,
    "l2": _l2,
    "dueling": _dueling,
    "expectation": _expectation,
    "tanh": lambda arrays, settings: np.tanh,
    "clip": lambda arrays, settings: lambda x: np.clip(x, -1, 1),
    "box": _box,
}

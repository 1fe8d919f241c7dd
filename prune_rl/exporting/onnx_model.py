"""An exported policy as an ONNX graph, for onnxruntime and what reads its files.

Written node by node with onnx.helper from the same shrunken layers: nothing is traced, and what is
in the file is what was shrunk. Input `observations` (B, *shape); outputs `actions` and, of numbered
actions, `values` (B, A). Weights are dense there: onnxruntime has no sparse products.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.exporting.layers import Layer

_OPSET, _IR_VERSION = 20, 10  # of onnx 1.16, which all that is two years old can read
FILE = "policy.onnx"


class _Graph:
    """Nodes and weights in the making; the value of place i has the name `v{i}`."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._node, self._tensor = helper.make_node, numpy_helper.from_array

    def add(self, kind: str, *inputs: str | np.ndarray, out: str | None = None, **own: Any) -> str:
        """One more node, of values by name and of arrays; its answer has the name `out`."""
        name = out or f"n{len(self.nodes)}"
        names = [x if isinstance(x, str) else self._weight(x) for x in inputs]
        self.nodes.append(self._node(kind, names, [name], **own))
        return name

    def _weight(self, array: np.ndarray) -> str:
        self.weights.append(self._tensor(np.ascontiguousarray(array), f"w{len(self.weights)}"))
        name: str = self.weights[-1].name
        return name


def require_onnx() -> None:
    """Raises `ConfigError` unless onnx and onnxruntime are installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"--onnx: needs {error.name}; pip install 'prune_rl[onnx]'") from error


def write_onnx(path: Path, layers: Sequence[Layer], about: Mapping[str, Any]) -> int:
    """Writes the graph; returns its bytes. Arguments as of `files.write_policy`."""
    from onnx import TensorProto, checker, helper, save

    graph, names = _Graph(), ["observations"]
    for layer in layers:
        names.append(_KINDS[layer.kind](graph, layer, *[names[i] for i in layer.inputs]))
    shape, dtype = about["observation"]["shape"], np.dtype(about["observation"]["dtype"])
    observations = helper.make_tensor_value_info(
        "observations", helper.np_dtype_to_tensor_dtype(dtype), ["B", *shape]
    )
    size = about["actions"]["size"]
    if about["actions"]["kind"] == "numbered":
        graph.add("Identity", names[-1], out="values")
        best = graph.add("ArgMax", names[-1], axis=1, keepdims=0)
        graph.add("Cast", best, to=TensorProto.INT32, out="actions")
        outputs = [
            helper.make_tensor_value_info("actions", TensorProto.INT32, ["B"]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["B", size]),
        ]
    else:
        graph.add("Identity", names[-1], out="actions")
        outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["B", size])]
    whole = helper.make_graph(graph.nodes, "policy", [observations], outputs, graph.weights)
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, producer_name="prune_rl")
    model.ir_version = _IR_VERSION
    checker.check_model(model, full_check=True)
    save(model, str(path))
    return path.stat().st_size


class OnnxPolicy:
    """Plays a policy.onnx on one core, as `numpy_policy.Policy` does."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (B, ...) of observations (B, *shape)."""
        return self._answers("actions", observations)

    def values(self, observations: np.ndarray) -> np.ndarray:
        """Values (B, A) of numbered actions."""
        return self._answers("values", observations)

    def _answers(self, name: str, observations: np.ndarray) -> np.ndarray:
        answers: np.ndarray = self._session.run([name], {"observations": observations})[0]
        return answers


# Images lie as (B, C, H, W) between the layers, as ONNX has them.


def _image(graph: _Graph, layer: Layer, x: str) -> str:
    from onnx import TensorProto

    stacked = graph.add("Transpose", x, perm=[0, 1, 4, 2, 3])  # (B, stack, C, H, W)
    # B, then stack*C, then H and W, which are those of before.
    shape = graph.add("Shape", stacked)
    sides = graph.add("Slice", shape, np.array([3]), np.array([5]))
    target = graph.add("Concat", np.array([0, -1]), sides, axis=0)
    merged = graph.add("Reshape", stacked, target)
    return graph.add(
        "Div", graph.add("Cast", merged, to=TensorProto.FLOAT), np.array(255, np.float32)
    )


def _scale(graph: _Graph, layer: Layer, x: str) -> str:
    from onnx import TensorProto

    exact = graph.add("Cast", x, to=TensorProto.DOUBLE)
    centered = graph.add("Sub", exact, layer.arrays["mean"])
    scaled = graph.add("Div", centered, layer.arrays["scale"])
    return graph.add("Cast", scaled, to=TensorProto.FLOAT)


def _conv(graph: _Graph, layer: Layer, x: str) -> str:
    kernel = np.moveaxis(layer.arrays["kernel"], -1, 1)  # (F, C, kh, kw)
    (top, bottom), (left, right) = layer.settings["pads"]
    return graph.add(
        "Conv",
        x,
        kernel,
        layer.arrays["bias"],
        strides=layer.settings["strides"],
        pads=[top, left, bottom, right],
    )


def _max_pool(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")


def _flatten(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("Flatten", graph.add("Transpose", x, perm=[0, 2, 3, 1]))


def _dense(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("Gemm", x, layer.arrays["kernel"], layer.arrays["bias"], transB=1)


def _layer_norm(graph: _Graph, layer: Layer, x: str) -> str:
    own, epsilon = layer.arrays, layer.settings["epsilon"]
    return graph.add("LayerNormalization", x, own["scale"], own["bias"], axis=-1, epsilon=epsilon)


def _l2(graph: _Graph, layer: Layer, x: str) -> str:
    square = graph.add("ReduceSumSquare", x, np.array([1]), keepdims=1)
    least = np.array(layer.settings["least"], np.float32)
    return graph.add("Div", x, graph.add("Sqrt", graph.add("Max", square, least)))


def _dueling(graph: _Graph, layer: Layer, advantages: str, value: str) -> str:
    atoms = layer.settings["atoms"]
    rows = graph.add("Reshape", advantages, np.array([0, -1, atoms]))
    mean = graph.add("ReduceMean", rows, np.array([1]), keepdims=1)
    values = graph.add("Reshape", value, np.array([0, 1, atoms]))
    joined = graph.add("Sub", graph.add("Add", values, rows), mean)
    return graph.add("Flatten", joined)


def _expectation(graph: _Graph, layer: Layer, x: str) -> str:
    support = layer.arrays["support"]
    logits = graph.add("Reshape", x, np.array([0, -1, len(support)]))
    return graph.add("MatMul", graph.add("Softmax", logits, axis=-1), support)


def _clip(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("Clip", x, np.array(-1, np.float32), np.array(1, np.float32))


def _box(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("Add", graph.add("Mul", x, layer.arrays["half"]), layer.arrays["center"])


def _plain(kind: str, *more: np.ndarray, **own: Any) -> Callable[..., str]:
    return lambda graph, layer, *inputs: graph.add(kind, *inputs, *more, **own)


_KINDS: dict[str, Callable[..., str]] = {
    "image": _image,
    "scale": _scale,
    "conv": _conv,
    "dense": _dense,
    "relu": _plain("Relu"),
    "add": _plain("Add"),
    "max_pool": _max_pool,
    "mean_image": _plain("ReduceMean", np.array([2, 3]), keepdims=0),
    "flatten": _flatten,
    "layer_norm": _layer_norm,
    "l2": _l2,
    "dueling": _dueling,
    "expectation": _expectation,
    "tanh": _plain("Tanh"),
    "clip": _clip,
    "box": _box,
}

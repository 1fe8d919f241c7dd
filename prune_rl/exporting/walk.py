"""From an agent's network and its parameters to a list of layers: what evaluation computes.

Dropout and the noise of noisy layers are left out, as they are where the project evaluates; a
spectrally normalised kernel is stored as divided.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import lax

from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError, require
from prune_rl.exporting.layers import Layer, Layers
from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.policies import CLIPPED, DETERMINISTIC, SQUASHED
from prune_rl.networks.precision import PRECISIONS
from prune_rl.networks.q_network import LEAST_SQUARE, QNetwork
from prune_rl.networks.spectral import normalized
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.simba import SimBaTorso
from prune_rl.networks.torsos.torso import Torso
from prune_rl.specs import ObservationSpec

Tree = Mapping[str, Any]  # flax parameters of one module
_LAYER_NORM_EPSILON = 1e-6  # flax's
_MIDDLES = {id(SQUASHED): "tanh", id(CLIPPED): "clip", id(DETERMINISTIC): "clip"}


def layers_of(
    acts_with: Any, params: Any, observation_spec: ObservationSpec, scale: Scale | None = None
) -> list[Layer]:
    """What a policy computes from an observation (*observation), before the best value is taken.

    The last layer answers action values (A,), or actions (A,) of the environment's box.

    Args:
        acts_with: see `Learner.acts_with`.
        params: flax variables {'params': ...} of the network that acts, pruned weights zero.
        observation_spec: of what it sees.
        scale: what is done to vectors before, if anything.

    Raises:
        ConfigError: it has a part that is not known here; names the gin binding.
    """
    layers, tree = Layers(), jax.tree.map(np.asarray, params)["params"]
    place = 0
    if observation_spec.is_image:
        place = layers.add("image", place)
    elif scale is not None:
        place = layers.add("scale", place, arrays={"mean": scale.mean, "scale": scale.scale})
    if isinstance(acts_with, QNetwork):
        _q_values(layers, place, acts_with, tree, observation_spec)
    elif isinstance(acts_with, ActingRules):
        _actions(layers, place, acts_with, tree, observation_spec)
    else:
        expected = "@DQNAgent(), or another that says what it acts with"
        raise ConfigError(f"Runner.agent: expected {expected}; got {type(acts_with).__name__}")
    return layers.made


def _q_values(
    layers: Layers, place: int, network: QNetwork, tree: Tree, spec: ObservationSpec
) -> int:
    dtype = PRECISIONS[network.precision].dtype
    exact = "'fp32' or 'tf32': a policy is exported in float32"
    require(dtype is None, "the agent's precision", network.precision, exact)
    place = _torso(layers, place, network.torso, tree["torso"], spec)
    if network.normalize_representation:
        place = layers.add("l2", place, least=LEAST_SQUARE)
    if network.dueling:
        streams = [_dense(layers, place, tree[name]) for name in ("advantage", "value")]
        place = layers.add("dueling", *streams, atoms=network.num_atoms)
    else:
        place = _dense(layers, place, tree["head"])
    if network.num_atoms == 1:
        return place
    return layers.add("expectation", place, arrays={"support": np.asarray(network.support)})


def _actions(
    layers: Layers, place: int, rules: ActingRules, tree: Tree, spec: ObservationSpec
) -> int:
    network = rules.network
    place = _torso(layers, place, network.torso, tree["torso"], spec)
    # Behind the means are the deviations, which nothing reads that plays the mean.
    means = {name: array[..., : network.action_size] for name, array in tree["head"].items()}
    place = _dense(layers, place, means)
    if network.bounded:
        place = layers.add("tanh", place)
    place = layers.add(_MIDDLES[id(rules.choice)], place)
    return layers.add("box", place, arrays={"center": rules.box.center, "half": rules.box.half})


def _torso(layers: Layers, place: int, torso: nn.Module, tree: Tree, spec: ObservationSpec) -> int:
    for kind, walk in _TORSOS.items():
        if isinstance(torso, kind):
            return walk(layers, place, torso, tree, spec)
    known = ", ".join(kind.__name__ for kind in _TORSOS)
    raise ConfigError(f"torso=@{type(torso).__name__}(): cannot be exported; known are {known}")


def _nature(
    layers: Layers, place: int, torso: NatureTorso, tree: Tree, spec: ObservationSpec
) -> int:
    size = spec.frame_shape[:2]
    for i, stride in enumerate((4, 2, 1)):
        place = _conv(layers, place, tree[f"Conv_{i}"], size, stride)
        place = layers.add("relu", place)
        size = tuple(-(-n // stride) for n in size)
    return _hidden(layers, place, torso, tree)


def _minatar(
    layers: Layers, place: int, torso: MinAtarTorso, tree: Tree, spec: ObservationSpec
) -> int:
    place = _conv(layers, place, tree["Conv_0"], spec.frame_shape[:2], padding="VALID")
    return _hidden(layers, layers.add("relu", place), torso, tree)


def _impala(
    layers: Layers, place: int, torso: ImpalaTorso, tree: Tree, spec: ObservationSpec
) -> int:
    size = spec.frame_shape[:2]
    for i in range(len(torso.stacks)):
        stack = tree[f"ImpalaStack_{i}"]
        place = layers.add("max_pool", _conv(layers, place, stack["Conv_0"], size))
        size = tuple(-(-n // 2) for n in size)
        for j in range(2):
            own, inner = stack[f"ResidualBlock_{j}"], place
            for k in range(2):
                inner = _conv(layers, layers.add("relu", inner), own[f"Conv_{k}"], size)
            place = layers.add("add", place, inner)
    return _hidden(layers, layers.add("relu", place), torso, tree)


def _mlp(layers: Layers, place: int, torso: MLPTorso, tree: Tree, spec: ObservationSpec) -> int:
    del spec
    for i in range(torso.depth):
        own = tree[f"Dense_{i}"]
        if torso.spectral_norm and i == torso.depth - 1:
            own = own | {"kernel": np.asarray(normalized(own["kernel"]))}
        place = _dense(layers, place, own)
        if torso.layer_norm and not torso.layer_norm_last:
            place = _layer_norm(layers, place, tree[f"LayerNorm_{i}"])
        place = layers.add("relu", place)
        if torso.layer_norm and torso.layer_norm_last:
            place = _layer_norm(layers, place, tree[f"LayerNorm_{i}"])
    return place


def _simba(layers: Layers, place: int, torso: SimBaTorso, tree: Tree, spec: ObservationSpec) -> int:
    del spec
    place = _dense(layers, place, tree["Dense_0"])
    for i in range(torso.num_blocks):
        own = _layer_norm(layers, place, tree[f"LayerNorm_{i}"])
        own = layers.add("relu", _dense(layers, own, tree[f"Dense_{2 * i + 1}"]))
        place = layers.add("add", place, _dense(layers, own, tree[f"Dense_{2 * i + 2}"]))
    return _layer_norm(layers, place, tree[f"LayerNorm_{torso.num_blocks}"])


_TORSOS: dict[type[nn.Module], Callable[..., int]] = {
    NatureTorso: _nature,
    ImpalaTorso: _impala,
    MinAtarTorso: _minatar,
    MLPTorso: _mlp,
    SimBaTorso: _simba,
}


def _hidden(layers: Layers, place: int, torso: Torso, tree: Tree) -> int:
    """The dense layer that ends a convolutional torso."""
    place = layers.add("mean_image" if torso.global_average_pooling else "flatten", place)
    return layers.add("relu", _dense(layers, place, tree["Dense_0"]))


def _conv(
    layers: Layers,
    place: int,
    tree: Tree,
    size: tuple[int, ...],
    stride: int = 1,
    padding: str = "SAME",
) -> int:
    """`tree` holds a kernel (kh, kw, C, F), the image is (*size, C)."""
    kernel = tree["kernel"]
    pads = lax.padtype_to_pads(size, kernel.shape[:2], (stride, stride), padding)
    return layers.add(
        "conv",
        place,
        arrays={"kernel": np.moveaxis(kernel, -1, 0), "bias": tree["bias"]},
        strides=[stride, stride],
        pads=[list(map(int, pair)) for pair in pads],
    )


def _dense(layers: Layers, place: int, tree: Tree) -> int:
    """Of a noisy layer the means of its weights."""
    return layers.add("dense", place, arrays={"kernel": tree["kernel"].T, "bias": tree["bias"]})


def _layer_norm(layers: Layers, place: int, tree: Tree) -> int:
    own = {"scale": tree["scale"], "bias": tree["bias"]}
    return layers.add("layer_norm", place, arrays=own, epsilon=_LAYER_NORM_EPSILON)

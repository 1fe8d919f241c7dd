"""Layers of a network by path: 'torso/Conv_0' holds params['params']['torso']['Conv_0']."""

import fnmatch
from collections.abc import Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from prune_rl.errors import ConfigError, nearest


def kernels(params: Any) -> dict[str, Any]:
    """The kernel of every layer of flax variables {'params': ...}, by path, as arrays or shapes."""
    leaves = flatten_dict(params["params"], sep="/")
    suffix = "/kernel"
    return {name.removesuffix(suffix): x for name, x in leaves.items() if name.endswith(suffix)}


def match_layers(binding: str, patterns: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The layers that at least one glob pattern fits, in the order of `layers`.

    Raises:
        ConfigError: a pattern fits none; names `binding` and the nearest layer.
    """
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            advice = nearest(pattern, layers) if layers else "the network names no such layers"
            raise ConfigError(f"{binding}={pattern!r}: fits no layer; {advice}")
    return [x for x in layers if any(fnmatch.fnmatchcase(x, pattern) for pattern in patterns)]

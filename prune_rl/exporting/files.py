"""The files of an exported policy: what `numpy_policy` reads, and that file itself."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prune_rl.exporting import numpy_policy
from prune_rl.exporting.layers import Layer
from prune_rl.exporting.numpy_policy import DESCRIPTION, FORMAT, LONGEST_GAP, WEIGHTS, digest_of
from prune_rl.recording import tensor_files

Stored = tuple[str, dict[str, np.ndarray]]  # a form, and its arrays by the ends of their names


def write_policy(folder: Path, layers: Sequence[Layer], about: Mapping[str, Any]) -> int:
    """Writes policy.json, policy.safetensors and numpy_policy.py.

    Args:
        folder: that they go to.
        layers: of the policy.
        about: JSON that says where it comes from, what it sees and what its actions mean.

    Returns:
        Bytes of description and weights. Raises `OSError`.
    """
    arrays: dict[str, np.ndarray] = {}
    described = []
    for place, layer in enumerate(layers):
        forms = {}
        for name, array in layer.arrays.items():
            stored, own = stored_form(array)
            arrays |= {f"{place}.{name}{end}": x for end, x in own.items()}
            forms[name] = {"shape": list(array.shape), "stored": stored}
        settings = dict(layer.settings)
        described.append(
            {"kind": layer.kind, "inputs": layer.inputs, "settings": settings, "arrays": forms}
        )
    weights = tensor_files.write(folder, WEIGHTS, arrays)
    whole = {"format": FORMAT, **about, "layers": described, "weights": weights}
    whole = json.loads(json.dumps(whole, allow_nan=False))  # as it will be read
    text = json.dumps({"sha256": digest_of(whole), "policy": whole}, allow_nan=False)
    own = tensor_files.write_bytes(folder, DESCRIPTION, text.encode())
    shutil.copyfile(numpy_policy.__file__, folder / "numpy_policy.py")
    return int(weights["bytes"] + own["bytes"])


def stored_form(array: np.ndarray) -> Stored:
    """How an array takes the fewest bytes: 'whole', or without its zeros by 'mask' or 'gaps'."""
    flat = np.ascontiguousarray(array).reshape(-1)
    places = np.flatnonzero(flat)
    values = flat[places]
    forms: dict[str, dict[str, np.ndarray]] = {
        "whole": {"": flat.reshape(array.shape)},
        "mask": {"": values, ".mask": np.packbits(flat != 0)},
        "gaps": {"": values, ".gaps": gaps_of(places)},
    }
    return min(forms.items(), key=lambda form: sum(x.nbytes for x in form[1].values()))


def gaps_of(places: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
    """The zeros before each place, one byte each; before a longer gap stand bytes of 255.

    places: increasing.
    """
    gaps = np.diff(places, prepend=-1) - 1
    longer = gaps // LONGEST_GAP
    code = np.full(len(places) + int(longer.sum()), LONGEST_GAP, np.uint8)
    code[np.arange(len(places)) + np.cumsum(longer)] = gaps % LONGEST_GAP
    return code

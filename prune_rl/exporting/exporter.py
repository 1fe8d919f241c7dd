"""From a loaded run to the folder of its policy, checked and measured."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.exporting.about import about
from prune_rl.exporting.check import Agreement, Plays, compared
from prune_rl.exporting.files import write_policy
from prune_rl.exporting.latency import filled, latencies
from prune_rl.exporting.layers import Layer, num_weights, units
from prune_rl.exporting.numpy_policy import DESCRIPTION, WEIGHTS, load_policy
from prune_rl.exporting.onnx_model import FILE, OnnxPolicy, write_onnx
from prune_rl.exporting.playing import game_of, observations_of
from prune_rl.exporting.shrink import shrink
from prune_rl.exporting.walk import layers_of
from prune_rl.loaded_run import LoadedRun
from prune_rl.progress import Bar, in_numbers


class Exported(NamedTuple):
    """What came of an export, of the dense network of that size first where there are two numbers.

    Attributes:
        agreements: with the full network, of 'numpy' and, if asked for, 'onnx'.
        units: of every layer but the last.
        weights: numbers that the policy reads; the second those that are stored.
        size: bytes of policy.json and policy.safetensors.
        onnx_size: bytes of policy.onnx, 0 without.
        latency: microseconds of CPU time for one observation, by NumPy on one core.
    """

    agreements: dict[str, Agreement]
    units: tuple[list[int], list[int]]
    weights: tuple[int, int]
    size: tuple[int, int]
    onnx_size: int
    latency: tuple[float, float]


def full_layers(run: LoadedRun) -> list[Layer]:
    """All that the run's policy computes, zeros included.

    Raises:
        ConfigError: it cannot be exported, or has weights that are not finite.
    """
    params = run.params[run.acting]
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise ConfigError(f"{run.directory}: weights of seed {run.seed} are not finite")
    return layers_of(run.learner.acts_with, params, run.observation_spec, run.scale)


def shrunk(run: LoadedRun, layers: list[Layer]) -> list[Layer]:
    """The same without what nothing can depend on; see `shrink`."""
    spec = run.observation_spec
    return shrink(layers, spec.stack_size * spec.frame_shape[-1])


def export_policy(run: LoadedRun, out: Path, *, verify: int = 1000, onnx: bool = False) -> Exported:
    """Writes the policy of a run, once it has been compared with the full network.

    Args:
        run: see `load_run`.
        out: a folder, made if it is not there; a policy that it holds is replaced.
        verify: on how many observations of its own game it is compared, at least 1.
        onnx: whether policy.onnx is written too.

    Raises:
        ConfigError: the run cannot be exported; or `Disagrees`, and nothing is written.
        OSError: `out` cannot be written, or its speed not measured.
    """
    full = full_layers(run)
    layers, game = shrunk(run, full), game_of(run)
    said = about(run, getattr(game, "action_names", ()))
    beside = next(folder for folder in out.absolute().parents if folder.exists())
    with tempfile.TemporaryDirectory(dir=beside, prefix=".partial_") as name:
        folder, dense = Path(name) / "policy", Path(name) / "dense"
        size = write_policy(dense, filled(full), said), write_policy(folder, layers, said)
        onnx_size = write_onnx(folder / FILE, layers, said) if onnx else 0
        policies: dict[str, Plays] = {"numpy": load_policy(folder)}
        if onnx:
            policies["onnx"] = OnnxPolicy(folder / FILE)
        agreements, observations = _checked(run, game, policies, verify)
        np.save(f"{name}/observations.npy", observations)
        slow, fast = latencies(Path(name) / "observations.npy", [dense, folder])
        _move(folder, out)
    before, _ = num_weights(full)
    _, stored = num_weights(layers)
    both = units(full), units(layers)
    return Exported(agreements, both, (before, stored), size, onnx_size, (slow, fast))


def _checked(
    run: LoadedRun, game: Any, policies: dict[str, Plays], count: int
) -> tuple[dict[str, Agreement], np.ndarray]:
    """How far policies agree with the network, and the first observations."""
    agreements, first = dict.fromkeys(policies, Agreement()), None
    act = policies["numpy"].act
    with Bar("observations", count, words=in_numbers) as bar:
        for observations in observations_of(game, run.max_steps_per_episode, act, count):
            for name, policy in policies.items():
                own = compared(run, policy, observations)
                agreements[name] = agreements[name].joined(own)
            first = observations if first is None else first
            bar.advance(len(observations))
    assert first is not None
    return agreements, first


def _move(folder: Path, out: Path) -> None:
    """All of its files to `out`; what an earlier policy had more than it is removed.

    The weights first and their description last: stopped between them, it is refused by its digest.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    order = {WEIGHTS: 0, DESCRIPTION: 2}
    for path in sorted(folder.iterdir(), key=lambda path: order.get(path.name, 1)):
        shutil.move(path, out / path.name)

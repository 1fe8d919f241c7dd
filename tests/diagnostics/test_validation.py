"""The loss on what is learned from and on what is held out, of runs on data, by hand."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from prune_rl import train
from tests.datasets.vector_episodes import play, publish
from tests.interrupted.ends import newest

ARRAYS = play([25, 20], "oo")
_BINDINGS = (
    *("Dataset.unit='first'", "Dataset.num_transitions=1", "Dataset.held_out=1"),
    *("Dataset.batch_size=8", "Diagnostics.probe_size=16", "MLPTorso.units=8"),
    *("Runner.num_iterations=2", "Runner.training_steps=20", "Runner.num_eval_episodes=0"),
    *("Runner.num_seeds=2", "Dataset.normalize_observations=False"),
)


def _loss(kept, row):
    """Of behavioural cloning at one row of the file, in float64: every probe is that transition."""
    layers = ("torso/Dense_0", "torso/Dense_1", "head")

    def weight(layer, kind):
        return kept[f"agent/networks/actor/params/params/{layer}/{kind}"].astype(np.float64)

    x = ARRAYS["observations"][row].astype(np.float64)
    for layer in layers:
        x = x @ weight(layer, "kernel") + weight(layer, "bias")
        x = np.tanh(x) if layer == "head" else np.maximum(x, 0)
    return ((x - ARRAYS["actions"][row]) ** 2).mean()


@pytest.mark.parametrize("source", ["DatasetSource", "DeviceDatasetSource"])
def test_both_losses_are_those_of_their_own_transitions(tmp_path, source):
    """One transition is learned from and one held out, so that a probe is that one many times."""
    path = publish(tmp_path / "halfcheetah_medium-v2.hdf5", ARRAYS)
    files = ("agents/bc.gin", "suites/mujoco.gin", "diagnostics/validation.gin")
    own = [*_BINDINGS, f"Dataset.path={str(path)!r}", f"Runner.create_source_fn=@{source}"]
    own.append(f"{source}.create_dataset_fn=@Dataset")
    flags = [f"--gin_files={x}" for x in files] + [f"--gin_bindings={x}" for x in own]
    run = tmp_path / "run"
    assert train.main([f"--base_dir={run}", *flags]) == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [row for row in rows if row["phase"] == "diagnostics"]
    assert [(row["gradient_steps"], row["seed"]) for row in measured] == [
        *((20, 0), (20, 1), (40, 0), (40, 1))
    ]
    first, last = measured[0], measured[2]
    assert last["probe_loss"] < first["probe_loss"]
    for row in measured[2:]:
        kept = load_file(newest(run) / f"seed_{row['seed']}.safetensors")
        assert row["probe_loss"] == pytest.approx(_loss(kept, 0), rel=1e-4)
        assert row["validation_loss"] == pytest.approx(_loss(kept, 44), rel=1e-4)
        assert "srank" not in row

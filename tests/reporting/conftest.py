"""Run directories with made-up numbers."""

import json

import numpy as np
import pytest


@pytest.fixture
def write_run():
    """Writes seeds 4, 3, 5 and two iterations; returns are 10 * seed + iteration."""

    def write(directory, *, phases=("train",), missing=False):
        directory.mkdir()
        with (directory / "metrics.jsonl").open("w") as file:
            for seed in (4, 3, 5):
                for iteration in range(2):
                    for phase in phases:
                        row = {
                            "seed": seed,
                            "iteration": iteration,
                            "phase": phase,
                            "agent_steps": 100 * (iteration + 1),
                            "gradient_steps": 25 * (iteration + 1),
                            "frames": 400 * (iteration + 1),
                            "sparsity": 0.5 * iteration,
                        }
                        value = None if missing and iteration == 0 else float(10 * seed + iteration)
                        measured = {"srank": value, "q_norm": float(seed)}
                        played = {"episode_return_mean": value, "num_episodes": 2}
                        row |= measured if phase == "diagnostics" else played
                        file.write(json.dumps(row) + "\n")
        return directory

    return write


@pytest.fixture
def write_matrices():
    """Stores gradient covariances of seeds 3 and 4, as a run does."""

    def write(directory, iteration, matrix):
        folder = directory / "diagnostics"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / f"gradient_covariance_{iteration:04d}.npz",
            matrix=np.asarray(matrix, np.float32),
            seeds=np.array([3, 4]),
            agent_steps=100 * (iteration + 1),
        )
        return directory

    return write

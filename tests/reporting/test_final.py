"""Final performance by hand."""

import json

import numpy as np
import pytest

from prune_rl.reporting import final
from prune_rl.reporting.runs import Run


def _long_run(directory, num_iterations):
    """Seeds 0 and 1 whose evaluation returns are the iteration and ten times it."""
    directory.mkdir()
    rows = [
        {
            "seed": seed,
            "iteration": i,
            "phase": phase,
            "agent_steps": i,
            "episode_return_mean": None if i == 9 and seed == 1 else float(i * (1, 10)[seed]),
        }
        for i in range(num_iterations)
        for seed in (0, 1)
        for phase in ("train", "eval")
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


@pytest.mark.parametrize(("length", "expected"), [(4, [3, 30]), (10, [8, 75]), (1, [0, 0])])
def test_the_last_quarter_of_the_iterations_counts(tmp_path, length, expected):
    """Of ten iterations the last three, 7 to 9; seed 1 ended no episode in the last."""
    point = final.final_performance(Run(_long_run(tmp_path / "run", length), "a@4"))
    np.testing.assert_allclose(point.values, expected)
    assert (point.method, point.setting, point.seeds) == ("a", 4.0, [0, 1])


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers(tmp_path, write_run):
    one, four = write_run(tmp_path / "one"), write_run(tmp_path / "four", missing=True)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense@1={one}", f"--run=dense@4={four}", f"--run=pruned@4={four}"]
    assert final.main([*arguments, f"--out={picture}", f"--csv={numbers}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = numbers.read_text().splitlines()
    assert len(lines) == 1 + 9
    assert lines[1] == "dense,1.0,3,31.0"
    assert lines[-1] == "pruned,4.0,5,51.0"


@pytest.mark.parametrize("label", ["dense", "dense@wide", "@"])
def test_a_label_without_a_number_is_one_line(tmp_path, capsys, write_run, label):
    run = write_run(tmp_path / "run")
    assert final.main([f"--run={label}={run}", f"--out={tmp_path / 'x.png'}"]) == 2
    assert "expected METHOD@NUMBER=RUN" in capsys.readouterr().err

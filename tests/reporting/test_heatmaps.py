"""Heat maps of gradient covariances, and their numbers."""

import numpy as np
import pytest

from prune_rl.reporting import heatmaps

_MATRIX = [[[1, 0.5], [0.5, 1]], [[1, -0.25], [-0.25, 1]]]


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_the_last_stored(tmp_path, write_matrices):
    run = write_matrices(tmp_path / "run", 3, np.ones((2, 2, 2)))
    write_matrices(run, 12, _MATRIX)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense={run}", f"--out={picture}", f"--csv={numbers}"]
    assert heatmaps.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert numbers.read_text().splitlines()[1:] == ["dense,3,12,1300,0.5", "dense,4,12,1300,0.25"]
    assert heatmaps.main([*arguments, "--iteration=3"]) == 0
    assert numbers.read_text().splitlines()[1:] == ["dense,3,3,400,1.0", "dense,4,3,400,1.0"]


def test_the_mean_keeps_nan_and_leaves_out_the_diagonal():
    assert heatmaps.mean_off_diagonal(np.float32([[9, 0.5], [-1.5, 9]])) == 1.0
    assert np.isnan(heatmaps.mean_off_diagonal(np.float32([[1, np.nan], [0, 1]])))
    assert heatmaps.mean_off_diagonal(np.ones((1, 1), np.float32)) == 0.0


def test_bad_input_is_one_line(tmp_path, capsys, write_run, write_matrices):
    picture = tmp_path / "x.png"
    run = write_run(tmp_path / "run")
    assert heatmaps.main([f"--run={run}", f"--out={picture}"]) == 2
    assert "--gin_files=diagnostics/all.gin" in capsys.readouterr().err
    write_matrices(run, 3, _MATRIX)
    assert heatmaps.main([f"--run={run}", f"--out={picture}", "--iteration=5"]) == 2
    assert "nearest: 3" in capsys.readouterr().err
    assert not picture.exists()

"""The picture of learning curves and its numbers."""

import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import curves, runs


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_two_runs(tmp_path, write_run):
    dense = write_run(tmp_path / "dense", phases=("train", "eval", "diagnostics"), missing=True)
    pruned = write_run(tmp_path / "pruned")
    picture, numbers = tmp_path / "compare.png", tmp_path / "compare.csv"
    arguments = [f"--run=dense={dense}", f"--run={pruned}", f"--out={picture}", f"--csv={numbers}"]
    assert curves.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = numbers.read_text().splitlines()
    assert len(lines) == 1 + 12 + 6
    assert lines[-1] == "pruned,5,1,train,200,50,800,51.0,2,0.5"


@pytest.mark.parametrize("content", [None, ""])
def test_no_run_is_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert curves.main([f"--run={tmp_path}", f"--out={tmp_path / 'x.png'}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(ConfigError):
        runs.read_metrics(tmp_path)

"""Small multiples of diagnostics, and their numbers."""

import pytest

from prune_rl.reporting import diagnostics

_PHASES = ("train", "diagnostics")


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_two_runs(tmp_path, write_run):
    dense = write_run(tmp_path / "dense", phases=_PHASES, missing=True)
    pruned = write_run(tmp_path / "pruned", phases=_PHASES)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense={dense}", f"--run={pruned}", f"--out={picture}", f"--csv={numbers}"]
    assert diagnostics.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    header, *lines = [line.split(",") for line in numbers.read_text().splitlines()]
    assert len(lines) == 12
    first, last = (dict(zip(header, line, strict=True)) for line in (lines[0], lines[-1]))
    assert first["run"] == "dense"
    assert (first["seed"], first["srank"], first["q_norm"]) == ("4", "", "4.0")
    assert (last["seed"], last["agent_steps"], last["srank"]) == ("5", "200", "51.0")
    assert last["dormant"] == ""


def test_a_panel_counts_what_is_missing(tmp_path, write_run, monkeypatch):
    said = []
    monkeypatch.setattr(diagnostics.Axes, "text", lambda self, x, y, text, **own: said.append(text))
    run = write_run(tmp_path / "run", phases=_PHASES, missing=True)
    runs = [diagnostics.Run(run, "run")]
    diagnostics.draw(runs, tmp_path / "x.png", ["srank", "q_norm"])
    assert said == ["3 missing or not finite"]


@pytest.mark.parametrize(
    ("phases", "flags", "message"),
    [
        (_PHASES, ["--quantities=srank,sranc"], "did you mean 'srank'?"),
        (("train",), [], "--gin_files=diagnostics/all.gin"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, write_run, phases, flags, message):
    run, picture = write_run(tmp_path / "run", phases=phases), tmp_path / "x.png"
    assert diagnostics.main([f"--run={run}", f"--out={picture}", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not picture.exists()

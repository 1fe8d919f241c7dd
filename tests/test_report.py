"""`python -m prune_rl.report` from run directories to what is left on disk."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from prune_rl import report
from prune_rl.reporting import statistics

from .reporting import control_trees
from .reporting.trees import DENSE, PRUNED, write_run, write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Dense and pruned, widths 1 and 8, two games, three seeds; one run that stopped early."""
    root = tmp_path_factory.mktemp("runs") / "g"
    both = (("dense", DENSE), ("95", PRUNED))
    cells = {f"x{x}/{name}": {"width": x, **own} for x in (1, 8) for name, own in both}
    write_tree(root, cells)
    write_run(root / "x8/95/breakout/3", seed=3, width=8, done=5, **PRUNED)
    return root


@pytest.fixture
def small(tmp_path):
    """Dense and pruned, one game."""
    return write_tree(tmp_path / "small", {"dense": DENSE, "95": PRUNED}, games=["breakout"])


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """A report's numbers are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "NUM_CURVE_RESAMPLES", 50)
        yield


@pytest.fixture(scope="module")
def out(tree, tmp_path_factory):
    """A report of the tree."""
    folder = tmp_path_factory.mktemp("out") / "report"
    assert report.main([str(tree), f"--out={folder}", "--formats=png"]) == 0
    return folder


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_has_scores_statistics_pictures_and_a_page(out):
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "scores.csv", "statistics.csv", "pictures.csv"} <= names
    pictures = {row["name"] for row in _rows(out / "pictures.csv")}
    assert {"figure_1", "figure_2", "returns_breakout_dqn_minatar", "aggregates"} <= pictures
    for name in pictures:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len(_rows(out / f"{name}.csv")) > 0
    assert not [name for name in names if name.startswith(".") or name.endswith(".svg")]
    assert "figure_1" in (out / "report.html").read_text("utf-8")


def test_scores_are_of_every_run_and_seed_raw_and_normalised(out):
    rows = _rows(out / "scores.csv")
    assert len(rows) == 4 * 2 * 3 + 1
    (last,) = [row for row in rows if row["run"] == "x8/95/breakout/3"]
    assert (last["state"], last["iterations"]) == ("stopped", "5")
    (one,) = [row for row in rows if row["run"] == "x8/95/asterix/2"]
    value = 1.2 * 1.8 * 4 / 3
    assert (float(one["value"]), float(one["normalized"])) == pytest.approx((value, value / 1.21))
    assert one["normalized_as"] == "return / mean final return of dqn minatar x1 dense"
    assert (one["arm"], one["seed"]) == ("dqn minatar x8 magnitude 95%", "2")


def test_statistics_are_those_of_the_finished_scores(out):
    rows = {(row["arm"], row["statistic"]): row for row in _rows(out / "statistics.csv")}
    own = rows["dqn minatar x8 magnitude 95%", "iqm"]
    assert (own["num_games"], own["num_runs"]) == ("2", "6")
    named = {(row["normalized_as"], row["phase"]) for row in rows.values()}
    assert named == {("return / mean final return of dqn minatar x1 dense", "train")}
    values = np.array([1, 1.1, 1.2]) * 1.8 * 4 / 3 / 1.21
    assert float(own["value"]) == pytest.approx(statistics.iqm([values, values]))
    assert float(own["low"]) < float(own["value"]) < float(own["high"])
    gained = rows[
        "dqn minatar x8 magnitude 95% > dqn minatar x8 dense", "probability_of_improvement"
    ]
    assert float(gained["value"]) == 1


def test_the_same_seed_gives_the_same_report(small, tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for out, seed in ((first, 0), (again, 0), (other, 1)):
        assert report.main([str(small), f"--out={out}", "--formats=svg", f"--seed={seed}"]) == 0
    names = {path.name for path in first.glob("*.csv")}
    for name in names:
        assert (again / name).read_bytes() == (first / name).read_bytes(), name
    assert (first / "scores.csv").read_text() == (other / "scores.csv").read_text()
    drawn = [(out / "sample_efficiency_dqn_minatar.csv").read_text() for out in (first, other)]
    assert drawn[0] != drawn[1]


def test_what_is_done_is_said_and_what_has_not_finished_named(tree, tmp_path, capsys):
    flags = [str(tree), f"--out={tmp_path}", "--formats=svg", "--figure=1", "--unfinished"]
    assert report.main(flags) == 0
    said = capsys.readouterr()
    assert said.out == f"wrote {tmp_path}\n"
    lines = said.err.splitlines()
    assert "prune_rl.report: 25 runs, 4 arms" in lines
    (one,) = [line for line in lines if "x8/95/breakout/3: " in line]
    assert one.endswith("stopped after 5 of 8 iterations; counted all the same")
    assert "prune_rl.report: picture 1 of 8: figure_1" in lines
    assert not (tmp_path / "figure_2.svg").exists()
    assert (tmp_path / "figure_1.svg").exists()
    rows = {(row["arm"], row["statistic"]): row for row in _rows(tmp_path / "statistics.csv")}
    assert rows["dqn minatar x8 magnitude 95%", "iqm"]["num_runs"] == "7"


def test_a_run_that_diverged_is_named_and_counts(small, tmp_path, capsys):
    write_run(small / "95/breakout/3", seed=3, done=2, diverged=True, **PRUNED)
    assert report.main([str(small), f"--out={tmp_path / 'out'}", "--formats=svg"]) == 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "breakout/3: " in x]
    assert line.endswith("diverged after 2 of 8 iterations; counted with the score it has")
    rows = {(row["arm"], row["statistic"]): row for row in _rows(tmp_path / "out/statistics.csv")}
    assert rows["dqn minatar x1 magnitude 95%", "iqm"]["num_runs"] == "4"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--normalize=dens"], "--normalize=dens: no such arm; choose from"),
        (["--normalize=human"], "has no human score"),
        (["--formats=png,gif"], "--formats=png,gif: expected of png, svg, pdf"),
        (["--figure=18"], "--figure=18: not drawn here; choose from 1, 2, 3, "),
        (["--out="], "--out=: expected a folder, there or not yet, as --out=report"),
        (["--out=/dev/null/x"], "--out=/dev/null/x: /dev/null is a file; expected a folder"),
        (["--seed=-1"], "--seed=-1: expected a whole number"),
        (["--figure=12"], "--figure=12: these runs do not cover it; it needs"),
        (["--phase=eval"], "no evaluation in"),
        (["--reference=dopamine"], "--reference=dopamine: its curves do not come with"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tree, tmp_path, capsys, flags, message):
    assert report.main([str(tree), f"--out={tmp_path / 'out'}", *flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    (error,) = [line for line in lines if message in line]
    assert error == lines[-1]
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("metrics.jsonl", "no json\n", "metrics.jsonl, line 9: expected a JSON object"),
        ("config.gin", "Runner.num_seeds = 0\n", "config.gin: Runner.num_seeds=0: expected 1"),
    ],
)
def test_a_damaged_run_is_named_and_the_others_reported(
    small, tmp_path, capsys, file, text, problem
):
    with (small / "95/breakout/1" / file).open("a") as damaged:
        damaged.write(text)
    flags = [str(small), f"--out={tmp_path / 'out'}", "--formats=png", "--figure=2"]
    assert report.main(flags) == 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if problem in x]
    assert str(small / "95/breakout/1") in line
    assert line.endswith("; without this run")
    assert len(_rows(tmp_path / "out/scores.csv")) == 5
    (named,) = [x for x in _page(tmp_path / "out")["uncounted"] if problem in x]
    assert named == line


def test_a_folder_without_runs_is_one_line(tmp_path, capsys):
    assert report.main([str(tmp_path), f"--out={tmp_path / 'out'}"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_of_both_clocks_are_reported_each_by_its_own(tmp_path):
    cells = {"dense": DENSE, "95": PRUNED, "cql": {"agent": "cql", "torso": "impala"}}
    tree = write_tree(tmp_path / "runs", cells, games=["breakout"], seeds=[0])
    flags = [str(tree), f"--out={tmp_path / 'out'}", "--formats=svg"]
    assert report.main([*flags, "--normalize=dqn minatar x1 magnitude 95%", "--figure=2"]) == 0
    names = {path.stem for path in (tmp_path / "out").glob("*.svg")}
    assert {"returns_breakout_dqn_minatar", "aggregates", "figure_2"} <= names
    assert {"returns_breakout_cql_impala_gradient_steps", "aggregates_gradient_steps"} <= names
    scales = {row["arm"]: row["normalized_as"] for row in _rows(tmp_path / "out" / "scores.csv")}
    assert scales["dqn minatar x1 dense"].endswith("of dqn minatar x1 magnitude 95%")
    assert scales["cql impala x1 dense"].endswith("of cql impala x1 dense")
    estimates = _rows(tmp_path / "out" / "statistics.csv")
    told = {(row["arm"], row["normalized_as"], row["phase"]) for row in estimates}
    assert ("cql impala x1 dense", scales["cql impala x1 dense"], "eval") in told
    assert ("dqn minatar x1 dense", scales["dqn minatar x1 dense"], "train") in told


@pytest.mark.parametrize(("phase", "last"), [("train", [1.1, 1.21]), ("eval", [50, 51])])
def test_the_page_has_the_scores_of_the_phase_asked_for(tmp_path, phase, last):
    for seed in range(2):
        run = write_run(tmp_path / "runs" / str(seed), seed=seed, **DENSE)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        played = [row | {"phase": "eval", "episode_return_mean": 50 + seed} for row in rows]
        with (run / "metrics.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in played)
    flags = [str(tmp_path / "runs"), f"--out={tmp_path / 'out'}", "--formats=png"]
    assert report.main([*flags, f"--phase={phase}"]) == 0
    assert [float(x["value"]) for x in _rows(tmp_path / "out/scores.csv")] == pytest.approx(last)
    runs = _page(tmp_path / "out")["runs"]
    assert [run["final"][0] for run in runs] == pytest.approx(last)
    assert {run["final_phase"] for run in runs} == {phase}


def test_every_row_of_every_run_is_in_one_tidy_table(tree, out):
    rows = _rows(out / "returns.csv")
    assert len(rows) == 4 * 2 * 3 * 8 + 5  # that of the stopped run too
    assert not (out / "returns.parquet").exists()
    (last,) = [x for x in rows if x["run"] == "x8/95/breakout/3" and x["iteration"] == "4"]
    told = ("width", "pruner", "sparsity", "agent_steps", "gradient_steps", "frames", "phase")
    assert [last[x] for x in told] == ["8", "magnitude", "0.95", "5000", "1250", "20000", "train"]
    assert float(last["episode_return"]) == pytest.approx(1.3 * 1.8 * 4 / 3)


def test_parquet_holds_the_table_and_goes_with_the_report_that_has_none(small, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    flags = [str(small), f"--out={tmp_path / 'out'}", "--formats=svg", "--figure=2"]
    assert report.main([*flags, "--parquet"]) == 0
    table = parquet.read_table(tmp_path / "out/returns.parquet").to_pylist()
    rows = _rows(tmp_path / "out/returns.csv")
    assert list(table[0]) == list(rows[0])
    for name in ("run", "seed", "iteration", "episode_return"):
        assert [str(row[name]) for row in table] == [row[name] for row in rows], name
    assert report.main(flags) == 0
    assert not (tmp_path / "out/returns.parquet").exists()


def test_parquet_without_pyarrow_is_one_line_before_any_work(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert report.main([str(small), f"--out={tmp_path / 'out'}", "--parquet"]) == 2
    assert capsys.readouterr().err == (
        "prune_rl.report: --parquet: needs pyarrow, which is not installed; "
        "pip install 'prune_rl[parquet]', or take returns.csv\n"
    )
    assert not (tmp_path / "out").exists()


def _page(out):
    """What report.html holds."""
    text = (out / "report.html").read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))


def test_runs_that_have_just_begun_are_a_report_without_statistics(tmp_path, capsys):
    write_run(tmp_path / "runs/a", done=2, **DENSE)
    write_run(tmp_path / "runs/b", done=0, **PRUNED)
    assert report.main([str(tmp_path / "runs"), f"--out={tmp_path / 'out'}", "--formats=png"]) == 0
    assert _rows(tmp_path / "out" / "statistics.csv") == []
    assert (tmp_path / "out" / "returns_breakout_dqn_minatar.png").exists()
    assert "stopped after 0 of 8 iterations" in capsys.readouterr().err


def test_what_is_read_is_not_changed(small, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert report.main([str(small), f"--out={tmp_path / 'out'}", "--formats=svg"]) == 0
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        report.main(["--help"])
    said = capsys.readouterr().out
    files = ("scores.csv", "returns.csv", "returns.parquet", "statistics.csv", "report.html")
    for word in (*files, "examples:", "--parquet", "--unfinished"):
        assert word in said
    assert max(map(len, said.splitlines())) <= 100


def test_a_report_of_robots_is_on_d4rls_scale_and_has_sparse_regs_tables(tmp_path):
    """Several networks, evaluations of what learnt from data, and a figure asked for by name."""
    control_trees.write_run(tmp_path / "runs/dense")
    sparse, losses = control_trees.SPARSE, ("actor/probe_loss", "critic/probe_loss")
    control_trees.write_run(tmp_path / "runs/sparse", pruner=sparse, losses=losses)
    out = tmp_path / "report"
    flags = [str(tmp_path / "runs"), f"--out={out}", "--formats=svg", "--normalize=d4rl"]
    assert report.main([*flags, "--figure=sparse_reg_table_1"]) == 0
    scores = _rows(out / "scores.csv")
    assert {row["phase"] for row in scores} == {"eval"}
    assert {row["normalized_as"] for row in scores} == {"0 random, 100 expert (D4RL)"}
    (table,) = _rows(out / "sparse_reg_table_1.csv")
    assert (table["agent"], table["samples"], table["gain"]) == ("iql", "5k", "0.0")
    assert {(row["data"], row["samples"]) for row in _rows(out / "returns.csv")} == {
        ("expert", "5000")
    }
    page = (out / "report.html").read_text("utf-8")
    for name in ("critic/probe_loss", "actor/sparsity_by_layer", "sparse_reg_table_1"):
        assert name in page
    assert not (out / "sparse_reg_figure_3.svg").exists()


def test_a_figure_of_no_such_name_is_one_line(tmp_path, capsys):
    control_trees.write_run(tmp_path / "runs/dense")
    flags = [str(tmp_path / "runs"), f"--out={tmp_path / 'out'}"]
    assert report.main([*flags, "--figure=sparse_reg_table_6"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--figure=sparse_reg_table_6: not drawn here; choose from 1, 2, 3" in line
    assert report.main([*flags, "--figure=sparse_reg_table_1"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "it needs runs of bc, td3_bc, awac or iql on fixed data" in line

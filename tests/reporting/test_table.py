"""The tidy table and final scores, against rows counted and averaged by hand."""

import builtins
import csv
import json
import math

import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import table
from prune_rl.reporting.table import TidyRow, final_scores, tidy
from prune_rl.reporting.trainings import find_trainings

_EIGHT = [9, 9, 9, 9, 9, 9, 1, 3]
_OFFLINE = {
    "Runner.agent": "@CQLAgent()",
    "CQLAgent.num_atoms": "1",
    "Runner.create_source_fn": "@DatasetSource",
    "Runner.evaluation_steps": "50",
}


@pytest.fixture
def mixed(tmp_path, write_training):
    """An online run of two seeds, dense, and an offline one, pruned."""
    online = {"train": [[1, 2], [None, 4]]}
    write_training(tmp_path / "a", online, **{"Runner.seed": "5", "Runner.num_seeds": "2"})
    pruned = {
        "q/create_updater_from_config.pruner_type": "'magnitude'",
        "q/create_updater_from_config.sparsity": "0.9",
        "torso/MinAtarTorso.width": "8",
    }
    offline = {"train": [[None]], "eval": [[7]]}
    write_training(tmp_path / "b", offline, **_OFFLINE, **pruned)
    return find_trainings([tmp_path])


def test_every_return_is_a_row_that_says_what_it_is_of(mixed):
    rows = tidy(mixed)
    assert len(rows) == 6
    dense = ("dqn minatar x1 dense", "dqn", "minatar", 1, "", 0)
    dense += ("no_prune", 0.0, "", 0.25, "breakout")
    when = ("agent_steps", 200, 50, 800)
    assert rows[2] == TidyRow("a", *dense, 5, 1, "train", *when, 2)
    assert math.isnan(rows[1].episode_return)
    assert (rows[1].seed, rows[1].iteration) == (6, 0)
    pruned = ("cql minatar x8 magnitude 90%", "cql", "minatar", 8, "", 0)
    pruned += ("magnitude", 0.9, "", 0.0)
    when = ("gradient_steps", 0, 100, 0)
    assert rows[-1] == TidyRow("b", *pruned, "breakout", 0, 0, "eval", *when, 7)


def test_diagnostics_are_no_rows(tmp_path, write_training):
    row = {"seed": 0, "iteration": 0, "phase": "diagnostics", "clock": "agent_steps"}
    row |= {"agent_steps": 5, "srank": 3}
    write_training(tmp_path / "a", {"train": [[1]]}, rows=[row])
    assert [x.phase for x in tidy(find_trainings([tmp_path]))] == ["train"]


def test_a_csv_has_the_columns_and_an_empty_field_for_no_return(tmp_path, mixed):
    table.write_csv(tidy(mixed), tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(TidyRow._fields)
    assert [x["episode_return"] for x in rows] == ["1", "", "2", "4", "", "7"]
    assert [x["seed"] for x in rows] == ["5", "6", "5", "6", "0", "0"]


@pytest.mark.parametrize("empty", [False, True])
def test_parquet_holds_the_same_table_with_types(tmp_path, mixed, empty):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    rows = [] if empty else tidy(mixed)
    table.write_parquet(rows, tmp_path / "x.parquet")
    read = pq.read_table(tmp_path / "x.parquet")
    assert read.column_names == list(TidyRow._fields)
    assert str(read.schema.field("seed").type) == "int64"
    assert str(read.schema.field("width").type) == "double"
    assert str(read.schema.field("arm").type) == "string"
    expected = [None if math.isnan(x.episode_return) else x.episode_return for x in rows]
    assert read.column("episode_return").to_pylist() == expected
    assert read.column("run").to_pylist() == [x.run for x in rows]
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a", "b", "x.parquet"]


def test_parquet_without_pyarrow_is_one_line(tmp_path, mixed, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **keywords):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"--parquet: needs pyarrow.*prune_rl\[parquet\]") as e:
        table.write_parquet(tidy(mixed), tmp_path / "x.parquet")
    assert "\n" not in str(e.value)
    assert not (tmp_path / "x.parquet").exists()


def test_a_score_is_the_mean_of_the_last_quarter(tmp_path, write_training):
    returns = {"train": [_EIGHT, [9] * 6 + [None, 5], [9] * 6 + [None, None]]}
    own = {"Runner.num_seeds": "3", "Runner.num_iterations": "8"}
    write_training(tmp_path / "a", returns, **own)
    scores = final_scores(find_trainings([tmp_path]))
    assert [x.value for x in scores[:2]] == [2, 5]
    assert math.isnan(scores[2].value)
    first = ("dqn minatar x1 dense", "breakout", 0, "a", "train", 2, 8, "finished", None)
    assert tuple(scores[0]) == first


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (4, 4), (5, 4.5), (8, 7.5), (9, 8)])
def test_a_quarter_is_rounded_up(tmp_path, write_training, length, expected):
    write_training(tmp_path / "a", {"train": [list(range(1, length + 1))]})
    assert [x.value for x in final_scores(find_trainings([tmp_path]))] == [expected]


def test_unfinished_and_empty_runs_have_scores_that_say_so(tmp_path, write_training):
    write_training(tmp_path / "done", {"train": [[1, 2, 3, 4]]})
    write_training(tmp_path / "less", {"train": [[1, 2]]}, **{"Runner.seed": "1"})
    write_training(tmp_path / "none", **{"Runner.seed": "2"})
    scores = final_scores(find_trainings([tmp_path]))
    assert [(x.seed, x.iterations, x.state) for x in scores] == [
        (0, 4, "finished"),
        (1, 2, "stopped"),
        (2, 0, "stopped"),
    ]
    assert [x.value for x in scores[:2]] == [4, 2]
    assert math.isnan(scores[2].value)


def test_a_seed_that_diverged_counts_and_says_since_when(tmp_path, write_training):
    directory = write_training(
        tmp_path / "a", {"train": [[1, 2], [3, 4]]}, **{"Runner.num_seeds": "2"}
    )
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").open()]
    rows[-1]["diverged_at"] = 37
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = final_scores(find_trainings([tmp_path]))
    assert [(x.value, x.diverged_at) for x in scores] == [(2, None), (4, 37)]


def test_scores_are_of_evaluations_where_every_run_evaluates(tmp_path, write_training):
    write_training(tmp_path / "a", {"train": [[1]], "eval": [[10]]})
    own = {"Runner.seed": "1", "Runner.evaluation_steps": "50"}
    write_training(tmp_path / "b", {"train": [[2]]}, **own)  # killed before its first evaluation
    evaluating = find_trainings([tmp_path])
    assert [x.phase for x in final_scores(evaluating)] == ["eval", "eval"]
    assert final_scores(evaluating)[0].value == 10
    assert [x.value for x in final_scores(evaluating, "train")] == [1, 2]
    write_training(tmp_path / "c", {"train": [[3]]}, **{"Runner.seed": "2"})
    all_three = find_trainings([tmp_path])
    assert [(x.phase, x.value) for x in final_scores(all_three)] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
    ]
    with pytest.raises(ConfigError, match=f"--phase=eval: no evaluation in {tmp_path / 'c'}; "):
        final_scores(all_three, "eval")


def test_runs_on_fixed_data_are_scored_by_their_evaluations_beside_others(mixed):
    scores = final_scores(mixed)
    assert [(x.run, x.phase) for x in scores] == [("a", "train"), ("a", "train"), ("b", "eval")]
    assert scores[-1].value == 7


def test_a_run_on_fixed_data_that_never_evaluates_has_no_say(tmp_path, write_training):
    write_training(tmp_path / "a", {"train": [[1]], "eval": [[10]]})
    own = _OFFLINE | {"Runner.evaluation_steps": "0"}
    write_training(tmp_path / "b", {"train": [[None]]}, **own)
    scores = final_scores(find_trainings([tmp_path]))
    assert [x.phase for x in scores] == ["eval", "eval"]
    assert scores[0].value == 10
    assert math.isnan(scores[1].value)

"""What others published: the paper's claims as data, Dopamine's files as they are."""

import json

import pytest

from prune_rl.errors import ConfigError
from prune_rl.gin_files import shipped_gin_files
from prune_rl.reporting.references import curve, paper_claims, require_folder


def _write(folder, name, runs):
    """A file of Dopamine's: {agent: [[return of a run, …] of an iteration, …]}."""
    rows = [
        {"Iteration": i, "Value": value, "Agent": agent}
        for agent, iterations in runs.items()
        for i, values in enumerate(iterations)
        for value in values
    ]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(rows[::-1], indent=1))


def test_the_papers_numbers_are_those_of_its_text():
    stated = {
        (x.figure, x.agent, x.torso, x.width, x.sparsity, x.quantity): float(x.value)
        for x in paper_claims()
        if x.value.replace(".", "").isdigit() and float(x.value)
    }
    assert stated == {
        ("1", "dqn", "impala", "", "0.95", "gain over dense x1"): 0.6,
        ("1", "rainbow", "impala", "", "0.95", "gain over dense x1"): 0.5,
        ("3", "dqn", "impala", "3", "0.9", "gain over dense"): 0.33,
        ("3", "dqn", "impala", "3", "0.95", "gain over dense"): 0.33,
        ("", "dqn", "impala", "", "0.9", "gain over dense"): 0.5,
    }


def test_every_claim_has_a_value_that_can_be_read_and_a_place():
    claims = paper_claims()
    assert len({x[:6] for x in claims}) == len(claims)
    words = {"above 0", "below 0", "little", "rises", "falls", "0"}
    assert {x.value for x in claims} - words == {"0.6", "0.5", "0.33"}
    assert all(x.where.startswith("section ") for x in claims)
    figures = {x.figure for x in claims} - {""}
    trained = {f"experiments/figure_{x}.gin" for x in figures}
    assert trained <= set(shipped_gin_files())


def test_a_curve_is_the_mean_of_its_runs_by_agent_steps(tmp_path):
    runs = {"DQN": [[1, 2, 3, 4, 5], [10, 20, 30]], "Rainbow": [[7], [9]]}
    _write(tmp_path, "mspacman_Impala.json", runs)
    _write(tmp_path, "mspacman_CNN.json", {"C51": [[5]]})
    dqn = curve(tmp_path, "dqn", "impala", "MsPacman")
    assert dqn.steps.tolist() == [250_000, 500_000]
    assert dqn.mean.tolist() == [3, 20]
    assert (dqn.label, dqn.num_runs) == ("Dopamine's DQN, Impala", 4)
    assert curve(tmp_path, "rainbow", "impala", "MsPacman").mean.tolist() == [7, 9]
    c51 = curve(tmp_path, "c51", "nature", "MsPacman")
    assert (c51.label, c51.mean.tolist()) == ("Dopamine's C51, CNN", [5])


@pytest.mark.parametrize(
    ("agent", "torso", "game"),
    [
        ("dqn", "minatar", "MsPacman"),
        ("der", "impala", "MsPacman"),
        ("dqn", "impala", "breakout"),
        ("c51", "impala", "MsPacman"),  # not in the file
    ],
)
def test_what_dopamine_did_not_publish_has_no_curve(tmp_path, agent, torso, game):
    _write(tmp_path, "mspacman_Impala.json", {"DQN": [[1]]})
    assert curve(tmp_path, agent, torso, game) is None


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_curves_is_one_line_that_says_where_they_are(tmp_path, made):
    folder = tmp_path / "data"
    if made:
        _write(folder, "pong.json", {"DQN": [[1]]})  # TensorFlow's
    for ask in (lambda: require_folder(folder), lambda: curve(folder, "dqn", "impala", "Pong")):
        with pytest.raises(ConfigError, match=r"baselines/atari/data of github\.com") as caught:
            ask()
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["no json", "[1]", '[{"Iteration": 0}]', '[{"Iteration": 0, "Value": null, "Agent": ""}]'],
)
def test_a_file_of_another_form_is_one_line(tmp_path, text):
    (tmp_path / "pong_CNN.json").write_text(text)
    with pytest.raises(ConfigError, match=r"pong_CNN\.json: expected a list of") as caught:
        curve(tmp_path, "dqn", "nature", "Pong")
    assert "\n" not in str(caught.value)

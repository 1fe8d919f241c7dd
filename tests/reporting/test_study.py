"""Arms, their final scores and what they are compared with, on made-up trees."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import statistics
from prune_rl.reporting.normalized import human_scores
from prune_rl.reporting.overview import overview
from prune_rl.reporting.paper_figures import draw_figures
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study, by_clock
from prune_rl.reporting.trainings import find_trainings

from .trees import DENSE, PRUNED, write_run, write_tree


def _study(root, *, unfinished=False):
    return Study(find_trainings([root]), None, 0, unfinished)


@pytest.fixture
def pair(tmp_path):
    """Dense and pruned, two games, three seeds each in a directory of its own."""
    return write_tree(tmp_path / "runs", {"dense": DENSE, "95": PRUNED})


def test_single_seeds_are_one_arm_with_one_curve(pair):
    study = _study(pair)
    assert [arm.method for arm in study.arms] == ["dense", "magnitude 95%"]
    assert [arm.setting for arm in study.arms] == ["x1", "x1"]
    assert [len(arm.trainings) for arm in study.arms] == [6, 6]
    assert (study.games, study.phase, study.clock) == (
        ["asterix", "breakout"],
        "train",
        "agent_steps",
    )
    seen = study.returns(study.arms[0], "breakout")
    assert seen.values.shape == (3, 8)
    np.testing.assert_allclose(seen.values[:, -1], [1.1, 1.21, 1.32])


def test_final_scores_are_by_game_and_seed_over_those_of_the_scale(pair):
    study = _study(pair)
    study.scale = choose_scale(study, None)
    assert study.scale.note == "score: return / mean final return of dqn minatar x1 dense"
    dense, pruned = (study.final(arm) for arm in study.arms)
    assert list(dense) == ["asterix", "breakout"]
    assert dense["breakout"] == pytest.approx({0: 1 / 1.1, 1: 1, 2: 1.2 / 1.1})
    assert pruned["asterix"] == pytest.approx({0: 4 / 3.3, 1: 4 / 3, 2: 4.8 / 3.3})


def test_what_has_not_finished_does_not_count_unless_asked_for(tmp_path, pair):
    for game in ("breakout", "asterix"):
        write_run(pair / "95" / game / "3", game=game, seed=3, done=5, **PRUNED)
    study = _study(pair)
    assert sorted(own.name for own in study.left_out) == ["95/asterix/3", "95/breakout/3"]
    assert list(study.final(study.arms[1])["breakout"]) == [0, 1, 2]
    assert study.returns(study.arms[1], "breakout").values.shape == (4, 8)
    every = _study(pair, unfinished=True)
    assert list(every.final(every.arms[1])["breakout"]) == [0, 1, 2, 3]
    assert not every.left_out


def test_a_run_that_diverged_counts_with_the_score_it_has_and_is_named(pair):
    lost = np.full(8, 0.5)
    write_run(pair / "95/breakout/3", seed=3, done=2, diverged=True, returns=lost, **PRUNED)
    study = _study(pair)
    study.scale = choose_scale(study, None)
    assert study.final(study.arms[1])["breakout"][3] == pytest.approx(0.5 / 1.1 / 1.1)
    assert not study.left_out
    named = "diverged, counted with what they have: 95/breakout/3 (2 of 8 iterations)"
    for own in overview(study, study.estimates()):
        assert (named in own.caption) == (own.name not in _ELSEWHERE), own.name


_ELSEWHERE = {"returns_asterix_dqn_minatar"}


def test_pruned_arms_are_compared_with_the_dense_one_of_their_setting(tmp_path):
    cells = {
        f"x{width}/{ratio}/{name}": {"width": width, "ratio": ratio, **own}
        for width in (1, 8)
        for ratio in (0.25, 2)
        for name, own in (("dense", DENSE), ("95", PRUNED))
    }
    cells["redo"] = {"bindings": {"Runner.interventions": "(@ReDo(),)"}}
    cells["only"] = {"width": 3, **PRUNED}  # has none
    study = _study(write_tree(tmp_path / "runs", cells, games=["breakout"], seeds=[0]))
    assert {arm.name: dense.name for arm, dense in study.pairs()} == {
        "dqn minatar x1 magnitude 95%": "dqn minatar x1 dense",
        "dqn minatar x1 magnitude 95% ratio 2": "dqn minatar x1 dense ratio 2",
        "dqn minatar x1 dense redo": "dqn minatar x1 dense",
        "dqn minatar x8 magnitude 95%": "dqn minatar x8 dense",
        "dqn minatar x8 magnitude 95% ratio 2": "dqn minatar x8 dense ratio 2",
    }
    settings = {arm.name: arm.setting for arm in study.arms}
    assert settings["dqn minatar x8 magnitude 95% ratio 2"] == "x8 ratio 2"
    assert {arm.method for arm in study.arms} == {"dense", "magnitude 95%", "redo"}


@pytest.mark.parametrize("dense", [["0.1"], ["0.3"], ["0.1", "0.2"], ["0.2", "0.3"]])
def test_no_arm_is_compared_with_a_dense_one_of_another_learning_rate(tmp_path, dense):
    def cells(label, rates, **own):
        name = "q/create_optimizer.learning_rate"
        return {f"{label}{rate}": {**own, "bindings": {name: rate}} for rate in rates}

    both = cells("dense", dense) | cells("95", ["0.1", "0.2"], **PRUNED)
    study = _study(write_tree(tmp_path, both, games=["breakout"], seeds=[0]))
    rates = [
        [x.settings.config["q/create_optimizer.learning_rate"] for x in pair]
        for pair in study.pairs()
    ]
    assert rates == [[x, x] for x in ("0.1", "0.2") if x in dense]


def test_a_method_has_one_colour_and_dense_the_first(tmp_path):
    cells = {
        f"{x}/{y}": {"width": x, **own} for x in (1, 2) for y, own in enumerate((PRUNED, DENSE))
    }
    study = _study(write_tree(tmp_path / "runs", cells, games=["breakout"], seeds=[0]))
    assert list(study.palette) == ["dense", "magnitude 95%"]
    assert len(set(study.palette.values())) == 2
    assert {study.color(arm) for arm in study.arms} == set(study.palette.values())


def test_estimates_are_those_of_the_scores(pair):
    study = _study(pair)
    study.scale = choose_scale(study, None)
    found = {(own.arm, own.statistic): own for own in study.estimates()}
    dense, pruned = (arm.name for arm in study.arms)
    every = np.array([1, 1.1, 1.2] * 2) / 1.1
    assert found[dense, "iqm"].value == pytest.approx(statistics.iqm([every]))
    assert found[pruned, "mean"].value == pytest.approx(4 / 3)
    assert found[f"{pruned} > {dense}", "probability_of_improvement"].value == 1
    gain = found[f"{pruned} - {dense}", "iqm_difference"]
    assert gain.value == pytest.approx(found[pruned, "iqm"].value - found[dense, "iqm"].value)
    assert (gain.num_games, gain.num_runs) == (2, 6)
    assert [tuple(own) for own in study.estimates()] == [tuple(own) for own in study.estimates()]


def test_games_and_seeds_that_one_arm_lacks_are_not_compared(tmp_path):
    root = write_tree(tmp_path / "runs", {"dense": DENSE})
    write_tree(root, {"95": PRUNED}, games=["breakout"], seeds=range(1, 5))
    study = _study(root)
    study.scale = choose_scale(study, None)
    found = {own.statistic: own for own in study.estimates() if " " in own.arm.strip("dqn")}
    assert (found["probability_of_improvement"].num_games, found["iqm_difference"].num_games) == (
        1,
        1,
    )
    assert found["probability_of_improvement"].num_runs == 4
    assert found["iqm_difference"].num_runs == 2  # seeds 1 and 2


def test_sample_efficiency_is_the_iqm_at_every_step(pair):
    study = _study(pair)
    study.scale = choose_scale(study, None)
    steps, found = study.iqm_curve(study.arms[0])
    assert steps.tolist() == [1000 * (i + 1) for i in range(8)]
    every = np.array([1, 1.1, 1.2] * 2) / 1.1
    expected = [statistics.iqm([every * min(1, (i + 1) / 4)]) for i in range(8)]
    np.testing.assert_allclose(found.value, expected)


def test_games_of_atari_are_on_a_persons_scale(tmp_path):
    root = write_tree(tmp_path / "runs", {"x": DENSE}, games=["Pong", "Alien"], torso="nature")
    study = _study(root)
    study.scale = choose_scale(study, None)
    assert study.scale.label == "human-normalised score"
    players = human_scores()["Alien"]
    expected = (1.1 - players.random) / (players.human - players.random)
    assert study.final(study.arms[0])["Alien"][0] == pytest.approx(expected)


def test_a_game_without_a_human_score_is_left_out_and_named(tmp_path):
    root = write_tree(tmp_path / "runs", {"x": DENSE}, games=["Pong", "AirRaid"], torso="nature")
    study = _study(root)
    for asked in ("human", None):
        study.scale = choose_scale(study, asked)
        assert "without AirRaid" in study.scale.note
        assert list(study.final(study.arms[0])) == ["Pong"]


def test_returns_without_a_scale_are_raw(tmp_path):
    falls = -np.ones(8)
    write_run(tmp_path / "runs" / "0", returns=falls)
    study = _study(tmp_path / "runs")
    assert choose_scale(study, None).label == "return"
    with pytest.raises(ConfigError, match="its mean on breakout is -1; expected one above 0"):
        choose_scale(study, "dqn minatar x1 dense")


def _falling(root, games):
    """Dense and pruned, of negative returns: no arm is a scale."""
    cells = {"dense": DENSE, "95": PRUNED}
    return _study(write_tree(root, cells, games=games, returns=-np.ones(8)))


def test_raw_returns_of_several_games_are_put_together_in_nothing_but_ranks(tmp_path):
    study = _falling(tmp_path, ["breakout", "asterix"])
    assert {own.statistic for own in study.estimates()} == {"probability_of_improvement"}
    names = {own.name.partition("_")[0] for own in overview(study, study.estimates())}
    assert names == {"returns", "layers", "probability"}
    assert not list(draw_figures(study, [12, 6, 1]))
    (picture,) = (x for x in overview(study, study.estimates()) if x.name.startswith("prob"))
    assert "raw returns: no statistics over games but probabilities" in picture.caption


def test_raw_returns_of_one_game_have_no_optimality_gap(tmp_path):
    study = _falling(tmp_path, ["breakout"])
    found = {own.statistic for own in study.estimates()}
    compared = {"probability_of_improvement", "iqm_difference"}
    assert found == {"iqm", "median", "mean", *compared}
    drawn = {own.name: own for own in overview(study, study.estimates())}
    assert len(drawn["aggregates"].figure.axes) == 3
    assert {"sample_efficiency_dqn_minatar", "profiles_dqn_minatar"} <= drawn.keys()


def test_an_arm_with_scores_on_every_game_is_the_scale_before_one_that_lacks_some(tmp_path):
    root = write_tree(tmp_path, {"x1": DENSE}, games=["breakout"])
    write_tree(root, {"x1p": PRUNED, "x8": {"width": 8}, "x8p": {"width": 8, **PRUNED}})
    study = _study(root)
    study.scale = choose_scale(study, None)
    assert study.scale.note == "score: return / mean final return of dqn minatar x8 dense"
    assert all(study.final(arm).keys() == {*arm.games} for arm in study.arms)


def test_games_that_no_arm_can_scale_are_named_wherever_scores_are(tmp_path):
    root = write_tree(tmp_path, {"x1": DENSE}, games=["breakout", "asterix"])
    write_tree(root, {"x8": {"width": 8}}, games=["freeway"])
    study = _study(root)
    study.scale = choose_scale(study, None)
    assert "dqn minatar x1 dense, without freeway: it has none there" in study.scale.note
    captions = {own.name: own.caption for own in overview(study, study.estimates())}
    fewer = "scored on fewer games: dqn minatar x1 dense (2 of 3)"
    for name in ("aggregates", "sample_efficiency_dqn_minatar", "profiles_dqn_minatar"):
        assert "without freeway" in captions[name]
        assert fewer in captions[name]
    assert fewer not in captions["returns_breakout_dqn_minatar"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("dqn minatar x1 dens", "did you mean 'dqn minatar x1 dense'"),
        ("human", "has no human score"),
        ("dqn minatar x1 magnitude 95%", "no run of it has finished"),
    ],
)
def test_a_scale_that_is_none_is_named(tmp_path, asked, message):
    write_run(tmp_path / "runs" / "0")
    write_run(tmp_path / "runs" / "1", done=3, **PRUNED)
    with pytest.raises(ConfigError, match=message):
        choose_scale(_study(tmp_path / "runs"), asked)


def test_clocks_are_apart(tmp_path):
    write_tree(tmp_path / "runs", {"a": DENSE, "b": PRUNED}, games=["breakout"], seeds=[0])
    write_tree(tmp_path / "runs", {"c": {"agent": "cql"}}, games=["breakout"], seeds=[0])
    found = by_clock(find_trainings([tmp_path / "runs"]))
    assert {clock: len(own) for clock, own in found.items()} == {
        "agent_steps": 2,
        "gradient_steps": 1,
    }
    assert Study(found["gradient_steps"], None, 0, False).phase == "eval"

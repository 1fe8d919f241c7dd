"""Figures 9 and 17: SAC's returns, a panel for each robot and width, a line for each sparsity."""

import numpy as np
import pytest

from prune_rl.reporting.against import Reference
from prune_rl.reporting.overview import overview
from prune_rl.reporting.paper_figures import draw_figures
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .control_trees import MAGNITUDE, write_run


@pytest.fixture
def study(tmp_path):
    """Three robots, two widths of one of them, dense and two sparsities."""
    places = [("HalfCheetah-v5", 1), ("Walker2d-v5", 1), ("Walker2d-v5", 3), ("Ant-v5", 1)]
    for game, width in places:
        for percent in (0, 90, 95):
            pruner = MAGNITUDE | {"sparsity": percent / 100} if percent else None
            place = tmp_path / f"{game}/{width}/{percent}"
            own = {"game": game, "width": width, "pruner": pruner, "level": 10.0 * percent + width}
            write_run(place, agent="sac", **own)
    made = Study(find_trainings([tmp_path]), None, 0, unfinished=False)
    made.scale = choose_scale(made, None)
    return made


def test_figure_9_is_of_two_robots_of_every_width(study, line_called):
    (picture,) = draw_figures(study, [9])
    titles = [axes.get_title() for axes in picture.figure.axes if axes.get_visible()]
    assert titles == ["Ant-v5 x1", "Walker2d-v5 x1", "Walker2d-v5 x3"]
    wide = picture.figure.axes[2]
    for percent, label in ((0, "dense"), (90, "magnitude 90%"), (95, "magnitude 95%")):
        line = line_called(wide, label)
        assert line.get_xdata()[-1] == 8000
        np.testing.assert_allclose(line.get_ydata()[-1], 10 * percent + 3 + 10)
    assert picture.title == "Figure 9: SAC where the paper gains (mlp; Ant-v5, Walker2d-v5)"
    assert wide.get_ylabel() == "episode return (evaluation)"
    assert wide.get_xlabel() == "agent steps per seed"


def test_figure_17_is_of_the_others_and_tells_what_the_paper_says(study):
    study.reference = Reference(paper=True)
    (picture,) = draw_figures(study, [17])
    assert [axes.get_title() for axes in picture.figure.axes] == ["HalfCheetah-v5 x1"]
    assert "the paper says: sac x5, gain over dense 0" in picture.caption
    assert {row[0] for row in picture.numbers} == {"HalfCheetah-v5 x1"}


def test_robots_have_the_pictures_of_every_report(study):
    drawn = {own.name: own for own in overview(study, study.estimates())}
    layers = drawn["layers_sparsity_sac_mlp"]
    names = {"actor/torso/Dense_0", "critic/torso/Dense_0", "actor/mean", "critic/mean"}
    assert {row[1] for row in layers.numbers} == names
    assert "returns_walker2d_v5_sac_mlp" in drawn
    for panel in drawn["returns_walker2d_v5_sac_mlp"].figure.axes:
        assert {x.get_label() for x in panel.lines} == {"dense", "magnitude 90%", "magnitude 95%"}

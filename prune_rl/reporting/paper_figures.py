"""Which figures of two papers some runs cover, and how each is laid out.

Numbers are those of Obando-Ceron et al. 2024, names those of Sparse-Reg (`sparse_reg`).

The paper's ResNet figures take runs of the ResNet, or of a torso of another suite (MinAtar's); its
CNN figures those of the CNN. At width 3, or the largest that has what the figure compares.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from prune_rl.errors import ConfigError
from prune_rl.reporting import paper_analyses as analyses
from prune_rl.reporting import paper_drawings as drawings
from prune_rl.reporting import paper_panels as panels_of
from prune_rl.reporting.paper_arms import left_out, of
from prune_rl.reporting.paper_drawings import Panel
from prune_rl.reporting.pictures import Number, Picture, figure_name
from prune_rl.reporting.sparse_reg import SPARSE_REG, Drawing
from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.words import games_in_words


class PaperFigure(NamedTuple):
    """One figure of the paper.

    Attributes:
        title: what it shows.
        agents: whose runs it takes.
        torso: 'impala' or 'nature'; '' for any.
        needs: what must be among the runs, in words.
        panels: of the arms of one agent, empty if they do not cover it.
        draw: of the study, number, title and panels the picture, None where nothing was measured or
            games have no scale.
        most_games: that it shows; 0 for all.
    """

    title: str
    agents: tuple[str, ...]
    torso: str
    needs: str
    panels: Callable[[Study, list[Arm]], list[Panel]]
    draw: Callable[[Study, Number, str, list[Panel]], Picture | None] = drawings.draw_panels
    most_games: int = 0

    def drawn(self, study: Study, number: Number) -> Picture | None:
        """None where the runs do not cover it."""
        panels = [
            panel
            for agent in self.agents
            for panel in self.panels(study, of(study, agent, self.torso))
        ]
        if not panels:
            return None
        arms = [arm for panel in panels for arm in panel.arms]
        missed = left_out(study, arms, any_width=any(x.axis == "width" for x in panels))
        panels = [panels[0]._replace(left_out=missed), *panels[1:]]
        title = f"Figure {number}: {self.title} ({self._whose(panels)})"
        return self.draw(study, number, title, panels)

    def _whose(self, panels: Sequence[Panel]) -> str:
        """Torsos or, where panels name neither agent nor width, these too; and the games."""
        arms = [arm for panel in panels for arm in panel.arms]
        whose = ", ".join(dict.fromkeys(arm.settings.torso for arm in arms))
        games = sorted({game for arm in arms for game in arm.games})
        if self.most_games:
            own = arms[0].settings
            whose = f"{own.agent} {own.torso} x{own.width:g}"
            games = analyses.few_games(arms, self.most_games)
        elif panels[0].kind == "returns":
            games = list(dict.fromkeys(panel.axis for panel in panels))
        return f"{whose}; {games_in_words(games)}"


def draw_figures(study: Study, asked: Sequence[Number] | None = None) -> Iterator[Picture]:
    """The figures that the runs cover; of those `asked` for, if any are."""
    for number in asked or FIGURES:
        picture = FIGURES[number].drawn(study, number)
        if picture:
            yield picture


def require_covered(numbers: Sequence[Number], drawn: Sequence[Picture]) -> None:
    """Raises `ConfigError` unless all `numbers` were drawn; says what a figure needs."""
    for number in numbers:
        name = figure_name(number)
        if not any(x.name == name or x.name.startswith(f"{name}_") for x in drawn):
            scale = ", and a scale that its games share (--normalize)"
            scale = scale if _is_scored(FIGURES[number]) else ""
            needs = f"these runs do not cover it; it needs {FIGURES[number].needs}{scale}"
            raise ConfigError(f"--figure={number}: {needs}")


def _is_scored(figure: PaperFigure | Drawing) -> bool:
    return figure.draw is drawings.draw_panels


def require_known(number: Number) -> None:
    """Raises `ConfigError` unless it is a figure that can be drawn."""
    if number not in FIGURES:
        choices = ", ".join(map(str, FIGURES))
        raise ConfigError(f"--figure={number}: not drawn here; choose from {choices}")


_DQN, _BOTH = ("dqn",), ("dqn", "rainbow")
_WIDTHS = "dense and pruned runs of two widths at least"
_SPARSITIES = "a dense network and two sparsities of one width at least"
_RATIOS = "dense and pruned runs of two replay ratios at least"
_PAIR = "dense and pruned runs of one width"
_DIAGNOSED = f"{_PAIR}, trained with --gin_files=diagnostics/all.gin"

_OF_NUMBERS: dict[int, PaperFigure] = {
    1: PaperFigure("scaling network widths", _BOTH, "impala", _WIDTHS, panels_of.over_width),
    2: PaperFigure(
        "gradual pruning schedules",
        ("dqn", "rainbow", "cql", "cql_c51", "der", "drq_eps"),
        "",
        "gradually pruned runs",
        panels_of.pruned_gradually,
        drawings.draw_schedules,
    ),
    3: PaperFigure("varying sparsity", _DQN, "impala", _SPARSITIES, panels_of.sparsities),
    4: PaperFigure("scaling the width of the CNN", _BOTH, "nature", _WIDTHS, panels_of.over_width),
    5: PaperFigure("scaling the replay ratio", ("rainbow",), "impala", _RATIOS, panels_of.ratios),
    6: PaperFigure(
        "offline agents", ("cql", "cql_c51"), "impala", _PAIR, panels_of.over_time_by_width
    ),
    7: PaperFigure(
        "the full suite",
        _BOTH,
        "impala",
        f"{_PAIR} on {panels_of.MANY_GAMES} games at least",
        panels_of.over_time_of_many_games,
    ),
    8: PaperFigure(
        "low-data agents, long", ("drq_eps", "der"), "impala", _PAIR, panels_of.over_time
    ),
    9: PaperFigure(
        "SAC where the paper gains",
        ("sac",),
        "",
        f"{_PAIR} of SAC on Walker2d or Ant",
        panels_of.of_games("Walker2d", "Ant"),
        drawings.draw_games,
    ),
    10: PaperFigure(
        "pruning schedules", _DQN, "impala", "runs of two pruning schedules", panels_of.schedules
    ),
    11: PaperFigure(
        "analyses of dense and pruned networks",
        _DQN,
        "impala",
        _DIAGNOSED,
        panels_of.measured_arms,
        analyses.draw_analyses,
        analyses.ANALYSED,
    ),
    12: PaperFigure(
        "against plasticity baselines",
        _DQN,
        "impala",
        f"{_PAIR}, and a baseline of plasticity/",
        panels_of.methods,
    ),
    13: PaperFigure(
        "gradient covariance",
        _DQN,
        "impala",
        _DIAGNOSED,
        panels_of.measured_arms,
        analyses.draw_covariances,
        analyses.MAPPED,
    ),
    14: PaperFigure(
        "varying sparsity of the CNN", _BOTH, "nature", _SPARSITIES, panels_of.sparsities
    ),
    15: PaperFigure("varying sparsity", ("rainbow",), "impala", _SPARSITIES, panels_of.sparsities),
    16: PaperFigure("scaling the replay ratio", _DQN, "impala", _RATIOS, panels_of.ratios_by_width),
    17: PaperFigure(
        "SAC where the paper does not gain",
        ("sac",),
        "",
        f"{_PAIR} of SAC on HalfCheetah, Hopper or Humanoid",
        panels_of.of_games("HalfCheetah", "Hopper", "Humanoid"),
        drawings.draw_games,
    ),
}
FIGURES = dict[Number, PaperFigure | Drawing](chain(_OF_NUMBERS.items(), SPARSE_REG.items()))

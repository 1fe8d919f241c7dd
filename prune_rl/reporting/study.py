"""Runs as evidence: arms that are compared, on games, by the final scores of their seeds."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.typing import ColorType

from prune_rl.environments.reference_scores import References, agreed
from prune_rl.recording.metrics import CLOCKS
from prune_rl.reporting import statistics
from prune_rl.reporting.against import Reference
from prune_rl.reporting.arms import contradicts
from prune_rl.reporting.figures import Steps, whole_until
from prune_rl.reporting.pruned import DENSE
from prune_rl.reporting.runs import Curve, Floats, Row, curve
from prune_rl.reporting.statistics import Estimate, Scores
from prune_rl.reporting.style import colors, markers
from prune_rl.reporting.table import Score, final_scores
from prune_rl.reporting.trainings import FINAL, Training

RETURNS = "episode_return_mean"
HUMAN, D4RL, RAW = "human", "d4rl", "raw"  # kinds of scales
Normalize = Callable[[str, Floats], Floats]  # game and returns to scores; NaN: it has none


class Scale(NamedTuple):
    """What makes returns of different games comparable.

    Attributes:
        label: of an axis of such scores.
        note: what they are, in words.
        normalize: of a game's returns (...) the scores (...), NaN where the game has no scale.
        kind: 'human', 'd4rl', 'arm' or `RAW`, which makes no two games comparable.
        best: the score that an optimality gap is short of.
    """

    label: str
    note: str
    normalize: Normalize
    kind: str
    best: float = 1.0

    @property
    def name(self) -> str:
        """The note, for a column of a table."""
        return self.note.removeprefix("score: ")


class Arm(NamedTuple):
    """Runs that differ in game and seed only, of several directories or of one."""

    name: str
    trainings: tuple[Training, ...]

    @property
    def settings(self) -> Training:
        """One of its runs, for what all of them have: agent, torso, width, …"""
        return self.trainings[0]

    @property
    def setting(self) -> str:
        """What it shares with the dense arm that it is compared with: 'x3', 'x8 pooled ratio 2'."""
        own = self.settings
        words = ["pooled" if own.pooled else "", f"ratio {own.replay_ratio:g}", own.precision]
        named = [word for word in words if word and word in self.name]  # as usual: not named
        return " ".join([f"x{own.width:g}", *own.data_words, *named])

    @property
    def method(self) -> str:
        """What is done to the network: 'dense', 'magnitude 95%', 'redo'."""
        own = self.settings
        pruned = [] if own.pruner == DENSE and own.baseline else own.pruning.words
        return " ".join(word for word in (*pruned, own.baseline, own.apart) if word)

    @property
    def games(self) -> list[str]:
        """Those it was trained on, in the order of the alphabet."""
        return sorted({training.game for training in self.trainings})

    def rows(self, game: str) -> list[Row]:
        """Of all of its runs of the game."""
        return [row for own in self.trainings if own.game == game for row in own.rows]


class Study:
    """The runs of one clock.

    Attributes:
        arms: by agent, torso, width and so on, dense ones first.
        games: of all of them, in the order of the alphabet.
        phase: whose returns count: 'eval' if every run has evaluated, unless asked for another.
        clock: a key of `CLOCKS`.
        palette: the colour of every method, dense first.
        left_out: runs whose scores do not count, as they have not finished.
        every_score: final ones, raw, NaN where no episode has ended.
        scores: those of them that count.
        scale: that makes them comparable; set by `report`, raw returns until then.
        reference: what they are drawn against; set by `report`, nothing until then.

    Raises:
        ConfigError: the runs lack the `phase`.
    """

    def __init__(
        self, trainings: Sequence[Training], phase: str | None, seed: int, unfinished: bool
    ) -> None:
        self.arms = find_arms(trainings)
        self.games = sorted({training.game for training in trainings})
        self.clock = trainings[0].clock
        self.seed = seed
        self.every_score = final_scores(trainings, phase)
        self.phase = self.every_score[0].phase
        counted = [x for x in self.every_score if unfinished or x.state in FINAL]
        self.scores = [score for score in counted if not np.isnan(score.value)]
        self._scores_of = defaultdict[str, list[Score]](list)
        for score in self.scores:
            self._scores_of[score.arm].append(score)
        self.left_out = [x for x in trainings if not (unfinished or x.state in FINAL)]
        self.reference = Reference()
        self.scale = Scale("return", "raw returns", lambda game, values: values, RAW)
        methods = dict.fromkeys(arm.method for arm in sorted(self.arms, key=_by_method))
        self.palette = dict(zip(methods, colors(len(methods)), strict=True))
        self._markers = dict(zip(methods, markers(len(methods)), strict=True))

    def color(self, arm: Arm) -> ColorType:
        """Of its method, the same in every picture."""
        return self.palette[arm.method]

    def marker(self, arm: Arm) -> str:
        """Of its method, as `color`."""
        return self._markers[arm.method]

    @property
    def steps_label(self) -> str:
        """Of an axis of steps."""
        return f"{CLOCKS[self.clock]} per seed"

    @property
    def adds_up(self) -> bool:
        """Whether scores of its games can be put together: they have a scale, or it is one game."""
        return self.scale.kind != RAW or len(self.games) == 1

    def rng(self) -> np.random.Generator:
        """A generator that begins anew: a number depends on no other that is drawn before it."""
        return np.random.default_rng(self.seed)

    def references(self, game: str) -> References | None:
        """What 0 and 100 are of a game: those that all of its runs have, else D4RL's."""
        own = [x.references for arm in self.arms for x in arm.trainings if x.game == game]
        return agreed(own, game)

    def returns(self, arm: Arm, game: str) -> Curve:
        """Of all seeds of the arm on the game, NaN where a run has not come or no episode ended."""
        return curve(arm.rows(game), self.phase, RETURNS)

    def final(self, arm: Arm) -> dict[str, dict[int, float]]:
        """Normalised final score by game and seed, without games that have no scale."""
        found: dict[str, dict[int, float]] = {}
        for score in sorted(self._scores_of[arm.name], key=lambda score: score.seed):
            value = self.score(score)
            if not np.isnan(value):
                found.setdefault(score.game, {})[score.seed] = value
        return {game: found[game] for game in sorted(found)}

    def score(self, score: Score) -> float:
        """It, normalised; NaN where the game has no scale."""
        return float(self.scale.normalize(score.game, np.array(score.value)))

    def matrix(self, arm: Arm, games: Sequence[str] | None = None) -> Scores:
        """The final scores of the games, or of all that it has, as statistics take them."""
        final = self.final(arm)
        return [np.array([*final[game].values()]) for game in (games or final)]

    def iqm(self, arm: Arm) -> statistics.Interval | None:
        """Of the final scores, with its interval; None where there are none."""
        scores = self.matrix(arm)
        return statistics.interval(statistics.iqm, scores, rng=self.rng()) if scores else None

    def _scored(self, arm: Arm) -> list[Curve]:
        """Normalised returns of each game that has any."""
        curves = {game: self.returns(arm, game) for game in arm.games}
        scored = {game: self.scale.normalize(game, own.values) for game, own in curves.items()}
        kept = [game for game in curves if scored[game].size and not np.isnan(scored[game]).all()]
        return [Curve(curves[game].steps, scored[game]) for game in kept]

    def whole_until(self, arm: Arm) -> float:
        """The last step at which `iqm_curve` is of all of its runs."""
        return whole_until(self._scored(arm))

    def iqm_curve(self, arm: Arm) -> tuple[Steps, statistics.Interval]:
        """Steps (T,) and the IQM over games and seeds of the normalised returns at each."""
        scored = self._scored(arm)
        steps = np.unique([step for own in scored for step in own.steps.tolist()])
        aligned = [_spread(own.steps, own.values, steps) for own in scored]
        if not scored:
            return steps, statistics.Interval(*[np.empty(0)] * 3)
        return steps, statistics.curve_band(aligned, self.rng())

    def estimates(self) -> list[Estimate]:
        """Aggregates of every arm, then of every `pairs` what the first gains on the second.

        Of raw returns no optimality gap, and of several games only probabilities of improvement.
        """
        arms = [arm for arm in self.arms if self.adds_up and self.final(arm)]
        found = [
            own
            for arm in arms
            for own in statistics.aggregate(arm.name, self.matrix(arm), self.rng(), self.scale.best)
            if not (self.scale.kind == RAW and own.statistic == "optimality_gap")
        ]
        for arm, other in self.pairs():
            found += self._compare(arm, other)
        return [own._replace(scale=self.scale.name, phase=self.phase) for own in found]

    def pairs(self) -> list[tuple[Arm, Arm]]:
        """(arm, its dense one) of each arm that is pruned or has a baseline."""
        found = [(arm, self.dense_of(arm)) for arm in self.arms if not is_dense(arm.settings)]
        return [(arm, dense) for arm, dense in found if dense]

    def dense_of(self, arm: Arm) -> Arm | None:
        """Of several that differ in what arms do not name, the one that is as `arm` there.

        None that was trained otherwise in what either's name says.
        """
        dense = [x for x in self.arms if is_dense(x.settings) and _setting(x) == _setting(arm)]
        dense = [x for x in dense if not (_contradicts(x, arm) or _contradicts(arm, x))]
        alike = [x for x in dense if x.settings.apart == arm.settings.apart]
        return next(iter(alike or (dense if len(dense) == 1 else [])), None)

    def _compare(self, arm: Arm, other: Arm) -> list[Estimate]:
        own, others = self.final(arm), self.final(other)
        games = [game for game in own if game in others]
        if not games:
            return []
        both = (arm.name, self.matrix(arm, games), other.name, self.matrix(other, games))
        found = [statistics.compare(*both, self.rng())]
        shared = {game: sorted(own[game].keys() & others[game].keys()) for game in games}
        paired = [game for game in games if shared[game]]
        if paired and self.adds_up:
            sides = [
                [np.array([x[game][seed] for seed in shared[game]]) for game in paired]
                for x in (own, others)
            ]
            found.append(
                statistics.difference(arm.name, sides[0], other.name, sides[1], self.rng())
            )
        return found


def find_arms(trainings: Sequence[Training]) -> list[Arm]:
    """The arms of the trainings, sorted by settings."""
    grouped: dict[str, list[Training]] = {}
    for training in trainings:
        grouped.setdefault(training.arm, []).append(training)
    arms = [Arm(name, tuple(own)) for name, own in grouped.items()]
    return sorted(arms, key=_order)


def _by_method(arm: Arm) -> tuple[object, ...]:
    own = arm.settings
    return not is_dense(own), own.baseline, own.pruner, own.sparsity, own.networks


def _order(arm: Arm) -> tuple[object, ...]:
    own = arm.settings
    where = (own.agent, own.torso, own.width, own.pooled, own.data, own.samples, own.replay_ratio)
    return (*where, *_by_method(arm), arm.name)


def is_dense(training: Training) -> bool:
    """Neither pruned nor with a baseline."""
    return training.pruner == DENSE and not training.baseline


def _contradicts(arm: Arm, other: Arm) -> bool:
    own = arm.settings
    return contradicts(own.apart, own.config, other.settings.config)


def _setting(arm: Arm) -> tuple[object, ...]:
    own = arm.settings
    data = own.data, own.samples
    return own.agent, own.torso, own.width, own.pooled, *data, own.replay_ratio, own.precision


def _spread(steps: Steps, values: Floats, onto: Steps) -> Floats:
    """Values (S, T) at `steps` (T,) to their places among the steps `onto` (U,): (S, U)."""
    placed = np.full((len(values), len(onto)), np.nan)
    placed[:, np.searchsorted(onto, steps)] = values
    return placed


def by_clock(trainings: Sequence[Training]) -> Mapping[str, list[Training]]:
    """The trainings of each clock that there is, in the order of `CLOCKS`."""
    found = {clock: [own for own in trainings if own.clock == clock] for clock in CLOCKS}
    return {clock: own for clock, own in found.items() if own}

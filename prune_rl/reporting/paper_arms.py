"""Which arms a figure of the paper takes, and which of their kind it leaves out."""

from collections.abc import Callable, Sequence

from prune_rl.reporting.study import Arm, Study

_WIDTH = 3  # that most of the paper's figures are about
_KIND = ("agent", "torso", "pruner", "sparsity", "baseline")


def of(study: Study, agent: str, torso: str) -> list[Arm]:
    """The agent's arms of the paper's torso, or of another suite's, as they come in gin files."""
    own = [arm for arm in study.arms if arm.settings.agent == agent and not arm.settings.pooled]
    same = [arm for arm in own if torso in ("", arm.settings.torso)]
    others = [arm for arm in own if arm.settings.torso not in ("impala", "nature")]
    return same or (others if torso == "impala" else [])


def usual(arms: Sequence[Arm], *names: str) -> list[Arm]:
    """Those that have what most arms have of each setting named, as 'replay_ratio'.

    Of several as common what arms do not name, then the lowest.
    """
    for name in names:
        values = [getattr(arm.settings, name) for arm in arms]
        lengths = {x: len(arm.name) for x, arm in zip(values, arms, strict=True)}
        found = min(values, key=lambda x: (-values.count(x), lengths[x], x), default=None)
        arms = [arm for arm in arms if getattr(arm.settings, name) == found]
    return [*arms]


def plain(arms: Sequence[Arm]) -> list[Arm]:
    """Without baselines, and without those whose networks are pruned each in its own way."""
    return [x for x in arms if not (x.settings.baseline or x.settings.networks)]


def at_width(arms: Sequence[Arm], covered: Callable[[list[Arm]], bool]) -> list[Arm]:
    """The arms of width 3, or of the largest width whose arms are enough."""
    widths = sorted({arm.settings.width for arm in arms}, key=lambda x: (x != _WIDTH, -x))
    own = ([arm for arm in arms if arm.settings.width == width] for width in widths)
    return next((arms for arms in own if covered(arms)), [])


def left_out(study: Study, drawn: Sequence[Arm], *, any_width: bool) -> list[Arm]:
    """Arms of the kinds that are `drawn`, of another ratio, precision, schedule and so on.

    Those of other widths are only missed where a figure is of `any_width`.
    """
    kinds, widths = {_kind(arm) for arm in drawn}, {arm.settings.width for arm in drawn}
    alike = [arm for arm in study.arms if any_width or arm.settings.width in widths]
    return [arm for arm in alike if _kind(arm) in kinds and arm not in drawn]


def _kind(arm: Arm) -> tuple[object, ...]:
    return tuple(getattr(arm.settings, name) for name in _KIND)

"""Which arms Sparse-Reg's tables and figures take: its agents on small fixed data."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from prune_rl.reporting.offline import in_thousands
from prune_rl.reporting.paper_arms import plain, usual
from prune_rl.reporting.study import Arm, Study, is_dense

AGENTS = ("bc", "td3_bc", "awac", "iql")
_METHOD = "global_snip"
_FEW = 10_000  # samples, up to which the paper takes 95 %, beyond them 75 %
_OF_FEW, _OF_MANY = 0.95, 0.75


class Pair(NamedTuple):
    """A sparse arm and its dense one, of the same agent and data."""

    dense: Arm
    sparse: Arm

    @property
    def agent(self) -> str:
        return self.sparse.settings.agent

    @property
    def where(self) -> str:
        """The data: 'expert 5k'."""
        return where(self.sparse)

    @property
    def games(self) -> list[str]:
        """Of both."""
        return [game for game in self.sparse.games if game in self.dense.games]

    @property
    def lines(self) -> dict[str, Arm]:
        """As a panel takes them."""
        return {"dense": self.dense, "Sparse-Reg": self.sparse}


def where(arm: Arm) -> str:
    """The data that it learns from: 'expert 5k', 'all'."""
    return " ".join(arm.settings.data_words) or "all"


def samples_in_words(arm: Arm) -> str:
    """How many: '5k', 'all'."""
    return in_thousands(arm.settings.samples) if arm.settings.samples else "all"


def arms_of(study: Study, *agents: str) -> list[Arm]:
    """Those of these agents, of the width that most have, by data and number of samples."""
    own = [arm for arm in study.arms if arm.settings.agent in (agents or AGENTS)]
    return sorted(usual(own, "width"), key=lambda x: (x.settings.data, x.settings.samples))


def is_sparse_reg(arm: Arm) -> bool:
    """Whether its masks are made anew now and then, of all networks, and nothing else is done."""
    own = arm.settings
    periodic = own.schedule.startswith("periodic")
    return own.pruner == _METHOD and periodic and bool(plain([arm]))


def is_made_once(arm: Arm) -> bool:
    """Whether its masks are those of the start."""
    own = arm.settings
    return own.pruner == _METHOD and own.schedule == "one_shot 0" and bool(plain([arm]))


def pairs(study: Study, *agents: str) -> list[Pair]:
    """One for each agent and data: of several sparsities the paper's for so many samples."""
    found: dict[tuple[str, str], list[Arm]] = {}
    for arm in (x for x in arms_of(study, *agents) if is_sparse_reg(x)):
        found.setdefault((arm.settings.agent, where(arm)), []).append(arm)
    both = [(study.dense_of(own), own) for own in map(_usual_sparsity, found.values())]
    return [Pair(dense, own) for dense, own in both if dense]


def _usual_sparsity(arms: Sequence[Arm]) -> Arm:
    aimed = _OF_FEW if 0 < arms[0].settings.samples <= _FEW else _OF_MANY
    return min(arms, key=lambda arm: (abs(arm.settings.sparsity - aimed), arm.name))


def by_data(arms: Sequence[Arm], *, least: Callable[[list[Arm]], bool]) -> list[list[Arm]]:
    """The arms of each agent and data, of those that have what is needed."""
    found: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        found.setdefault((arm.settings.agent, where(arm)), []).append(arm)
    return [own for own in found.values() if least(own)]


def has_dense(arms: Sequence[Arm]) -> bool:
    """Whether a dense one is among them."""
    return any(is_dense(arm.settings) for arm in arms)


def games_of(arms: Sequence[Arm]) -> list[str]:
    """Those of any of them, in the order of the alphabet."""
    return sorted({game for arm in arms for game in arm.games})


def short(arm: Arm) -> str:
    """As the paper calls it."""
    return "Sparse-Reg" if is_sparse_reg(arm) else arm.method

"""Draws what others published beside a report's own runs: the paper's claims, Dopamine's curves."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from prune_rl.errors import ConfigError
from prune_rl.reporting.references import Claim, curve, paper_claims, require_folder
from prune_rl.reporting.style import SOFT

PAPER, DOPAMINE = "paper", "dopamine"


class Reference(NamedTuple):
    """What runs are drawn against: the paper's claims, or the curves in a folder.

    Attributes:
        paper: whether the claims of `paper_claims`.
        folder: of Dopamine's curves; None for none.
    """

    paper: bool = False
    folder: Path | None = None


def read_reference(asked: str | None) -> Reference:
    """What --reference names.

    Raises:
        ConfigError: a folder without such curves.
    """
    if asked in (None, PAPER):
        return Reference(paper=asked == PAPER)
    if asked == DOPAMINE:
        where = "git clone https://github.com/google/dopamine"
        advice = f"name their folder, as --reference=dopamine/baselines/atari/data after {where}"
        raise ConfigError(f"--reference={asked}: its curves do not come with prune_rl; {advice}")
    require_folder(Path(asked))
    return Reference(folder=Path(asked))


def draw_curve(
    axes: Axes, reference: Reference, agent: str, torso: str, game: str, last: int
) -> list[tuple[str, int, float]]:
    """Dopamine's curve of that agent and game up to `last` agent steps, dashed; its numbers."""
    found = reference.folder and curve(reference.folder, agent, torso, game)
    if not found:
        return []
    kept = found.steps <= last
    label = f"{found.label} (mean of {found.num_runs})"
    axes.plot(found.steps[kept], found.mean[kept], "--", color=SOFT, label=label)
    return [(label, *row) for row in zip(found.steps[kept].tolist(), found.mean[kept], strict=True)]


def claims_of(reference: Reference, figure: int | str, agents: Collection[str]) -> Sequence[Claim]:
    """What the paper says of the figure's `agents`; nothing unless it is asked for."""
    known = [x for x in paper_claims() if reference.paper and x.figure == str(figure)]
    return [claim for claim in known if claim.agent in ("", *agents)]


def in_words(claims: Sequence[Claim]) -> str:
    """The claims in one sentence; '' if there are none."""
    if not claims:
        return ""
    said = [f"{_of(claim)}{claim.quantity} {claim.value}" for claim in claims]
    return f"; the paper says: {'; '.join(dict.fromkeys(said))}"


def _of(claim: Claim) -> str:
    """Whose, as far as it is named."""
    width = claim.width and f"x{claim.width}"
    sparsity = {"": "", "0": "dense"}.get(claim.sparsity) or _percent(claim.sparsity)
    words = " ".join(word for word in (claim.agent, width, sparsity) if word)
    return f"{words}, " if words else ""


def _percent(sparsity: str) -> str:
    return f"{100 * float(sparsity):g} %" if sparsity else ""


def gains(claims: Sequence[Claim], agent: str, width: float) -> list[Claim]:
    """Those that state as a number what the agent gains on its dense network of that width."""
    stated = [x for x in claims if x.value.replace(".", "", 1).isdigit() and x.agent == agent]
    return [claim for claim in stated if _width_of_dense(claim) == width]


def _width_of_dense(claim: Claim) -> float | None:
    """Of the network that a gain is over; None for what is no such gain, or of any width."""
    found = re.fullmatch(r"gain over dense(?: x(\d+))?", claim.quantity)
    width = found and (found[1] or claim.width)
    return float(width) if width else None


def draw_gains(
    axes: Axes, claims: Sequence[Claim], dense: float, sparsities: Sequence[float]
) -> None:
    """Marks `gains`, shares of human-normalised IQMs, over the `dense` one of one's own runs.

    A star at the sparsity where sparsities are the axis; else a dotted line.
    """
    for claim in claims:
        level, label = (1 + float(claim.value)) * dense, f"paper: {claim.quantity}"
        if not sparsities:
            label = f"{label} {claim.value}"
            axes.axhline(level, linestyle=":", color=SOFT, label=label)
        elif claim.sparsity and float(claim.sparsity) in sparsities:
            place = sparsities.index(float(claim.sparsity))
            axes.plot(place, level, "*", color=SOFT, markersize=11, label=label)

"""What others published, to hold one's own runs against: the paper's claims, Dopamine's curves.

data/paper.csv has what the text of Obando-Ceron et al. 2024 (arXiv 2402.12479, as first published)
says of its figures; what only their bars show was not read off. Dopamine's curves do not come with
this package: `curve` reads the files that its repository has in baselines/atari/data.
"""

import csv
import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError
from prune_rl.reporting.runs import Floats

_PAPER = Path(__file__).parent / "data" / "paper.csv"
# Ours to Dopamine's. Its files without a network's name are older agents, in TensorFlow.
_AGENTS = {"dqn": "DQN", "c51": "C51", "rainbow": "Rainbow"}
_TORSOS = {"nature": "CNN", "impala": "Impala"}
_AGENT_STEPS = 250_000  # of an iteration; 4 frames each
_WHERE = "--reference=PATH: expected the folder baselines/atari/data of github.com/google/dopamine"


class Claim(NamedTuple):
    """Something that the paper's text says of a figure.

    Attributes:
        figure: its number; '' for what is not drawn.
        agent: as `Setup.agent`; '' where the text does not say, as in the next three.
        torso: as `Setup.torso`.
        width: as '3'.
        sparsity: '0.95', or '0' for dense.
        quantity: of what; a gain is a share of the IQM of human-normalised scores.
        value: the number, as '0.33'; or 'above 0', 'below 0', 'little', 'rises', 'falls'.
        where: section and paragraph, and what qualifies it.
    """

    figure: str
    agent: str
    torso: str
    width: str
    sparsity: str
    quantity: str
    value: str
    where: str


class Published(NamedTuple):
    """A learning curve that somebody published.

    Attributes:
        label: whose it is, for a legend.
        steps: agent steps (T,); 4 frames each.
        mean: return of training episodes (T,), averaged over the runs.
        num_runs: that most points are the mean of.
    """

    label: str
    steps: npt.NDArray[np.int64]
    mean: Floats
    num_runs: int


@functools.cache
def paper_claims() -> Sequence[Claim]:
    """Every claim of data/paper.csv, by figure; those without one come last."""
    with _PAPER.open(newline="") as file:
        return [Claim(**row) for row in csv.DictReader(file)]


def curve(folder: Path, agent: str, torso: str, game: str) -> Published | None:
    """Dopamine's curve of a dense agent of width 1; None if it has none of that agent or game.

    It made five runs of 200M frames, with its default settings and sticky actions.

    Args:
        folder: with its files, as pong_Impala.json; --reference.
        agent: 'dqn', 'c51' or 'rainbow', which is the compact one.
        torso: 'nature' or 'impala'.
        game: as 'MsPacman'.

    Raises:
        ConfigError: the folder has no such files, or one is not of Dopamine's form.
    """
    require_folder(folder)
    path = folder / f"{game.lower()}_{_TORSOS.get(torso)}.json"
    if agent not in _AGENTS or not path.is_file():
        return None
    values: dict[int, list[float]] = defaultdict(list)
    for iteration, value, own in _read(path):
        if own == _AGENTS[agent]:
            values[iteration].append(value)
    iterations = sorted(values)
    if not iterations:
        return None
    return Published(
        label=f"Dopamine's {_AGENTS[agent]}, {_TORSOS[torso]}",
        steps=np.array([(i + 1) * _AGENT_STEPS for i in iterations], np.int64),
        mean=np.array([np.mean(values[i]) for i in iterations]),
        num_runs=int(np.median([len(own) for own in values.values()])),
    )


def require_folder(folder: Path) -> None:
    """Raises `ConfigError` unless the folder has files of Dopamine's curves."""
    if not any(any(folder.glob(f"*_{torso}.json")) for torso in _TORSOS.values()):
        raise ConfigError(f"{_WHERE}, found no *_Impala.json or *_CNN.json in {folder}")


def _read(path: Path) -> list[tuple[int, float, str]]:
    """(iteration, return, agent) of each run."""
    try:
        rows = json.loads(path.read_bytes())
        return [(int(x["Iteration"]), float(x["Value"]), str(x["Agent"])) for x in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        form = 'a list of {"Iteration": …, "Value": …, "Agent": …}'
        raise ConfigError(f"{path}: expected {form} in JSON") from error

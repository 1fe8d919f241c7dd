"""What a trained agent's episodes come to: JSON for machines, a table for people."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prune_rl.acting.lanes import Played
from prune_rl.environments.reference_scores import normalized, reference_scores, references_of
from prune_rl.loaded_run import LoadedRun
from prune_rl.recording import provenance
from prune_rl.reporting import statistics
from prune_rl.reporting.normalized import human_scores, normalize
from prune_rl.reporting.runs import SEEDS_OF_AN_INTERVAL
from prune_rl.specs import Discrete

MADE_BY = "prune_rl.evaluate"
_UNITS = {
    "return": "sum of unclipped rewards of an episode",
    "length": "agent steps",
    "sparsity": "fraction of exact zeros among a network's weights",
}


class Result(NamedTuple):
    """The episodes of one seed, in their order."""

    run: LoadedRun
    episodes: Sequence[Played]

    @property
    def returns(self) -> np.ndarray:
        """(episodes,) float64."""
        return np.array([own.episode_return for own in self.episodes])


def scorecard(
    results: Sequence[Result],
    *,
    protocol: Mapping[str, Any],
    exploration: Mapping[str, float],
    random_seed: int,
) -> dict[str, Any]:
    """All of an evaluation as JSON; what is not known is None.

    The interval is the 95 % bootstrap's: of the seeds' means from three seeds on, else of episodes,
    drawn within each seed; None of fewer than three of them.

    Args:
        results: of each seed, of as many episodes each.
        protocol: of the games that were played.
        exploration: numbers that it was played with; of actions that are vectors none is told,
            which are the middle of their distribution.
        random_seed: that decided what was random, the interval's resamples too.
    """
    run = results[0].run
    returns, of = _strata(results)
    rng = np.random.default_rng(random_seed)
    mean, low, high = map(float, statistics.interval(statistics.mean, returns, rng=rng))
    interval = {"low": _known(low), "high": _known(high), "of": of}
    scales = _scales(run, protocol)
    return {
        "made_by": MADE_BY,
        "run": str(run.directory),
        "agent": type(run.agent).__name__,
        "game": protocol.get("game", ""),
        "agent_steps": run.agent_steps,
        "gradient_steps": run.gradient_steps,
        "exploration": dict(exploration) if isinstance(run.action_spec, Discrete) else {},
        "random_seed": random_seed,
        "episodes_per_seed": len(results[0].episodes),
        "mean_return": _known(mean),
        "interval_95": interval,
        **{name: _scored(scale, (mean, low, high)) for name, scale in scales.items()},
        "seeds": [_of_seed(own, scales) for own in results],
        "units": _UNITS,
        "provenance": provenance.collect(dict(protocol)),
    }


def _strata(results: Sequence[Result]) -> tuple[list[np.ndarray], str]:
    """Returns among which a bootstrap draws, and words for what they are of."""
    count, episodes = len(results), len(results[0].episodes)
    if count >= SEEDS_OF_AN_INTERVAL:
        return [np.array([own.returns.mean() for own in results])], f"{count} seeds"
    whose = "one seed" if count == 1 else f"each of {count} seeds"
    said = "1 episode" if episodes == 1 else f"{episodes} episodes"
    return [own.returns for own in results], f"{said} of {whose}"


def _scales(run: LoadedRun, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """How returns are scored, by name; None where nobody's are known."""
    game = protocol.get("game", "")
    references = references_of(run.protocol) if game == run.game else reference_scores(game)
    human = (lambda x: normalize(game, x)) if game in human_scores() else None
    d4rl = (lambda x: normalized(x, references)) if references else None
    return {"human_normalized": human, "d4rl_normalized": d4rl}


def _scored(scale: Any, numbers: Sequence[float]) -> dict[str, float | None] | None:
    if scale is None:
        return None
    values = (_known(scale(own)) for own in numbers)
    return dict(zip(("mean", "low", "high"), values, strict=True))


def _of_seed(result: Result, scales: Mapping[str, Any]) -> dict[str, Any]:
    mean = float(result.returns.mean())
    return {
        "seed": result.run.seed,
        "sparsity": result.run.sparsities,
        "diverged_at": result.run.diverged_at or None,
        "mean_return": _known(mean),
        **{name: scale and _known(scale(mean)) for name, scale in scales.items()},
        "episodes": [
            {
                "return": _known(own.episode_return),
                "length": own.length,
                "terminated": own.terminated,
            }
            for own in result.episodes
        ],
    }


def _known(number: float) -> float | None:
    """What JSON can hold: a diverged agent's returns are no numbers."""
    return number if math.isfinite(number) else None


def _words(number: float | None, form: str) -> str:
    return "no number" if number is None else format(number, form)


def table(card: Mapping[str, Any], acting: str) -> str:
    """A scorecard in a few lines; `acting` names the network whose sparsity is told."""
    done = f"{card['agent_steps']:,} agent steps, {card['gradient_steps']:,} gradient steps"
    numbers = ", ".join(f"{name} {value:g}" for name, value in card["exploration"].items())
    explores = numbers or "the middle of its distribution"
    lines = [
        f"{card['run']}: {card['agent']} on {card['game']} after {done}; played with {explores}",
        f"{'seed':>6}  {'sparsity':>8}  {'episodes':>8}  {'length':>9}  {'mean return':>12}",
    ]
    for own in card["seeds"]:
        lengths = np.mean([x["length"] for x in own["episodes"]])
        diverged = f"  diverged at gradient step {own['diverged_at']}" if own["diverged_at"] else ""
        lines.append(
            f"{own['seed']:>6}  {own['sparsity'][acting]:>8.1%}  {len(own['episodes']):>8}  "
            f"{lengths:>9,.1f}  {_words(own['mean_return'], ',.2f'):>12}{diverged}"
        )
    return "\n".join([*lines, f"mean return {_said(card)}"])


def _said(card: Mapping[str, Any]) -> str:
    interval = card["interval_95"]
    said = _words(card["mean_return"], ",.2f")
    if interval["low"] is None:
        said += f" (no interval: {interval['of']})"
    else:
        said += f" [{interval['low']:,.2f}, {interval['high']:,.2f}] 95 %, of {interval['of']}"
    for name, words in (("human_normalized", "human-normalised"), ("d4rl_normalized", "D4RL's")):
        if card[name] is not None:
            said += f"; {words} {_words(card[name]['mean'], '.3g')}"
    return said

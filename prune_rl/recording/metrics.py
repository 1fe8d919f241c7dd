"""Every number that a run records: its name, its unit, its TensorBoard tag and its axis label.

metrics.jsonl, timing.jsonl, TensorBoard, the CSV files and the figures all read this. A new metric
is one line in the group of what gives it.
"""

from typing import NamedTuple

from prune_rl.errors import nearest

# What a run counts its progress in, each seed its own: the x axis of its logs and figures.
CLOCKS = {"agent_steps": "agent steps", "gradient_steps": "gradient steps"}

# What identifies a row of metrics.jsonl or timing.jsonl, and what it says.
IDENTIFYING = {
    "seed": "the seed that the row is of",
    "iteration": "iterations that finished before it",
    "phase": "train, diagnostics or eval",
    "clock": "which of the counters is the x axis",
    "agent_steps": "environment steps per seed; frame_skip frames each",
    "gradient_steps": "optimizer updates per seed; pruning schedules count these",
    "frames": "ticks of the emulator, or steps of the simulator",
    "diverged_at": "gradient step since which the seed is frozen: not finite; else not there",
    "non_finite": "names of what is null because it was infinite or NaN",
}


class Metric(NamedTuple):
    """One number of a row, or one for each layer or tensor.

    Attributes:
        name: its key in metrics.jsonl or timing.jsonl, and its column in CSV files.
        unit: what it is, in what.
        tag: TensorBoard's, below the phase; Dopamine's where it has one. None for a mapping.
        label: what an axis says; unless given, the name in words.
    """

    name: str
    unit: str
    tag: str | None
    label: str = ""


_NORMALIZED = "of the mean return: 0 a random player, 100 an expert (the data's own, or D4RL's)"
_EPISODES = (
    Metric("episode_return_mean", "mean sum of raw rewards", "AverageReturns", "episode return"),
    Metric("normalized_score", _NORMALIZED, "NormalizedScore", "normalised score"),
    Metric("episode_length_mean", "mean agent steps", "AverageEpisodeLength", "episode length"),
    Metric("num_episodes", "episodes that ended in the phase", "NumEpisodes", "episodes"),
)
_WEIGHTS = (
    Metric("sparsity", "fraction of exact zeros among kernels (and noise scales)", "Sparsity"),
    Metric("sparsity_by_layer", "sparsity of each layer", None, "sparsity"),
)
_UPDATES = (
    Metric("epsilon", "probability of a random action", "Epsilon"),
    Metric("loss", "mean over updates looked at", "Loss"),
    Metric("grad_norm", "L2 norm, mean over updates looked at", "GradientNorm", "gradient norm"),
    Metric("q_mean", "mean Q of the actions taken", "MeanQ", "mean Q"),
    Metric("entropy", "of the actor in nats, mean of -log density of actions drawn", "Entropy"),
    Metric("alpha", "temperature before its update", "Temperature", "temperature"),
)
# Over the steps of the phase that the process made which wrote them; in timing.jsonl.
_TIMES = (
    Metric("agent_steps_per_second", "per seed, in training", "AverageStepsPerSecond"),
    Metric("gradient_steps_per_second", "per seed, in training", "AverageGradientStepsPerSecond"),
)
_DIAGNOSTICS = (
    Metric(
        "q_target_variance",
        "squared return of stored rewards",
        "QTargetVariance",
        "Q-target variance",
    ),
    Metric("q_variance", "squared return of stored rewards", "QVariance", "Q variance"),
    Metric("parameter_norm", "L2 norm over all parameters", "ParametersNorm"),
    Metric("parameter_norm_by_tensor", "L2 norm of each tensor", None, "parameter norm"),
    Metric("q_norm", "return of stored rewards, L2 norm over actions", "QNorm", "Q norm"),
    Metric("srank", "singular values of the features", "Srank"),
    Metric("dormant", "fraction of units", "DormantFraction", "dormant units (fraction)"),
    Metric("dormant_by_layer", "fraction of a layer's units", None, "dormant units (fraction)"),
    Metric("dead_units", "fraction of units", "DeadUnitsFraction", "units cut off (fraction)"),
    Metric("dead_units_by_layer", "fraction of a layer's units", None, "units cut off (fraction)"),
    Metric(
        "gradient_correlation",
        "mean |cosine| of the gradients of two transitions",
        "GradientCorrelation",
        "mean |gradient correlation|",
    ),
    Metric(
        "mask_churn", "fraction at last mask update", "MaskChurn", "mask bits changed (fraction)"
    ),
    Metric(
        "value_churn", "return of stored rewards, mean |change of Q| by one update", "ValueChurn"
    ),
    Metric(
        "policy_churn",
        "fraction of states whose greedy action one update changed",
        "PolicyChurn",
        "policy churn (fraction)",
    ),
    Metric("probe_loss", "mean over the probe", "ProbeLoss", "loss on the probe"),
    Metric("validation_loss", "mean over a probe of what is held out", "ValidationLoss"),
    Metric("probe_grad_norm", "L2 norm of mean", "ProbeGradientNorm", "gradient norm on the probe"),
)


def _curves(*groups: tuple[Metric, ...]) -> tuple[str, ...]:
    return tuple(metric.name for group in groups for metric in group if metric.tag)


METRICS = {
    own.name: own._replace(label=own.label or own.name.replace("_", " "))
    for own in (*_EPISODES, *_WEIGHTS, *_UPDATES, *_TIMES, *_DIAGNOSTICS)
}
# Names of single numbers, by the rows that hold them.
PLAYED = _curves(_EPISODES, _WEIGHTS, _UPDATES, _TIMES)  # of the phases train and eval
MEASURED = _curves(_DIAGNOSTICS, _WEIGHTS)  # of the phase diagnostics
UNITS = IDENTIFYING | {own.name: own.unit for own in METRICS.values()}


def describe(name: str) -> Metric:
    """The metric of that name, or of one network of several, as 'critic/loss'.

    Raises:
        ValueError: there is no such metric; names the nearest.
    """
    network, slash, own = name.rpartition("/")
    if own not in METRICS:
        raise ValueError(f"{name!r} is no metric of recording/metrics.py; {nearest(own, METRICS)}")
    metric = METRICS[own]
    if not slash:
        return metric
    tag = metric.tag and f"{network}/{metric.tag}"
    return metric._replace(name=name, tag=tag, label=f"{network}: {metric.label}")

"""How a run's settings say that its networks are pruned, all alike or each in its own way."""

import re
from typing import NamedTuple

from prune_rl.reporting.config import Config, number, setting

_UPDATER = "create_updater_from_config"
_SCOPED = re.compile(rf"(?:([\w/]+)/)?{_UPDATER}\.\w+")
_WITHOUT_WEIGHTS = "temperature"  # a single number, which no pruner touches
_STARTS = {"polynomial": 0.2, "periodic": 0, "one_shot": 0}  # of pruning, as resolve_schedule
_END = 0.8
_AT_ONCE, _DROP_AND_GROW = "one_shot 0", "periodic 0-80%"
_SCHEDULES = {  # of pruning/*.gin, which arms do not name; else _SCHEDULE
    **{"snip": _AT_ONCE, "global_snip": _AT_ONCE, "rigl": _DROP_AND_GROW, "set": _DROP_AND_GROW},
}
_SCHEDULE = "polynomial 20%-80%"
DENSE = "no_prune"


class Pruning(NamedTuple):
    """What is done to the weights of a run, or of one network.

    Attributes:
        pruner: 'magnitude', …; 'no_prune' for none. Where networks differ, the first pruned one's,
            as the next two.
        sparsity: that it aims at; 0 without a pruner.
        schedule: when masks change, as 'polynomial 20%-80%' or 'periodic 0-200,000'; '' if they do
            not. A share is one of the run, a whole number gradient steps.
        networks: where networks differ what is done to each, as 'actor static_sparse 95%'; dense
            ones are not named. '' where all are alike.
    """

    pruner: str
    sparsity: float
    schedule: str
    networks: str = ""

    @property
    def words(self) -> list[str]:
        """As arms are called: 'magnitude 95%', and the schedule unless it is the file's own."""
        if self.networks:
            return [self.networks]
        if self.pruner == DENSE:
            return ["dense"]
        usual = self.schedule in ("", _SCHEDULES.get(self.pruner, _SCHEDULE))
        aimed = f"{self.pruner} {100 * self.sparsity:.10g}%"
        return [aimed, *([] if usual else [self.schedule])]


def read_pruning(config: Config) -> Pruning:
    """Of all networks that the settings name, in gin's scopes.

    Raises:
        ConfigError: a number is none; names the binding.
    """
    found = (_SCOPED.fullmatch(name) for name in config)
    scopes = dict.fromkeys(own.group(1) or "" for own in found if own)
    named = [scope for scope in scopes if scope.rpartition("/")[2] != _WITHOUT_WEIGHTS]
    each = {scope: _of_network(config, scope) for scope in named} or {"": _of_network(config, "")}
    if len(set(each.values())) == 1:
        return next(iter(each.values()))
    pruned = {scope: own for scope, own in sorted(each.items()) if own.pruner != DENSE}
    words = [" ".join([scope or "others", *own.words]) for scope, own in pruned.items()]
    return next(iter(pruned.values()))._replace(networks=", ".join(words))


def _of_network(config: Config, scope: str) -> Pruning:
    """What is bound for all, and over it what is in the network's own scope."""
    prefixes = (f"{_UPDATER}.", f"{scope}/{_UPDATER}.")
    own = {
        name.removeprefix(f"{scope}/"): text
        for prefix in prefixes
        for name, text in config.items()
        if name.startswith(prefix)
    }
    pruner = str(setting(own, f"{_UPDATER}.pruner_type", DENSE))
    sparsity = 0.0 if pruner == DENSE else float(number(own, f"{_UPDATER}.sparsity", 0))
    return Pruning(pruner, sparsity, _schedule(own, pruner))


def _schedule(config: Config, pruner: str) -> str:
    kind = setting(config, f"{_UPDATER}.schedule_type", "polynomial")
    if kind not in _STARTS or pruner in (DENSE, "static_sparse"):
        return ""
    start = _step(config, f"{_UPDATER}.update_start_step", _STARTS[kind])
    end = _step(config, f"{_UPDATER}.update_end_step", _END)
    return f"{kind} {start}" if kind == "one_shot" else f"{kind} {start}-{end}"


def _step(config: Config, binding: str, default: float) -> str:
    given = setting(config, binding)  # None: gin's way to leave it
    step = default if given is None else number(config, binding, default)
    return f"{100 * step:g}%" if isinstance(step, float) else f"{step:,}"

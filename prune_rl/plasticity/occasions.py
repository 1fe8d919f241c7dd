"""When an intervention acts; gradient steps are counted from the start of the run."""

from dataclasses import dataclass
from typing import Annotated, Any

from prune_rl.errors import require
from prune_rl.settings import Range

_INT32_MAX = 2**31 - 1  # compiled programs count to it, and no run has more gradient steps
_STEPS = "an integer number of gradient steps >= {}, or a float fraction of the run"
Period = Annotated[int | float, Range(above=0), _STEPS.format(1)]
StartStep = Annotated[int | float, Range(least=0), _STEPS.format(0)]


@dataclass(frozen=True)
class Occasions:
    """Numbers of gradient steps made: multiples of `period`, from `start` up to before `end`.

    >>> [steps for steps in range(1, 13) if steps in Occasions(period=3, start=4, end=12)]
    [6, 9]
    """

    period: int
    start: int
    end: int

    def __contains__(self, gradient_steps: int) -> bool:
        return bool(self.due(gradient_steps))

    def due(self, gradient_steps: Any) -> Any:
        """Whether it is one of them, for an array of them too, inside compiled functions."""
        in_range = (self.start <= gradient_steps) & (gradient_steps < self.end)
        return in_range & (gradient_steps > 0) & (gradient_steps % self.period == 0)


@dataclass(frozen=True, kw_only=True)
class Periodic:
    """Settings of what acts every so many gradient steps.

    Attributes:
        reset_period: gradient steps (int > 0) or a fraction of the run (float) between two.
        reset_start_step: none before so many gradient steps (int >= 0; float for a fraction).
        reset_end_step: none from there on (likewise, > the start); None for the end of the run.
    """

    reset_period: Period
    reset_start_step: StartStep = 0
    reset_end_step: StartStep | None = None

    def occasions(self, num_gradient_steps: int, nominal_gradient_steps: int) -> Occasions:
        """When it acts.

        Args:
            num_gradient_steps: those that the run makes; none of the occasions is after the last.
            nominal_gradient_steps: what fractions are fractions of.

        Raises:
            ConfigError: a setting has the wrong type or lies outside its range.
        """
        name, nominal = type(self).__name__, nominal_gradient_steps
        period = _resolve(f"{name}.reset_period", self.reset_period, nominal, least=1)
        start = _resolve(f"{name}.reset_start_step", self.reset_start_step, nominal, least=0)
        end = num_gradient_steps
        if self.reset_end_step is not None:
            binding = f"{name}.reset_end_step"
            end = _resolve(binding, self.reset_end_step, nominal, least=0)
            expected = f"after reset_start_step={self.reset_start_step!r}, gradient step {start}"
            require(end > start, binding, self.reset_end_step, expected)
        end = max(min(end, num_gradient_steps), start)
        return Occasions(*(min(steps, _INT32_MAX) for steps in (period, start, end)))


def _resolve(binding: str, given: int | float, nominal_gradient_steps: int, least: int) -> int:
    if not isinstance(given, float):
        return given
    low = "(0" if least else "[0"
    expected = f"a fraction of the run in {low}, 1], or an integer number of gradient steps"
    require(given <= 1.0, binding, given, expected)
    return max(round(given * nominal_gradient_steps), least)

"""Turns a user's settings into a schedule that ends within the run.

Steps are gradient steps, counted from 0: a start or end at the run's length means its last step.
Fractions are of a nominal length, which may be a little more than the run makes: a run that gathers
data before it learns prunes when the paper's would, at 500,000 and not at 499,000.
"""

from typing import Annotated

from prune_rl.errors import require
from prune_rl.pruning import schedules
from prune_rl.settings import OneOf, Positive, Range, checked_as

SCHEDULE_TYPES = ("polynomial", "one_shot", "periodic", "none")
_DEFAULT_START = {"polynomial": 0.2, "periodic": 0, "one_shot": 0}
_DEFAULT_END = 0.8  # of the run
_DEFAULT_FREQ, _LEAST_UPDATES = 1000, 100

Step = Annotated[
    int | float | None,
    "an integer number of gradient steps, a float fraction of the run in [0.0, 1.0], or None",
]
_Freq = Annotated[int, Range(least=1, below=2**31)]
UpdateFreq = Annotated[_Freq | None, f"an integer >= 1 or None; {_DEFAULT_FREQ} is common"]
Power = Annotated[Positive, "a number > 0; 3 is the paper's"]


@checked_as("create_updater_from_config")
def resolve_schedule(
    num_gradient_steps: int,
    update_start_step: Step = None,
    update_end_step: Step = None,
    update_freq: UpdateFreq = None,
    *,
    nominal_gradient_steps: int | None = None,
    schedule_type: Annotated[str, OneOf(SCHEDULE_TYPES)] = "polynomial",
    power: Power = 3,
    goes_on: bool = False,
) -> schedules.Schedule:
    """Resolves defaults and fractions of the run.

    Args:
        num_gradient_steps: those that the run makes, >= 1.
        update_start_step: int for gradient steps, float for a fraction of the run; None for 0.2
            of it ('polynomial') or its first step ('one_shot', 'periodic').
        update_end_step: likewise; None for 0.8. 'one_shot' has none. Gradient steps may lie beyond
            the run if 'periodic', which has nothing to reach by then.
        update_freq: gradient steps between mask updates; None for 1000, or less where fewer than
            100 mask updates would fit between start and end within the run.
        nominal_gradient_steps: what fractions are fractions of; None for num_gradient_steps. A
            fraction beyond the run means its last step.
        schedule_type: one of `SCHEDULE_TYPES`; 'none' ignores the other settings.
        power: > 0, of the polynomial.
        goes_on: masks go on changing after the end ('polynomial', 'periodic'); no setting of
            users, the method decides.

    Raises:
        ConfigError: a setting is of the wrong type, lies outside the run, or start is after end.
    """
    if schedule_type == "none":
        return schedules.NoUpdateSchedule()
    expected = "a run that makes at least 1 gradient step to prune at; make it longer"
    _require(num_gradient_steps >= 1, "num_gradient_steps", num_gradient_steps, expected)
    nominal_steps = nominal_gradient_steps or num_gradient_steps
    given_start = _DEFAULT_START[schedule_type] if update_start_step is None else update_start_step
    start = _resolve_step("update_start_step", given_start, num_gradient_steps, nominal_steps)
    if schedule_type == "one_shot":
        same = update_end_step is None or update_end_step == given_start
        expected = f"None, or update_start_step={given_start!r}: one_shot has no other step"
        _require(same, "update_end_step", update_end_step, expected)
        return schedules.OneShotSchedule(start)
    given_end = _DEFAULT_END if update_end_step is None else update_end_step
    if schedule_type == "periodic" and type(given_end) is int and given_end > num_gradient_steps:
        end = min(given_end, 2**31 - 1)  # nothing is to be reached there
    else:
        end = _resolve_step("update_end_step", given_end, num_gradient_steps, nominal_steps)
    place = f"gradient step {end} of {num_gradient_steps}"
    expected = f"no later than update_end_step={given_end!r} ({place}); the latest is {end}"
    _require(start <= end, "update_start_step", given_start, expected)
    if update_freq is None:
        length = min(end, num_gradient_steps) - start
        update_freq = max(1, min(_DEFAULT_FREQ, length // _LEAST_UPDATES))
    if schedule_type == "periodic":
        return schedules.PeriodicSchedule(start, end, update_freq, goes_on)
    return schedules.PolynomialSchedule(start, end, update_freq, power, goes_on)


def _resolve_step(
    name: str, given: int | float, num_gradient_steps: int, nominal_steps: int
) -> int:
    if isinstance(given, float):
        nearest = min(max(0.0, given), 1.0)
        expected = f"a fraction of the run in [0.0, 1.0], the nearest is {nearest}; "
        expected += "or an integer number of gradient steps"
        _require(0.0 <= given <= 1.0, name, given, expected)
        return min(round(given * nominal_steps), num_gradient_steps - 1)
    nearest_step = min(max(0, given), num_gradient_steps)
    expected = f"within the run's {num_gradient_steps} gradient steps, the nearest is "
    _require(given == nearest_step, name, given, expected + str(nearest_step))
    return min(given, num_gradient_steps - 1)


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    require(condition, _binding(name), value, expected)


def _binding(name: str) -> str:
    return f"create_updater_from_config.{name}"

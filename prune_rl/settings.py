"""What a setting may be: said by its annotation, checked in one place before anything is made.

    @checked  # below the decorator that makes gin know it
    def create_torso(width: Count = 1, dropout: Fraction = 0.0) -> nn.Module: ...

An annotation may be a class, `X | None`, a `Sequence`, `tuple` or `Mapping` of such, a `Callable`
or a `Literal`, and `Annotated` with rules (`Range`, `OneOf`, `Holds`) or with a string: the words
that say what is expected. No boolean is a number; a `float` is finite in float32, and may be
written as an integer.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from prune_rl.errors import ConfigError, nearest, shown

_Configurable = TypeVar("_Configurable", bound=Callable[..., Any])
_INT64_MAX, _FLOAT32_MAX = 2**63 - 1, 3.4028234e38
_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a string in quotes",
    type(None): "None",
}


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `least` or above `above`, up to `most` or below `below`."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __contains__(self, value: Any) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = f"> {self.above}" if self.least is None else f">= {self.least}"
        if self.most is None and self.below is None:
            return low
        start = f"({self.above}" if self.least is None else f"[{self.least}"
        end = f"{self.below})" if self.most is None else f"{self.most}]"
        return f"in {start}, {end}"


class Holds(NamedTuple):
    """What passes a test, and the words for that."""

    test: Callable[[Any], bool]
    words: str


class OneOf:
    """One of the names in some collections, as they are when it is asked: they may grow."""

    def __init__(self, *collections: Collection[str]) -> None:
        self._collections = collections

    def __iter__(self) -> Iterator[str]:
        return (name for names in self._collections for name in names)


Count = Annotated[int, Range(least=1)]
NumSeeds = Annotated[int, Range(least=1, most=10_000)]
CountOrZero = Annotated[int, Range(least=0)]
Fraction = Annotated[float, Range(least=0, most=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(least=0)]
Patterns = Annotated[str | Sequence[str], "a glob pattern or a list of them, as ['torso/*']"]


class _Wrong(NamedTuple):
    """The value to blame, which may lie within the one given, and what to say of it."""

    value: Any
    words: str


def checked(configurable: _Configurable) -> _Configurable:
    """Makes a function or class refuse, with a `ConfigError`, arguments that its annotations do.

    A class is changed in place. Annotations that are strings, or Protocols of data, say nothing.
    """
    return checked_as(configurable.__name__)(configurable)


def checked_as(name: str) -> Callable[[_Configurable], _Configurable]:
    """`checked`, for what gin knows by another name than its own."""

    def decorate(configurable: Any) -> Any:
        if not isinstance(configurable, type):
            return _checking(configurable, name)
        configurable.__init__ = _checking(configurable.__init__, name)  # type: ignore[misc]
        return configurable

    return decorate


def _checking(function: Any, name: str) -> Any:
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    kinds = {
        x.name: x.annotation for x in parameters if x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD)
    }

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:  # the call below says so in Python's words
            given = {}
        for argument, kind in kinds.items():
            if argument in given:
                require_kind(f"{name}.{argument}", given[argument], kind)
        return function(*args, **kwargs)

    wrapper.__signature__ = signature  # type: ignore[attr-defined]  # gin looks for no __wrapped__
    wrapper.kinds = kinds  # type: ignore[attr-defined]
    return wrapper


def require_kind(binding: str, value: object, kind: Any) -> None:
    """Raises `ConfigError` naming `binding` unless `value` is of a `kind`, an annotation."""
    wrong = _wrong(value, kind)
    if wrong is not None:
        raise ConfigError(f"{binding}={shown(wrong.value)}: {wrong.words}")


def _wrong(value: Any, kind: Any) -> _Wrong | None:
    """What is wrong with a value, None if nothing is."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _wrong_by_rules(value, args[0], args[1:])
    if origin is Literal:
        return _wrong_choice(value, args)
    if origin in (Union, UnionType):
        return _wrong_in_all(value, args)
    if _is_of(value, kind, origin):
        return next(filter(None, _wrong_elements(value, kind, origin, args)), None)
    return _Wrong(value, _too_large(value, kind) or f"expected {words(kind)}")


def _wrong_by_rules(value: Any, kind: Any, rules: Sequence[Any]) -> _Wrong | None:
    choices = next((list(rule) for rule in rules if isinstance(rule, OneOf)), None)
    if choices is not None:
        return _wrong_choice(value, choices)
    wrong = _wrong(value, kind)
    if wrong is None and all(_passes(value, rule) for rule in rules):
        return None
    if wrong is not None and not wrong.words.startswith("expected"):
        return wrong
    return _Wrong(value, f"expected {_words_of_rules(kind, rules)}")


def _passes(value: Any, rule: Any) -> bool:
    if isinstance(rule, Holds):
        return rule.test(value)
    return not isinstance(rule, Range) or value is None or value in rule


def _wrong_choice(value: Any, choices: Sequence[Any]) -> _Wrong | None:
    if isinstance(value, str) and value in choices:
        return None
    name = value if isinstance(value, str) else shown(value)
    return _Wrong(value, f"no such choice; {nearest(name, choices)}")


def _wrong_in_all(value: Any, kinds: Sequence[Any]) -> _Wrong | None:
    """Of a union; what a single kind says is said, but that None is allowed too."""
    wrongs = [_wrong(value, kind) for kind in kinds]
    if None in wrongs:
        return None
    others = [wrong for wrong, kind in zip(wrongs, kinds, strict=True) if kind is not type(None)]
    if len(others) == 1 and others[0] is not None:
        wrong = others[0]
        optional = wrong.words.startswith("expected")
        return _Wrong(wrong.value, f"{wrong.words} or None" if optional else wrong.words)
    return _Wrong(value, "expected " + " or ".join(words(kind) for kind in kinds))


def _is_of(value: Any, kind: Any, origin: Any) -> bool:
    """Whether a value is of a kind without rules, whatever its elements are."""
    if kind is Any or kind is inspect.Parameter.empty or isinstance(kind, str | TypeVar):
        return True
    if kind is None or kind is type(None):
        return value is None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _INT64_MAX
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) <= _FLOAT32_MAX  # which NaN is not
    if origin is Callable:
        return callable(value)
    if origin is type:
        return isinstance(value, type)
    if (origin or kind) in (Sequence, list, tuple):
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return not isinstance(value, type) and isinstance(value, origin or kind)


def _too_large(value: Any, kind: Any) -> str | None:
    """Words for a number that computers do not hold, None for anything else."""
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return "too large, expected less than 2**63"
    finite = isinstance(value, int | float) and not isinstance(value, bool)
    finite = finite and abs(value) != math.inf and value == value
    return "too large for float32" if kind is float and finite else None


def _wrong_elements(
    value: Any, kind: Any, origin: Any, args: Sequence[Any]
) -> Iterator[_Wrong | None]:
    """What is wrong with the elements; they are blamed alone where they are choices."""
    if origin in (Sequence, list):
        pairs = [(element, args[0]) for element in value]
    elif origin is tuple and args[-1] is not Ellipsis:
        if len(value) != len(args):
            yield _Wrong(value, f"expected {words(kind)}")
        pairs = list(zip(value, args, strict=False))
    elif origin is tuple:
        pairs = [(element, args[0]) for element in value]
    elif origin is Mapping:
        pairs = [(key, args[0]) for key in value] + [(own, args[1]) for own in value.values()]
    else:
        return
    for element, own in pairs:
        wrong = _wrong(element, own)
        if wrong is not None:
            alone = not wrong.words.startswith("expected")
            yield wrong if alone else _Wrong(value, f"expected {words(kind)}")


def words(kind: Any) -> str:
    """What is expected of a kind, as 'an integer >= 1'."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words_of_rules(args[0], args[1:])
    if origin in (Union, UnionType):
        return " or ".join(words(own) for own in args)
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin in (Sequence, list):
        return f"a list, each {words(args[0])}"
    if origin is tuple:
        return f"a list of {' and '.join(words(own) for own in args)}"
    if origin is Callable:
        return "a function, as @name"
    if kind in _WORDS:
        return _WORDS[kind]
    return f"{'a kind of ' if origin is type else 'a '}{getattr(kind, '__name__', kind)}"


def _words_of_rules(kind: Any, rules: Sequence[Any]) -> str:
    said = [rule for rule in rules if isinstance(rule, str)]
    said += [rule.words for rule in rules if isinstance(rule, Holds)]
    said += [" or ".join(map(repr, rule)) for rule in rules if isinstance(rule, OneOf)]
    if said:
        return said[0]
    return " ".join([words(kind), *map(str, rules)])

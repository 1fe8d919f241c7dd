"""What annotations refuse, and the words for it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import gin
import pytest

from prune_rl import configuration
from prune_rl.errors import ConfigError
from prune_rl.settings import Count, Fraction, Holds, OneOf, Positive, Range, checked, require_kind

_KINDS = ["warm", "cold"]
_Kind = Annotated[str, OneOf(["none"], _KINDS)]
_Steps = Annotated[int | float | None, Range(above=0), "steps, or a fraction of the run"]


@runtime_checkable
class _Wheel(Protocol):
    size: int


class _Disc:
    size = 3


@pytest.mark.parametrize(
    ("kind", "valid", "invalid", "words"),
    [
        (int, [0, -3, 2**62], [True, 1.0, "1", None, 1e400], "an integer"),
        (int, [], [2**63, 10**5000], "too large"),
        (float, [0, 1.5, -2], [False, "1", None, 1e400, -1e400, float("nan"), [1]], "a number"),
        (float, [], [10**400, 1e39], "too large for float32"),
        (bool, [True, False], [0, 1, "True", None], "True or False"),
        (str, ["", "a"], [1, None, ["a"]], "a string in quotes"),
        (Count, [1], [0, -1, True, 2.0], "an integer >= 1"),
        (Fraction, [0, 1, 0.5], [1.1, -0.1, True, float("nan")], r"a number in \[0, 1\]"),
        (Positive, [1e-9, 3], [0, -1], "a number > 0"),
        (Annotated[float, Range(least=0, below=1)], [0], [1, 1.0], r"in \[0, 1\)"),
        (Count | None, [None, 1], [0, "a", False], "an integer >= 1 or None"),
        (Literal["a", "b"], ["a"], ["c", 1, None, ["a"]], "no such choice; choose from a, b"),
        (_Kind, ["none", "cold"], ["colt"], "no such choice; did you mean 'cold'?"),
        (_Kind | None, [None], ["colt"], "did you mean 'cold'?"),
        (Sequence[_Kind], [[], ("cold",)], [["colt"]], "^x='colt': no such choice"),
        (Sequence[int], [[1], range(3)], ["12", [1, "2"], 3, None], "a list, each an integer"),
        (tuple[Count, Count], [(1, 2), [1, 2]], [(1,), (1, 2, 3), (0, 1), 3], "a list of an int"),
        (Mapping[str, int], [{}, {"a": 1}], [{1: 1}, {"a": "b"}, []], "Mapping"),
        (Callable[[int], int], [abs, _Disc], [3, "abs", None], "a function, as @name"),
        (_Disc, [_Disc()], [_Disc, 3, None], "a _Disc"),
        (_Wheel, [_Disc()], [_Disc, 3], "a _Wheel"),
        (_Steps, [None, 1, 0.5], [0, -1, True, "1"], "^x=.*: expected steps, or a fraction"),
        (Annotated[str, Holds(str.isupper, "CAPITALS")], ["A"], ["a", 3], "expected CAPITALS"),
    ],
)
def test_a_kind_refuses_what_it_is_not_in_these_words(kind, valid, invalid, words):
    for value in valid:
        require_kind("x", value, kind)
    for value in invalid:
        with pytest.raises(ConfigError, match=words.replace("?", r"\?")) as caught:
            require_kind("x", value, kind)
        assert str(caught.value).startswith("x=")
        assert "\n" not in str(caught.value)


def test_names_that_are_added_later_are_choices_too():
    names = {"one": 1}
    kind = Annotated[str, OneOf(names)]
    with pytest.raises(ConfigError):
        require_kind("x", "two", kind)
    names["two"] = 2
    require_kind("x", "two", kind)


def test_arguments_are_checked_before_a_function_runs_and_defaults_never():
    ran = []

    @checked
    def create(size: Count, share: Fraction = 7.0, *, other: str = ""):
        ran.append((size, share, other))

    create(1)
    create(2, share=0.5)
    for arguments, blamed in (((0,), "create.size=0"), ((1, 2.0), "create.share=2.0")):
        with pytest.raises(ConfigError, match=re.escape(blamed)):
            create(*arguments)
    with pytest.raises(TypeError, match="required positional argument"):
        create()
    assert ran == [(1, 7.0, ""), (2, 0.5, "")]


def test_a_subclass_is_checked_under_the_name_that_its_base_has_for_gin():
    @checked
    class Base:
        def __init__(self, size: Count = 1) -> None:
            self.size = size

    @checked
    class Own(Base):
        def __init__(self, share: Fraction = 0.5, **others: int) -> None:
            super().__init__(**others)

    assert Own(size=3).size == 3
    with pytest.raises(ConfigError, match=r"Base\.size=0"):
        Own(size=0)


def test_everything_that_gin_can_bind_here_is_checked():
    configuration.load([], [])
    for name, own in gin.config._REGISTRY._selector_map.items():
        if name.startswith("prune_rl."):
            made = own.wrapped.__init__ if isinstance(own.wrapped, type) else own.wrapped
            while not hasattr(made, "kinds") and hasattr(made, "__wrapped__"):
                made = made.__wrapped__
            kinds = {x: kind for x, kind in made.kinds.items() if x != "self"}
            assert all(kind is not None and not isinstance(kind, str) for kind in kinds.values())

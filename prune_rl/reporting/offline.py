"""What fixed data a run's settings say that it learns from: how good they are, and how many."""

import re
from collections.abc import Sequence

from prune_rl.reporting.config import Config, class_name, number, setting

PATH = "Dataset.path"
_SOURCES = ("DatasetSource", "DeviceDatasetSource")  # the subclasses of sources.FixedSource
# D4RL's and Minari's words for who played, the longest first; files have '_' for '-'.
_QUALITIES = (
    *("medium-expert", "medium-replay", "full-replay", "expert-replay"),
    *("random", "simple", "medium", "expert", "human", "cloned"),
)
_QUALITY = re.compile(rf"(?<![a-z])({'|'.join(_QUALITIES)})(?![a-z])")
_THOUSAND = 1_000


def is_offline(config: Config) -> bool:
    """Whether it learns from fixed data, and counts gradient steps."""
    return class_name(config.get("Runner.create_source_fn")) in _SOURCES


def data_of(config: Config) -> str:
    """How good the players were that made the data, as 'expert' or 'medium-replay'.

    A mixture has '+' between its parts. '' where the path has none of these words in its last
    parts, or nothing is learnt from.
    """
    path = setting(config, PATH) if is_offline(config) else None
    paths = [path] if isinstance(path, str) else [own for own, *_ in _parts(path)]
    found = [_quality(own) for own in paths]
    return "+".join(found) if found and all(found) else ""


def _parts(path: object) -> Sequence[Sequence[str]]:
    """(path, transitions) pairs; none of what is no list of them."""
    return path if isinstance(path, list | tuple) else ()


def _quality(path: str) -> str:
    """Of the last part of the path that says so."""
    for part in reversed(path.casefold().replace("_", "-").split("/")):
        found = _QUALITY.search(part)
        if found:
            return found.group()
    return ""


def samples_of(config: Config) -> int:
    """How many transitions it learns from; 0 where all there are, or none.

    Raises:
        ConfigError: the number is none; names the binding.
    """
    if not is_offline(config):
        return 0
    parts = _parts(setting(config, PATH))
    if parts:
        return sum(int(own[1]) for own in parts)
    asked = setting(config, "Dataset.num_transitions")  # None: all of them
    return 0 if asked is None else int(number(config, "Dataset.num_transitions", 0))


def in_thousands(samples: int) -> str:
    """'5k', '500', '2.5k'."""
    return f"{samples / _THOUSAND:g}k" if samples >= _THOUSAND else str(samples)


def last_parts(text: str) -> str:
    """The text of a setting with paths cut to their last part: where data lie says nothing."""
    return re.sub(r"(['\"])[^'\"]*/([^'\"/]+)/?\1", r"\1\2\1", text)

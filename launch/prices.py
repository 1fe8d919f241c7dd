"""What each kind of cell takes of this machine, measured once and kept beside the runs."""

import json
import re
from pathlib import Path

_FOLDER = ".prices"
_THREADS = re.compile(  # their tracebacks, to the exception
    r"^Exception (?:in thread|ignored in).*\n(?:(?:Traceback |[ \t]).*\n)*.*\n?", re.MULTILINE
)
_SAYS = re.compile(r"(?!launch: )[\w.]+: ")  # of a training, or an exception


class Prices:
    """By kind; those measured lie in a hidden folder of the sweep's."""

    def __init__(self, base_dir: Path, ram_bytes: int | None = None) -> None:
        """ram_bytes: that every cell takes; then nothing need be measured."""
        self._folder, self._given = base_dir / _FOLDER, ram_bytes
        self._measured: dict[str, int] = {}

    def file(self, kind: str) -> Path:
        """Where `launch.measure` writes the price of a kind."""
        return self._folder / f"{kind}.json"

    def log(self, kind: str) -> Path:
        """For what it says meanwhile."""
        return self._folder / f"{kind}.log"

    def ram_bytes(self, kind: str) -> int | None:
        """That a cell of the kind takes at its peak; None if nobody has measured it."""
        if self._given is not None:
            return self._given
        if kind not in self._measured:
            try:
                self._measured[kind] = int(json.loads(self.file(kind).read_bytes())["ram_bytes"])
            except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: to be measured
                return None
        return self._measured[kind]

    def problem(self, kind: str) -> str:
        """The last line that a measurement said; '' if it said nothing."""
        return last_line(self.log(kind))


def last_line(log: Path) -> str:
    """Of a text file, the last line that says something; '' if there is none.

    What the training or its exception said goes before how a thread of it came down with it.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 8_192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    better = _last(_THREADS.sub("", text))
    return better if _SAYS.match(better) else _last(text)


def _last(text: str) -> str:
    lines = [x.strip() for x in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")

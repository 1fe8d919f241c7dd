"""Writes the policy of a run, truly smaller: `python -m prune_rl.export RUN --out=DIR`."""

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prune_rl.errors import ConfigError
from prune_rl.last_words import last_words
from prune_rl.progress import in_bytes
from prune_rl.version import add_version

if TYPE_CHECKING:  # --help needs no JAX
    from prune_rl.exporting.exporter import Exported

_DESCRIPTION = """\
Takes the policy out of a run and makes it truly smaller: channels and units that nothing can depend
on are removed, weights that are zero are not stored, critics and targets are left behind. What is
written plays with NumPy alone, and does what the full network does: that is checked in its own game
before anything is written.
"""
_EPILOG = """\
writes into DIR:
  policy.json          what it is made of, where it comes from, what it sees, what its actions mean
  policy.safetensors   its weights
  numpy_policy.py      plays it; needs NumPy and nothing else, no JAX and nothing of prune_rl
  policy.onnx          the same policy for onnxruntime, with --onnx (pip install 'prune_rl[onnx]')
exit codes:
  0 written; 1 a game or the disk failed; 2 something must be changed, or what would be written does
  not do what the full network does; 130 interrupted

examples:
  python -m prune_rl.export runs/pruned --out=policy
  python -m prune_rl.export runs/pruned --out=policy --seed=2 --onnx --verify=10000

  # anywhere, beside a copy of DIR
  import sys; sys.path.append("policy")
  from numpy_policy import load_policy
  policy = load_policy("policy")
  action = policy.act(observation)      # or a batch of them; policy.values(observation)
"""
_OURS = ("policy.json", "policy.safetensors", "numpy_policy.py", "policy.onnx", "__pycache__")


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m prune_rl.export",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add_version(parser)
    add("run", metavar="RUN", type=Path, help="a run directory")
    add("--out", metavar="DIR", type=Path, required=True, help="where to; a policy is replaced")
    add("--seed", metavar="N", type=int, help="whose weights; default: the run's first seed")
    add("--onnx", action="store_true", help="writes policy.onnx too")
    add(
        "--verify",
        metavar="N",
        type=int,
        default=1000,
        help="observations on which it is compared with the full network; default: 1000",
    )
    add("--traceback", action="store_true", help="print Python's traceback before an error's line")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    flags = _create_parser().parse_args(argv)
    before = _written(flags.out)
    try:
        _require(flags)
        from prune_rl import compilation_cache
        from prune_rl.exporting.exporter import export_policy
        from prune_rl.loading import load_run, load_seeds

        compilation_cache.enable()
        if flags.seed is None:
            run = load_run(flags.run)
        else:
            (run,) = load_seeds(flags.run, [flags.seed], named="--seed")
        done = export_policy(run, flags.out, verify=flags.verify, onnx=flags.onnx)
    except (Exception, KeyboardInterrupt) as error:
        if flags.traceback:
            traceback.print_exc()
        half = f"{flags.out} may be half written: export again"
        untouched = _written(flags.out) == before
        line, code = last_words(error, "nothing was written" if untouched else half)
        print(f"prune_rl.export: {line}", file=sys.stderr)
        return code
    print("\n".join([*_lines(done), f"wrote {flags.out}"]))
    return 0


def _written(out: Path) -> dict[str, float]:
    """The files of a policy that are there, and when they were written."""
    return {name: os.path.getmtime(out / name) for name in _OURS if os.path.isfile(out / name)}


def _require(flags: argparse.Namespace) -> None:
    """Raises `ConfigError` for flags that are wrong by themselves."""
    if flags.verify < 1:
        raise ConfigError(f"--verify={flags.verify}: expected a number of observations, as 1000")
    out: Path = flags.out
    if any(path.exists() and not path.is_dir() for path in (out, *out.parents)):
        raise ConfigError(f"--out={out}: there is a file; expected a folder, there or not yet")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in names if name not in _OURS]
    if foreign:
        raise ConfigError(f"--out={out}: holds {foreign[0]}; expected a new folder, or a policy's")
    if flags.onnx:
        from prune_rl.exporting.onnx_model import require_onnx

        require_onnx()


def _lines(done: "Exported") -> Iterator[str]:
    for name, own in done.agreements.items():
        ties = f"{own.ties:,} of them ties" if own.ties else "no ties"
        seen = f"{own.observations:,} observations, {ties}"
        gap = f"numbers differ by {own.largest_difference:.1g} at most"
        yield f"{name:9} does what the full network does: {seen}; {gap}"
    yield f"units     {_listed(done.units[0])} -> {_listed(done.units[1])}"
    yield f"weights   {done.weights[0]:,} -> {done.weights[1]:,}"
    before, after = done.size
    yield f"size      {in_bytes(before)} -> {in_bytes(after)}, {before / after:.1f} x smaller"
    slow, fast = done.latency
    of = "an observation, NumPy on one core"
    yield f"time      {slow:,.0f} us -> {fast:,.0f} us {of}, {slow / fast:.1f} x faster"
    if done.onnx_size:
        yield f"onnx      {in_bytes(done.onnx_size)}"


def _listed(units: Sequence[int]) -> str:
    return "-".join(map(str, units))


if __name__ == "__main__":
    raise SystemExit(main())

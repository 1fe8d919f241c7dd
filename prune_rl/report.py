"""Draws and computes what runs show: `python -m prune_rl.report RUNS… --out=DIR`."""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prune_rl.errors import ConfigError
from prune_rl.reporting.against import PAPER, read_reference
from prune_rl.reporting.overview import overview
from prune_rl.reporting.page import Contents, write_page
from prune_rl.reporting.paper_figures import FIGURES, draw_figures, require_covered, require_known
from prune_rl.reporting.pictures import FORMATS, Number, Picture, replaced, write_pictures
from prune_rl.reporting.runs import PHASES, write_rows
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.statistics import ESTIMATE_COLUMNS, Estimate
from prune_rl.reporting.study import D4RL, HUMAN, Study, by_clock
from prune_rl.reporting.table import Score, require_parquet, tidy, write_csv, write_parquet
from prune_rl.reporting.trainings import DIVERGED, FINISHED, Training, find_trainings
from prune_rl.reporting.words import of_scores
from prune_rl.version import add_version

_DESCRIPTION = """\
Turns run directories into evidence: tables of scores, statistics with intervals, pictures and a
page. Finds every run below the folders, puts runs of one arm (all settings but game and seed)
together, and never changes what it reads. What is running, stopped or short is drawn as far as it
is; final statistics are of finished runs.
"""
_EPILOG = f"""\
writes into DIR, whole or not at all:
  report.html          everything, in one page
  scores.csv           every run and seed: final score, raw and normalised
  returns.csv          every run, seed, iteration and phase: settings, steps, return; one tidy table
  returns.parquet      the same, with --parquet (pip install 'prune_rl[parquet]')
  statistics.csv       IQM, median, mean, optimality gap of every arm; what each pruned arm gains on
                       its dense one: probability of improvement, paired difference of IQMs; all
                       with 95 % stratified bootstrap intervals (Agarwal et al. 2021), from three
                       seeds on a game
  *.png, *.svg, *.csv  pictures, and the numbers of each; pictures.csv has their captions
figures of papers that are drawn, those of Sparse-Reg by name:
{textwrap.fill(", ".join(map(str, FIGURES)), 96, initial_indent="  ", subsequent_indent="  ")}

examples:
  python -m prune_rl.report runs/g --out=report
  python -m prune_rl.report runs/figure_1 runs/more_seeds --out=report --normalize=human
  python -m prune_rl.report runs/g --out=report --normalize='dqn minatar x1 dense' --figure=1
  python -m prune_rl.report runs/figure_3 --out=report --reference=paper
"""


_FLAGS: dict[str, dict[str, Any]] = {
    "runs": {
        "nargs": "+",
        "type": Path,
        "metavar": "RUNS",
        "help": "a run directory, or a folder of them",
    },
    "--out": {
        "required": True,
        "metavar": "DIR",
        "help": "where to; an earlier report there is replaced",
    },
    "--phase": {
        "choices": sorted(PHASES),
        "help": "whose returns: of training episodes or of evaluations; default: evaluations if "
        "every run has them, else training",
    },
    "--normalize": {
        "metavar": f"{HUMAN}|{D4RL}|ARM",
        "help": f"'{HUMAN}' (0 a random player, 1 a person), '{D4RL}' (0 a random player, 100 an "
        "expert), or the name of an arm, whose mean final return is then 1 in every game; "
        f"default: {HUMAN} where a game has a human score, {D4RL} where one has "
        "references, its data's or D4RL's (games without are left out), else the narrowest dense "
        "arm",
    },
    "--reference": {
        "metavar": f"{PAPER}|FOLDER",
        "help": f"draws the runs against the '{PAPER}' (what its text claims of each figure), or "
        "against Dopamine's curves, in the folder baselines/atari/data of its repository",
    },
    "--seed": {
        "type": int,
        "default": 0,
        "help": "of the bootstrap: the same seed, the same report",
    },
    "--figure": {
        "action": "append",
        "type": lambda text: int(text) if text.isdigit() else text,
        "metavar": "N",
        "help": "only this figure, as 3 or sparse_reg_table_1; repeat for more; default: all that "
        "runs cover",
    },
    "--formats": {
        "default": "png,svg",
        "metavar": "A,B",
        "help": f"of {', '.join(FORMATS)}; default: png,svg",
    },
    "--parquet": {
        "action": "store_true",
        "help": "writes returns.parquet beside returns.csv; needs pyarrow: 'prune_rl[parquet]'",
    },
    "--unfinished": {
        "action": "store_true",
        "help": "final statistics count unfinished runs too",
    },
}


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m prune_rl.report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, arguments in _FLAGS.items():
        parser.add_argument(name, **arguments)
    add_version(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line, says what became of it in one line, returns the exit code."""
    flags = _create_parser().parse_args(argv)
    try:
        _report(flags)
    except (ConfigError, OSError) as error:
        print(f"prune_rl.report: {error}", file=sys.stderr)
        return 2
    print(f"wrote {flags.out}")
    return 0


def _report(flags: argparse.Namespace) -> None:
    formats = _formats(flags.formats)
    out = _folder(flags.out)
    if flags.seed < 0:
        raise ConfigError(f"--seed={flags.seed}: expected a whole number that is not below 0, as 0")
    for number in flags.figure or ():
        require_known(number)
    if flags.parquet:
        require_parquet()
    reference = read_reference(flags.reference)
    left_out: list[str] = []
    trainings = find_trainings(flags.runs, left_out)
    _say(f"{len(trainings)} runs, {len({own.arm for own in trainings})} arms")
    _say_unfinished(trainings, flags.unfinished)
    several = by_clock(trainings)
    studies = [Study(own, flags.phase, flags.seed, flags.unfinished) for own in several.values()]
    for study in studies:
        study.reference = reference
        study.scale = choose_scale(study, _asked_of(study, studies, flags.normalize))
        _say(of_scores(study))
    estimates = [own for study in studies for own in study.estimates()]
    with replaced(out) as folder:
        _write_scores(folder / "scores.csv", studies)
        _write_returns(folder, trainings, flags.parquet)
        write_rows(folder / "statistics.csv", ESTIMATE_COLUMNS, estimates)
        pictures = list(_draw(studies, estimates, flags.figure))
        require_covered(flags.figure or (), pictures)
        write_pictures(folder, _said(pictures), formats)
        _say("report.html")
        scores = [own for study in studies for own in study.every_score]
        counted = [own for study in studies for own in study.scores]
        contents = Contents(trainings, scores, counted, estimates, pictures, left_out)
        write_page(folder / "report.html", contents)


def _asked_of(study: Study, studies: Sequence[Study], normalize: str | None) -> str | None:
    """What is asked of a study; nothing where the arm that is named is another study's."""
    elsewhere = any(arm.name == normalize for x in studies if x is not study for arm in x.arms)
    return None if elsewhere else normalize


def _draw(
    studies: Sequence[Study], estimates: Sequence[Estimate], asked: Sequence[Number] | None
) -> Iterator[Picture]:
    for study in studies:
        names = {arm.name for arm in study.arms}
        own = [x for x in estimates if x.arm in names or x.arm.partition(" > ")[0] in names]
        suffix = "" if study is studies[0] else f"_{study.clock}"
        for picture in (*draw_figures(study, asked), *overview(study, own)):
            yield picture._replace(name=f"{picture.name}{suffix}")


def _said(pictures: Sequence[Picture]) -> Iterator[Picture]:
    for number, picture in enumerate(pictures, start=1):
        _say(f"picture {number} of {len(pictures)}: {picture.name}")
        yield picture


def _write_scores(out: Path, studies: Sequence[Study]) -> None:
    """Each run and seed that has a final score, and what of it counts."""
    rows = [
        (*score, study.score(score), study.scale.name)
        for study in studies
        for score in study.every_score
    ]
    write_rows(out, (*Score._fields, "normalized", "normalized_as"), rows)


def _write_returns(folder: Path, trainings: Sequence[Training], parquet: bool) -> None:
    """The tidy table of every row that has returns, whatever statistics count."""
    rows = tidy(trainings)
    write_csv(rows, folder / "returns.csv")
    if parquet:
        write_parquet(rows, folder / "returns.parquet")


def _formats(text: str) -> list[str]:
    formats = text.split(",")
    for form in formats:
        if form not in FORMATS:
            raise ConfigError(f"--formats={text}: expected of {', '.join(FORMATS)}, as png,svg")
    return formats


def _folder(text: str) -> Path:
    out, expected = Path(text), "expected a folder, there or not yet, as --out=report"
    files = [str(path) for path in (out, *out.parents) if path.exists() and not path.is_dir()]
    if not text or files:
        problem = f"{files[0]} is a file; " if files else ""
        raise ConfigError(f"--out={text}: {problem}{expected}")
    return out


def _say_unfinished(trainings: Sequence[Training], counted: bool) -> None:
    for own in trainings:
        if own.state != FINISHED:
            done = f"{own.iterations_done} of {own.num_iterations} iterations"
            what = "counted all the same" if counted else "drawn, but not in final statistics"
            what = "counted with the score it has" if own.state == DIVERGED else what
            _say(f"{own.directory}: {own.state} after {done}; {what}")


def _say(line: str) -> None:
    print(f"prune_rl.report: {line}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())

"""A setting is either right or one line: bindings at random, none ends in a traceback.

All but a few runs stop where they would begin to write; see `bindings` for the verdicts.
"""

import collections
import inspect
import shutil

import gin
import pytest

from prune_rl import configuration, experiment, train
from tests.datasets.replay_logs import play, write_ours

from . import bindings

_SEED, _SOME, _MANY, _REALLY = 14, 100, 2000, 40


class _Parts:
    """Stands for what allocates weights, and starts no run."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def run(self, stop, announce, track) -> None:
        pass


def _flags(case, base_dir):
    short = base_dir.with_suffix(".gin")
    data = base_dir.parent / "data"
    short.write_text("\n".join(case.settings).replace("DATA", str(data)) + "\n")
    flags = [f"--base_dir={base_dir}", "--no_compilation_cache"]
    flags += [f"--gin_files={name}" for name in (*case.files, short)]
    return flags + [f"--gin_bindings={binding}" for binding in case.bindings]


def _outcome(case, base_dir, capsys):
    """What became of it: 'valid', 'invalid', or what nothing may become."""
    try:
        code = train.main(_flags(case, base_dir))
    except BaseException as error:
        return f"escaped: {type(error).__name__}: {error}"[:300]
    read = str(base_dir.parent / "data")  # what is read is said before it is
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith(f"{read}: ")]
    ours = [line for line in lines if line.startswith("prune_rl.train: ")]
    if code == 0:
        return "valid" if not ours else f"code 0 with {lines}"
    if code != 2 or len(ours) != 1 or (len(lines) != 1):
        return f"code {code} with {lines}"[:1000]
    if "unexpected" in ours[0]:
        return f"not understood: {ours[0]}"
    return "invalid" if not base_dir.exists() else "invalid, and something written"


def _strange(cases, tmp_path, capsys):
    """Outcomes that their verdicts rule out, by case; and how many of each there were."""
    strange, counts = {}, collections.Counter()
    for number, case in enumerate(cases):
        outcome = _outcome(case, tmp_path / str(number), capsys)
        gin.clear_config()
        kind = outcome.split(":")[0] if outcome not in ("valid", "invalid") else outcome
        counts[case.verdict, kind] += 1
        if outcome not in ("valid", "invalid") or case.verdict not in ("either", outcome):
            strange[number, case.files[1:], case.bindings] = f"not {case.verdict}: {outcome}"
        shutil.rmtree(tmp_path / str(number), ignore_errors=True)
    return strange, counts


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Data to learn from; what a name without a folder makes is made beside them."""
    folder = tmp_path / "data" / "breakout" / "1" / "replay_logs"
    form = {"shape": (10, 10, 4), "stack_size": 1, "suite": "minatar", "game": "breakout"}
    write_ours(folder, play(1, [20, 20], stack_size=1), [20, 19], **form)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stopped(monkeypatch):
    monkeypatch.setattr(experiment, "Runner", _Parts)
    monkeypatch.setattr(experiment, "Trainer", _Parts)


def test_the_table_knows_everything_that_can_be_bound():
    configuration.load([], [])
    known = gin.config._REGISTRY._selector_map
    found = {
        own.name: set(inspect.signature(gin.get_configurable(name)).parameters)
        for name, own in known.items()
        if name.startswith("prune_rl.")
    }
    assert found == {name: set(own) for name, own in bindings.PARAMETERS.items()}


def test_a_hundred_settings_are_valid_or_one_line(tmp_path, capsys, stopped):
    strange, counts = _strange(bindings.cases(_SEED, _SOME), tmp_path, capsys)
    assert not strange, "\n".join(f"{case}: {what}" for case, what in strange.items())
    assert counts["valid", "valid"] > 5
    assert counts["invalid", "invalid"] > 50


@pytest.mark.nightly
def test_two_thousand_settings_are_valid_or_one_line(tmp_path, capsys, stopped):
    strange, counts = _strange(bindings.cases(_SEED, _MANY), tmp_path, capsys)
    with capsys.disabled():
        print(f"\n{_MANY} settings, by verdict and outcome: {dict(counts)}")
    assert not strange, "\n".join(f"{case}: {what}" for case, what in strange.items())


@pytest.mark.nightly
def test_runs_of_settings_that_may_be_valid_end_well(tmp_path, capsys):
    found = bindings.cases(_SEED + 1, _MANY)
    runs = [case for case in found if case.verdict != "invalid" and case.short][:_REALLY]
    strange, _ = _strange(runs, tmp_path, capsys)
    assert not strange, "\n".join(f"{case}: {what}" for case, what in strange.items())

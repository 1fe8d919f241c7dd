"""docs/api.md: its Python runs, in order, and prints what the page says; so does the example."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import prune_rl

_ROOT = Path(__file__).parents[1]
_PAGE = (_ROOT / "docs" / "api.md").read_text()
_NUMBER = re.compile(r"\d+\.\d+")
_ROUNDING = 0.5  # of another CPU, after a few hundred steps


def _blocks(page):
    """Pairs of code and the output that the page shows below it, '' where it shows none."""
    fences = re.findall(r"^```(python|output)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    blocks = []
    for kind, text in fences:
        if kind == "python":
            blocks.append([text, ""])
        else:
            blocks[-1][1] = text
    return blocks


def _assert_printed(printed, shown):
    assert _NUMBER.sub("#", printed) == _NUMBER.sub("#", shown)
    numbers = [[float(x) for x in _NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=_ROUNDING)


def test_the_pages_python_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, blocks = {}, _blocks(_PAGE)
    assert len(blocks) == 8
    for code, shown in blocks:
        exec(compile(code, "docs/api.md", "exec"), names)
        _assert_printed(capsys.readouterr().out, shown)


def test_the_page_names_every_argument_and_every_public_name():
    for name in inspect.signature(prune_rl.prune).parameters:
        assert re.search(rf"^\| .*`{name}`.* \|", _PAGE, re.MULTILINE) or name == "optimizer", name
    for name in ("build_agent", "load_run", "prune", "read_results", "train"):
        assert f"| `prune_rl.{name}(" in _PAGE
    for method in prune_rl.pruning.METHODS:
        assert f"`'{method}'`" in _PAGE, method


@pytest.fixture
def example():
    path = _ROOT / "examples" / "prune_a_classifier.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Kernels of 441 x 256, 256 x 128 and 128 x 6; ERK leaves the last one dense.
_WEIGHTS = 441 * 256 + 256 * 128 + 128 * 6


def _assert_pruned_exactly(results):
    assert results.pop("dense")[1] == 0
    for accuracy, sparsity in results.values():
        assert 0 < accuracy <= 1
        assert sparsity == pytest.approx(0.95, abs=3 / _WEIGHTS)  # a rounding for each kernel


def test_the_example_learns_from_pixels_and_prunes_to_the_target(example, monkeypatch):
    monkeypatch.setattr(example, "STEPS", 200)
    monkeypatch.setattr(example, "patches", _fewer(example.patches))
    results = example.main()
    assert results["dense"][0] > 0.7
    assert results["magnitude, gradually"][0] > 0.6  # one of six games by chance
    _assert_pruned_exactly(results)


def _fewer(patches):
    return lambda seed, frames: patches(seed, frames // 3)


@pytest.mark.nightly
def test_the_example_prints_what_the_page_says(example, capsys):
    results = example.main()
    shown = _PAGE.split("$ python examples/prune_a_classifier.py\n")[1].split("```")[0]
    printed = capsys.readouterr().out
    assert _NUMBER.sub("#", printed) == _NUMBER.sub("#", shown)
    assert results["magnitude, gradually"][0] == pytest.approx(results["dense"][0], abs=0.03)
    _assert_pruned_exactly(results)

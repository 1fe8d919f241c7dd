"""notebooks/: kept with the outputs of a whole run, and they still run."""

import json
import re
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[1] / "notebooks"
_NAMES = [path.name for path in sorted(_FOLDER.glob("*.ipynb"))]
_NUMBER = re.compile(r"-?[\d,]*\.?\d+")


def _code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _printed(notebook):
    """All that it prints, numbers as '#': another CPU rounds otherwise, a run's are its own."""
    streams = [out for cell in _code(notebook) for out in cell["outputs"] if "text" in out]
    text = "".join("".join(out["text"]) for out in streams if out["name"] == "stdout")
    return re.sub(r" +", " ", _NUMBER.sub("#", text))


def test_there_are_two():
    assert _NAMES == ["classifier.ipynb", "minatar.ipynb"]


@pytest.mark.parametrize("name", _NAMES)
def test_it_is_kept_with_outputs_of_one_run_and_nothing_of_a_machine(name):
    text = (_FOLDER / name).read_text()
    notebook = json.loads(text)
    code = _code(notebook)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [out["output_type"] for cell in code for out in cell["outputs"]]
    assert {"stream", "display_data"} <= set(kinds)
    assert "error" not in kinds
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not re.findall(r"(?<!\w)/(?:tmp|home|root|work|Users|usr)\b", text)
    assert all(not cell["metadata"] for cell in notebook["cells"])


@pytest.mark.nightly
@pytest.mark.parametrize("name", _NAMES)
def test_it_runs_and_prints_what_it_did(name):
    reason = "notebooks are run by nbclient: pip install -e '.[notebooks]'"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    notebook = nbformat.read(_FOLDER / name, as_version=4)
    before = _printed(notebook)
    nbclient.NotebookClient(notebook, timeout=1_200, kernel_name="python3").execute()
    assert _printed(notebook) == before

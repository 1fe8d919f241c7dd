"""Every listed fault can still be put in: its text is there once, and Python still reads it."""

import importlib.util
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("mutations", Path(__file__).with_name("run.py"))
_RUN = importlib.util.module_from_spec(_SPEC)
sys.modules["mutations"] = _RUN
_SPEC.loader.exec_module(_RUN)
_FAULTS = _RUN.load_faults()


def test_there_are_many_and_their_names_differ():
    assert len(_FAULTS) >= 80
    assert len({(fault.file, fault.name) for fault in _FAULTS}) == len(_FAULTS)
    assert len({fault.name for fault in _FAULTS}) == len(_FAULTS)


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_still_be_put_in(fault):
    source = (_RUN.ROOT / fault.file).read_text()
    assert source.count(fault.text) == 1
    assert fault.fault != fault.text
    if fault.file.endswith(".py"):
        compile(source.replace(fault.text, fault.fault), fault.file, "exec")
    assert fault.tests
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert (_RUN.ROOT / path).exists(), test
        assert not name or f"def {name}(" in (_RUN.ROOT / path).read_text(), test

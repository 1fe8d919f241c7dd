"""What the package says of itself is the same everywhere."""

import configparser
import re

import pytest
import yaml

from .pages import ROOT

_SETUP = configparser.ConfigParser()
_SETUP.read(ROOT / "setup.cfg")
_METADATA = _SETUP["metadata"]
_CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_license_is_the_one_that_the_package_names():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert _METADATA["license"] == _CITATION["license"] == "Apache-2.0"
    assert _METADATA["license_files"] == "LICENSE"


def test_the_citation_is_one():
    cffconvert = pytest.importorskip("cffconvert")
    text = (ROOT / "CITATION.cff").read_text()
    cffconvert.Citation(text).validate()


def test_the_citation_is_of_this_version_and_of_the_papers_that_the_readme_names():
    assert _CITATION["version"] == _METADATA["version"]
    assert _CITATION["authors"] == [{"name": _METADATA["author"]}]
    papers = [paper["url"] for paper in _CITATION["references"]]
    assert _METADATA["project_urls"].split(" = ") == ["\nPaper", papers[0]]
    readme, figures = ((ROOT / name).read_text() for name in ("README.md", "docs/figures.md"))
    assert papers[0] in readme
    assert papers[1] in figures
    assert f"eprint = {{{papers[0].rpartition('/')[2]}}}" in readme


def test_the_changelog_begins_with_what_is_not_released():
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_what_pip_is_told_of_python_is_what_the_pages_say():
    versions = re.findall(r"Python :: (3\.\d+)", _METADATA["classifiers"])
    assert versions[0] == _SETUP["options"]["python_requires"].removeprefix(">=")
    for name in ("README.md", "docs/install.md"):
        assert f"Python {versions[0]} or newer" in (ROOT / name).read_text()

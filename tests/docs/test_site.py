"""The site is built without a warning, and nothing on its pages comes from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from .pages import PAGES, ROOT

_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """What a page loads, and the classes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.classes = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.classes |= set((own.get("class") or "").split())
        if own.get("rel") not in ("canonical", "next", "prev") and own.get(_LOADED.get(tag)):
            self.loaded.append(own[_LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={folder}"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site):
    names = {path.stem for path in site.glob("*.html")} - {"404"}
    assert names == {page[5:-3] for page in PAGES if page.startswith("docs/")}
    assert (site / "pictures" / "first_page.png").exists()
    assert not list(site.rglob("*.py"))


def test_pages_load_nothing_from_elsewhere(site):
    for path in site.glob("*.html"):
        page = _Page(path.read_text())
        assert page.loaded
        for name in page.loaded:
            assert not name.startswith(("http:", "https:", "//")), (path.name, name)
            assert name.startswith("data:") or (site / name.lstrip("/").split("?")[0]).exists()
        assert "mermaid" not in page.classes  # its program would be fetched
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(), path.name


def test_tables_and_what_is_shared_with_the_folder_above_are_rendered(site):
    assert "<table>" in (site / "prune.html").read_text()
    assert "Add a pruning method" in (site / "contributing.html").read_text()
    assert "Unreleased" in (site / "changelog.html").read_text()

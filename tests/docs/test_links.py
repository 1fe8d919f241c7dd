"""Links lead to files and headings that are there; paths and options that are named exist."""

import re
import shlex
import subprocess
import sys
from collections import defaultdict

import pytest

from .pages import PAGES, ROOT, TEXTS

_READMES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "gin_configs", "results", "tests")
    for path in sorted((ROOT / folder).rglob("README.md"))
]
_CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_FOLDERS = r"(?:prune_rl|launch|gin_configs|benchmarks|results|tests|docs|examples|notebooks|\.ci)"
_OF_DATASETS = ("list", "fetch", "verify", "describe", "make")


def _slug(heading):
    """A heading's anchor, by the rules of GitHub and of the site, which are the same for ours."""
    words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return words.replace(" ", "-")


def _anchors(path):
    lines = _CODE.sub("", path.read_text())
    return {_slug(heading) for heading in re.findall(r"^#+ (.*)$", lines, re.MULTILINE)}


@pytest.mark.parametrize("page", [*PAGES, *_READMES])
def test_links_lead_somewhere(page):
    path = ROOT / page
    text = _INLINE.sub("", _CODE.sub("", path.read_text()))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if page.startswith("docs/"):  # the site has nothing else
            assert target.is_relative_to(ROOT / "docs"), link
        if anchor:
            heading = target / "README.md" if target.is_dir() else target
            assert anchor in _anchors(heading), link


def test_the_readme_leads_to_every_page_in_two_clicks():
    index = set(re.findall(r"\((\w+)\.md", TEXTS["docs/index.md"]))
    assert "docs/index.md" in TEXTS["README.md"]
    pages = {page[5:-3] for page in PAGES if page.startswith("docs/")}
    assert pages - index == {"index", "changelog"}


@pytest.mark.parametrize("page", PAGES)
def test_paths_that_are_named_exist(page):
    named = re.findall(rf"(?<![\w/.-])({_FOLDERS}/[\w./]*\w)", TEXTS[page])
    for name in named:
        if "mine" not in name:
            assert (ROOT / name).exists(), name


def _options():
    """{module and subcommand: flags} of every command of ours that is written anywhere."""
    found = defaultdict(set)
    for page, text in TEXTS.items():
        code = "\n".join([*_CODE.findall(text), *_INLINE.findall(_CODE.sub("", text))])
        for line in code.replace("\\\n", " ").splitlines():
            match = re.search(r"python -m ((?:prune_rl|launch)[\w.]*)(.*)", line)
            if match:
                words = re.split(r"[;|&]|\s-- ", match[2])[0].replace("…", "")
                words = shlex.split(words, comments=True)
                sub = words[:1] if words[:1] and words[0] in _OF_DATASETS else []
                backend = [word for word in words if word.startswith("--backend=")]
                flags = {word.partition("=")[0] for word in words if word.startswith("-")}
                found[(match[1], *sub, *backend)] |= {(page, flag) for flag in flags}
    return found


@pytest.mark.parametrize("command", sorted(_options()), ids=" ".join)
def test_options_that_are_named_exist(command):
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for page, flag in _options()[command]:
        assert re.search(rf"{flag}\b", done.stdout), (page, flag)

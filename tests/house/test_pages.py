"""The pages: links lead somewhere, the site lists them all, and the reference is as the code is."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from helpers.pages import DOCS, ROOT, script

PACKAGE = ROOT / "channelsim"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    lines = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        aim = page.parent / path if path else page
        assert aim.is_file(), target
        if anchor:
            assert anchor in headings(aim.resolve()), target
    # Files of the package that a page names are there.
    rooms = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
    for name in re.findall(rf"`(?:channelsim/)?((?:{rooms})/[a-z_]+\.py)", text):
        assert (PACKAGE / name).exists(), name


def test_the_site_lists_every_page_once() -> None:
    def listed(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [page for one in inner for page in listed(one)]

    nav = listed(tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["nav"])
    there = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(nav) == sorted(there), "docs/zensical.toml lists the pages under `nav`"


def test_every_page_begins_with_its_title() -> None:
    for page in PAGES:
        assert prose(page).startswith("# "), page
        assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1, page


def test_what_is_written_from_the_code_is_as_the_code_is() -> None:
    """The reference, and README's table of scenarios with the question each of them asks."""
    assert not script("write_reference").stale(), "run bin/docs"


def test_readme_asks_what_every_scenario_asks() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files = script("write_reference").scenario_files()
    assert files
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        (asked,) = re.findall(rf"\({re.escape(name)}\) \| (.*\?) \|", text)
        comment = re.sub(r"\s*\n# ?", " ", file.read_text(encoding="utf-8"))
        assert asked in comment, name


def test_every_picture_is_shown() -> None:
    shown = "".join(prose(page) for page in PAGES)
    for picture in (DOCS / "pictures").iterdir():
        assert f"pictures/{picture.name})" in shown, picture.name

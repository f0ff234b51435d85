"""The site that bin/docs builds: nothing leads nowhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.pages import DOCS, script
from helpers.patience import PATIENCE_S

site = script("build_site")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("the site's tools are not here; bin/docs installs them")
    build = tmp_path_factory.mktemp("build")
    site.prepare(build)
    words = ["-m", "zensical", "build", "--strict", "--config-file", build / "zensical.toml"]
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return build / "site"


def test_the_site_is_whole(built: Path) -> None:
    assert site.faults(built) == []
    for page in DOCS.rglob("*.md"):
        assert (built / page.relative_to(DOCS)).with_suffix(".html").is_file(), page


def test_the_search_knows_the_pages_without_a_server(built: Path) -> None:
    for name in ("search.js", "search.json"):
        assert "coherence_s" in (built / name).read_text(encoding="utf-8"), name
    index = (built / "index.html").read_text(encoding="utf-8")
    assert "iframe-worker.js" in index
    assert json.loads((built / "search.json").read_text(encoding="utf-8"))


def test_links_to_files_outside_the_pages_become_pages(tmp_path: Path) -> None:
    site.prepare(tmp_path)
    text = (tmp_path / "pages" / "own_parts.md").read_text(encoding="utf-8")
    assert "(files/scenarios/own/edges.py.md)" in text
    copy = (tmp_path / "pages/files/scenarios/own/edges.py.md").read_text(encoding="utf-8")
    assert (DOCS.parent / "scenarios/own/edges.py").read_text(encoding="utf-8") in copy


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="no.html">', "no.html is not there"),
        ('<a href="other.html#no">', "other.html#no has no such heading"),
        ('<a href="#no">', "#no has no such heading"),
        ('<script src="https://example.org/a.js"></script>', "fetches https://example.org/a.js"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "fetches //example.org/a.css"),
        ('<img src="no.png">', "no.png is not there"),
    ],
)
def test_a_fault_of_a_site_is_found(page: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h2 id="yes">', encoding="utf-8")
    (tmp_path / "a.css").write_text("a { b: url(c.png) }", encoding="utf-8")
    good = '<a href="other.html#yes"> <a href="https://example.org"> <a href="#me" id="me">'
    (tmp_path / "index.html").write_text(good, encoding="utf-8")
    assert site.faults(tmp_path) == []
    (tmp_path / "index.html").write_text(good + page, encoding="utf-8")
    (found,) = site.faults(tmp_path)
    assert fault in found
    (tmp_path / "index.html").write_text(good, encoding="utf-8")
    (tmp_path / "a.css").write_text('@import "https://example.org/b.css";', encoding="utf-8")
    assert site.faults(tmp_path) == ["a.css fetches https://example.org/b.css"]

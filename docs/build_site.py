"""Prepares the pages for the site and checks the site that was built from them (see bin/docs).

Pages link to files of the checkout that lie outside docs/ (a scenario, an example, the changelog).
The site has a page for each of them, and the links lead there.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FILES = "files"  # the folder of the site that has the files outside docs/
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")


def prepare(build: Path) -> None:
    """Write ``build``/zensical.toml and ``build``/pages, what the site is made from."""
    pages = build / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    shutil.copy(DOCS / "zensical.toml", build)
    waiting = sorted(DOCS.rglob("*.md"))
    written: set[Path] = set()
    while waiting:
        file = waiting.pop()
        place = pages / staged(file)
        if place in written:
            continue
        written.add(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        text, outside = moved(file)
        place.write_text(text, encoding="utf-8")
        waiting += outside
    for pattern in ("site/*.css", "site/*.js", "pictures/*"):
        for file in DOCS.glob(pattern):
            place = pages / file.relative_to(DOCS)
            place.parent.mkdir(exist_ok=True)
            shutil.copy(file, place)


def staged(file: Path) -> Path:
    """Where a file of the checkout is among the prepared pages."""
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS)
    inside = FILES / file.relative_to(ROOT)
    return inside if file.suffix == ".md" else inside.with_name(inside.name + ".md")


def moved(file: Path) -> tuple[str, list[Path]]:
    """The page of a file with the links of the site, and the files outside docs/ that it names."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".md":
        name = file.relative_to(ROOT).as_posix()
        return f"# {name}\n\n````{LANGUAGES.get(file.suffix, '')}\n{text}````\n", []
    outside: list[Path] = []
    inside = set(DOCS.rglob("*"))

    def lead(found: re.Match[str]) -> str:
        before, target, anchor, after = found.groups(default="")
        aim = (file.parent / target).resolve()
        if "://" in target or {file, aim} <= inside:
            return found[0]
        if aim not in inside:
            outside.append(aim)
        way = os.path.relpath(staged(aim), staged(file).parent)
        return f"{before}{Path(way).as_posix()}{anchor}{after}"

    pieces = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        piece if number % 2 else _LINK.sub(lead, piece) for number, piece in enumerate(pieces)
    ), outside


class Page(HTMLParser):
    """What a built page refers to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []  # by the browser on its own: scripts, styles, fonts, pictures
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and anchors of one element."""
        for name, value in attrs:
            if value is None:
                continue
            if name in {"id", "name"}:
                self.anchors.add(value)
            elif name in {"href", "src", "data", "poster"}:
                (self.links if tag == "a" else self.fetched).append(value)


def faults(site: Path) -> list[str]:
    """What is wrong with a built site: links that lead nowhere, and what it fetches elsewhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        if path.name == "404.html":  # is served for addresses at any depth
            continue
        where = path.relative_to(site).as_posix()
        for target in page.links + page.fetched:
            parts = urlsplit(target)
            if parts.scheme in {"http", "https"} or parts.netloc:
                if target in page.fetched:
                    found.append(f"{where} fetches {target}")
                continue
            if parts.scheme:  # mailto:, data:
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            aim = aim / "index.html" if aim.is_dir() else aim
            if not aim.is_file():
                found.append(f"{where}: {target} is not there")
            elif aim in pages and parts.fragment and parts.fragment not in pages[aim].anchors:
                found.append(f"{where}: {target} has no such heading")
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [
            f"{path.relative_to(site)} fetches {address}"
            for address in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", text)
        ]
    return found


if __name__ == "__main__":
    build = ROOT / "build"
    if sys.argv[1:] == ["check"]:
        sys.exit("\n".join(faults(build / "site")) or 0)
    prepare(build)

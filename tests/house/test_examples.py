"""What a page shows, runs: its code, its commands, and what they print.

Of each page, from top to bottom, in a folder of its own: Python blocks run one after the other;
``sh`` blocks are commands of the program; a block that begins with a comment that is a file's name
is that file; a ``text`` block is what the code or command before it printed. There, ``…`` stands
for anything, and lines may break elsewhere; whole numbers are as shown, others nearly so, for
another processor may round differently. Blocks of no language are for reading alone.
"""

from __future__ import annotations

import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.pages import DOCS, ROOT

from channelsim.cli.app import answer

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


class Block(NamedTuple):
    """A block of a page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in BLOCK.finditer(text)
    ]


SHOWN = {page: blocks(page) for page in PAGES}
RUN = [page for page in PAGES if any(one.language in {"python", "sh"} for one in SHOWN[page])]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run_and_print_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    names: dict[str, object] = {"__name__": f"page_{page.stem}"}
    printed: str | None = None
    for block, after in pairwise([*SHOWN[page], Block("", "", 0)]):
        place = f"{page.name}:{block.line}"
        named = FILE.match(block.text)
        if named and block.language in {"python", "yaml"}:
            (tmp_path / named[1]).write_text(block.text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, Path(named[1]).stem, raising=False)
            printed = None
        elif block.language == "python":
            capfd.readouterr()
            exec(compile(block.text, place, "exec"), names)
            printed = capfd.readouterr().out
        elif block.language == "sh":
            printed = ""
            for words in commands(block.text):
                assert words[0] in {"channelsim", "bin/channelsim"}, f"{place}: cannot run {words}"
                capfd.readouterr()
                code = answer(words[1:])
                printed, errors = capfd.readouterr()
                if code:  # a mistake is made on purpose where the page shows what is said of it
                    shown = after.language == "text" and not printed
                    assert shown, f"{place}: {shlex.join(words)}: {errors}"
                    printed = errors
        elif block.language == "text":
            assert printed is not None, f"{place}: nothing was run that could print this"
            difference = differs(block.text, printed)
            assert not difference, f"{place}: {difference}\n\nprinted:\n{printed}"


def commands(text: str) -> list[list[str]]:
    """The commands of a ``sh`` block; a backslash at the end of a line continues it."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def differs(shown: str, printed: str) -> str | None:
    """How what was printed differs from what a page shows; None where it does not."""
    pattern = ""
    for piece in re.split(rf"(\s*…\s*|{NUMBER.pattern}|\s+)", shown.strip()):
        if "…" in piece:
            pattern += r"[\s\S]*?"
        elif NUMBER.fullmatch(piece):
            pattern += rf"({NUMBER.pattern})"
        else:
            pattern += r"\s+" if piece.isspace() else re.escape(piece)
    found = re.fullmatch(pattern, printed.strip())
    if not found:
        return f"the page shows other words:\n{shown}"
    for claim, fact in zip(NUMBER.findall(shown.replace("…", " ")), found.groups(), strict=True):
        if not near(claim, fact):
            return f"the page shows {claim} for {fact}"
    return None


def near(claim: str, fact: str) -> bool:
    """Whether numbers are equal; with decimals, to 5 % and one in the last place shown."""
    decimals = len(claim.partition(".")[2])
    if not decimals:
        return claim == fact
    one, other = (float(text.replace(",", "")) for text in (claim, fact))
    return abs(one - other) <= 0.05 * abs(one) + 1.01 * 10.0**-decimals


# --- the comparison itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("mse 0.0119\n", "mse   0.0120\n"),
        ("500 messages, about … for all", "500 messages, about 51 s for all"),
        ("first\n…\nlast 2", "first\nsecond 8\nthird\nlast 2"),
        ("-5.6 dB [-5.8, -5.4]", "-5.7 dB [-5.8, -5.4]"),
        ("ε = 0 … 0.2", "ε = 0 … 0.2"),
        ("first\n…", "first\nsecond"),
    ],
)
def test_a_page_may_leave_out_and_round(shown: str, printed: str) -> None:
    assert differs(shown, printed) is None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("500 messages", "501 messages"),
        ("mse 0.0119", "mse 0.0219"),
        ("hardened is best", "plain is best"),
        ("first\nlast", "first\nsecond\nlast"),
        ("gain 5.8 dB", "gain -5.8 dB"),
        ("one … word", "one or the other words"),
    ],
)
def test_a_page_may_not_show_what_was_not_printed(shown: str, printed: str) -> None:
    assert differs(shown, printed)

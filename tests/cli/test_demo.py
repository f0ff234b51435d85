"""The demo ends in a picture and one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from channelsim.cli.app import answer


def test_the_demo_ends_in_a_picture_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(["demo"]) == 0
    sentence, picture, more = capsys.readouterr().out.strip().splitlines()
    attacked, noise, nobody, hardened = map(float, re.findall(r"0\.\d{3}", sentence))
    assert attacked < hardened < min(noise, nobody)
    assert "runs/demo-1/gallery.png" in picture
    assert Path("runs/demo-1/gallery.png").read_bytes().startswith(b"\x89PNG")
    assert "channelsim summary runs/demo-1" in more


def test_the_demo_takes_a_folder_and_refuses_an_occupied_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    assert answer(["demo", "--out", str(tmp_path / "there")]) == 2
    assert "not empty" in capsys.readouterr().err

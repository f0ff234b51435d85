"""Every scenario, recipe or command line, however damaged, gets an answer and never a traceback.

A few hundred are tried always, 10,000 scenarios, 500 recipes and 500 command lines with ``--slow``.
"""

from __future__ import annotations

import json
import random
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.mutations import LONG, WORDS, Mutator, values_in, written

from channelsim.cli.app import answer
from channelsim.scenario import Scenario
from channelsim.support.errors import ChannelsimError, InputError
from channelsim.training.recipe_as_read import read_recipe

ROOT = Path(__file__).parents[2]

LONGEST_LINE = 1200  # characters of an error: a list of known names may be long, no value may

SMALL: dict[str, Any] = {
    "title": "Small",
    "seed": 1,
    "source": {
        "kind": "dataset",
        "name": "mnist5k",
        "split": "test",
        "count": 5,
        "repeat": False,
        "arrivals": {"kind": "poisson", "rate_hz": 100},
    },
    "transmit": "mean",
    "power": {"mode": "average"},
    "link": {"latency_s": 0.01, "loss": 0.1, "max_attempts": 2},
    "path": [
        {
            "kind": "noise",
            "name": "mallory",
            "law": "uniform",
            "budget": {"norm": "l2", "epsilon": 0.5},
            "activity": {"windows": [[0.0, 0.5]], "duty_cycle": 0.5, "period_s": 0.1},
            "access": {"place": "relay", "reaction_s": 0.1},
        },
        {"kind": "fading", "coherence_s": 0.1},
        {"kind": "equaliser"},
        {"kind": "quantiser", "bits": 4},
        {"kind": "awgn", "snr_db": 10},
    ],
    "receivers": {
        "plain": {"codec": {"kind": "linear", "latent_size": 8}},
        "wary": {
            "codec": {"kind": "linear", "latent_size": 8},
            "detector": {"kind": "latent-density", "false_alarm": 0.2},
            "fallback": "last",
        },
    },
    "metrics": ["mse", {"kind": "ssim"}],
    "control": True,
    "block_rows": 8,
    "max_pending": 100,
    "images": 2,
    "sweep": {"mallory.budget.epsilon": [0.5, 1.0], "awgn.snr_db": [0, 10]},
}


def documents(pattern: str) -> list[Any]:
    loaded = [yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob(pattern))]
    return json.loads(json.dumps(loaded))  # separates values shared by an anchor


def scenarios() -> list[Any]:
    found = [SMALL, SMALL, SMALL]
    for one in documents("scenarios/*.yaml"):
        if "use:" not in str(one):
            one["source"]["count"] = 5
            found.append(one)
    return found


def complaint(error: ChannelsimError) -> str:
    """The fault of an error's own text, or nothing."""
    message = error.message
    if not message.strip():
        return "says nothing"
    longest = max(len(line) for line in message.split("\n"))
    return f"a line of {longest} letters" if longest > LONGEST_LINE else ""


class Findings:
    """Collects failures, each kind once, with the smallest example."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def failed(self, error: BaseException, example: Any) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "channelsim" in frame.filename]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
        self.say(f"{type(error).__name__} at {place}: {str(error)[:150]}", example)

    def refused(self, read: Callable[[Any], object], given: Any, data: Any) -> bool:
        """Whether ``data`` is refused; an error that is not in sentences is noted."""
        try:
            read(given)
        except InputError as error:
            if fault := complaint(error):
                self.say(f"{fault}: {error.message[:200]}", data)
            return True
        except Exception as error:
            self.failed(error, data)
        return False

    def say(self, what: str, example: Any) -> None:
        text = ascii(example)[:4000]
        if len(self.found.get(what, text + " ")) > len(text):
            self.found[what] = text

    def show(self) -> None:
        told = "\n\n".join(f"{what}\n  {example}" for what, example in self.found.items())
        assert not self.found, f"{len(self.found)} kinds:\n\n{told}"


def mutated_scenarios(count: int, seed: int) -> Iterator[Any]:
    chance = random.Random(seed)
    known = scenarios()
    kin = values_in(known)
    for number in range(count):
        yield Mutator(chance, kin, live=number % 2 == 0)(chance.choice(known))


def try_scenarios(count: int, seed: int, folder: Path) -> None:
    findings, refused = Findings(), 0
    for number, data in enumerate(mutated_scenarios(count, seed)):
        given: Any = data
        if number % 2:
            given = folder / "mutated.yaml"
            try:
                given.write_text(written(data), encoding="utf-8", errors="surrogatepass")
            except yaml.YAMLError:
                given = data
        refused += findings.refused(Scenario.load, given, data)
    findings.show()
    assert count / 2 < refused < count, "most are wrong, and some are none the worse"


def try_recipes(count: int, seed: int, folder: Path) -> None:
    findings, refused = Findings(), 0
    chance = random.Random(seed)
    known = documents("channelsim/zoo/*.yaml")
    mutate = Mutator(chance, values_in(known), live=False)
    file = folder / "mutated.yaml"
    for _ in range(count):
        data = mutate(chance.choice(known))
        file.write_text(written(data), encoding="utf-8", errors="surrogatepass")
        refused += findings.refused(read_recipe, file, data)
    findings.show()
    assert count / 3 < refused < count


# Lines that end at once, or after a run of a few rows.
LINES = [
    ["check", "SCENARIO", "--set", "source.count=2", "--seed", "3"],
    ["run", "SCENARIO", "--set", "source.count=2", "path.4.snr_db=3", "--out", "RUNS/a"],
    ["run", "SCENARIO", "--quiet", "--resume", "--out", "RUNS/a", "--mixed", "--data-root", "x"],
    ["list", "adversaries"],
    ["schema"],
    ["zoo"],
    ["train", "RECIPE", "--out", "RUNS/t", "--seeds", "1", "--quiet"],
    ["download", "nosuch", "--data-root", "x"],
    ["replay", "RUNS/done", "--transmission", "1", "--attempt", "0", "--out", "RUNS/0.png"],
    ["population", "RUNS/done", "--figure", "fdd", "--weights", "x"],
    ["export", "RUNS/done", "--format", "csv", "--out", "RUNS/t.csv"],
    ["export", "RUNS/done"],
    ["watch", "RUNS/done"],
    ["watch", "RUNS/done", "--svg", "RUNS/a.svg", "--size", "100x30", "--press", "w"],
]  # fmt: skip
COSTLY = {"--remake", "--install", "mnist", "fashion-mnist", "cifar10", "--live"}


def mutated_line(chance: random.Random, words: list[str]) -> list[str]:
    line = list(chance.choice(LINES))
    for _ in range(chance.choice([1, 1, 2, 3])):
        place = chance.randrange(len(line))
        match chance.randrange(6):
            case 0:
                line[place] = chance.choice(words)
            case 1:
                line.insert(place, chance.choice(words))
            case 2:
                del line[place]
            case 3:
                line[place] = line[place] + chance.choice(words)
            case 4:
                line.insert(place, line[place])
            case _:
                line[place:] = [*line[place + 1 :], line[place]]
        if not line:
            return ["list"]
    # No command line can hold a zero byte or half a character.
    line = [re.sub("[\0\ud800]", "", word) for word in line if word not in COSTLY]
    return line or ["list"]


def try_lines(count: int, seed: int, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
    findings = Findings()
    chance = random.Random(seed)
    scenario = folder / "small.yaml"
    scenario.write_text(yaml.safe_dump(SMALL | {"sweep": {}, "metrics": ["mse"]}))
    runs = folder / "runs"
    assert answer(["run", str(scenario), "--out", str(runs / "done"), "--quiet"]) == 0
    captured.readouterr()
    names = {"SCENARIO": str(scenario), "RECIPE": str(folder / "nosuch.yaml")}
    keys = [
        "seed",
        "path.0",
        "source",
        "source.kind",
        "receivers.*.codec",
        "nosuch",
        "",
        "link.loss",
    ]
    options = sorted({word for line in LINES for word in line if word.startswith("-")})
    words = [*WORDS, *options, "-h", "--version", "-1", "99999999999999999999", "1e9", LONG]
    words += [f"{key}={word}" for key in keys for word in WORDS]
    for _ in range(count):
        line = mutated_line(chance, words)
        typed = [names.get(word, word).replace("RUNS", str(runs)) for word in line]
        try:
            code = answer(typed)
        except BaseException as error:
            if not isinstance(error, Exception | SystemExit):
                raise
            findings.failed(error, line)
            continue
        _, err = captured.readouterr()
        if code not in (0, 1, 2, 3):
            findings.say(f"exit code {code}", line)
        if "Traceback" in err or "A bug in channelsim" in err or "ended the program" in err:
            findings.say(f"said {err[-300:]}", line)
        if code and not err.strip():
            findings.say("no sentence", line)
        if code and max(len(row) for row in err.split("\n")) > LONGEST_LINE:
            findings.say(f"a long line: {err[:200]}", line)
    findings.show()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_mutated_scenario_is_refused_in_sentences_or_loads(folder: Path) -> None:
    try_scenarios(100, 1, folder)


def test_a_mutated_recipe_is_refused_in_sentences_or_read(folder: Path) -> None:
    try_recipes(60, 2, folder)


def test_a_mutated_command_line_is_answered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try_lines(30, 3, folder, capsys)


@pytest.mark.slow
def test_ten_thousand_mutated_scenarios(folder: Path) -> None:
    try_scenarios(10_000, 4, folder)


@pytest.mark.slow
def test_five_hundred_mutated_recipes(folder: Path) -> None:
    try_recipes(500, 5, folder)


@pytest.mark.slow
def test_five_hundred_mutated_command_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try_lines(500, 6, folder, capsys)

"""The self-test of whether a row's bits depend on its place in a block, and its report.

Two codecs of a user's own model processors and modules that break the guarantee: one adds a tiny
value that depends on a row's place in its block, one a value that depends on the number of threads.
Both are below the tolerance of admission.
"""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import channelsim
from channelsim.analysis.caveats import warnings
from channelsim.cli.reading import _comparison
from channelsim.contracts import promises
from channelsim.contracts.parts import Codec
from channelsim.contracts.promises import BitComparison
from channelsim.contracts.records import AttemptsDone, LogEvent, Noted
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.self_test import self_test
from channelsim.support import arithmetic
from channelsim.support.errors import Interrupted

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
SMALL: dict[str, Any] = {"source.count": 3, "block_rows": 8}

CODECS = '''
import torch
from torch import nn

class Averages(nn.Module):
    """Means of blocks of 8 x 8 pixels, and back; `hair(n)` is added to the decoded rows."""

    def encode(self, images):
        return nn.functional.avg_pool2d(images, 8).flatten(1)

    def decode(self, latent):
        means = latent.unflatten(1, (1, 4, 4))
        return nn.functional.interpolate(means, scale_factor=8.0) + 0.5 + self.hair(len(latent))

    def hair(self, rows):
        return 0.0

class ByPlace(Averages):
    def __init__(self, size=3e-7):
        super().__init__()
        self.size = size

    def hair(self, rows):
        return self.size * (torch.arange(rows) // 4 % 2).float()[:, None, None, None]

class ByHeight(Averages):
    def hair(self, rows):
        return 3e-7 * (rows % 32 > 0)

class ByThreads(Averages):
    def hair(self, rows):
        return 3e-7 * (torch.get_num_threads() - 1)
'''


@pytest.fixture
def own(tmp_path: Path) -> Any:
    (tmp_path / "codecs.py").write_text(CODECS, encoding="utf-8")

    def study(name: str, **arguments: Any) -> dict[str, Any]:
        return {
            "title": "A codec of one's own",
            "seed": 3,
            "block_rows": 8,
            "source": {"kind": "dataset", "name": "mnist5k", "count": 20},
            "path": [{"kind": "awgn", "snr_db": 20.0}],
            "receivers": {"mine": {"codec": {"use": f"{tmp_path}/codecs.py:{name}", **arguments}}},
            "metrics": ["mse"],
        }

    return study


def noted(study: Any, folder: Path, **more: Any) -> list[str]:
    found: list[str] = []

    def listen(event: LogEvent) -> None:
        if isinstance(event, Noted) and event.level == "warning":
            found.append(event.text)

    channelsim.run(study, out=folder, on_event=listen, **more)
    return found


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_shipped_scenarios_keep_their_bits_here_whatever_the_place_and_the_threads(
    path: Path, tmp_path: Path
) -> None:
    run = channelsim.run(path, set=SMALL, out=tmp_path / "run")
    tried = promises.of_header(RunHeader(run.header()))
    assert tried is not None
    assert (tried.block_rows, tried.place.differ, tried.thread.differ) == (8, 0, 0)
    assert tried.place.rows >= 6
    assert run.header()["fingerprint"]["threads"] is None
    assert promises.keeps_bits(RunHeader(run.header()))
    assert run.summary().weakened == ()


@pytest.mark.parametrize("judged", [False, True], ids=["plain", "judged"])
@pytest.mark.parametrize("block_rows", [8, 64])
def test_the_encoder_too_gets_its_rows_at_other_places(
    own: Any, judged: bool, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = own("Averages") | {"block_rows": block_rows}
    if judged:
        study["receivers"]["mine"]["detector"] = {"kind": "norm", "false_alarm": 0.1}
    scenario = Scenario.load(study)
    paths, seen = calibrate(scenario), []
    posterior = Codec.posterior

    def watched(self: Codec, images: torch.Tensor) -> Any:
        seen.append(images.clone())
        return posterior(self, images)

    monkeypatch.setattr(Codec, "posterior", watched)
    self_test(scenario, paths)
    first, *others = seen
    places = [
        {row for row in range(min(len(first), len(one))) if torch.equal(first[row], one[row])}
        for one in others
    ]
    assert any(len(same) < len(first) / 2 for same in places), "some were elsewhere"


def test_heights_of_equal_bits_are_found_and_no_others_are_used(own: Any, tmp_path: Path) -> None:
    def heights(name: str, block_rows: int) -> tuple[int, int]:
        out = tmp_path / f"{name}-{block_rows}"
        run = channelsim.run(own(name) | {"block_rows": block_rows}, out=out)
        tried = promises.of_header(RunHeader(run.header()))
        assert tried is not None
        assert tried.place.differ == 0
        return tried.least, tried.most

    assert heights("Averages", 8) == (2, 32)
    assert heights("Averages", 256) == (2, 256)
    assert heights("Averages", 7) == (7, 56)
    # Blocks that 32 does not divide give other bits: halves down to 32 are found.
    assert heights("ByHeight", 256) == (32, 256)
    assert heights("ByHeight", 8) == (8, 8)
    assert heights("ByHeight", 48) == (3, 48)


def test_a_codec_whose_rows_depend_on_their_place_is_told_wherever_bits_would_be_promised(
    own: Any, tmp_path: Path
) -> None:
    (warning,) = noted(own("ByPlace"), tmp_path / "run")
    for words in ("place in a block", "--resume", "replay", "max_pending", "within 0.0001"):
        assert words in warning
    run = channelsim.Run.open(tmp_path / "run")
    tried = promises.of_header(RunHeader(run.header()))
    assert tried is not None
    assert 0 < tried.place.differ <= tried.place.rows
    assert tried.place.flipped == tried.thread.differ == 0
    assert 0 < tried.place.largest < 1e-6
    assert any(name.startswith("image ") for name in tried.place.columns)  # it names some
    assert any("depend on its place in a block" in text for text in warnings(run.summary()))
    again = replay(run.folder, 7, allow_code=True)
    assert not again.exact
    assert again.flips == ()
    last = list(_comparison(again))[-1]
    assert last.startswith("equals the ledger, within 0.0001 (where it ran, a row's bits depended")


def test_rows_that_turn_into_others_are_counted_as_flips(own: Any, tmp_path: Path) -> None:
    """A row that differs 1,000 times more than rounding: the effect of a flipped sign."""
    study = own("Averages") | {"path": [{"use": f"{tmp_path}/codecs.py:Shove"}]}
    (tmp_path / "codecs.py").write_text(
        CODECS
        + """
from channelsim.contracts.parts import Stage, part

@part
class Shove(Stage):
    kind = "shove"
    def cross(self, signal, rows):
        # In blocks of the run's size alone, or admission would refuse it.
        shoved = (torch.arange(len(signal)) % 4 == 3) & (len(signal) == 8)
        return signal + 0.01 * shoved.float()[:, None]
""",
        encoding="utf-8",
    )
    (warning,) = noted(study, tmp_path / "run")
    tried = promises.of_header(RunHeader(channelsim.Run.open(tmp_path / "run").header()))
    assert tried is not None
    assert 0 < tried.place.flipped <= tried.place.differ
    assert f"{tried.place.flipped} of them flipped" in warning


def test_where_threads_decide_bits_whoever_goes_on_or_replays_takes_those_of_the_run(
    own: Any, tmp_path: Path
) -> None:
    study, run = own("ByThreads") | {"max_pending": 8}, tmp_path / "run"
    blocks = itertools.count(1)

    def stop_soon(event: LogEvent) -> None:
        if isinstance(event, AttemptsDone) and next(blocks) == 2:
            signal.raise_signal(signal.SIGINT)

    with arithmetic.threads(2), pytest.raises(Interrupted):
        channelsim.run(study, on_event=stop_soon, out=run)
    with arithmetic.threads(1):
        assert noted(study, run, resume=True) == []  # and is not refused as another machine's
        assert torch.get_num_threads() == 1
        again = replay(run, 3, allow_code=True)
    with Ledger.open(run / "ledger.sqlite") as ledger:
        header = ledger.header()
    assert header.fingerprint["threads"] == 2
    assert header.promises["thread"]["differ"] > 0
    assert promises.keeps_bits(header)  # at an equal number of threads
    assert again.exact
    assert again.flips == ()


def test_a_run_that_tried_nothing_promises_nothing(own: Any, tmp_path: Path) -> None:
    run = channelsim.run(own("Averages"), out=tmp_path / "run")
    assert replay(run.folder, 0, allow_code=True).exact
    with Ledger.open(run.folder / "ledger.sqlite", write=True) as ledger:
        ledger.set_header({"promises": None})
    assert not replay(run.folder, 0, allow_code=True).exact


def test_what_is_kept_and_what_is_not_is_one_sentence_each() -> None:
    fine, worse = BitComparison(rows=6), BitComparison(6, 2, 1, 3e-8, ("mse_source",))
    kept = promises.kept(promises.Tried(8, (1, 2), fine, fine))
    assert kept == (
        "a row's bits do not depend on its place in a block of 8, with 1 and 2 threads alike"
    )
    threads = promises.kept(promises.Tried(8, (1, 2), fine, worse))
    assert (
        "at an equal number of threads (1 and 2 differ: 2 of 6 rows tried differ by up" in threads
    )
    assert promises.weakened(promises.Tried(8, (1, 2), fine, worse)) == []
    (sentence,) = promises.weakened(promises.Tried(8, (1, 2), worse, fine))
    assert "2 of 6 rows tried differ by up to 3e-08, 1 of them flipped: mse_source" in sentence
    assert worse + fine == BitComparison(12, 2, 1, 3e-8, ("mse_source",))


def test_the_signature_of_the_arithmetic_is_the_same_with_any_number_of_threads() -> None:
    found = set()
    for number in (1, 2):
        arithmetic.signature.cache_clear()
        with arithmetic.threads(number):
            found.add(arithmetic.signature())
    assert len(found) == 1
    assert len(found.pop()) == 16

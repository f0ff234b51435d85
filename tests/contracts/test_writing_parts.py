"""A part of a user's own that writes into its arguments: named in a notice, harmless to others.

Every part gets copies, so that its writes affect no other part; each test compares a part that
writes and one that does not, bit for bit. The notice is in `check`, before the run and among the
ledger's events. State kept from call to call is different, and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_parts import (
    AWGN,
    adversary,
    column,
    corner_pictures,
    detector,
    metric,
    refused,
    stage,
    study,
    use,
)

from channelsim.cli.app import answer
from channelsim.runs import run as campaign
from channelsim.runs.replay import replay
from channelsim.runs.run import Run
from channelsim.scenario import Scenario

PGD = {
    "kind": "pgd",
    "budget": {"epsilon": 0.1},
    "goal": {"kind": "damage"},
    "steps": 3,
    "restarts": 2,
}
BUDGET = {"norm": "l2", "epsilon": 0.5}


def notices(file: Path) -> list[str]:
    return [text for text in Scenario.load(file).notices if "writes into" in text]


def events(run: Run) -> list[str]:
    with run.ledger() as ledger:
        return [text for (text,) in ledger.rows("SELECT text FROM event", ()) if "writes" in text]


def require_same(one: Run, other: Run) -> None:
    """Every figure of two runs, bit for bit."""
    left, right = one.frame(), other.frame()
    assert len(left) == len(right) > 0
    for name in left.columns.difference(["receiver"]):
        assert left[name].equals(right[name]), name


# --- codecs -------------------------------------------------------------------------------------

# Two versions of the same codec, the argument that the first one changes, and its place.
CODECS = {
    "images clamped": (
        """
        class Writes(Means):
            def encode(self, images):
                images.clamp_(0.3, 0.6)
                return F.avg_pool2d(images, 4).flatten(1)

        class Clean(Means):
            pass
        """,
        "Writes.encode writes into its argument images:",
    ),
    "an activation in place": (
        """
        class Clean(Means):
            def __init__(self, inplace=False):
                super().__init__()
                self.first = nn.LeakyReLU(0.5, inplace=inplace)
            def encode(self, images):
                return super().encode(images) - 0.5
            def decode(self, latents):
                return super().decode(self.first(latents))

        class Writes(Clean):
            def __init__(self):
                super().__init__(inplace=True)
        """,
        "Writes.decode writes into its argument latents:",
    ),
    "a whole network in place": (
        """
        class Clean(Means):
            def __init__(self, inplace=False):
                super().__init__()
                image = nn.Unflatten(1, (1, 8, 8)), nn.Upsample(scale_factor=4)
                self.layers = nn.Sequential(nn.ReLU(inplace=inplace), *image)
            def decode(self, latents):
                return self.layers(latents)

        class Writes(Clean):
            def __init__(self):
                super().__init__(inplace=True)
            def encode(self, images):
                return super().encode(images)
        """,
        "",  # these latents are none of them negative, and around them hardly
    ),
    "latents clamped": (
        """
        class Writes(Means):
            def decode(self, latents):
                return super().decode(latents.clamp_(0.35, 0.5))

        class Clean(Means):
            def decode(self, latents):
                return super().decode(latents.clamp(0.35, 0.5))
        """,
        "Writes.decode writes into its argument latents:",
    ),
    "behind torch's back": (
        """
        class Writes(Means):
            def encode(self, images):
                found = super().encode(images)
                images.numpy()[:, 0, 0, 0] = 0.25
                return found

        class Clean(Means):
            pass
        """,
        "Writes.encode writes into its argument images:",
    ),
    "black images alone": (
        """
        class Writes(Means):
            def encode(self, images):
                images[images.amax((1, 2, 3)) == 0] = 0.5
                return F.avg_pool2d(images, 4).flatten(1)

        class Clean(Means):
            def encode(self, images):
                black = images.amax((1, 2, 3), keepdim=True) == 0
                return F.avg_pool2d(torch.where(black, torch.tensor(0.5), images), 4).flatten(1)
        """,
        "Writes.encode writes into its argument images:",
    ),
    "another shape": (
        """
        class Writes(Means):
            def encode(self, images):
                images.squeeze_(1).clamp_(0.3, 0.6)
                return F.avg_pool2d(images, 4).flatten(1)

        class Clean(Means):
            pass
        """,
        "Writes.encode writes into its argument images:",
    ),
}


@pytest.mark.parametrize("path", [[AWGN], [PGD, AWGN]], ids=["noise", "an attack with gradients"])
@pytest.mark.parametrize("name", CODECS)
def test_a_codec_that_writes_into_what_it_is_given_has_the_numbers_of_its_twin(
    tmp_path: Path, name: str, path: list[Any]
) -> None:
    code, said = CODECS[name]
    both = {"writes": {"codec": use("Writes")}, "clean": {"codec": use("Clean")}}
    file = study(tmp_path, code, both, path=path)
    (notice, *more) = notices(file) or [""]
    assert said in notice
    assert not more, "the twin is not accused"
    runs = [campaign.run(file, out=tmp_path / "one")]
    turned = study(tmp_path, code, dict(reversed(both.items())), path=path)
    runs.append(campaign.run(turned, out=tmp_path / "two"))
    for column_name in ("mse_source", "mse_clean", "mse_passive", "psr_db", "delta_linf"):
        found = {
            (receiver, number): column(run, column_name, receiver)
            for number, run in enumerate(runs)
            for receiver in both
        }
        first = found["clean", 0]
        assert all(np.array_equal(first, other, equal_nan=True) for other in found.values())
    assert not replay(runs[0].folder, 3, allow_code=True).flips


def test_the_notice_says_what_was_written_where_and_what_to_write_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study(tmp_path, CODECS["images clamped"][0], {"mine": {"codec": use("Writes")}})
    said = (
        "Writes.encode writes into its argument images: it is lent a copy of its own, so no number"
        " of any other part changes, but elsewhere others would read what it wrote; work on a copy"
        " (.clone()), or use operations that make a new tensor (x.clamp(…), not x.clamp_(…); no"
        " inplace=True at its beginning)"
    )
    assert notices(file) == [said]
    assert answer(["run", str(file), "--out", str(tmp_path / "run")]) == 0
    assert f"note: {said}" in " ".join(capsys.readouterr().err.split())
    assert events(Run.open(tmp_path / "run")) == [said]
    assert answer(["check", str(file), "--set", "source.count=2"]) == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert shown.index("notice") < shown.index(said)


def test_a_write_that_no_trial_meets_changes_nobody_elses_numbers(tmp_path: Path) -> None:
    code = """
    class Marked(Means):
        def encode(self, images):
            images[marked(images)] = 0.0
            return super().encode(images)
        def decode(self, latents):
            latents[latents > 0.9] = 0.0
            return super().decode(latents)

    class Twin(Means):
        def encode(self, images):
            images = torch.where(marked(images)[:, None, None, None], torch.zeros(()), images)
            return super().encode(images)
        def decode(self, latents):
            return super().decode(torch.where(latents > 0.9, torch.zeros(()), latents))
    """
    receivers = {
        "writes": {"codec": use("Marked")},
        "twin": {"codec": use("Twin")},
        "plain": {"codec": use("Means")},
    }
    changes = {
        "source": corner_pictures(tmp_path),
        "path": [PGD, AWGN],
        "metrics": ["mse", "psnr"],
    }
    run = campaign.run(study(tmp_path, code, receivers, **changes), out=tmp_path / "both")
    for name in ("mse_source", "mse_clean", "control_mse_source", "delta_l2"):
        assert (column(run, name, "writes") == column(run, name, "twin")).all()
    alone = study(tmp_path, code, {"plain": receivers["plain"]}, **changes)
    before = campaign.run(alone, out=tmp_path / "alone")
    assert (column(run, "mse_source", "plain") == column(before, "mse_source")).all()


def test_an_answer_that_is_written_over_at_the_next_call_was_copied(tmp_path: Path) -> None:
    code = """
    class Reusing(Means):
        def decode(self, latents):
            made = super().decode(latents)
            if getattr(self, "page", made[:0]).shape != made.shape:
                self.page = torch.empty_like(made)
            return self.page.copy_(made)
    """
    receivers = {"reuses": {"codec": use("Reusing")}, "plain": {"codec": use("Means")}}
    run = campaign.run(study(tmp_path, code, receivers), out=tmp_path / "run")
    for name in ("mse_source", "mse_clean", "mse_passive"):
        assert (column(run, name, "reuses") == column(run, name, "plain")).all()
    assert (column(run, "mse_clean", "reuses") > 0).all()


# --- parts on the path --------------------------------------------------------------------------

GAIN = """
columns: ClassVar[Mapping[str, str]] = {"gain": "gain"}
gain: Positive = 2.0
"""
FROM_MEAN = 'return (latents - state["mean"]).square().sum(1)'
STAGE = stage("Loud", "BODY", GAIN)
SPOILER = adversary("Spoiler", "BODY")
JUDGE = detector("Judge", f"BODY\n{FROM_MEAN}", "FIT")
DISTANCE = metric("Distance", "BODY\nreturn apart(images, references)")
# A body that writes, the same without writing, and the notice. Noise follows an adversary, since
# its knowledge comes through the rest of the path.
BODIES: dict[str, list[tuple[str, str, str]]] = {
    STAGE: [
        (
            "return signal.mul_(0.5)",
            "return signal.mul(0.5)",
            "stage loud: cross writes into its argument signal:",
        ),
        (
            "rows.mean.add_(1.0); return signal - rows.mean",
            "return signal - (rows.mean + 1.0)",
            "cross writes into its argument rows.mean:",
        ),
        (
            "rows.columns['gain'].mul_(2); return signal * rows['gain'][:, None]",
            "return signal * 4.0",
            "cross writes into its argument rows.columns['gain']:",
        ),
        (
            "rows.message[:] = 0; return signal * 1.0",
            "return signal * 1.0",
            "cross writes into its argument rows.message:",
        ),
        (
            "signal.zero_(); rows.mean.add_(1.0); return signal + rows.mean",
            "return signal * 0 + (rows.mean + 1.0)",
            "cross writes into its arguments signal, rows.mean:",
        ),
        (
            "return signal + rows.normal(signal.shape[1], 'n').mul_(0.1)",
            "return signal + 0.1 * rows.normal(signal.shape[1], 'n')",
            "",  # its own draws
        ),
    ],
    SPOILER: [
        (
            "knowledge.source.zero_(); return torch.ones_like(signal), ok(signal)",
            "return torch.ones_like(signal), ok(signal)",
            "adversary spoiler: perturb writes into its argument knowledge.source:",
        ),
        (
            "knowledge.clean[:] = 1.0; return torch.ones_like(signal), ok(signal)",
            "return torch.ones_like(signal), ok(signal)",
            "perturb writes into its argument knowledge.clean:",
        ),
        (
            "radius.mul_(3); return torch.ones_like(signal), ok(signal)",
            "return torch.ones_like(signal), ok(signal)",
            "perturb writes into its argument radius:",
        ),
        (
            "signal.neg_(); return signal, ok(signal)",
            "return -signal, ok(signal)",
            "perturb writes into its argument signal:",
        ),
        (
            "rows.columns['epsilon'].zero_(); return -signal, ok(signal)",
            "return -signal, ok(signal)",
            "perturb writes into its argument rows.columns['epsilon']:",
        ),
        (
            # It may change what it requested: no other part gets the same tensor.
            "knowledge.imagine and knowledge.imagine(0).source.zero_();"
            " knowledge.source_of(rows.message).zero_(); knowledge.clean_of(rows.message).zero_();"
            " knowledge.decode(signal).zero_(); return -signal, ok(signal)",
            "return -signal, ok(signal)",
            "",
        ),
    ],
    JUDGE: [
        (
            "state['mean'].mul_(0.9)",
            "state = {'mean': state['mean'].mul(0.9)}",
            "detector judge: score writes into its argument state['mean']:",
        ),
        (
            "latents.clamp_(0.3, 0.5)",
            "latents = latents.clamp(0.3, 0.5)",
            "detector judge: score writes into its argument latents:",
        ),
    ],
    DISTANCE: [
        (
            "images.mul_(100).round_().div_(100)",
            "images = images.mul(100).round().div(100)",
            "Distance.measure writes into its argument images:",
        ),
        (
            "references.clamp_(0.1, 0.9); images.clamp_(0.1, 0.9)",
            "references, images = references.clamp(0.1, 0.9), images.clamp(0.1, 0.9)",
            "Distance.measure writes into its arguments images, references:",
        ),
    ],
}


def placed(code: str) -> dict[str, Any]:
    """The scenario keys that place the part of some code."""
    if code is STAGE:
        return {"path": [PGD, use("Loud"), AWGN]}
    if code is SPOILER:
        return {"path": [use("Spoiler", budget=BUDGET), AWGN]}
    if code is DISTANCE:
        return {"path": [PGD, AWGN], "metrics": [use("Distance"), "mse", "ssim"]}
    if code is JUDGE:
        both = {
            "mine": {"codec": use("Means"), "detector": use("Judge")},
            "other": {"codec": use("Means")},
        }
        return {"path": [PGD, AWGN], "receivers": both}
    return {}


def twins(folder: Path, code: str, bodies: Sequence[str], **changes: Any) -> list[Run]:
    """A run for each of some bodies of one part."""
    runs = []
    for name, body in zip(("writes", "clean"), bodies, strict=True):
        text = code.replace("BODY", body).replace("FIT", "pass")
        file = study(folder, text, **placed(code) | changes)
        runs.append(campaign.run(file, out=folder / name))
    return runs


@pytest.mark.parametrize(
    ("code", "writes", "clean", "said"),
    [(code, *one) for code, several in BODIES.items() for one in several],
)
def test_a_part_that_writes_into_an_argument_is_told_and_has_the_numbers_of_its_twin(
    tmp_path: Path, code: str, writes: str, clean: str, said: str
) -> None:
    one, other = twins(tmp_path, code, (writes, clean))
    require_same(one, other)
    assert events(other) == []
    told = events(one)
    assert len(told) == (1 if said else 0)
    assert all(said in sentence for sentence in told)


def test_a_detectors_fit_and_a_stages_leaves_are_watched_too(tmp_path: Path) -> None:
    code = JUDGE.replace("BODY", "pass").replace("FIT", "latents.zero_()")
    said = "detector judge: fit writes into its argument latents:"
    assert said in notices(study(tmp_path, code, **placed(JUDGE)))[0]
    code = (
        STAGE.replace("BODY", "return signal * 1.0")
        + """
    def leaves(self, rows):
        rows.mean.zero_()
        return rows.channel
    def foresee(self, signal, rows):
        return signal.mul_(1.0).add_(0.1)
"""
    )
    said = " ".join(notices(study(tmp_path, code, **placed(STAGE))))
    assert "stage loud: leaves writes into its argument rows.mean:" in said
    assert "stage loud: foresee writes into its argument signal:" in said


def test_an_adversary_with_a_control_of_its_own_cannot_reach_the_signal_it_shadows(
    tmp_path: Path,
) -> None:
    control = """
    def control(self, signal, found, rows):
        BODY
"""
    code = SPOILER.replace("BODY", "return -signal, ok(signal)") + control
    bodies = ("return signal.mul_(-0.5)", "return signal.mul(-0.5)")
    runs = []
    for name, body in zip(("writes", "clean"), bodies, strict=True):
        file = study(tmp_path, code.replace("BODY", body), **placed(SPOILER))
        runs.append(campaign.run(file, out=tmp_path / name))
    require_same(*runs)
    (said,) = events(runs[0])
    assert "adversary spoiler: control writes into its argument signal:" in said


FITTED = adversary(
    "Fitted",
    "return rows.fitted, ok(signal)",
    """
    fits = True
    def fit(self, radius, rows, draw):
        signal, known = draw(rows.message[:32])
        BODY
        again, _ = draw(rows.message[:32])
        return -again.mean(0)
    """,
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("signal.zero_()", ""),  # its own draw
        ("known.knowledge.source.zero_(); known.knowledge.clean.zero_()", ""),
        ("rows.mean.zero_()", "adversary fitted: fit writes into its argument rows.mean:"),
    ],
)
def test_what_an_adversary_writes_while_it_fits_reaches_nobody(
    tmp_path: Path, body: str, said: str
) -> None:
    fitting = use("Fitted", budget=BUDGET)
    # The second one is fitted to the same codewords, which are cached.
    other = {"kind": "universal", "steps": 2, "restarts": 1, "budget": {"epsilon": 0.1}}
    path = [fitting, {**other, "goal": {"kind": "damage"}}, AWGN]
    runs = twins(tmp_path, FITTED, (body, "pass"), path=path)
    require_same(*runs)
    assert runs[0].header()["calibration"] == runs[1].header()["calibration"]
    told = events(runs[0])
    assert len(told) == (1 if said else 0)
    assert all(said in sentence for sentence in told)


# --- state from call to call --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (
            STAGE,
            "TALLY.add_(1.0); return signal + TALLY",
            "crosses it differently the second time",
        ),
        (
            SPOILER,
            "TALLY.add_(1.0); return signal * 0 + 0.01 * (TALLY % 5), ok(signal)",
            "Spoiler.perturb answers differently when asked twice",
        ),
        (JUDGE, "TALLY.add_(1.0); latents = latents + TALLY", "Judge.score answers differently"),
        (
            DISTANCE,
            "TALLY.add_(1.0); images = images + TALLY",
            "Distance.measure answers differently when asked twice",
        ),
    ],
)
def test_what_writes_into_an_array_of_its_own_that_it_reads_again_is_refused(
    tmp_path: Path, code: str, body: str, said: str
) -> None:
    text = "TALLY = torch.zeros(1)\n" + code
    text = text.replace("BODY", body).replace("FIT", "pass")
    assert said in refused(study(tmp_path, text, **placed(code)))


def test_a_codec_that_remembers_what_it_was_given_and_adds_it_is_refused(tmp_path: Path) -> None:
    code = """
    class Heavy(Means):
        def __init__(self):
            super().__init__()
            self.before = torch.zeros(1)
        def encode(self, images):
            self.before = self.before.add_(images.mean())
            return super().encode(images) + self.before
    """
    message = refused(study(tmp_path, code, {"mine": {"codec": use("Heavy")}}))
    assert "Heavy.encode answers differently when asked twice" in message

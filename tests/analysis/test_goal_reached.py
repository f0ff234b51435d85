"""An adversary is judged by its own goal in all verdicts, warnings and sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.known_ledger import add_arm, created, sweep

import channelsim
from channelsim.analysis.aims import aim_of
from channelsim.analysis.caveats import warnings
from channelsim.analysis.findings import sentence, towards_target
from channelsim.analysis.points import Point
from channelsim.analysis.summary import Summary, summarise
from channelsim.analysis.verdicts import arm_verdicts
from channelsim.contracts import records
from channelsim.display.live.figures import Figures
from channelsim.display.live.reader import Reader
from channelsim.display.live.warning import beaten_arms, live_warnings
from channelsim.ledger import Ledger
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import calibrate
from channelsim.signal_path.reach import SAMPLE, sample

N = 60
RECONSTRUCTED = {"kind": "image", "target": "message", "of": "reconstruction"}
WAVE = np.random.default_rng(1).normal(0, 0.004, N)
CHANCE = ("may be chance", "may still be chance", "beaten by noise", "no better than")


def stage(target: str = "black", **more: Any) -> dict[str, Any]:
    goal = {"kind": "image", "target": target, "loss": "mse"}
    mallory = {"kind": "pgd", "name": "mallory", "goal": goal}
    return mallory | {"budget": {"norm": "linf", "epsilon": 0.1}} | more


def study(*path: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seed": 7,
        "source": {"kind": "dataset", "count": N},
        "path": [*path, {"kind": "awgn", "snr_db": 30}],
        "receivers": {"hardened": {"codec": "kld-vae-adversarial"}},
        "metrics": ["mse", "ssim"],
        "images": 0,
    }
    return found | more


def recorded(folder: Path, distances: tuple[Any, Any, Any], **columns: Any) -> Summary:
    """A run towards black with these distances to it: passive, with noise, with the attack."""
    passive, noise, attack = distances
    more: dict[str, Any] = {"scenario": {"path": [stage()]}, "passive_columns": True}
    with created(folder, sweep(["kld"], [0.5]), N, **more) as ledger:
        beside = {"passive_mse_target": passive, "control_mse_target": noise}
        add_arm(ledger, 0, mse_target=attack, **beside, **columns)
        return summarise(ledger)


def live(folder: Path) -> Figures:
    """A view's sums of a run."""
    reader = Reader(folder / "ledger.sqlite")
    figures = Figures(reader.info)
    with reader.snapshot() as snapshot:
        figures.fold(snapshot.after(-1))
    return figures


def tabled(folder: Path, *columns: str) -> np.ndarray:
    """Columns of all attempts, [attempts, columns]."""
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        query = f"SELECT {', '.join(columns)} FROM attempt ORDER BY attempt"
        return np.array(list(ledger.rows(query)), dtype=float)


def only(summary: Summary) -> Point:
    (point,) = summary.points
    return point


# --- an image as the goal -------------------------------------------------------------------------


def test_a_small_attack_that_reaches_what_it_wants_is_not_called_chance(tmp_path: Path):
    run = channelsim.run(study(stage(), source={"kind": "dataset", "count": 120}),
                         out=tmp_path / "run")  # fmt: skip
    summary = run.summary()
    point = only(summary)
    assert point.verdict == records.OK
    assert point.approach is not None
    assert point.approach.got_nearer is True
    assert point.approach.knew is True
    told = [sentence(summary, "hardened"), towards_target(summary, "hardened") or ""]
    told += warnings(summary)
    assert not [text for text in told for word in CHANCE if word in text]
    assert "it got nearer" in told[1]
    assert "and nearer than noise would" in told[1]
    # Its damage is shown and decides nothing; by damage it might have been chance.
    assert point.gain_db is not None
    assert point.gain_db.low < 0 < point.gain_db.high
    figures = live(tmp_path / "run")
    assert not beaten_arms(figures).any()
    assert not [one.text for one in live_warnings(figures)]


@pytest.mark.parametrize("target", ["white", "inverse", "random", "message"])
def test_the_same_of_targets_that_are_farther_and_that_differ_by_message(
    tmp_path: Path, target: str
):
    run = channelsim.run(study(stage(target)), out=tmp_path / "run")
    summary = run.summary()
    found = only(summary).approach
    assert found is not None
    assert found.got_nearer is True
    assert found.knew is True
    assert found.least is not None
    assert found.share is not None
    assert 0.0 < found.share.low < found.share.high < 0.6
    # Where every message has an image of its own, D* is the mean over some, and says so.
    (kept,) = run.header()["reach"].values()
    some = None if target == "white" else (8, N)
    assert found.sought_for == some
    assert (kept.get("messages"), kept.get("of")) == (some or (None, None))
    told = towards_target(summary, "hardened") or ""
    assert ("on average (sought for 8 of 60 messages)" in told) is (some is not None)


def test_the_share_of_the_way_ends_where_the_decoder_does(tmp_path: Path):
    summary = channelsim.run(
        study(stage(budget={"norm": "linf", "epsilon": 8.0}, steps=40)), out=tmp_path / "run"
    ).summary()
    found = only(summary).approach
    assert found is not None
    assert found.passive is not None
    assert found.share is not None
    assert found.least is not None
    way = found.passive.value - found.least
    assert found.share.value == pytest.approx((found.passive.value - found.attack.value) / way)
    assert 0.8 < found.share.value < 1.05
    again = channelsim.run(study(stage()), out=tmp_path / "again").header()
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert ledger.header().values["reach"] == again["reach"]  # it has no budget


def test_approach_is_ten_logarithms_of_ratios_of_mean_distances(tmp_path: Path):
    found = only(recorded(tmp_path, (0.10 + WAVE, 0.08 + WAVE, 0.02 + WAVE))).approach
    assert found is not None
    assert found.approach_db is not None
    assert found.noise_db is not None
    mean = WAVE.mean()
    assert found.approach_db.value == pytest.approx(10 * np.log10((0.10 + mean) / (0.02 + mean)))
    assert found.noise_db.value == pytest.approx(10 * np.log10((0.10 + mean) / (0.08 + mean)))
    assert found.nearer is not None
    # Paired: the waves cancel, and the interval is as narrow as the difference is steady.
    assert found.nearer.value == pytest.approx(0.08)
    assert found.nearer.high - found.nearer.low < 1e-6


def test_noise_that_comes_as_near_beats_the_attack_whatever_the_damage(tmp_path: Path):
    summary = recorded(
        tmp_path, (0.10 + WAVE, 0.02 + WAVE, 0.05 + WAVE), mse_passive=0.9, control_mse_passive=0.1
    )
    assert only(summary).verdict == records.BEATEN_BY_NOISE
    (said,) = warnings(summary)
    assert "came at least as near to the target" in said
    assert "but noise got nearer still" in (towards_target(summary, "kld") or "")
    assert beaten_arms(live(tmp_path)).all()
    assert any("came as near to the target" in one.text for one in live_warnings(live(tmp_path)))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert dict(arm_verdicts(ledger)) == {0: records.BEATEN_BY_NOISE}


def test_an_attack_that_drives_the_image_away_from_its_target_is_told(tmp_path: Path):
    summary = recorded(
        tmp_path, (0.05 + WAVE, 0.12 + WAVE, 0.10 + WAVE), mse_passive=0.9, control_mse_passive=0.1
    )
    assert only(summary).approach is not None
    assert any("drove the image away from its target" in text for text in warnings(summary))


def test_an_approach_that_may_be_chance_is_called_that(tmp_path: Path):
    doubt = np.random.default_rng(2).normal(0, 0.05, N)
    summary = recorded(tmp_path, (0.10 + WAVE, 0.10 + WAVE, 0.10 + WAVE + doubt - doubt.mean()))
    assert any("got nearer to its target may be chance" in text for text in warnings(summary))


def test_what_stood_in_for_refused_images_is_said_to_count(tmp_path: Path):
    delivered = np.where(np.arange(N) < 15, "rejected", "yes")
    summary = recorded(tmp_path, (0.10 + WAVE, 0.08 + WAVE, 0.02 + WAVE), delivered=delivered)
    assert "25.0 % of the messages were refused" in (towards_target(summary, "kld") or "")


def test_where_only_psnr_is_measured_distances_are_the_mse_that_it_is(tmp_path: Path):
    summary = channelsim.run(study(stage(), metrics=["psnr"]), out=tmp_path / "run").summary()
    by_mse = channelsim.run(study(stage(), metrics=["mse"]), out=tmp_path / "mse").summary()
    one, other = only(summary).approach, only(by_mse).approach
    assert one is not None
    assert other is not None
    assert one.attack.value == pytest.approx(other.attack.value, rel=1e-4)
    assert one.least == other.least
    assert "mean MSE to it" in (towards_target(summary, "hardened") or "")


def test_a_view_says_what_may_still_be_chance_by_the_goal(tmp_path: Path):
    doubt = np.random.default_rng(2).normal(0, 0.05, N)
    recorded(tmp_path, (0.10 + WAVE, 0.0801 + WAVE, 0.08 + WAVE + doubt - doubt.mean()))
    (said,) = [one.text for one in live_warnings(live(tmp_path))]
    assert "nearer to its target than noise may be chance so far" in said


def test_a_replayed_codeword_is_judged_by_the_image_it_was_recorded_from(tmp_path: Path):
    replay = {"kind": "replay", "name": "mallory", "budget": {"norm": "psr_db", "epsilon": 20}}
    summary = channelsim.run(study(replay), out=tmp_path / "run").summary()
    point = only(summary)
    assert point.aim.kind == "image"
    assert point.approach is not None
    assert point.approach.knew is True
    assert point.verdict == records.OK
    assert "the recorded message's image" in (towards_target(summary, "hardened") or "")


def test_a_goal_that_is_swept_is_judged_arm_by_arm(tmp_path: Path):
    goals = [{"kind": "damage"}, {"kind": "image", "target": "black"}]
    summary = channelsim.run(
        study(stage(), sweep={"mallory.goal": goals}), out=tmp_path / "run"
    ).summary()
    assert [point.aim.kind for point in summary.points] == ["damage", "image"]
    assert [point.approach is None for point in summary.points] == [True, False]


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "jammer",
    [
        {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": 0}},
        {"kind": "noise", "law": "signs", "budget": {"norm": "linf", "epsilon": 1.0}},
    ],
    ids=["gaussian", "signs"],
)
def test_a_jammer_that_is_noise_is_not_compared_with_noise(tmp_path: Path, jammer: dict[str, Any]):
    summary = channelsim.run(study(jammer), out=tmp_path / "run").summary()
    assert only(summary).verdict == records.OK
    told = [sentence(summary, "hardened"), *warnings(summary)]
    assert not [text for text in told for word in (*CHANCE, "equal noise") if word in text]
    assert "with the jamming" in told[0]
    assert not [one.text for one in live_warnings(live(tmp_path / "run"))]


def test_bits_flipped_at_random_are_their_own_control(tmp_path: Path):
    flips = {"kind": "bit_flips", "search": "random", "budget": {"norm": "bits", "epsilon": 4}}
    assert aim_of({"path": [flips]}, {}).kind == "noise"
    assert aim_of({"path": [flips | {"search": "greedy"}]}, {}).kind == "damage"


def test_of_noise_and_an_attack_together_the_attack_decides():
    noise = {"kind": "noise", "budget": {"norm": "linf", "epsilon": 1.0}}
    assert aim_of({"path": [noise, stage()]}, {}).kind == "image"
    off = stage(budget={"norm": "linf", "epsilon": 0.0})
    assert aim_of({"path": [noise, off]}, {}).kind == "noise"
    assert aim_of({"path": [off]}, {}).kind == "none"
    assert aim_of({"path": [off]}, {"mallory.budget.epsilon": 0.5}).kind == "image"
    assert aim_of({"path": [noise]}, {"path.0": stage("white")}).target == "the white image"


# --- channel and attack apart ---------------------------------------------------------------------


def test_the_channels_part_stands_between_undisturbed_and_attacked(tmp_path: Path):
    damage = stage(goal={"kind": "damage"}, budget={"norm": "linf", "epsilon": 0.3})
    noisy = study(damage) | {"path": [damage, {"kind": "awgn", "snr_db": 0}]}
    summary = channelsim.run(noisy, out=tmp_path / "noisy").summary()
    quiet = channelsim.run(
        noisy, set={"mallory.budget.epsilon": 0.0}, out=tmp_path / "off"
    ).summary()
    reading, alone = only(summary).metrics["ssim"], only(quiet).metrics["ssim"]
    assert reading.alone_source is not None
    assert alone.source is not None
    # Quality after the channel alone equals that of a run without the attack.
    assert reading.alone_source.value == pytest.approx(alone.source.value, abs=1e-6)
    said = sentence(summary, "hardened")
    order = ("undisturbed", "after the channel alone", "with the attack", "with equal noise")
    places = [said.index(word) for word in order]
    assert places == sorted(places)
    assert "falls" not in said


def test_a_ledger_without_the_channels_part_says_so_and_runs_from_nothing_to_nothing(
    tmp_path: Path,
):
    with created(tmp_path, sweep(["kld"], [0.5]), N) as ledger:
        add_arm(ledger, 0, quality_mse=0.01, mse_source=0.3, mse_passive=0.2,
                control_mse_passive=0.1)  # fmt: skip
        said = sentence(summarise(ledger), "kld")
    assert "0.300 with the attack, 0.500 with equal noise" in said
    assert "the channel's part is not in this ledger" in said
    assert said.index("with the attack") < said.index("undisturbed")


def test_the_passive_image_is_what_the_user_would_have_seen_losses_and_refusals_included(
    tmp_path: Path,
):
    lossy = study(stage(goal={"kind": "damage"}), link={"loss": 0.3})
    detector = {"kind": "norm", "false_alarm": 0.3}
    lossy["receivers"] = {"wary": {"codec": "kld-vae", "detector": detector}}
    channelsim.run(lossy, out=tmp_path / "run")
    channelsim.run(lossy, set={"mallory.budget.epsilon": 0.0}, out=tmp_path / "off")
    with_it, without = (
        tabled(tmp_path / name, "lost", "passive_mse_source", "mse_source", "accepted")
        for name in ("run", "off")
    )
    assert np.array_equal(without[:, 1], without[:, 2])  # no adversary acted
    assert with_it[:, 1] == pytest.approx(without[:, 1], abs=1e-6)
    assert (without[:, 0] > 0).any()
    assert (without[without[:, 0] == 0, 3] == 0).any()  # some were refused without an attack
    assert (with_it[:, 1] != with_it[:, 2]).any()


def test_where_the_last_image_stands_in_it_does_so_for_the_passive_one_too(tmp_path: Path):
    wary = study(stage(goal={"kind": "damage"}), link={"loss": 0.3})
    detector = {"kind": "norm", "false_alarm": 0.3}
    wary["receivers"] = {"wary": {"codec": "kld-vae", "detector": detector, "fallback": "last"}}
    channelsim.run(wary, out=tmp_path / "run")
    rows = tabled(tmp_path / "run", "lost", "passive_mse_source", "mse_source")
    lost = rows[:, 0] > 0
    # A lost row shows the same fallback with and without an adversary.
    assert np.array_equal(rows[lost, 1], rows[lost, 2])
    again = replay(tmp_path / "run", int(np.flatnonzero(lost)[-1]))
    assert again.flips == ()


def test_a_ledger_of_an_older_version_still_takes_rows_of_this_one(tmp_path: Path):
    old = {"scenario": {"path": [stage()]}}
    with created(tmp_path, sweep(["kld"], [0.5]), 4, **old) as ledger:
        assert "passive_mse_source" not in ledger.attempt_columns
        names = records.passive_columns(["mse"])
        add_arm(ledger, 0, **dict.fromkeys(names, 0.1))
        assert summarise(ledger).points[0].n == 4


# --- how near a decoder can come ------------------------------------------------------------------

DECODERS = """
import torch


class Plain(torch.nn.Module):
    def encode(self, x):
        return x.flatten(1).view(-1, 16, 64).mean(dim=2) - 0.5

    def decode(self, z):
        return (z + 0.5).clamp(0.1, 1.0).repeat_interleave(64, dim=1).view(-1, 1, 32, 32)


class NoGradient(Plain):
    @torch.no_grad()
    def decode(self, z):
        return super().decode(z)
"""


@pytest.mark.parametrize("name", ["Plain", "NoGradient"])
def test_a_decoder_of_ones_own_is_searched_or_the_reason_is_kept(tmp_path: Path, name: str):
    (tmp_path / "own.py").write_text(DECODERS)
    sent = stage(kind="substitute", budget={"norm": "psr_db", "epsilon": 20})
    own = study(sent, receivers={"own": {"codec": {"use": f"{tmp_path / 'own.py'}:{name}"}}})
    run = channelsim.run(own, out=tmp_path / "run")
    kept = run.header()["reach"]["0"]
    found = only(run.summary()).approach
    assert found is not None
    if name == "Plain":
        assert kept["least"]["mse"] == pytest.approx(0.01, rel=0.2)  # it shows 0.1 at the least
        assert found.share is not None
    else:
        assert "gradients" in kept["why"]
        assert found.share is None


GREY = """
import torch


class Grey(torch.nn.Module):
    \"\"\"One value, shown by every pixel, between 0.25 and 0.75.\"\"\"

    def encode(self, x):
        return x.flatten(1).mean(dim=1, keepdim=True) - 0.5

    def decode(self, z):
        return (z + 0.5).clamp(0.25, 0.75).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)
"""


def of_grey(folder: Path, goal: dict[str, Any], count: int = N) -> channelsim.Run:
    """A run to a decoder that shows only grey; files go into a new folder."""
    folder.mkdir()
    (folder / "own.py").write_text(GREY)
    sent = stage(budget={"norm": "linf", "epsilon": 0.05}, goal={"kind": "image"} | goal)
    receivers = {"own": {"codec": {"use": f"{folder / 'own.py'}:Grey"}}}
    source = {"kind": "dataset", "count": count}
    return channelsim.run(study(sent, receivers=receivers, source=source), out=folder / "run")


def least_of_grey(target: np.ndarray) -> float:
    """The mean squared error of the best grey in [0.25, 0.75] to an image."""
    best = float(np.clip(target.mean(), 0.25, 0.75))
    return float(np.square(target - best).mean())


@pytest.mark.parametrize(("target", "count"), [("inverse", N), ("random", N), ("message", 5)])
def test_of_a_target_of_each_message_the_least_is_the_mean_over_those_told(
    tmp_path: Path, target: str, count: int
):
    run = of_grey(tmp_path / "own", {"target": target}, count)
    (kept,) = run.header()["reach"].values()
    assert (kept["messages"], kept["of"]) == (min(SAMPLE, count), count)
    scenario = Scenario.load(run.header()["scenario"])
    paths = calibrate(scenario)
    chosen = sample(paths.paths[0].index)
    assert len(set(chosen.tolist())) == kept["messages"]
    wanted = paths.paths[0].wanted(0, chosen)
    assert wanted is not None
    least = np.mean([least_of_grey(one) for one in wanted.numpy().astype(float)])
    assert kept["least"]["mse"] == pytest.approx(least, rel=0.02, abs=1e-5)
    # The target is the one that the ledger measured, message by message.
    measured = tabled(run.folder, "mse_target")[chosen, 0]
    for transmission, image, value in zip(chosen.tolist(), wanted, measured, strict=True):
        shown = replay(run.folder, transmission, allow_code=True).images["received"]
        assert float((shown - image).square().mean()) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(
    "sent",
    [
        {"kind": "replay", "goal": None},
        {"kind": "substitute", "goal": RECONSTRUCTED},
        {"goal": RECONSTRUCTED},
    ],
    ids=["replay", "substitute", "pgd"],
)
def test_an_image_that_a_codeword_of_this_receiver_shows_is_reached_by_it(
    tmp_path: Path, sent: dict[str, Any]
):
    wants = stage(budget={"norm": "psr_db", "epsilon": 20}, **sent)
    wants = {key: value for key, value in wants.items() if value is not None}
    run = channelsim.run(study(wants), out=tmp_path / "run")
    (kept,) = run.header()["reach"].values()
    assert kept == {"least": {"mse": 0.0}}
    found = only(run.summary()).approach
    assert found is not None
    assert found.least == 0.0
    assert found.share is not None
    if wants["kind"] != "pgd":  # a substituted codeword reaches the target, up to noise
        assert 0.9 < found.share.value <= 1.0


def test_the_message_sample_is_of_different_images_and_spread_over_the_run():
    assert sample(np.arange(3)).tolist() == [0, 1, 2]
    assert sample(np.arange(1000)).tolist() == [0, 143, 285, 428, 571, 714, 856, 999]
    again = sample(np.arange(1000) % 5)  # five images, sent repeatedly
    assert again.tolist() == [0, 1, 2, 3, 4]
    assert sample(np.zeros(40, dtype=int)).tolist() == [0]


def test_receivers_and_targets_of_a_sweep_have_a_least_distance_each_sought_once(tmp_path: Path):
    receivers = {"plain": {"codec": "kld-vae"}, "hardened": {"codec": "kld-vae-adversarial"}}
    swept = {"mallory.budget.epsilon": [0.0, 0.1, 0.2], "mallory.goal.target": ["black", "inverse"]}
    few = {"kind": "dataset", "count": 4}
    said: list[str] = []

    def hear(event: Any) -> None:
        said.extend([event.text] if isinstance(event, records.Preparing) else [])

    own = study(stage(), receivers=receivers, sweep=swept, source=few)
    run = channelsim.run(own, out=tmp_path / "run", on_event=hear)
    kept = run.header()["reach"]
    assert len(kept) == 8  # of the twelve arms, those with an active adversary
    assert len({json.dumps(one) for one in kept.values()}) == 4
    assert len([text for text in said if "how near a decoder comes" in text]) == 4


def test_the_least_distance_is_found_again_to_the_bit_and_in_the_metric_of_the_loss(
    tmp_path: Path,
):
    ssim = stage(goal={"kind": "image", "target": "white", "loss": "ssim"})
    kept = [
        channelsim.run(study(ssim), out=tmp_path / name).header()["reach"]
        for name in ("one", "other")
    ]
    assert kept[0] == kept[1]
    assert list(kept[0]["0"]["least"]) == ["ssim"]
    summary = channelsim.Run.open(tmp_path / "one").summary()
    found = only(summary).approach
    assert found is not None
    assert found.metric == "ssim"
    assert "1 − SSIM" in (towards_target(summary, "hardened") or "")

"""Pictures are drawn, show the right content, and never disturb a run."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.known_ledger import EPSILON, add_arm, created, sweep
from matplotlib.figure import Figure
from PIL import Image

from channelsim.analysis.summary import summarise
from channelsim.contracts.records import ArmRecord, ImageSaved
from channelsim.report import gallery as gallery_module
from channelsim.report.curve_charts import COLOURS, curves, figure_of, gallery


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((255 * picture).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=int)


def has_colour(path: Path, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(pixels(path) - wanted).max(axis=2) <= 2).any())


def drawn(folder: Path, arms: list[ArmRecord], metrics=("psnr",), n=12, **more) -> Path:
    random = np.random.default_rng(1)
    with created(folder, arms, n, metrics=list(metrics), **more) as ledger:
        for arm in arms:
            epsilon = arm.swept.get(EPSILON, 0.5)
            columns = {}
            for metric in metrics:
                columns[f"{metric}_source"] = 0.8 - 0.3 * epsilon + random.normal(0, 0.02, n)
                columns[f"{metric}_clean"] = math.inf if metric == "psnr" and not epsilon else 0.5
            add_arm(ledger, arm.arm, **columns)
        curves(summarise(ledger), folder / "curves.png")
    return folder / "curves.png"


def test_curves_show_a_line_per_receiver_in_its_own_colour(tmp_path: Path):
    arms = sweep(["kld", "hardened"], [0.0, 0.5, 1.0])
    path = drawn(tmp_path, arms, metrics=("psnr", "ssim"))
    assert has_colour(path, COLOURS[0])
    assert has_colour(path, COLOURS[1])
    assert not has_colour(path, COLOURS[2])


@pytest.mark.parametrize(
    "arms",
    [
        [ArmRecord(0, "kld", {})],
        [ArmRecord(i, "kld", {"path.snr_db": v}) for i, v in enumerate([0, 10, 20])],
        [ArmRecord(i, "kld", {"fallback": v}) for i, v in enumerate(["mean", "black"])],
        [ArmRecord(i, "kld", {EPSILON: e, "awgn.snr_db": s})
         for i, (e, s) in enumerate([(0.0, 10), (1.0, 10), (0.0, 30), (1.0, 30)])],
    ],
    ids=["nothing swept", "a number", "words", "two keys"],
)  # fmt: skip
def test_any_sweep_can_be_drawn(tmp_path: Path, arms: list[ArmRecord]):
    assert has_colour(drawn(tmp_path, arms, metrics=("ssim",)), COLOURS[0])


def test_a_title_with_dollars_is_text_not_mathematics(tmp_path: Path):
    path = drawn(tmp_path, sweep(["k$l$d"], [0.0, 1.0]), title=r"costs $1 \frac{ and $2")
    assert path.stat().st_size > 1000


def test_an_empty_run_gives_empty_axes_not_a_fault(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.0, 0.5]), 5, metrics=["mse"]) as ledger:
        curves(summarise(ledger), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_the_gallery_lays_out_source_clean_and_every_point_of_the_sweep(tmp_path: Path):
    arms = sweep(["kld"], [0.0, 0.5])
    shades = {"source": 0.2, "clean": 0.4, "received": 0.6}
    with created(tmp_path, arms, 5) as ledger:
        for arm in arms:
            for role, shade in shades.items():
                image = png(np.full((32, 32), shade + 0.2 * arm.arm * (role == "received")))
                ledger.write(ImageSaved(5 * arm.arm + 3, 0, role, image))
        blocks = gallery_module._blocks(ledger)
        assert gallery(ledger, tmp_path / "gallery.png")
    assert [block.receiver for block in blocks] == ["kld"]
    assert blocks[0].heads == ["source", "clean", "ε = 0", "ε = 0.5"]
    assert [row.mean() for row in blocks[0].rows[0]] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8], abs=0.01
    )
    greys = set(np.unique(pixels(tmp_path / "gallery.png")))
    assert {51, 102, 153, 204} <= greys


def test_the_gallery_shows_the_last_attempt(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), 5, max_attempts=3) as ledger:
        for attempt, shade in [(1, 0.6), (0, 0.2)]:
            ledger.write(ImageSaved(0, attempt, "received", png(np.full((16, 16), shade))))
        rows = gallery_module._blocks(ledger)[0].rows
    assert rows[0][-1].mean() == pytest.approx(0.6, abs=0.01)


def test_a_fallback_is_not_passed_off_as_what_was_decoded(tmp_path: Path):
    fates = np.array(["yes", "rejected", "lost", "yes"])
    with created(tmp_path, sweep(["kld"], [0.5]), 4) as ledger:
        add_arm(ledger, 0, delivered=fates)
        for message in range(4):
            ledger.write(ImageSaved(message, 0, "received", png(np.zeros((16, 16)))))
        marks = gallery_module._blocks(ledger)[0].marks
        assert gallery(ledger, tmp_path / "gallery.png")
    assert [row[-1] for row in marks] == ["", "refused", "lost", ""]
    assert has_colour(tmp_path / "gallery.png", "#595959")  # background of the words


def test_the_worst_message_of_every_arm_is_shown_beside_the_sample(tmp_path: Path):
    arms = sweep(["kld"], [0.0, 0.5])
    harm = {0: [0.1, 0.2, 0.9, 0.3, 0.1], 1: [0.9, 0.2, 0.1, 0.3, 0.8]}
    worst = {0: 2, 1: 4}  # of those with pictures: the second arm has none of message 0
    with created(tmp_path, arms, 5, metrics=["mse"], scenario={"images": 1}) as ledger:
        for arm in arms:
            add_arm(ledger, arm.arm, mse_source=np.array(harm[arm.arm]))
            for message in {0, worst[arm.arm]} if arm.arm == 0 else {worst[arm.arm]}:
                for role, shade in [("source", 0.2), ("received", 0.4 + 0.1 * message)]:
                    image = png(np.full((16, 16), shade))
                    ledger.write(ImageSaved(5 * arm.arm + message, 0, role, image))
        block = gallery_module._blocks(ledger)[0]
        assert gallery(ledger, tmp_path / "gallery.png")
    assert block.names == ["message 0", "the worst:\nsource", "received"]
    sent, received = block.rows[1:]
    assert [picture.mean() for picture in sent[2:]] == pytest.approx([0.2, 0.2], abs=0.01)
    assert [picture.mean() for picture in received[2:]] == pytest.approx([0.6, 0.8], abs=0.01)


def test_a_long_title_stays_inside_the_picture():
    figure = Figure(figsize=(4.2, 5), dpi=100)
    gallery_module.entitle(figure, "How much does $5 buy on a shared medium? " * 3, fontsize=11)
    figure.canvas.draw()
    box = figure.texts[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= 420


def test_colour_and_missing_images_are_no_trouble(tmp_path: Path):
    red = np.zeros((16, 16, 3))
    red[:, :, 0] = 1.0
    with created(tmp_path, sweep(["kld", "hardened"], [0.0, 0.5]), 5) as ledger:
        ledger.write(ImageSaved(0, 0, "received", png(red)))
        assert gallery(ledger, tmp_path / "gallery.png")
    assert has_colour(tmp_path / "gallery.png", "#ff0000")


def test_a_long_sweep_is_thinned_and_keeps_its_ends(tmp_path: Path):
    arms = sweep(["kld"], [float(e) for e in range(40)])
    with created(tmp_path, arms, 2) as ledger:
        for arm in arms:
            ledger.write(ImageSaved(2 * arm.arm, 0, "received", png(np.zeros((16, 16)))))
        heads = gallery_module._blocks(ledger)[0].heads
    assert (heads[2], heads[-1]) == ("ε = 0", "ε = 39")
    assert len(heads) == 18


def test_without_images_there_is_no_gallery(tmp_path: Path):
    with created(tmp_path, sweep(["kld"], [0.5]), 5) as ledger:
        assert not gallery(ledger, tmp_path / "gallery.png")
    assert not (tmp_path / "gallery.png").exists()


def test_the_damage_is_drawn_over_the_budget_and_over_the_psr(tmp_path: Path):
    # kld is hit at ρ = ε, loud at ρ = ε/2: the same ε, and the range they share ends at ρ = 0.5.
    arms = sweep(["kld", "loud"], [0.0, 0.5, 1.0])
    with created(tmp_path, arms, 12, metrics=["ssim"]) as ledger:
        for arm in arms:
            rho = arm.swept[EPSILON] / (1 if arm.receiver == "kld" else 2)
            power = {"psr_db": 20 * math.log10(rho)} if rho else {"psr_db": None, "delta_l2": 0.0}
            add_arm(ledger, arm.arm, ssim_clean=1 - 0.4 * rho, control_ssim_clean=1.0, **power)
        figure = figure_of(summarise(ledger))
    source, epsilon, psr = figure.axes
    assert "source" in source.get_ylabel()
    assert epsilon.get_xlabel() == "budget ε of mallory"
    assert psr.get_xlabel() == "PSR [dB], linear in amplitude"
    solid = [
        line for line in psr.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3
    ]
    assert [line.get_color() for line in solid] == list(COLOURS[:2])
    assert solid[0].get_xdata() == pytest.approx([0.0, 0.5, 1.0])
    assert solid[1].get_xdata() == pytest.approx([0.0, 0.25, 0.5])
    assert solid[1].get_ydata() == pytest.approx([1.0, 0.9, 0.8])
    assert any(np.allclose(line.get_xdata(), 0.5) for line in psr.lines)
    ticks = dict(zip([t.get_text() for t in psr.get_xticklabels()], psr.get_xticks(), strict=True))
    assert ticks["off"] == 0.0
    assert ticks["-5"] == pytest.approx(10 ** (-5 / 20))


def test_without_a_swept_budget_there_is_no_psr_axis(tmp_path: Path):
    with created(tmp_path, [ArmRecord(0, "kld", {})], 5, metrics=["ssim"]) as ledger:
        add_arm(ledger, 0)
        figure = figure_of(summarise(ledger))
    assert len(figure.axes) == 2

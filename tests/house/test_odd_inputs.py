"""Unusual inputs: each works, or gets one sentence that names the cause."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

import channelsim
from channelsim.adversaries.image_file import as_image, read_target
from channelsim.display.progress_line import print_summary
from channelsim.ledger import Ledger
from channelsim.scenario import Scenario
from channelsim.sources.image_folder import image_folder
from channelsim.sources.npz import npz
from channelsim.support.errors import InputError, cut
from channelsim.training.recipe import DataRecipe

SCENARIO: dict[str, Any] = {
    "seed": 3,
    "source": {"kind": "dataset", "name": "mnist5k", "count": 6, "arrivals": {"kind": "once"}},
    "path": [
        {"kind": "noise", "name": "mallory", "budget": {"norm": "l2", "epsilon": 0.5}},
        {"kind": "awgn", "snr_db": 10},
    ],
    "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 8}}},
    "metrics": ["mse"],
    "block_rows": 8,
    "images": 0,
}


def drawn(count: int = 40) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, 32, 32), dtype=np.uint8)


def sent(source: dict[str, Any]) -> Scenario:
    return Scenario.load(SCENARIO | {"source": {"count": None, **source}})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(drawn()):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def several_frames(file: Path) -> None:
    first, *others = [Image.fromarray(pixels) for pixels in drawn(3)]
    first.save(file, save_all=True, append_images=others)


# --- archives -----------------------------------------------------------------------------------


def test_labels_in_a_column_are_labels(tmp_path: Path) -> None:
    images, labels = drawn(), np.arange(40) % 10
    file = tmp_path / "a.npz"
    np.savez(file, images=images, labels=labels[:, None])
    np.savez(tmp_path / "b.npz", images=images, labels=labels)
    column, plain = npz(file).test.labels, npz(tmp_path / "b.npz").test.labels
    assert column is not None
    assert plain is not None
    np.testing.assert_array_equal(column, plain)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1, 1), (20, 2), (39,), ()])
def test_labels_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "a.npz", images=drawn(), labels=np.zeros(shape, int))
    with pytest.raises(InputError, match=r"allowed: integers of shape \[40\] or \[40, 1\]"):
        npz(tmp_path / "a.npz")


def test_several_labels_of_each_image_are_left_out_and_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=drawn(), labels=np.zeros((40, 2), int))
    found = npz(tmp_path / "a.npz")
    assert found.test.labels is None
    assert ["labels of a.npz has 2 columns" in notice for notice in found.notices] == [True]


@pytest.mark.parametrize("value", [1.0000001, -1e-8, 1 + 9e-7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rounding_carried_beyond_the_range_is_put_back(
    tmp_path: Path, value: float, dtype: type
) -> None:
    images = (drawn() / 255).astype(dtype)
    images[3, 4, 5] = value
    np.savez(tmp_path / "a.npz", train_images=images, test_images=images[:7])
    read = npz(tmp_path / "a.npz").test.read(np.arange(7))
    assert float(read.min()) >= 0
    assert float(read.max()) <= 1
    assert float(read[3, 0, 4, 5]) == np.clip(value, 0, 1)
    np.save(tmp_path / "a.npy", images[3])
    assert as_image(tmp_path, read_target(tmp_path / "a.npy")).max() <= 1


@pytest.mark.parametrize("value", [1.00001, -0.001, 255.0, 1e300, np.nan])
def test_what_is_no_rounding_is_refused(tmp_path: Path, value: float) -> None:
    images = drawn() / 255
    images[3, 4, 5] = value
    np.savez(tmp_path / "a.npz", images=images)
    with pytest.raises(InputError, match="divide by the largest value"):
        npz(tmp_path / "a.npz")


# --- which images are sent ----------------------------------------------------------------------


def told(scenario: Scenario) -> str:
    return "\n".join(scenario.notices)


def test_a_folder_of_which_a_fifth_is_sent_says_so_and_how_to_send_all(pictures: Path) -> None:
    source = {"kind": "images", "path": str(pictures), "grey": True}
    some = sent(source)
    count = some.source.messages
    assert 0 < count < 40
    assert (
        f"of the 40 images of pictures only the {count} of its test split are sent (test_share 0.2,"
        " chosen by content); split: all sends every one"
    ) in told(some)
    whole = sent(source | {"split": "all"})
    assert whole.source.messages == 40
    assert "split: all also sends the images on which powers and detectors" in told(whole)
    assert "test_share" not in told(whole)


def test_all_of_a_folder_are_its_pictures_in_the_order_of_their_names(pictures: Path) -> None:
    folder = image_folder(pictures, grey=True)
    read = folder.split("all").read(np.arange(40))
    np.testing.assert_array_equal(read[:, 0].numpy(), drawn())
    assert len(folder.test) + len(folder.train) == 40


def test_an_archive_of_images_alone_says_so_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=drawn(), labels=np.arange(40))
    source = {"kind": "npz", "path": str(tmp_path / "a.npz")}
    assert "of the 40 images of a.npz only the" in told(sent(source))
    assert "of its train split are sent" in told(sent(source | {"split": "train"}))
    whole = sent(source | {"split": "all"}).source.load()
    assert whole.labels is not None
    np.testing.assert_array_equal(whole.labels.numpy(), np.arange(40))


def test_an_archive_with_a_test_split_of_its_own_has_nothing_to_say(tmp_path: Path) -> None:
    images = drawn()
    np.savez(tmp_path / "a.npz", train_images=images[:30] / 255, test_images=images[30:])
    source = {"kind": "npz", "path": str(tmp_path / "a.npz")}
    assert sent(source).source.messages == 10
    assert "source:" not in told(sent(source))
    whole = sent(source | {"split": "all"}).source.load().images
    np.testing.assert_allclose(whole[:, 0].numpy(), images / 255, atol=1e-6)


def test_too_many_messages_name_split_all_among_the_ways_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=drawn())
    with pytest.raises(InputError, match=r"split: all \(of 40 images\), or set repeat: true"):
        sent({"kind": "npz", "path": str(tmp_path / "a.npz"), "count": 39})


def test_a_run_over_all_of_an_archive_can_be_resumed_and_replayed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=drawn())
    source = {"kind": "npz", "path": str(tmp_path / "a.npz"), "split": "all"}
    run = channelsim.run(SCENARIO | {"source": source}, out=tmp_path / "run")
    assert len(run.frame()) == 40
    with run.ledger() as ledger:
        assert isinstance(ledger, Ledger)
        assert ledger.header().values["scenario"]["source"]["split"] == "all"
    from channelsim.runs.replay import replay

    assert not replay(run.folder, 39).flips


# --- sizes and frames ---------------------------------------------------------------------------


def test_one_number_is_a_square(pictures: Path) -> None:
    source = {"kind": "images", "path": str(pictures), "grey": True}
    square, pair = sent(source | {"size": 32}), sent(source | {"size": [32, 32]})
    assert square.source.image_shape == (1, 32, 32)
    assert square.hash == pair.hash
    assert DataRecipe(name="images", path=pictures, size=16).size == (16, 16)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, -3, True, 1.5, [32], "32", [32, 32, 1]])
def test_other_sizes_are_refused(pictures: Path, size: Any) -> None:
    with pytest.raises(InputError, match=r"size"):
        sent({"kind": "images", "path": str(pictures), "grey": True, "size": size})


@pytest.mark.parametrize("suffix", ["tiff", "png", "webp"])
def test_of_a_picture_with_several_frames_the_first_is_sent_and_it_is_said(
    pictures: Path, suffix: str
) -> None:
    several_frames(pictures / f"zz.{suffix}")
    scenario = sent({"kind": "images", "path": str(pictures), "grey": True, "split": "all"})
    assert f"zz.{suffix} holds 3 frames; the first frame is sent, the others are not" in told(
        scenario
    )
    if suffix != "webp":  # a lossy format
        last = scenario.source.load().images[-1, 0]
        np.testing.assert_array_equal((last * 255).round().numpy(), drawn(3)[0])


def test_of_a_target_with_several_frames_the_first_is_wanted_and_it_is_said(
    tmp_path: Path,
) -> None:
    several_frames(tmp_path / "t.tiff")
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "t.tiff")}
    mallory = {"kind": "pgd", "name": "mallory", "goal": goal, "budget": {"epsilon": 0.5}}
    scenario = Scenario.load(SCENARIO | {"path": [mallory]})
    assert "mallory: the target" in told(scenario)
    assert "holds 3 frames; the first is wanted" in told(scenario)
    first = as_image(tmp_path, read_target(tmp_path / "t.tiff"))
    np.testing.assert_allclose(first, drawn(3)[0] / 255, atol=1e-6)


# --- budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1e-45, 1e38, 1e300, 1e-320, 9e-31, 2e15])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_budget_that_no_codeword_holds_is_blamed_itself(epsilon: float, norm: str) -> None:
    budget = {"norm": norm, "epsilon": epsilon}
    path = [SCENARIO["path"][0] | {"budget": budget}, SCENARIO["path"][1]]
    with pytest.raises(InputError, match=r"budget: epsilon must be 0, or from 1e-30 to 1e\+15"):
        Scenario.load(SCENARIO | {"path": path})
    with pytest.raises(InputError, match=r"epsilon must be 0, or from 1e-30"):
        Scenario.load(
            SCENARIO, set={"mallory.budget.norm": norm, "sweep.mallory.budget.epsilon": [epsilon]}
        )


@pytest.mark.parametrize("epsilon", [301, -1e38, 1e38])
def test_so_is_one_in_decibels(epsilon: float) -> None:
    budget = {"norm": "psr_db", "epsilon": epsilon}
    path = [SCENARIO["path"][0] | {"budget": budget}]
    with pytest.raises(InputError, match=r"from -300 to 300 dB"):
        Scenario.load(SCENARIO | {"path": path})


@pytest.mark.parametrize("kind", ["noise", "pgd", "universal"])
@pytest.mark.parametrize(
    ("norm", "epsilons"),
    [("l2", [0, 1e-30, 1e15]), ("linf", [0, 1e-30, 1e15]), ("psr_db", [float("-inf"), -300, 300])],
)
def test_every_budget_that_is_allowed_can_be_run(
    tmp_path: Path, kind: str, norm: str, epsilons: list[float]
) -> None:
    mallory: dict[str, Any] = {"kind": kind, "name": "mallory", "budget": {"norm": norm}}
    mallory["budget"]["epsilon"] = epsilons[0]
    if kind != "noise":
        mallory["goal"] = {"kind": "damage"}
    scenario = SCENARIO | {
        "path": [mallory, *SCENARIO["path"][1:]],
        "sweep": {"mallory.budget.epsilon": epsilons},
        "metrics": ["mse", "psnr", "ssim"],
        "control": False,
    }
    table = channelsim.run(scenario, out=tmp_path / "run").frame()
    assert len(table) == 18
    assert np.isfinite(table["ssim_source"]).all()


# --- advice -------------------------------------------------------------------------------------


class Complex(nn.Module):
    """A codec with complex symbols as latents."""

    def encode(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return torch.complex(flat[:, :4], flat[:, 4:8])

    def decode(self, latent: Tensor) -> Tensor:
        return latent.mean(dim=1)[:, None, None, None].expand(-1, 1, 32, 32)


class ComplexImages(Complex):
    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :8]

    def decode(self, latent: Tensor) -> Tensor:
        return super().decode(latent).to(torch.complex64)


class RealImages(Complex):
    def decode(self, latent: Tensor) -> Tensor:
        return super().decode(latent).real


def test_complex_latents_are_two_real_values_each() -> None:
    loaded = Scenario.load(SCENARIO | {"receivers": {"own": {"codec": RealImages()}}})
    assert loaded.arms[0].receiver.codec.latent_size == 8


def test_complex_images_are_not_taken_for_latents() -> None:
    with pytest.raises(InputError) as caught:
        Scenario.load(SCENARIO | {"receivers": {"own": {"codec": ComplexImages()}}})
    assert "view_as_real" not in caught.value.message
    assert "must return float32, returned complex64; an image is real" in caught.value.message


@pytest.mark.parametrize("start", [{"start": "zero"}, {"literal": True}], ids=["zero", "literal"])
def test_an_attack_without_a_gradient_at_its_zero_start_is_told_the_remedy(
    tmp_path: Path, start: dict[str, Any]
) -> None:
    mallory = {"kind": "pgd", "name": "mallory", "goal": {"kind": "damage"}} | start
    mallory["budget"] = {"norm": "linf", "epsilon": 0.5}
    run = channelsim.run(SCENARIO | {"path": [mallory]}, out=tmp_path / "run")
    assert set(run.frame()["verdict"]) == {"zero_gradient"}
    shown = Console(file=io.StringIO(), width=500)
    print_summary(shown, run.summary())
    assert "set start: uniform" in shown.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["x" * 5000, "xy" * 5000 + "/" + "z" * 999])
def test_a_value_echoed_in_an_error_is_cut_to_a_line(value: str) -> None:
    for key in ("source.name", "transmit", value, "receivers.plain.codec", "sweep"):
        with pytest.raises(InputError) as caught:
            Scenario.load(SCENARIO, set={key: value})
        assert value not in caught.value.message
        assert max(map(len, caught.value.message.split("\n"))) < 600
    assert cut(cut(value)) == cut(value)
    assert cut("/deep/" * 100) == "/deep/" * 100, "a path of ordinary names stays whole"

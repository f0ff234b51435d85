"""Sources in whole runs: colour, the codec's prior, and data that changed since the run began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import table
from PIL import Image

from channelsim import run
from channelsim.codecs.linear import Linear, LinearNetwork, cosine_basis
from channelsim.contracts.parts import part
from channelsim.contracts.records import AttemptsDone
from channelsim.runs.estimate import trial
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario, schema
from channelsim.scenario.listing import listing
from channelsim.signal_path import Latents
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.event_plane import simulate
from channelsim.sources import Npz, mnist5k
from channelsim.support.errors import InputError

RNG = np.random.default_rng(11)
COLOUR = {"kind": "linear", "latent_size": 48, "image_shape": [3, 32, 32]}
ONCE = {"kind": "once"}


def colours(file: Path, count: int = 60) -> np.ndarray:
    """An npz of smooth colour pictures, the first two thirds to train on; uint8 [n, 32, 32, 3]."""
    coarse = RNG.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    cut = count * 2 // 3
    np.savez(
        file, train_images=images[:cut], test_images=images[cut:],
        train_labels=np.arange(cut), test_labels=np.arange(count - cut),
    )  # fmt: skip
    return images


def study(source: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {
        "source": {"arrivals": ONCE, **source},
        "receivers": {"plain": {"codec": COLOUR}},
        "metrics": ["mse"],
        "block_rows": 32,
    }
    return base | changes


def attempts(given: dict[str, Any]) -> dict[str, np.ndarray]:
    return table(list(simulate(Scenario.load(given))), AttemptsDone)


# --- colour -------------------------------------------------------------------------------------


def test_colour_images_cross_the_channel_and_lose_what_the_codec_drops(tmp_path):
    images = colours(tmp_path / "a.npz")
    rows = attempts(study({"kind": "npz", "path": str(tmp_path / "a.npz")}))
    assert len(rows["mse_source"]) == 20
    # Without noise the receiver shows the projection onto the basis; what is left is the error.
    flat = torch.from_numpy(images[40:]).permute(0, 3, 1, 2).double().flatten(1) / 255
    basis = cosine_basis((3, 32, 32), 48).flatten(0, 2)
    rest = flat - flat @ basis @ basis.T
    order = np.argsort(rows["attempt"])
    wanted = rest.square().mean(dim=1).numpy()
    assert rows["mse_source"][order].astype(float) == pytest.approx(wanted, rel=1e-4)


def test_power_and_detectors_are_calibrated_on_training_images_only(tmp_path):
    images = colours(tmp_path / "a.npz")
    source = {"kind": "npz", "path": str(tmp_path / "a.npz"), "count": 5}
    paths = calibrate(Scenario.load(study(source)))
    network = Linear(latent_size=48, image_shape=(3, 32, 32)).network
    assert isinstance(network, LinearNetwork)
    train = torch.from_numpy(images[:40]).permute(0, 3, 1, 2).float() / 255
    power = float(network.encode(train).double().square().mean())
    assert paths.report["power"]["0"]["codec"] == pytest.approx(power, rel=1e-6)
    assert paths.report["source"]["calibration_images"] == 40
    mean = train.double().mean(dim=0)
    sent = torch.from_numpy(images[40:45]).permute(0, 3, 1, 2).double() / 255
    assert paths.report["constant_image"]["mse"] == pytest.approx(
        float((sent - mean).square().mean()), rel=1e-5
    )
    assert paths.paths[0].images.dtype == torch.uint8  # a quarter of the memory
    assert len(paths.paths[0].images) == 5  # and only what is sent


def test_a_codec_of_another_shape_is_refused_in_one_sentence(tmp_path):
    colours(tmp_path / "a.npz")
    grey = study(
        {"kind": "npz", "path": str(tmp_path / "a.npz")}, receivers={"plain": {"codec": "linear"}}
    )
    with pytest.raises(
        InputError,
        match=r"takes images of shape \[1, 32, 32\], but the source sends \[3, 32, 32\]",
    ):
        Scenario.load(grey)


@pytest.mark.parametrize(
    ("source", "codec", "remedy"),
    [
        ({"kind": "npz", "path": "a.npz"}, [1, 32, 32], r"give the source pad: \[32, 32\] for"),
        ({"kind": "npz", "path": "a.npz"}, [1, 16, 32], "choose another codec or source"),
        ({"kind": "npz", "path": "a.npz"}, [3, 32, 32], "choose another codec or source"),
        ({"kind": "images", "path": "p"}, [1, 32, 16], r"give the source grey: true, size: \[32, "),
        ({"kind": "images", "path": "p"}, [3, 32, 16], r"give the source size: \[32, 16\]"),
    ],
)
def test_keys_that_make_the_images_fit_the_codec_are_named(
    tmp_path, monkeypatch, source, codec, remedy
):
    monkeypatch.chdir(tmp_path)
    values = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    np.savez("a.npz", x_train=values[:20], x_test=values[20:])
    Path("p").mkdir()
    for number, one in enumerate(values):
        Image.fromarray(one).save(f"p/{number}.png")
    codec = {"kind": "linear", "latent_size": 4, "image_shape": codec}
    with pytest.raises(InputError, match=remedy):
        Scenario.load(study(source, receivers={"plain": {"codec": codec}}))


def test_the_digits_of_an_archive_arrive_with_the_bits_of_the_same_digits_of_mnist5k(tmp_path):
    digits = {split: mnist5k(split) for split in ("train", "test")}
    inside = {
        split: (one.images[:, 0, 2:30, 2:30] * 255).round().byte().numpy()
        for split, one in digits.items()
    }
    np.savez(
        tmp_path / "mnist.npz",
        x_train=inside["train"], y_train=digits["train"].labels.numpy(),
        x_test=inside["test"], y_test=digits["test"].labels.numpy(),
    )  # fmt: skip
    archive = {"kind": "npz", "path": str(tmp_path / "mnist.npz"), "pad": 32, "count": 6}
    shared = {
        "receivers": {"plain": {"codec": "kld-vae"}},
        "metrics": ["mse", "label"],
        "path": [
            {"kind": "pgd", "name": "m", "goal": {"kind": "image", "target": "black"},
             "budget": {"norm": "linf", "epsilon": 0.5}, "steps": 2},
            {"kind": "awgn", "snr_db": 10.0},
        ],
    }  # fmt: skip
    ours = attempts(study(archive, **shared))
    theirs = attempts(study({"kind": "dataset", "count": 6}, **shared))
    for column in ("mse_source", "label_source", "delta_linf", "snr_measured_db"):
        assert np.array_equal(ours[column], theirs[column]), column


# --- data that changed ---

# --- data that changed --------------------------------------------------------------------------


def test_a_run_goes_on_only_with_the_images_it_began_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = colours(Path("a.npz"))
    before = Path("a.npz").read_bytes()
    given = study({"kind": "npz", "path": "a.npz"})
    done = run(given, out="here")
    assert done.header()["calibration"]["source"]["name"] == "a.npz (test)"
    assert len(done.header()["calibration"]["source"]["sha256"]["sent"]) == 64
    assert all(column.agrees for column in replay("here", 3).columns)

    images[45, 0, 0, 0] ^= 1  # one bit of one image that is sent
    np.savez("a.npz", train_images=images[:40], test_images=images[40:])
    with pytest.raises(InputError, match=r"a file it refers to"):
        run(given, out="here", resume=True)
    with pytest.raises(InputError, match=r"put them back to compute it again"):
        replay("here", 3)
    Path("a.npz").write_bytes(before)
    Path("moved").mkdir()
    Path("a.npz").rename("moved/a.npz")  # the same data at another place
    moved = study({"kind": "npz", "path": "moved/a.npz"})
    assert Scenario.load(moved).hash == done.header()["scenario_hash"]


def test_other_training_images_are_another_run_too(tmp_path):
    images = colours(tmp_path / "a.npz")
    source = {"kind": "npz", "path": str(tmp_path / "a.npz")}
    before = Scenario.load(study(source)).hash
    np.savez(tmp_path / "a.npz", train_images=images[1:40], test_images=images[40:],
             train_labels=np.arange(39), test_labels=np.arange(20))  # fmt: skip
    assert Scenario.load(study(source)).hash != before


def test_what_a_folder_sends_does_not_depend_on_where_it_is_or_how_it_was_listed(tmp_path):
    for place in ("one", "two"):
        for number in range(30) if place == "one" else reversed(range(30)):
            file = tmp_path / place / f"c{number % 3}" / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    hashes = {
        Scenario.load(
            study({"kind": "images", "path": str(tmp_path / place), "size": [32, 32]})
        ).hash
        for place in ("one", "two")
    }
    assert len(hashes) == 1


def test_a_relative_path_lies_beside_the_scenario_and_the_trial_reads_what_it_needs(tmp_path):
    colours(tmp_path / "a.npz")
    text = "source: {kind: npz, path: a.npz}\nreceivers: {p: {codec: {kind: linear, "
    text += "latent_size: 48, image_shape: [3, 32, 32]}}}\nblock_rows: 32\n"
    (tmp_path / "s.yaml").write_text(text)
    loaded = Scenario.load(tmp_path / "s.yaml")
    assert loaded.source.messages == 20
    assert trial(loaded, 3).transmissions == 3
    again = Scenario.load(loaded.resolved)
    assert again.hash == loaded.hash


def test_the_data_root_reaches_the_source_and_survives_a_change(tmp_path, monkeypatch):
    monkeypatch.delenv("CHANNELSIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    colours(tmp_path / "cifar10_subset.npz")
    given = study({"kind": "dataset", "name": "cifar10-subset"})
    with pytest.raises(InputError, match=r"source: data set cifar10-subset: .*--data-root"):
        Scenario.load(given)
    loaded = Scenario.load(given, data_root=tmp_path)
    assert loaded.source.messages == 20
    assert Scenario.load(loaded, set={"source.count": 3}).source.messages == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"kind": "npz"}, "source.path: missing; npz needs it"),
        ({"kind": "npz", "path": "no.npz"}, "source: .*no.npz: there is no such file"),
        ({"kind": "images", "path": "no"}, "source: .*no: there is no such folder"),
        ({"kind": "npz", "path": "a.npz", "count": 21}, "count 21 is more than the 20 images"),
        ({"kind": "npz", "path": "a.npz", "layout": "hwc"}, "source.layout: must be nhw, nhwc or"),
        ({"kind": "dataset", "name": "./a.npz"}, r"an archive is \{kind: npz, path: …\}"),
        (
            {"kind": "npz", "path": "a.npz", "pad": 20},
            r"are 32 × 32 pixels, more than pad",
        ),
        ({"kind": "dataset", "size": [64, 64]}, "size is for name: celeba"),
        ({"kind": "prior", "data": {"kind": "npz", "path": "a.npz", "splt": 1}}, "splt: unknown"),
        (
            {"kind": "picures"},
            r"unknown kind 'picures' \(known: dataset, images, npz, signals, prior",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_said_at_its_place(tmp_path, monkeypatch, source, said):
    monkeypatch.chdir(tmp_path)
    colours(tmp_path / "a.npz")
    with pytest.raises(InputError, match=said):
        Scenario.load(study(source))


def test_every_source_is_listed_and_has_a_schema():
    kinds = ("dataset", "images", "npz", "signals", "prior")
    assert [line.split()[0] for line in listing()["sources"] if line[0] != " "] == [*kinds]
    described = schema()["$defs"]["source"]["anyOf"][: len(kinds)]
    assert [one["properties"]["kind"]["const"] for one in described] == [*kinds]


def test_arrivals_do_not_depend_on_what_is_sent(tmp_path):
    colours(tmp_path / "a.npz")
    from_file = Npz(path=tmp_path / "a.npz").arrival_times(7)
    digits = Scenario.load({"source": {"kind": "dataset"}, "receivers": {"p": {"codec": "linear"}}})
    assert np.array_equal(from_file, digits.source.arrival_times(7)[:20])


# --- the prior ----------------------------------------------------------------------------------


@part
class Fitted(Linear):
    """A codec whose card states the distribution of its latents."""

    @property
    def card(self) -> dict[str, Any]:
        return {"prior": "fitted", "latent_mean": [1.0, -2.0], "latent_covariance": COVARIANCE}


COVARIANCE = [[4.0, 1.2], [1.2, 1.0]]


def prior(count: int, **codecs: Any) -> Scenario:
    return Scenario.load(
        {
            "source": {"kind": "prior", "count": count, "arrivals": ONCE},
            "receivers": {name: {"codec": codec} for name, codec in codecs.items()},
            "metrics": ["mse"],
            "path": [{"kind": "awgn", "snr_db": 10.0}],
            "seed": 5,
            "block_rows": 32,
        }
    )


def drawn(scenario: Scenario, arm: int, count: int) -> torch.Tensor:
    """The codewords of an arm, from its source images: the linear codec inverts itself."""
    path = calibrate(scenario).paths[arm]
    return path.transmitter.codec.network.encode(path._source(np.arange(count))).double()


def test_codewords_of_the_prior_are_the_same_standard_normal_draws_for_every_receiver():
    loaded = prior(
        3000,
        few={"kind": "linear", "latent_size": 3},
        many={"kind": "linear", "latent_size": 8, "gains": [2.0] * 8},
    )
    few, many = drawn(loaded, 0, 3000), drawn(loaded, 1, 3000)
    assert torch.allclose(few, many[:, :3], atol=1e-5)
    # Standard errors: 1/√3000 = 0.018 of a mean, 0.026 of a variance.
    assert float(many.mean(dim=0).abs().max()) < 0.08
    assert torch.allclose(torch.cov(many.T), torch.eye(8, dtype=torch.float64), atol=0.11)


def test_a_fitted_prior_has_the_mean_and_covariance_of_the_card():
    loaded = prior(3000, fitted=Fitted(latent_size=2), plain={"kind": "linear", "latent_size": 2})
    fitted, standard = drawn(loaded, 0, 3000), drawn(loaded, 1, 3000)
    covariance = torch.tensor(COVARIANCE, dtype=torch.float64)
    assert torch.allclose(fitted.mean(dim=0), torch.tensor([1.0, -2.0]).double(), atol=0.15)
    assert torch.allclose(torch.cov(fitted.T), covariance, rtol=0.12)
    # Common random numbers: the two are one linear map apart, whose square is the covariance.
    centred = fitted - torch.tensor([1.0, -2.0]).double()
    root = torch.linalg.lstsq(standard, centred).solution
    assert torch.allclose(root @ root, covariance, atol=1e-3)
    assert torch.allclose(root, root.T, atol=1e-4)
    report = calibrate(loaded).report
    assert report["prior"] == {"0": "fitted", "1": "standard normal"}
    assert report["constant_image"] == {}


def test_the_source_image_of_a_drawn_codeword_is_what_the_clean_receiver_makes_of_it():
    rows = table(list(simulate(prior(20, p={"kind": "linear", "latent_size": 4}))), AttemptsDone)
    assert np.array_equal(rows["mse_source"], rows["mse_clean"])
    assert (rows["quality_mse"].astype(float) == 0).all()
    assert (rows["mse_source"].astype(float) > 0).all()


def test_power_is_calibrated_on_the_training_split_although_codewords_are_drawn():
    codec = {"kind": "linear", "latent_size": 4}
    digits = {"source": {"kind": "dataset", "count": 5}, "receivers": {"p": {"codec": codec}}}
    assert (
        calibrate(prior(5, p=codec)).report["power"]
        == calibrate(Scenario.load(digits)).report["power"]
    )


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"prior": "fitted"}, r"does not hold latent_mean \[2\] and latent_covariance \[2, 2\]"),
        (
            {"prior": "fitted", "latent_mean": [0, 0], "latent_covariance": [[1, 2], [2, 1]]},
            "is not a covariance",
        ),
    ],
)
def test_a_card_that_promises_a_fit_must_hold_it(card, said):
    with pytest.raises(ValueError, match=said):
        Latents.of_card(card, 2, torch.device("cpu"))

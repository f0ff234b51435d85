"""Sampled signals [N, C, L]: cut in time, sent in their unit, attacked, kept without rounding."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_ledger import assert_equal_ledgers
from PIL import Image
from rich.console import Console
from scipy.io import wavfile

import channelsim
from channelsim.analysis import short_table
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.sampling import MOST_CHANNELS, MOST_VALUES, Sampling
from channelsim.display.full_summary import print_summary
from channelsim.display.live.frames import Frames
from channelsim.display.live.model import Model
from channelsim.display.live.reader import Reader
from channelsim.display.live.remembered import Details
from channelsim.display.live.screens import help_screen
from channelsim.display.live.style import Theme
from channelsim.ledger import Ledger, thumbnails, waveform
from channelsim.report.curve_charts import gallery
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.sources import SOURCES, Signals
from channelsim.support.errors import InputError

RATE = 100.0
L = 20


def wave(samples: int = 1000, channels: int = 1) -> np.ndarray:
    """A beat of 1.7 Hz with an overtone and a drift, two to three units high, [C, samples]."""
    time = np.arange(samples) / RATE
    beats = np.cos(2 * np.pi * 1.7 * time) + 0.5 * np.cos(2 * np.pi * 3.4 * time + 1.0)
    drift = 0.3 * np.sin(2 * np.pi * 0.05 * time) - 2.0
    return np.stack([(1.0 + 0.4 * one) * beats + drift for one in range(channels)])


def record(folder: Path, channels: int = 1) -> dict[str, Any]:
    np.save(folder / "wave.npy", wave(channels=channels))
    return {
        "kind": "signals", "path": str(folder / "wave.npy"), "rate_hz": RATE, "unit": "mV",
        "samples": L, "arrivals": {"kind": "once"},
    }  # fmt: skip


def pgd(**more: Any) -> dict[str, Any]:
    goal = {"kind": "image", "target": "zero"}
    budget = {"norm": "psr_db", "epsilon": -10.0}
    return {"kind": "pgd", "name": "m", "goal": goal, "budget": budget, "steps": 4} | more


def study(source: dict[str, Any], channels: int = 1, **changes: Any) -> dict[str, Any]:
    codec = {"kind": "linear", "latent_size": 12 * channels, "image_shape": [channels, L]}
    base = {
        "source": source, "seed": 3, "block_rows": 16,
        "receivers": {"plain": {"codec": codec}},
        "path": [pgd(), {"kind": "awgn", "snr_db": 15.0}],
    }  # fmt: skip
    return base | changes


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> channelsim.Run:
    """The study as it stands, over one channel."""
    folder = tmp_path_factory.mktemp("ran")
    return channelsim.run(study(record(folder)), out=folder / "run")


# --- files --------------------------------------------------------------------------------------


def test_a_record_is_cut_in_time_and_no_sample_trains_and_tests(tmp_path):
    np.save(tmp_path / "count.npy", np.arange(1000))
    source = Signals(path=tmp_path / "count.npy", rate_hz=RATE, samples=30, hop=10)
    train, test = (source.load(split).images for split in ("train", "test"))
    assert train.shape == (78, 1, 30)  # 0 … 799, begun every 10 samples
    assert train[:, 0, 0].tolist() == list(range(0, 780, 10))
    assert test[:, 0, 0].tolist() == list(range(800, 971, 10))
    assert not set(train.flatten().tolist()) & set(test.flatten().tolist())
    assert torch.equal(train[5, 0], torch.arange(50.0, 80.0))
    assert "neighbouring messages share samples" in source.notices[0]
    apart = Signals(path=tmp_path / "count.npy", rate_hz=RATE, samples=30)
    assert apart.load("test").images[:, 0, 0].tolist() == [800, 830, 860, 890, 920, 950]
    assert apart.notices == ()


def test_values_are_counts_times_scale_and_files_of_every_kind_give_the_same(tmp_path):
    counts = np.rint(200 * wave(channels=2)).astype(np.int16)
    wanted = (counts[:, 800:820] - 7.0) * 0.005
    np.save(tmp_path / "a.npy", counts)
    np.savez(tmp_path / "a.npz", ecg=counts, notes=np.arange(3))
    wavfile.write(tmp_path / "a.wav", int(RATE), counts.T)
    shared = {"samples": L, "offset": 7.0}
    of_counts = {"scale": 0.005, "rate_hz": RATE}
    for name, keys in (
        ("a.npy", of_counts),
        ("a.npz", of_counts | {"array": "ecg"}),
        # Of full scale: a count of a .wav file of 16 bits is 1 / 32,768.
        ("a.wav", {"scale": 0.005 * 32768, "offset": 7.0 / 32768}),
    ):
        source = Signals(path=tmp_path / name, **shared | keys)
        assert source.image_shape == (2, L)
        assert source.load().images[0].numpy() == pytest.approx(wanted, abs=1e-6)
        assert source.sampling.rate_hz == RATE


def test_segments_that_a_file_holds_are_sent_as_they_are_with_their_labels(tmp_path):
    given = np.random.default_rng(1).normal(size=(9, 2, L)).astype(np.float32)
    np.savez(
        tmp_path / "s.npz", train_signals=given[:6], test_signals=given[6:],
        train_labels=np.arange(6)[:, None], test_labels=np.arange(3),
    )  # fmt: skip
    source = Signals(path=tmp_path / "s.npz", rate_hz=RATE)
    assert torch.equal(source.load("test").images, torch.from_numpy(given[6:]))
    assert source.load("train").labels.tolist() == list(range(6))
    with pytest.raises(InputError, match="samples and hop cut nothing"):
        _ = Signals(path=tmp_path / "s.npz", rate_hz=RATE, samples=5)


@pytest.mark.parametrize("other", ["labels", "y_train", "record", "rate_hz", "x_train"])
def test_further_arrays_beside_segments_are_not_read(tmp_path: Path, other: str) -> None:
    given = np.random.default_rng(1).normal(size=(9, 1, L)).astype(np.float32)
    further = {other: np.zeros((6, 2), int)}
    np.savez(
        tmp_path / "s.npz", train_signals=given[:6], test_signals=given[6:],
        train_labels=np.arange(6), test_labels=np.arange(3), **further,
    )  # fmt: skip
    source = Signals(path=tmp_path / "s.npz", rate_hz=RATE)
    assert torch.equal(source.load("test").images, torch.from_numpy(given[6:]))
    assert source.load("test").labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(1, 6), (3, 2), (6, 1, 1)])
def test_labels_of_segments_are_one_for_each(tmp_path: Path, shape: tuple[int, ...]) -> None:
    given = np.zeros((6, 1, L), np.float32)
    labels = np.zeros(shape, int)
    np.savez(tmp_path / "s.npz", train_signals=given, test_signals=given, train_labels=labels)
    with pytest.raises(InputError, match="train_labels must be 6 integers, one for each segment"):
        _ = Signals(path=tmp_path / "s.npz", rate_hz=RATE)


def junk(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def saved(file: Path, array: Any) -> Path:
    np.save(file, array)
    return file


# A RIFF header that promises 2 GiB of samples and holds eight bytes.
LYING_WAV = (
    b"RIFF" + struct.pack("<I", 2**31) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 100, 200,
    2, 16) + b"data" + struct.pack("<I", 2**31 - 40) + bytes(8)
)  # fmt: skip


@pytest.mark.parametrize(
    ("make", "keys", "said"),
    [
        (lambda f: f / "no.npy", {}, "there is no such file"),
        (lambda f: junk(f / "a.csv", b"1,2"), {}, r"are read from .wav, .npy, .npz, not from"),
        (lambda f: junk(f / "a.wav", b"RIFF and no more"), {}, "not a readable .wav file"),
        (lambda f: junk(f / "a.wav", LYING_WAV), {"rate_hz": None}, r"a.wav: .*(wav|shorter)"),
        (lambda f: junk(f / "a.npy", b"no array"), {}, "not a plain .npy array"),
        (lambda f: saved(f / "a.npy", np.array([{}, {}])), {}, "pickles are never opened"),
        (lambda f: saved(f / "a.npy", wave()), {"rate_hz": None}, "rate_hz is missing"),
        (lambda f: saved(f / "a.npy", wave()), {"samples": None}, "samples is missing"),
        (lambda f: saved(f / "a.npy", wave()), {"samples": 300}, "200 to test with, .*shorter"),
        (lambda f: saved(f / "a.npy", wave().T), {}, r"shape \[1000, 1\]; allowed: \[samples\]"),
        (lambda f: saved(f / "a.npy", wave() * np.nan), {}, "NaN or infinite"),
        (lambda f: saved(f / "a.npy", wave() > 0), {}, "of type bool; allowed: integers and"),
        (lambda f: saved(f / "a.npy", wave()), {"array": "x"}, "array is for .npz files"),
        (lambda f: saved(f / "a.npy", wave()), {"scale": 0.0}, "scale 0 makes every value 0"),
        (lambda f: saved(f / "a.npy", wave()), {"unit": "m\x1bV"}, "printable characters"),
        (lambda f: saved(f / "a.npy", wave()), {"count": 11}, "count 11 is more than the 10"),
    ],
)
def test_what_is_wrong_with_a_record_is_said_in_one_sentence(tmp_path, make, keys, said):
    source = {"kind": "signals", "path": str(make(tmp_path)), "rate_hz": RATE, "samples": L}
    with pytest.raises(InputError, match=said):
        Scenario.load(study(source | keys))


def test_an_archive_of_several_records_asks_which(tmp_path):
    np.savez(tmp_path / "a.npz", ecg=wave()[0], ppg=wave()[0])
    source = {"kind": "signals", "path": str(tmp_path / "a.npz"), "rate_hz": RATE, "samples": L}
    with pytest.raises(InputError, match="holds ecg, ppg; say with array which"):
        Scenario.load(study(source))
    with pytest.raises(InputError, match=r"Did you mean ecg\?"):
        Scenario.load(study(source | {"array": "ecq"}))


def test_a_wav_file_knows_its_own_rate(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(800, np.float32))
    with pytest.raises(InputError, match="its samples are 8000 a second and rate_hz says 100"):
        _ = Signals(path=tmp_path / "a.wav", samples=L, rate_hz=100.0)


# --- runs ---------------------------------------------------------------------------------------


def test_signals_arrive_in_their_unit_and_lose_what_the_codec_drops(tmp_path):
    run = channelsim.run(study(record(tmp_path), path=[]), out=tmp_path / "run")
    sent = torch.from_numpy(wave()[:, 800:].reshape(10, L))
    time = torch.arange(L, dtype=torch.float64)[:, None] + 0.5
    basis = torch.cos(torch.pi * time * torch.arange(12)[None] / L)  # DCT-II, lowest frequencies
    basis = basis / basis.norm(dim=0)
    lost = (sent - sent @ basis @ basis.T).square()
    table = run.frame().sort_values("message")
    wanted = lost.mean(dim=1).numpy()
    assert table["mse_source"].to_numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-9)  # mV²
    power = sent.square().mean(dim=1).numpy()
    snr = 10 * np.log10(power / wanted)
    assert table["snr_source"].to_numpy() == pytest.approx(snr, abs=1e-2)
    assert "spectral_error_source" in table  # measured by default, psnr and ssim are not
    assert "psnr_source" not in table
    assert run.header()["sampling"]["unit"] == "mV"


def test_the_summary_speaks_of_signals_and_their_unit(ran):
    text = str(ran.summary())
    assert "mse [mV²] against the source" in text
    assert "mean signal, always" in text
    assert "m wants zero everywhere" in text


def told(folder: Path, stages: list[dict[str, Any]]) -> str:
    """All that summaries and live view say of a run in which signals are sent repeatedly."""
    goal = {"kind": "image", "target": "message"}
    linear = {"kind": "linear", "image_shape": [1, L]}
    given = study(
        record(folder) | {"count": 24, "repeat": True},
        path=[pgd(goal=goal), *stages, {"kind": "awgn", "snr_db": 15.0}],
        receivers={f"k{size}": {"codec": linear | {"latent_size": size}} for size in (4, 12)},
        sweep={"awgn.snr_db": [-40, 15]}, images=0,
    )  # fmt: skip
    run = channelsim.run(given, out=folder / f"run{len(stages)}")
    summary, text = run.summary(), io.StringIO()
    page = Console(file=text, width=300)
    page.print(str(summary))
    print_summary(page, summary)
    for against in short_table.AGAINST:
        page.print(*short_table.table(summary, "mse", against))
    frames = Frames(Theme(colour=False))
    model = Model(Reader(run.folder / "ledger.sqlite"))
    while model.tick(1.0):
        pass
    model.select_first()
    frames.show(model)
    for lines in (frames.keys(100, 1), frames.detail(60, 30), frames.warnings(300, 9)):
        page.print(*lines)
    page.print(help_screen(owned=False, noun=frames.noun)._text)
    return " ".join(text.getvalue().split())


def test_no_sentence_about_a_run_of_signals_speaks_of_images(tmp_path):
    fading = {"kind": "fading", "coherence_s": 0.004}
    said = f"{told(tmp_path, [])} {told(tmp_path, [fading])}"
    for phrase in (
        "24 messages of 10 different signals",
        "With only 10 signals the intervals are too narrow",
        "none is surely better than always showing the mean signal",
        "worse for the user than always showing the data set's mean signal",
        "worse for the user so far than always showing the data set's mean signal",
        "m wants another message's signal",
        "before the encoder, against the signal",
        "Signals are sent repeatedly",
        "the undisturbed signal",
        "the signal after the channel alone",
        "i signals",
        "i recompute its signals",
        "press i to recompute its signals",
        "against the source signal",
    ):
        assert phrase in said
    assert "image" not in said.lower()


def test_no_error_about_signals_speaks_of_images(tmp_path):
    source = record(tmp_path)
    with pytest.raises(InputError, match="more than the 10 signals of the test split"):
        Scenario.load(study(source | {"count": 11}))
    with pytest.raises(InputError, match=r"takes images of shape .*, but the source sends"):
        Scenario.load(study(source, receivers={"plain": {"codec": "kld-vae"}}))
    long = {"kind": "linear", "latent_size": 4, "image_shape": [1, 2 * L]}
    with pytest.raises(InputError, match=r"takes signals of shape .*, but the source sends"):
        Scenario.load(study(source, receivers={"plain": {"codec": long}}))


def test_an_attack_flattens_the_signal_and_does_more_than_equal_noise(ran):
    table = ran.frame()
    assert (table["verdict"] == "ok").all()
    # A step that overshoots zero leaves some of the budget unused.
    assert table["psr_db"].to_numpy() == pytest.approx(-10.0, abs=1.5)
    assert (table["mse_target"] < 0.9 * table["control_mse_target"]).all()
    assert table["snr_target"].isna().all()  # the target has no power


def test_a_linear_codec_meets_the_closed_form_of_the_strongest_attack(tmp_path):
    """Towards zero, in L2, the best δ is −ε·z/‖z‖: the energy falls from ‖z‖² to (‖z‖ − ε)²."""
    attack = pgd(budget={"norm": "l2", "epsilon": 2.0}, steps=40)
    table = channelsim.run(
        study(record(tmp_path), path=[attack], metrics=["mse"]), out=tmp_path / "run"
    ).frame()
    energy = L * table["passive_mse_target"].to_numpy()
    left = (np.sqrt(energy) - 2.0) ** 2 / L
    assert table["mse_target"].to_numpy() == pytest.approx(left, rel=1e-3)


def test_detectors_noise_resending_and_universal_attacks_work_on_two_channels(tmp_path):
    given = study(
        record(tmp_path, 2), 2,
        path=[
            {"kind": "universal", "name": "u", "goal": {"kind": "damage"},
             "budget": {"norm": "psr_db", "epsilon": -5.0}, "steps": 3},
            {"kind": "awgn", "snr_db": 15.0},
        ],
        link={"max_attempts": 2},
    )  # fmt: skip
    given["receivers"]["plain"] |= {"detector": {"kind": "latent-density"}, "fallback": "mean"}
    run = channelsim.run(given, out=tmp_path / "run")
    assert len(run.frame()) == 10
    assert run.frame()["mse_source"].notna().all()


def test_an_attack_before_the_encoder_is_bounded_by_its_budget_alone(tmp_path):
    jam = {"kind": "noise", "name": "j", "law": "signs", "access": {"place": "before_encoder"},
           "budget": {"norm": "linf", "epsilon": 0.5}}  # fmt: skip
    run = channelsim.run(study(record(tmp_path), path=[jam]), out=tmp_path / "run")
    assert run.header()["image_shape"] == [1, L]
    table = run.frame()  # samples lie around −2: bounds of an image would have clipped them
    assert table["delta_linf"].to_numpy() == pytest.approx(0.5, abs=1e-6)
    assert table["delta_l2"].to_numpy() == pytest.approx(0.5 * L**0.5, rel=1e-5)


@pytest.mark.parametrize("target", ["black", "white", "inverse", "random"])
def test_targets_of_images_are_refused_by_name(tmp_path, target):
    goal = {"kind": "image", "target": target}
    with pytest.raises(InputError, match=f"target {target} is an image's.*use zero, message or fi"):
        Scenario.load(study(record(tmp_path), path=[pgd(goal=goal)]))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_signal_of_a_file_may_be_the_target(tmp_path, channels):
    wanted = np.linspace(-2.5, 3.0, channels * L, dtype=np.float32).reshape(channels, L)
    np.save(tmp_path / "wanted.npy", wanted if channels > 1 else wanted[0])
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "wanted.npy")}
    given = study(record(tmp_path, channels), channels, path=[pgd(goal=goal)], metrics=["mse"])
    run = channelsim.run(given, out=tmp_path / "run")
    table = run.frame()
    assert (table["mse_target"] < table["passive_mse_target"]).all()
    sent = wave(channels=channels)[:, 800 : 800 + L]  # the codec shows nearly what was sent
    assert table["passive_mse_target"][0] == pytest.approx(((sent - wanted) ** 2).mean(), rel=0.1)


@pytest.mark.parametrize(
    ("array", "said"),
    [(np.zeros((2, L), np.uint8), "uint8 of shape .* is no signal; allowed: a .npy file with flo"),
     (np.zeros((1, L, 1)), "is no signal"), (np.full((2, L), np.nan), "values that are NaN or inf"),
     (np.full(L, -np.inf), "values that are NaN"), (np.full((2, L), 1e300), "NaN or infinite"),
     (np.zeros((L, 2)), r"signal has shape \[20, 2\], .*; give a signal of shape \[2, 20\]")],
)  # fmt: skip
def test_what_is_no_signal_of_the_codec_is_no_target(tmp_path, array, said):
    np.save(tmp_path / "wanted.npy", array)
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "wanted.npy")}
    with pytest.raises(InputError, match=rf"wanted\.npy: .*{said}"):
        Scenario.load(study(record(tmp_path, 2), 2, path=[pgd(goal=goal)], metrics=["mse"]))


@pytest.mark.parametrize("metric", ["psnr", "ssim", "ms_ssim", "dfd", "rfd", "label"])
def test_metrics_of_images_are_refused_by_name_and_so_are_their_losses(tmp_path, metric):
    with pytest.raises(InputError, match=f"metric {metric}: compares images, .*use mse, snr or sp"):
        Scenario.load(study(record(tmp_path), metrics=["mse", metric]))
    if metric in ("ssim", "dfd", "rfd"):
        goal = {"kind": "damage", "loss": metric}
        with pytest.raises(InputError, match=f"loss {metric}: compares images, .*use mse"):
            Scenario.load(study(record(tmp_path), path=[pgd(goal=goal)]))


def test_a_codec_of_another_length_is_refused(tmp_path):
    given = study(record(tmp_path))
    given["receivers"] = {"plain": {"codec": "kld-vae"}}
    with pytest.raises(InputError, match=r"\[1, 32, 32\], but the source sends \[1, 20\]"):
        Scenario.load(given)


def test_codewords_of_a_prior_have_no_signals_to_be_calibrated_with(tmp_path):
    source = {"kind": "prior", "count": 4, "data": record(tmp_path)}
    with pytest.raises(InputError, match=r"source\.data: unknown kind 'signals' \(known: data"):
        Scenario.load(study(source))


def test_interrupted_replayed_and_computed_by_workers_it_is_the_same_to_the_bit(tmp_path):
    given = study(record(tmp_path), sweep={"m.budget.epsilon": [-20, -10]})
    whole = channelsim.run(given, out=tmp_path / "whole")
    channelsim.run(given, out=tmp_path / "worked", workers=1)
    assert_equal_ledgers(whole.folder, tmp_path / "worked")
    again = replay(whole.folder, 7)
    assert again.exact
    assert not again.flips


# --- what is kept, and pictures -----------------------------------------------------------------


def test_the_ledger_keeps_signals_without_rounding(ran):
    with Ledger.open(ran.folder / "ledger.sqlite") as ledger:
        rows = ledger.rows("SELECT png FROM image WHERE transmission = 3 AND role = 'source'")
        ((stored,),) = rows
    wanted = wave()[:, 860:880].astype(np.float32)
    assert np.array_equal(waveform.signal_of(stored, (1, L)), wanted)


@pytest.mark.parametrize(
    "changed",
    [{"rate_hz": 0}, {"rate_hz": "x"}, {"low": 2.0, "high": 1.0}, {"high": 1e300}, {"low": None},
     {"low": float("nan")}, {"rate_hz": True}],
)  # fmt: skip
def test_a_header_with_no_sense_in_it_shows_nothing_and_breaks_nothing(changed):
    kept = of_range(low=-1.0, high=1.0).as_dict | changed
    assert Sampling.kept(kept) is None
    assert Sampling.kept(of_range(-1.0, 1.0).as_dict | {"unit": "m\x1b[31mV"}).unit == ""


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [([MOST_CHANNELS, 4], True), ([MOST_CHANNELS + 1, 4], False), ([2**18, 4], False),
     ([1, MOST_VALUES], True), ([1, MOST_VALUES + 1], False)],
)  # fmt: skip
def test_a_header_cannot_ask_for_more_channels_or_values_than_a_source_may_send(shape, drawn):
    sampling = of_range(-1.0, 1.0).as_dict
    header = RunHeader({"image_shape": shape, "sampling": sampling})
    stored = bytes(4 * shape[0] * shape[1])
    assert (thumbnails.picture(stored, header) is not None) == drawn


@pytest.mark.parametrize("values", [3e38, -3e38, 1e-45])
def test_enormous_values_are_drawn_at_the_edge(values):
    signal = np.full((1, L), values, np.float32)
    for high in (0.0, 5e-324, 1.0, 1e29):
        assert waveform.drawn(signal, of_range(0.0, high)).shape == (64, L, 3)


@pytest.mark.parametrize("stored", [None, "text", b"", bytes(79), bytes(81), b"\xff" * 80])
def test_what_is_no_signal_of_the_run_is_not_drawn(stored):
    assert waveform.signal_of(stored, (1, L)) is None


def test_a_drawn_signal_has_its_line_where_its_values_are():
    sampling = of_range(low=-1.0, high=1.0)
    ramp = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    picture = waveform.drawn(ramp, sampling)
    ink = (picture != picture[0, -20]).any(axis=2)
    height = len(picture) - 1
    top = [int(np.flatnonzero((picture[:, column] == waveform._INKS[0]).all(axis=1)).min())
           for column in (0, 32, 63)]  # fmt: skip
    assert ink.any()
    assert top == pytest.approx([height, height * (63 - 32) / 63, 0], abs=1.5)
    beyond = waveform.drawn(np.full((1, 64), 9.0, np.float32), sampling)
    assert (beyond[0] == waveform._INKS[0]).all()


def of_range(low: float, high: float) -> Sampling:
    return Sampling(rate_hz=RATE, unit="mV", low=low, high=high)


def test_gallery_replay_and_live_view_show_waveforms(ran, tmp_path):
    with Ledger.open(ran.folder / "ledger.sqlite") as ledger:
        assert gallery(ledger, tmp_path / "gallery.png")
    drawn = np.asarray(Image.open(tmp_path / "gallery.png").convert("RGB"))
    assert (drawn == waveform._INKS[0]).all(axis=2).any()
    pictures = replay(ran.folder, 2).pictures()
    assert set(pictures) == {"source", "clean", "passive", "received"}
    assert all(one.shape == (64, L, 3) and one.dtype == np.uint8 for one in pictures.values())
    model = Model(Reader(ran.folder / "ledger.sqlite"))
    shown = Details(model).images(2)
    assert np.array_equal(shown["source"], pictures["source"])
    assert np.array_equal(shown["received"], pictures["received"])


# --- on tensors ---------------------------------------------------------------------------------


class Halves(torch.nn.Module):
    """Means of neighbours, and each of them twice: blind to what is between."""

    def encode(self, signals: torch.Tensor) -> torch.Tensor:
        return signals.unflatten(2, (-1, 2)).mean(dim=3).flatten(1)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return latent[:, None].repeat_interleave(2, dim=2)


def test_signals_in_memory_are_attacked_with_the_bits_of_a_run(ran, tmp_path):
    source = record(tmp_path)
    keys = {key: source[key] for key in ("rate_hz", "samples", "unit")}
    signals = channelsim.signals(source["path"], **keys)
    assert signals.shape == (10, 1, L)
    few = channelsim.signals(source["path"], 4, split="train", **keys)
    assert torch.equal(few[:, 0].flatten(), torch.from_numpy(wave()[0, : 4 * L]).float())
    mallory = channelsim.PGD(
        name="m", goal=channelsim.TargetImage(target="zero"), steps=4,
        budget=channelsim.Budget(norm="psr_db", epsilon=-10.0),
    )  # fmt: skip
    training = channelsim.signals(source["path"], split="train", **keys)
    codec = channelsim.Linear(latent_size=12, image_shape=(1, L))
    found = channelsim.attack(
        codec, signals, mallory, path=[channelsim.AWGN(snr_db=15.0)], metrics=["mse", "snr"],
        seed=3, training=training,
    )  # fmt: skip
    assert found.received.shape == (10, 1, L)
    of_run = ran.frame().sort_values("message")["mse_source"].to_numpy()
    assert np.array_equal(found.metric("mse").numpy(), of_run)


def test_a_module_of_ones_own_takes_signals():
    signals = torch.from_numpy(wave()[0].reshape(-1, 1, L)).float()
    mallory = channelsim.PGD(
        goal=channelsim.Damage(), budget=channelsim.Budget(norm="linf", epsilon=0.3)
    )
    found = channelsim.attack(Halves(), signals, mallory, metrics=["mse", "spectral_error"])
    # Every value changes by ±ε, and each is shown twice.
    assert found.metric("mse", against="clean").numpy() == pytest.approx(0.09, rel=1e-5)
    with pytest.raises(InputError, match="metric ssim: compares images"):
        channelsim.attack(Halves(), signals, mallory, metrics=["ssim"])
    with pytest.raises(InputError, match="NaN or infinite"):
        channelsim.transmit(Halves(), signals * torch.nan)
    with pytest.raises(InputError, match=r"\[N, C, H, W\], or \[N, C, L\] of signals, was given"):
        channelsim.transmit(Halves(), signals[0])


def test_signals_are_a_kind_of_source_like_others():
    assert SOURCES["signals"] is Signals

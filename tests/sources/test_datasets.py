"""Readers of data sets: official formats, wrong files, and splits without a common image."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from channelsim import sources
from channelsim.sources import celeba, cifar, collection, idx, image_folder, npz, training_sets
from channelsim.support.errors import InputError

RNG = np.random.default_rng(5)


def write_idx(base: Path, stem: str, pixels: np.ndarray, labels: np.ndarray, gz: bool) -> None:
    base.mkdir(parents=True, exist_ok=True)
    images = np.array([2051, len(pixels), 28, 28], dtype=">i4").tobytes() + pixels.tobytes()
    classes = np.array([2049, len(labels)], dtype=">i4").tobytes() + labels.tobytes()
    for name, data in (
        (f"{stem}-images-idx3-ubyte", images),
        (f"{stem}-labels-idx1-ubyte", classes),
    ):
        file = base / (name + ".gz" * gz)
        file.write_bytes(gzip.compress(data) if gz else data)


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return pixels, RNG.integers(0, 10, count, dtype=np.uint8)


# --- MNIST and Fashion-MNIST --------------------------------------------------------------------


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
    ],
)
def test_idx_files_are_read_in_torchvisions_layout(tmp_path, name, where, gz):
    (train, train_labels), (test, test_labels) = digits(7), digits(4)
    write_idx(tmp_path / where, "train", train, train_labels, gz)
    write_idx(tmp_path / where, "t10k", test, test_labels, gz)
    found = {"mnist": idx.mnist, "fashion-mnist": idx.fashion_mnist}[name](tmp_path)
    for split, pixels, labels in (
        (found.train, train, train_labels),
        (found.test, test, test_labels),
    ):
        images = split.read(np.arange(len(pixels)))
        assert images.dtype == torch.uint8
        assert torch.equal(images[:, 0, 2:30, 2:30], torch.from_numpy(pixels))
        assert split.labels.tolist() == labels.tolist()
        assert int(images.sum()) == int(pixels.sum())  # the margin is black


def test_mnist_trains_on_no_test_image_of_mnist5k_nor_on_its_own(tmp_path):
    known, known_labels = sources.mnist5k_pixels()
    embedded = known[-3:]  # of each class the last 100 rows are test images
    (train, labels), (test, test_labels) = digits(6), digits(2)
    mixed = np.concatenate([train[:3], embedded, test[:1], train[3:]])
    its = np.concatenate(
        [labels[:3], known_labels[-3:].astype(np.uint8), test_labels[:1], labels[3:]]
    )
    write_idx(tmp_path / "MNIST" / "raw", "train", mixed, its, True)
    write_idx(tmp_path / "MNIST" / "raw", "t10k", test, test_labels, True)
    found = idx.mnist(tmp_path)
    images = found.train.read(np.arange(len(found.train)))
    assert torch.equal(images[:, 0, 2:30, 2:30], torch.from_numpy(train))
    assert found.train.labels.tolist() == labels.tolist()
    assert len(found.test) == 2


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-1], lambda d: d + b"0", lambda d: d[:10], lambda d: b"\0" * 16 + d[16:]],
)
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, damage):
    write_idx(tmp_path / "FashionMNIST" / "raw", "t10k", *digits(3), False)
    file = tmp_path / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="t10k-images-idx3-ubyte: not a complete IDX file"):
        _ = idx.fashion_mnist(tmp_path).test


# --- CIFAR-10 -----------------------------------------------------------------------------------


def records(count: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    images = RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = RNG.integers(0, 10, count, dtype=np.uint8)
    rows = [bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True)]
    return b"".join(rows), images, labels


def write_cifar(base: Path, packed: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    files = {name: records(3 if "data" in name else 4) for name in names}
    inside = base / "cifar-10-batches-bin"
    inside.mkdir(parents=True)
    for name, (data, _, _) in files.items():
        (inside / name).write_bytes(data)
    if packed:
        with tarfile.open(base / cifar.ARCHIVE, "w:gz") as tar:
            tar.add(inside, arcname="cifar-10-batches-bin")
        for name in names:
            (inside / name).unlink()
        inside.rmdir()
    images = {
        "train": np.concatenate([files[name][1] for name in names[:5]]),
        "test": files["test_batch.bin"][1],
    }
    labels = {
        "train": np.concatenate([files[name][2] for name in names[:5]]),
        "test": files["test_batch.bin"][2],
    }
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["", "cifar10"])
def test_cifar10_is_read_from_its_binary_version_plane_by_plane(tmp_path, packed, where):
    images, labels = write_cifar(tmp_path / where, packed)
    found = cifar.cifar10(tmp_path)
    for split in ("train", "test"):
        part = found.split(split)
        assert torch.equal(part.read(np.arange(len(part))), torch.from_numpy(images[split]))
        assert part.labels.tolist() == labels[split].tolist()


def test_pickled_cifar10_is_never_opened(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(InputError, match=r"pickles, which are never opened.*download cifar10"):
        _ = cifar.cifar10(tmp_path).test


def test_truncated_cifar10_is_refused(tmp_path):
    write_cifar(tmp_path, packed=False)
    file = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"test_batch.bin: not complete records"):
        _ = cifar.cifar10(tmp_path).test
    write_cifar(tmp_path / "cifar10", packed=True)
    archive = tmp_path / "cifar10" / cifar.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:3000])
    file.unlink()
    with pytest.raises(InputError, match=r"not the complete archive of CIFAR-10's binary version"):
        _ = cifar.cifar10(tmp_path).test


@pytest.mark.parametrize("packed", [False, True])
def test_more_records_than_cifar10_has_are_refused(tmp_path, monkeypatch, packed):
    write_cifar(tmp_path, packed)
    monkeypatch.setattr(cifar, "_MOST_BYTES", 3 * 3073)  # test_batch.bin has four records
    found = cifar.cifar10(tmp_path)
    assert len(found.load("train")) == 15
    with pytest.raises(InputError, match=r"more.*fetch it again"):
        found.load("test")


def test_a_small_gz_that_unpacks_to_more_than_the_format_has_is_not_unpacked(tmp_path):
    file = tmp_path / "mnist" / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    most = 16 + 60_000 * 28 * 28
    file.write_bytes(gzip.compress(bytes(most + 50_000_000), 1))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"ubyte.gz: holds more than the 47,040,016 bytes"):
        _ = idx.mnist(tmp_path).test
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * most + 10_000_000


# --- CelebA -------------------------------------------------------------------------------------


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (178, 218)) -> bytes:
    picture = Image.new("RGB", size, (255, 255, 255))
    left, top = (size[0] - 148) // 2, (size[1] - 148) // 2
    picture.paste(colour, (left, top, left + 148, top + 148))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=100)
    return buffer.getvalue()


def write_celeba(root: Path, packed: bool) -> None:
    base = root / "celeba"
    base.mkdir()
    faces = {"000001.jpg": 0, "000002.jpg": 1, "000003.jpg": 2, "000004.jpg": 0}
    lines = "".join(f"{name} {code}\n" for name, code in faces.items())
    (base / "list_eval_partition.txt").write_text(lines)
    with zipfile.ZipFile(base / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(faces):
            archive.writestr(f"img_align_celeba/{name}", jpeg((40 * number, 100, 200)))
        if not packed:
            archive.extractall(base)
    if not packed:
        (base / "img_align_celeba.zip").unlink()


@pytest.mark.parametrize("packed", [False, True])
def test_celeba_follows_the_official_partition_and_shows_the_centre_of_the_picture(
    tmp_path, packed
):
    write_celeba(tmp_path, packed)
    found = celeba.celeba(tmp_path)
    assert (len(found.train), len(found.test)) == (2, 1)
    assert found.test.image_shape == (3, 64, 64)
    faces = found.train.read(np.arange(2)).double().mean(dim=(2, 3))
    assert torch.allclose(faces, torch.tensor([[0.0, 100, 200], [120, 100, 200]]).double(), atol=4)
    assert celeba.celeba(tmp_path, (32, 48)).test.read(np.arange(1)).shape == (1, 3, 32, 48)


def test_celeba_reads_only_what_is_asked_for(tmp_path):
    write_celeba(tmp_path, packed=False)
    (tmp_path / "celeba" / "img_align_celeba" / "000004.jpg").unlink()
    found = sources.Dataset(name="celeba", split="train", count=1, **root(tmp_path))
    assert found.sent().images.shape == (1, 3, 64, 64)
    with pytest.raises(InputError, match=r"000004.jpg: not a readable picture"):
        found.load("train")


USERS_ROOT = os.environ.get("CHANNELSIM_DATA")  # before any test names another


def root(folder: Path) -> dict[str, str]:
    """The data root by its variable: from Python there is no scenario to carry it."""
    os.environ["CHANNELSIM_DATA"] = str(folder)
    return {}


@pytest.fixture(autouse=True)
def _no_root_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("CHANNELSIM_DATA", str(tmp_path))


def test_a_missing_celeba_says_where_a_person_gets_it(tmp_path):
    with pytest.raises(InputError, match=r"mmlab.*img_align_celeba.zip and list_eval_partition"):
        celeba.celeba(tmp_path)
    (tmp_path / "celeba").mkdir()
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("../../etc/passwd 0\n")
    with pytest.raises(InputError, match=r"list_eval_partition.txt:1 .* is not `000001.jpg 0`"):
        celeba.celeba(tmp_path)


def damaged(data: bytearray) -> None:
    start = data.index(b"000003.jpg") + 10
    data[start : start + 200] = b"\xff" * 200


def encrypted(data: bytearray) -> None:
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for at in [n for n in range(len(data)) if data.startswith(mark, n)]:
            data[at + flags] |= 1


def unknown(data: bytearray) -> None:
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        for at in [n for n in range(len(data)) if data.startswith(mark, n)]:
            data[at + method] = 97


@pytest.mark.parametrize(
    ("harm", "said"),
    [(damaged, "while decompressing"), (encrypted, "is encrypted"), (unknown, "compression")],
)
def test_a_damaged_zip_of_celeba_is_said_in_one_sentence(tmp_path, harm, said):
    write_celeba(tmp_path, packed=False)
    base = tmp_path / "celeba"
    with zipfile.ZipFile(base / "img_align_celeba.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((base / "img_align_celeba").iterdir()):
            archive.write(file, f"img_align_celeba/{file.name}")
            file.unlink()
    (base / "img_align_celeba").rmdir()
    data = bytearray((base / "img_align_celeba.zip").read_bytes())
    harm(data)
    (base / "img_align_celeba.zip").write_bytes(data)
    with pytest.raises(InputError, match=rf"img_align_celeba.zip: is damaged .*{said}"):
        celeba.celeba(tmp_path).test.read(np.arange(1))


# --- image folders ------------------------------------------------------------------------------


def write_faces(base: Path, people: int = 4, each: int = 10) -> np.ndarray:
    pixels = RNG.integers(0, 256, (people, each, 24, 16), dtype=np.uint8)
    for person in range(people):
        (base / f"s{person}").mkdir(parents=True, exist_ok=True)
        for number in range(each):
            Image.fromarray(pixels[person, number]).save(base / f"s{person}" / f"{number}.pgm")
    return pixels


def everything(found: collection.Collection) -> list[str]:
    return sorted(
        one
        for split in (found.train, found.test)
        for one in collection.image_hashes(split.read(np.arange(len(split))))
    )


def test_a_folder_of_pictures_is_split_by_content_with_sub_folders_as_classes(tmp_path):
    pixels = write_faces(tmp_path / "faces")
    (tmp_path / "faces" / "README").write_text("Credit: us.")
    (tmp_path / "faces" / ".DS_Store").write_bytes(b"x")
    found = image_folder.image_folder(tmp_path / "faces", grey=True)
    flat = torch.from_numpy(pixels.reshape(-1, 1, 24, 16))
    assert everything(found) == sorted(collection.image_hashes(flat))
    for split in (found.train, found.test):
        for image, label in zip(split.read(np.arange(len(split))), split.labels, strict=True):
            assert any(torch.equal(image[0], torch.from_numpy(one)) for one in pixels[label])


def test_copies_of_a_picture_are_on_one_side_whatever_their_file_format(tmp_path):
    write_faces(tmp_path / "faces")
    for file in sorted((tmp_path / "faces" / "s0").iterdir()):
        Image.open(file).save(tmp_path / "faces" / "s3" / f"copy{file.stem}.png")
    found = image_folder.image_folder(tmp_path / "faces", grey=True)
    hashes = [
        set(collection.image_hashes(split.read(np.arange(len(split)))))
        for split in (found.train, found.test)
    ]
    assert not hashes[0] & hashes[1]
    assert len(found.train) + len(found.test) == 50 > len(hashes[0] | hashes[1])


def test_the_split_of_a_picture_depends_on_nothing_but_itself_and_the_share(tmp_path):
    write_faces(tmp_path / "faces", people=3)
    before = image_folder.image_folder(tmp_path / "faces", grey=True)
    tested = set(collection.image_hashes(before.test.read(np.arange(len(before.test)))))
    write_faces(tmp_path / "faces" / "s0" / "more", people=2)
    after = image_folder.image_folder(tmp_path / "faces", grey=True)
    assert tested <= set(collection.image_hashes(after.test.read(np.arange(len(after.test)))))
    shares = [collection.is_test(f"{n:064x}", 0.25) for n in range(0, 2**256, 2**256 // 1000)]
    assert sum(shares) == pytest.approx(250, abs=1)


def test_a_folder_too_large_to_keep_is_decoded_again_and_gives_the_same(tmp_path, monkeypatch):
    write_faces(tmp_path / "faces")
    kept = image_folder.image_folder(tmp_path / "faces", size=(16, 16))
    monkeypatch.setattr(image_folder, "KEPT_BYTES", 100)
    again = image_folder.image_folder(tmp_path / "faces", size=(16, 16))
    assert isinstance(again.load("train"), collection.Lazy)
    for split in ("train", "test"):
        rows = np.arange(len(kept.split(split)))
        assert torch.equal(kept.split(split).read(rows), again.split(split).read(rows))


def test_pictures_are_cut_at_the_centre_and_resized_grey_or_in_colour(tmp_path):
    picture = Image.new("RGB", (90, 60), (0, 0, 0))
    picture.paste((200, 100, 50), (15, 0, 75, 60))  # the centred square
    (tmp_path / "a").mkdir()
    for number in range(12):
        picture.putpixel((20 + 2 * number, 20), (255, 100, 50))
        picture.save(tmp_path / "a" / f"{number}.png")
    colour = image_folder.image_folder(tmp_path, size=(30, 30), test_share=0.5)
    images = colour.train.read(np.arange(1))
    assert images.shape == (1, 3, 30, 30)
    assert images[0, :, 15, 15].tolist() == [200, 100, 50]
    assert int(images[0, 0].min()) > 190
    grey = image_folder.image_folder(tmp_path, size=(30, 30), grey=True, test_share=0.5)
    luma = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert abs(int(grey.train.read(np.arange(1))[0, 0, 15, 15]) - luma) <= 1


def test_sixteen_bit_grey_is_scaled_and_transparency_refused(tmp_path):
    wide = np.array([[0, 257, 65535, 32896]] * 4, dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for number in range(12):
        Image.fromarray(wide + np.uint16(0)).save(tmp_path / f"{number}.png")
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / f"b{number}.png")
    read = image_folder.read_picture(tmp_path / "wide.png", "wide.png", size=None, grey=True)
    assert read[0, 0].tolist() == [0, 1, 255, 128]
    Image.new("RGBA", (4, 4)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear.png: has transparency"):
        image_folder.image_folder(tmp_path)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".pgm"])
def test_sixteen_bits_are_read_alike_from_every_format(tmp_path, suffix):
    wide = np.array([[0, 257, 65535, 32896]] * 4, dtype=np.uint16)
    file = tmp_path / f"wide{suffix}"
    Image.fromarray(wide).save(file)
    read = image_folder.read_picture(file, file.name, size=None, grey=True)
    assert read[0, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("values", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 9, np.int32)])
def test_grey_values_without_a_known_white_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"x.tif: has grey values of 32 bits"):
        image_folder.read_picture(tmp_path / "x.tif", "x.tif", size=None, grey=True)


def test_a_lab_picture_is_not_transparent(tmp_path):
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "x.tif")
    read = image_folder.read_picture(tmp_path / "x.tif", "x.tif", size=None, grey=False)
    assert int(read.min()) >= 250  # L* = 100, a* = b* = 0 is white


def test_a_picture_of_too_many_pixels_is_refused_undecoded(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "x.png")
    for most in (1000, 100):  # Pillow warns beyond the limit and refuses beyond its double
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(InputError, match=r"x.png: not a readable picture.*1200 pixels"):
            image_folder.read_picture(tmp_path / "x.png", "x.png", size=None, grey=True)


@pytest.mark.parametrize("size", [(1025, 8), (8, 10**9)])
def test_nothing_is_resized_to_more_than_1024_pixels_a_side(tmp_path, size):
    write_celeba(tmp_path, packed=False)
    for reader in (celeba.celeba, image_folder.image_folder):
        with pytest.raises(InputError, match=r"size \[\d+, \d+\]; allowed: .*1 to 1024 pixels"):
            reader(tmp_path, size)


def test_a_folder_is_called_by_its_name_also_from_inside(tmp_path, monkeypatch):
    write_faces(tmp_path / "faces")
    monkeypatch.chdir(tmp_path / "faces")
    assert image_folder.image_folder(Path(), grey=True).name == "faces"


def test_a_class_that_is_a_link_is_refused_rather_than_left_out(tmp_path):
    write_faces(tmp_path / "faces")
    (tmp_path / "faces" / "s3").rename(tmp_path / "elsewhere")
    (tmp_path / "faces" / "s3").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"s3: is a link to a folder"):
        image_folder.image_folder(tmp_path / "faces", grey=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: (f / "s0" / "notes.txt").write_text("x"), r"notes.txt: is not a picture"),
        (lambda f: (f / "s0" / "x.png").write_bytes(b"\x89PNG no"), r"x.png: not a readable pic"),
        (lambda f: (f / "s0" / "x.png").write_bytes(b""), r"x.png: not a readable picture"),
        (lambda f: Image.new("L", (5, 5)).save(f / "s0" / "x.png"), r"x.png: is 5 × 5 pixels"),
        (lambda f: Image.new("L", (16, 24)).save(f / "x.png"), r"x.png: lies beside sub-folders"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_sentence(tmp_path, make, said):
    write_faces(tmp_path / "faces")
    make(tmp_path / "faces")
    with pytest.raises(InputError, match=said):
        image_folder.image_folder(tmp_path / "faces", grey=True)


def test_no_folder_an_empty_folder_and_hidden_files(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        image_folder.image_folder(tmp_path / "nowhere")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    with pytest.raises(InputError, match="holds no picture"):
        image_folder.image_folder(tmp_path)


def write_tree(base: Path, **splits: dict[str, int]) -> dict[str, np.ndarray]:
    """``base/split/class/*.png``, 8 × 8 grey pictures, so many of each class; the pixels."""
    pixels = {}
    for split, classes in splits.items():
        for name, count in classes.items():
            made = RNG.integers(0, 256, (count, 8, 8), dtype=np.uint8)
            pixels[f"{split}/{name}"] = made
            (base / split / name).mkdir(parents=True)
            for number, one in enumerate(made):
                Image.fromarray(one).save(base / split / name / f"{number}.png")
    return pixels


def read_all(split: collection.Split) -> torch.Tensor:
    return split.read(np.arange(len(split)))


@pytest.mark.parametrize("most_bytes", [2**20, 100])  # kept, and decoded on request
def test_a_tree_of_splits_keeps_them_and_numbers_classes_by_name(tmp_path, monkeypatch, most_bytes):
    monkeypatch.setattr(image_folder, "KEPT_BYTES", most_bytes)
    pixels = write_tree(
        tmp_path / "pets", train={"dog": 3, "cat": 2}, test={"dog": 2}, val={"cat": 1, "eel": 1}
    )
    found = image_folder.image_folder(tmp_path / "pets", grey=True)
    wanted = np.concatenate([pixels["train/cat"], pixels["train/dog"]])
    assert torch.equal(read_all(found.train)[:, 0], torch.from_numpy(wanted))
    assert torch.equal(read_all(found.test)[:, 0], torch.from_numpy(pixels["test/dog"]))
    assert found.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert found.test.labels.tolist() == [1, 1]
    assert (found.test_share, found.notices) == (None, ())


def test_a_training_picture_that_is_a_test_picture_too_is_left_out_and_counted(tmp_path):
    pixels = write_tree(tmp_path / "pets", train={"cat": 3, "dog": 3}, test={"cat": 2})
    Image.fromarray(pixels["test/cat"][0]).save(tmp_path / "pets/train/dog/copy.bmp")
    found = image_folder.image_folder(tmp_path / "pets", grey=True)
    assert (len(found.train), found.left_out) == (6, 1)
    assert set(everything(found)[:8]) == set(collection.image_hashes(
        torch.from_numpy(np.concatenate(list(pixels.values())))[:, None]
    ))  # fmt: skip


def test_val_is_the_test_split_where_there_is_no_test_folder_and_this_is_told(tmp_path):
    pixels = write_tree(tmp_path / "pets", Train={"a": 2, "b": 2}, Validation={"b": 3})
    found = image_folder.image_folder(tmp_path / "pets", grey=True)
    assert torch.equal(read_all(found.test)[:, 0], torch.from_numpy(pixels["Validation/b"]))
    assert found.notices == ("source: pets has no test folder; val is its test split",)


def test_splits_may_have_no_classes_and_classes_may_have_the_name_of_a_split(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        (tmp_path / "plain" / split).mkdir(parents=True)
        for number in range(count):
            made = Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8))
            made.save(tmp_path / "plain" / split / f"{number}.png")
    plain = image_folder.image_folder(tmp_path / "plain", grey=True)
    assert (len(plain.train), len(plain.test)) == (4, 2)
    assert plain.train.labels is plain.test.labels is None
    write_faces(tmp_path / "toys", people=2)
    (tmp_path / "toys" / "s1").rename(tmp_path / "toys" / "train")
    toys = image_folder.image_folder(tmp_path / "toys", grey=True)
    assert set(toys.train.labels.tolist()) == {0, 1}


@pytest.mark.parametrize("there", [("train",), ("test", "val"), ("train", "Training", "test")])
def test_half_a_tree_of_splits_is_refused(tmp_path, there):
    write_tree(tmp_path / "pets", **{split: {"a": 3} for split in there})
    with pytest.raises(InputError, match=r"a tree of splits has train and test, or train and val"):
        image_folder.image_folder(tmp_path / "pets", grey=True)


def test_a_picture_beside_the_classes_of_a_split_is_named(tmp_path):
    write_tree(tmp_path / "pets", train={"a": 3}, test={"a": 3})
    Image.new("L", (8, 8)).save(tmp_path / "pets/test/x.png")
    with pytest.raises(InputError, match=r"x.png: lies beside sub-folders"):
        image_folder.image_folder(tmp_path / "pets", grey=True)


# --- npz ----------------------------------------------------------------------------------------


def save(file: Path, **arrays: np.ndarray) -> Path:
    np.savez(file, **arrays)
    return file


@pytest.mark.parametrize("layout", ["nhw", "nhwc", "nchw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_npz_images_of_every_layout_become_nchw(tmp_path, layout, dtype):
    shape = {"nhw": (9, 8, 6), "nhwc": (9, 8, 6, 3), "nchw": (9, 3, 8, 6)}[layout]
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    given = values if dtype == np.uint8 else values / 255
    labels = np.arange(9)
    file = save(
        tmp_path / "a.npz", train_images=given[:6], test_images=given[6:], test_labels=labels[6:]
    )
    found = npz.npz(file)
    wanted = {
        "nhw": values[:, None], "nhwc": np.moveaxis(values, -1, 1), "nchw": values,
    }[layout]  # fmt: skip
    images = collection.as_float(found.train.read(np.arange(6)))
    assert torch.allclose(images, torch.from_numpy(wanted[:6]).float() / 255, atol=1e-7)
    assert found.train.labels is None
    assert found.test.labels.tolist() == [6, 7, 8]


def test_a_test_image_among_the_training_images_of_an_npz_is_left_out(tmp_path):
    values = RNG.integers(0, 256, (10, 8, 8), dtype=np.uint8)
    train = np.concatenate([values[:7], values[8:9]])
    file = save(
        tmp_path / "a.npz", train_images=train, test_images=values[7:], train_labels=np.arange(8)
    )
    found = npz.npz(file)
    assert found.left_out == 1
    assert found.train.labels.tolist() == list(range(7))
    assert torch.equal(found.train.read(np.arange(7))[:, 0], torch.from_numpy(values[:7]))


def test_images_alone_are_split_by_content(tmp_path):
    values = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    twice = np.concatenate([values, values])
    found = npz.npz(save(tmp_path / "a.npz", images=twice, labels=np.arange(80) % 40))
    train, test = set(found.train.labels.tolist()), set(found.test.labels.tolist())
    assert train | test == set(range(40))
    assert not train & test


@pytest.mark.parametrize("colours", [(), (3,)])
def test_medmnist_and_keras_archives_give_the_same_data_set(tmp_path, colours):
    """Names and shapes as medmnist 3 and Keras write them: labels [n, 1], bytes, val beside."""
    values = RNG.integers(0, 256, (9, 28, 28, *colours), dtype=np.uint8)
    labels = np.arange(9, dtype=np.uint8)[:, None]
    med = save(
        tmp_path / "pathmnist.npz",
        train_images=values[:5], val_images=values[5:6], test_images=values[6:],
        train_labels=labels[:5], val_labels=labels[5:6], test_labels=labels[6:],
    )  # fmt: skip
    keras = save(
        tmp_path / "mnist.npz",
        x_train=values[:5], y_train=labels[:5, 0], x_test=values[6:], y_test=labels[6:, 0],
    )  # fmt: skip
    wanted = torch.from_numpy(values.reshape(9, 28, 28, -1)).permute(0, 3, 1, 2)
    for file in (med, keras):
        found = npz.npz(file)
        assert torch.equal(read_all(found.train), wanted[:5])
        assert torch.equal(read_all(found.test), wanted[6:])
        assert found.train.labels.tolist() == [0, 1, 2, 3, 4]
        assert found.test.labels.tolist() == [6, 7, 8]


def test_padding_of_an_archive_is_that_of_mnist_and_takes_no_pixel_away(tmp_path):
    pixels, _ = sources.mnist5k_pixels()
    file = save(tmp_path / "mnist.npz", x_train=pixels[:30], x_test=pixels[30:40])
    found = npz.npz(file, pad=(32, 32))
    assert torch.equal(collection.as_float(read_all(found.test)), sources.padded(pixels[30:40]))
    odd = npz.npz(file, pad=(28, 31))
    assert torch.equal(read_all(odd.test)[..., 1:29], torch.from_numpy(pixels[30:40])[:, None])
    with pytest.raises(InputError, match=r"x_train are 28 × 28 pixels, more than pad \[27, 40\]"):
        npz.npz(file, pad=(27, 40))
    with pytest.raises(InputError, match=r"pad \[32, 4000\]; allowed: .*1 to 1024"):
        npz.npz(file, pad=(32, 4000))


def test_several_answers_for_each_image_are_no_classes_and_this_is_told(tmp_path):
    """ChestMNIST: fourteen findings, each there or not."""
    values = RNG.integers(0, 256, (8, 8, 8), dtype=np.uint8)
    findings = RNG.integers(0, 2, (8, 14))
    file = save(
        tmp_path / "chestmnist.npz",
        train_images=values[:5], train_labels=findings[:5],
        test_images=values[5:], test_labels=findings[5:],
    )  # fmt: skip
    found = npz.npz(file)
    assert found.train.labels is found.test.labels is None
    assert found.notices == (
        "source: train_labels of chestmnist.npz has 14 columns, several answers for each image;"
        " labels are not used",
    )


OBJECTS = np.array([{"a": 1}, None], dtype=object)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": OBJECTS}, "pickled, and pickles are never opened"),
        ({"pictures": np.zeros((4, 8, 8), np.uint8)}, "holds pictures; it must hold train_images"),
        ({"x_train": OBJECTS, "x_test": OBJECTS}, "pickled, and pickles are never opened"),
        ({"x_train": np.zeros((4, 8, 8), np.uint8)}, "holds x_train; it must hold .* x_test"),
        ({"train_images": np.zeros((4, 8, 8, 8), np.uint8)}, "holds train_images; it must hold"),
        (
            {"x_train": np.zeros((4, 8, 8, 8), np.uint8), "x_test": np.zeros((4, 8, 8, 8))},
            "x_train is of shape .*is no set of images",
        ),
        (
            {"x_train": np.zeros((4, 8, 8), np.uint8), "x_test": np.zeros((4, 9, 9), np.uint8)},
            r"x_train are of shape \[1, 8, 8\] and x_test of \[1, 9, 9\]; they must be equal",
        ),
        ({"images": np.zeros((4, 3, 8, 3), np.uint8)}, "may be nhwc or nchw; say which"),
        ({"images": np.zeros((4, 8), np.uint8)}, "is no set of images"),
        ({"images": np.zeros((4, 8, 8), np.int32)}, "of type int32; allowed: uint8, or floats"),
        ({"images": np.full((4, 8, 8), 2.0)}, r"values from 2 to 2; floats must lie in \[0, 1\]"),
        ({"images": np.full((4, 8, 8), np.nan)}, "floats must lie in"),
        ({"images": np.zeros((4, 8, 8), np.uint8)}, "0 are test images|4 are test images"),
        (
            {"images": RNG.random((9, 8, 8)), "labels": np.arange(3)},
            r"labels is int64 of shape \[3\]; allowed: integers of shape \[9\]",
        ),
    ],
)
def test_what_is_wrong_with_an_npz_is_said_in_one_sentence(tmp_path, arrays, said):
    with pytest.raises(InputError, match=said):
        npz.npz(save(tmp_path / "a.npz", **arrays))


def test_other_files_are_no_npz(tmp_path):
    file = tmp_path / "a.npz"
    with pytest.raises(InputError, match="there is no such file"):
        npz.npz(file)
    file.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(InputError, match=r"not a readable .npz archive"):
        npz.npz(file)
    with file.open("wb") as opened:
        np.save(opened, np.zeros((3, 8, 8)))
    with pytest.raises(InputError, match=r"not a readable .npz archive.*a single array"):
        npz.npz(file)


def packed(file: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return file


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HUGE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9765625, 1024, 1024), }\n"


@pytest.mark.parametrize(
    ("member", "data", "said"),
    [
        ("images", b"no array at all", "its images is no array"),
        ("images__npy", b"no array at all", "its images is no array, or its header is damaged"),
        ("images__npy", npy(b"{'descr': ((('|u1'\n"), "its header is damaged"),
        ("images__npy", npy(b"{'descr': '|u1' 'shape' ]}\n"), "its header is damaged"),
        ("images__npy", npy(b"(" * 9000), "its header is damaged"),
        ("images__npy", npy(HUGE), r"shape \[9765625, 1024, 1024\] is not all there"),
    ],
)
def test_a_damaged_array_is_refused_before_memory_is_asked_for(tmp_path, member, data, said):
    with pytest.raises(InputError, match=rf"a.npz: not a readable .npz archive.*{said}"):
        npz.npz(packed(tmp_path / "a.npz", **{member: data}))


def test_an_archive_that_lies_about_the_size_of_a_member_is_refused(tmp_path):
    header = HUGE.replace(b"9765625", b"4000")
    file = packed(tmp_path / "a.npz", images__npy=npy(header))
    data = bytearray(file.read_bytes())
    size = data.index(b"PK\x01\x02") + 24  # of the unpacked member, in the archive's directory
    data[size : size + 4] = (10 + len(header) + 4000 * 1024**2).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"is not all there"):
        npz.npz(file)


def test_text_is_not_called_pickled_and_an_encrypted_archive_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("1, 2, 3\n")
    with pytest.raises(InputError, match=r"it is no zip archive"):
        npz.npz(tmp_path / "text.npz")
    file = save(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8))
    data = bytearray(file.read_bytes())
    data[6] |= 1  # the flag for encryption, of the member and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"not a readable .npz archive.*encrypted"):
        npz.npz(file)


# --- training sets ------------------------------------------------------------------------------


def test_training_sets_of_files_carry_labels_and_their_own_test_split(tmp_path):
    values = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    file = save(
        tmp_path / "cifar10_subset.npz",
        train_images=values[:8], train_labels=np.arange(8),
        test_images=values[8:], test_labels=np.arange(4),
    )  # fmt: skip
    named = sources.training_set("cifar10-subset", tmp_path)
    given = sources.training_set("npz", path=file, count=4)
    assert torch.equal(named.images, torch.from_numpy(values[:8]).permute(0, 3, 1, 2) / 255.0)
    assert named.test_name == "cifar10-subset, test split (4 images)"
    assert named.test_labels.tolist() == [0, 1, 2, 3]
    assert given.labels.tolist() == [0, 2, 4, 6]  # evenly spaced: a file may be sorted by class
    assert torch.equal(given.images, named.images[::2])


def test_a_large_set_stays_bytes_and_its_batches_are_floats(tmp_path, monkeypatch):
    values = RNG.integers(0, 256, (12, 8, 8), dtype=np.uint8)
    file = save(tmp_path / "a.npz", train_images=values[:8], test_images=values[8:])
    monkeypatch.setattr(training_sets, "FLOAT_BYTES", 1000)
    found = sources.training_set("npz", path=file)
    assert found.images.dtype == torch.uint8
    batch = found.batch(torch.tensor([3, 1]))
    assert torch.equal(batch[:, 0], torch.from_numpy(values[[3, 1]]) / 255.0)


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("mnst", {}, r"not known .*Did you mean mnist\?"),
        ("npz", {}, "needs a path"),
        ("mnist5k", {"path": Path("x")}, "takes no path"),
        ("mnist5k", {"size": (64, 64)}, "takes no size"),
    ],
)
def test_a_training_set_that_cannot_be_is_refused(name, keys, said):
    with pytest.raises(InputError, match=said):
        sources.training_set(name, **keys)


def test_the_official_mnist_has_no_training_image_in_either_test_set():
    if not USERS_ROOT:
        pytest.skip("CHANNELSIM_DATA names no folder with MNIST")
    found = idx.mnist(Path(USERS_ROOT))
    assert (len(found.train), found.left_out, len(found.test)) == (59_000, 0, 10_000)


def test_classes_take_turns_each_in_its_own_order():
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)
    held = collection.taking_turns(collection.Held(images, np.array([0, 0, 0, 1, 1, 2])))
    assert held.labels.tolist() == [0, 1, 2, 0, 1, 0]
    assert held.images.flatten().tolist() == [0, 3, 5, 1, 4, 2]

"""The kinds of sources that a scenario may name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AllowInfNan, BeforeValidator, Field, Strict, field_validator

from channelsim.contracts.parts import Count, Flag, InputFile, OpenFraction, Positive, part
from channelsim.contracts.sampling import Sampling, Unit
from channelsim.sources.arrivals import Arrivals, PoissonArrivals
from channelsim.sources.celeba import celeba
from channelsim.sources.cifar import cifar10, cifar10_subset
from channelsim.sources.collection import Collection, Images, Sent, SplitName
from channelsim.sources.idx import fashion_mnist, mnist
from channelsim.sources.image_folder import image_folder
from channelsim.sources.mnist5k import mnist5k_collection
from channelsim.sources.npz import Layout, npz
from channelsim.sources.signal_file import signals
from channelsim.sources.source import ImageSource, Source
from channelsim.support.problems import shown

DataSet = Literal["mnist5k", "mnist", "fashion-mnist", "cifar10", "cifar10-subset", "celeba"]


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


# [H, W] in pixels; one number stands for both.
Size = Annotated[
    tuple[Count, Count],
    BeforeValidator(_square, json_schema_input_type=Count | tuple[Count, Count]),
]

Finite = Annotated[float, Strict(), AllowInfNan(False)]

_READERS: dict[DataSet, Callable[[Path | None], Collection]] = {
    "mnist5k": lambda _root: mnist5k_collection(),
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar10-subset": cifar10_subset,
    "celeba": celeba,
}


@part
class Dataset(ImageSource):
    """Messages that carry the images of a data set, in its order.

    ``name``: mnist5k (embedded), or under the data root mnist (train: without mnist5k's test
    images; test: the official 10,000), fashion-mnist, cifar10, cifar10-subset, celeba. ``split``:
    which images are sent; calibration always uses train. ``count``: how many messages, default all
    images of the split; ``repeat`` allows more: message i carries image i mod n. ``size`` [H, W]:
    of celeba, default 64 × 64, at most 1024 a side. ``arrivals``: once, periodic or poisson. The
    defaults are the project's.
    """

    kind: Literal["dataset"] = "dataset"
    name: DataSet = "mnist5k"
    split: SplitName = "test"
    count: Count | None = None
    repeat: Flag = False
    size: Size | None = None
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    @field_validator("name", mode="before")
    @classmethod
    def _is_no_file(cls, name: Any) -> Any:
        if isinstance(name, str) and ("/" in name or name.endswith(".npz")):
            raise ValueError(
                f"name is of a data set that the program knows, was given {shown(name)}; an archive"
                " is {kind: npz, path: …}, a folder of pictures {kind: images, path: …}"
            )
        return name

    def check_keys(self) -> None:
        """Refuse ``size`` for data sets other than CelebA."""
        if self.size is not None and self.name != "celeba":
            raise ValueError(f"size is for name: celeba; the images of {self.name} have their own")

    def open(self) -> Collection:
        """The data set by its name."""
        if self.name == "celeba":
            return celeba(self.root, self.size)
        return _READERS[self.name](self.root)


@part
class ImageFolder(ImageSource):
    """Messages that carry the pictures of a folder (PNG, JPEG, PGM, …), sorted by path.

    ``path``: the folder; each sub-folder is one class, or the sub-folders are train and test (or
    train and val) and theirs are the classes. ``size`` [H, W]: the largest centred rectangle of
    that shape is cut out and resized (at most 1024 a side; one number means both); without it all
    pictures must be of one size. ``grey``: one channel instead of three. ``test_share``: where the
    folder has no splits, about this share of the pictures is the test split, chosen by content.
    ``split``: train, test, or all of them; ``count``, ``repeat``, ``arrivals``: as for dataset. The
    defaults are the project's.
    """

    kind: Literal["images"] = "images"
    path: InputFile
    size: Size | None = None
    grey: Flag = False
    test_share: OpenFraction = 0.2
    split: Sent = "test"
    count: Count | None = None
    repeat: Flag = False
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    def open(self) -> Collection:
        """The folder."""
        return image_folder(self.path, self.size, self.grey, self.test_share)

    def remedy(self, wanted: tuple[int, ...]) -> str:
        """Any size, grey or in colour."""
        if len(wanted) != 3 or wanted[0] not in (1, 3):
            return ""
        colours, height, width = wanted
        grey = f"grey: {str(colours == 1).lower()}, " if (colours == 1) != self.grey else ""
        return f"give the source {grey}size: [{height}, {width}]"


@part
class Npz(ImageSource):
    """Messages that carry the images of a NumPy archive, in its order.

    ``path``: an .npz file with train_images and test_images (MedMNIST's layout), x_train and x_test
    (Keras'), or images alone, and their labels; bytes, or floats in [0, 1]. ``layout``: nhw, nhwc
    or nchw, needed where the shape fits two. ``pad`` [H, W]: black pixels around smaller images up
    to that size (at most 1024 a side; one number means both). ``test_share``: of images alone,
    about this share is the test split, chosen by content. ``split``: train, test, or all of them;
    ``count``, ``repeat``, ``arrivals``: as for dataset. The defaults are the project's.
    """

    kind: Literal["npz"] = "npz"
    path: InputFile
    layout: Layout | None = None
    pad: Size | None = None
    test_share: OpenFraction = 0.2
    split: Sent = "test"
    count: Count | None = None
    repeat: Flag = False
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    def open(self) -> Collection:
        """The archive."""
        return npz(self.path, self.layout, self.test_share, pad=self.pad)

    def remedy(self, wanted: tuple[int, ...]) -> str:
        """A larger size."""
        colours, height, width = self.image_shape
        if len(wanted) != 3 or wanted[0] != colours or wanted[1] < height or wanted[2] < width:
            return ""
        return f"give the source pad: [{wanted[1]}, {wanted[2]}] for black pixels around"


@part
class Signals(ImageSource):
    """Messages that carry segments [C, L] of a sampled signal, in the order of time.

    ``path``: a record in .npz, .npy ([samples], or [channels, samples]) or .wav, or an .npz file
    with train_signals and test_signals [n, C, L]. ``array``: which array of an .npz file is the
    record, where it holds several. ``rate_hz``: samples per second; a .wav file says it itself.
    ``unit`` of the values, for tables and pictures (default: none); a value is (stored −
    ``offset``) · ``scale``, defaults 0 and 1; of a .wav file stored values are parts of full scale.
    ``samples`` in a segment; ``hop``: from the beginning of one to that of the next, in samples,
    default ``samples``. ``test_share``: the last part of the record is the test split; no sample is
    in both. ``split``: train, test, or all of them; ``count``, ``repeat``, ``arrivals``: as for
    dataset. The defaults are the project's.
    """

    kind: Literal["signals"] = "signals"
    path: InputFile
    array: str | None = None
    rate_hz: Positive | None = None
    unit: Unit = ""
    scale: Finite = 1.0
    offset: Finite = 0.0
    samples: Count | None = None
    hop: Count | None = None
    test_share: OpenFraction = 0.2
    split: Sent = "test"
    count: Count | None = None
    repeat: Flag = False
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    def check_keys(self) -> None:
        """Refuse a scale that makes all values equal."""
        if self.scale == 0:
            raise ValueError("scale 0 makes every value 0; give the unit's size of one stored step")

    @functools.cached_property
    def _read(self) -> tuple[Collection, float]:
        return signals(
            self.path,
            array=self.array,
            rate_hz=self.rate_hz,
            samples=self.samples,
            hop=self.hop,
            test_share=self.test_share,
            scale=self.scale,
            offset=self.offset,
        )

    def open(self) -> Collection:
        """The segments."""
        return self._read[0]

    @functools.cached_property
    def sampling(self) -> Sampling:
        """Rate and unit, and the range of the training split's values."""
        values = self.collection.calibration.images.numpy()
        low, high = (float(one) for one in np.quantile(values, (0.001, 0.999)))
        return Sampling(rate_hz=self._read[1], unit=self.unit, low=low, high=high)

    @property
    def described(self) -> str:
        """File and split, length and rate of a message, and the unit."""
        unit = f" in {self.unit}" if self.unit else ""
        length, rate = self.image_shape[1], self._read[1]
        return f"{self.collection.name} ({self.split}: {length} samples at {rate:g} Hz{unit})"


@part
class Prior(Source):
    """Messages whose codewords are drawn from the codec's prior instead of encoding images.

    Message i has one standard normal draw ξ per (seed, i), the same for every receiver (its first K
    values). The codeword is z = ξ for codecs tied to N(0, I), or z = m + S^½·ξ with m and S the
    ``latent_mean`` and ``latent_covariance`` of a card with ``prior: fitted``. The source image is
    the clean receiver's, x = g(z), so ``_source`` equals ``_clean``, and quality is perfect by
    definition. No encoder takes part: ``transmit`` changes nothing.

    ``count``: how many messages, default 1,000. ``data``: the data set whose training split
    calibrates power, detectors and the mean image; default dataset (mnist5k). The defaults are the
    project's.
    """

    kind: Literal["prior"] = "prior"
    count: Count = 1000
    data: Annotated[Dataset | ImageFolder | Npz, Field(discriminator="kind")] = Field(
        default_factory=Dataset
    )
    arrivals: Arrivals = Field(default_factory=PoissonArrivals)

    @property
    def messages(self) -> int:
        """The number of messages sent."""
        return self.count

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of the calibration images, which must also be the codecs'."""
        return self.data.image_shape

    @property
    def described(self) -> str:
        """The prior's name and the calibration data."""
        return f"the codec's prior (calibrated on {self.data.collection.name})"

    @property
    def root(self) -> Path | None:
        """The data root of the calibration data."""
        return self.data.root

    @property
    def notices(self) -> tuple[str, ...]:
        """Only notices about the calibration files: none of their images is sent."""
        return self.data.collection.notices

    def calibration(self) -> Images:
        """Training images of ``data``."""
        return self.data.calibration()

    def content(self) -> dict[str, str]:
        """SHA-256 of the calibration images; no others are read."""
        return {"calibration": self.calibration().sha256}


SOURCES: dict[str, type] = {
    "dataset": Dataset,
    "images": ImageFolder,
    "npz": Npz,
    "signals": Signals,
    "prior": Prior,
}

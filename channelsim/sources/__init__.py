"""Sources of messages: the images they carry, and their times of arrival.

Data sets (`mnist5k` is built in; others lie under a data root), image folders, NumPy archives,
sampled signals, and codewords drawn from a codec's prior. No test image is ever in a training
split: splits are compared by content, and signals divided in time.
"""

from channelsim.sources.arrivals import Arrivals, OnceArrivals, PeriodicArrivals, PoissonArrivals
from channelsim.sources.collection import Collection, Images, as_float
from channelsim.sources.kinds import SOURCES, Dataset, ImageFolder, Npz, Prior, Signals
from channelsim.sources.mnist5k import (
    ImageSet,
    content_hashes,
    mnist5k,
    mnist5k_pixels,
    mnist5k_test_hashes,
    padded,
)
from channelsim.sources.root import data_root
from channelsim.sources.source import ImageSource, Source
from channelsim.sources.tensors import Tensors, checked
from channelsim.sources.training_sets import (
    TRAINING_SETS,
    TrainingSet,
    mnist5k_train,
    mnist_train,
    training_set,
)

__all__ = [
    "SOURCES",
    "TRAINING_SETS",
    "Arrivals",
    "Collection",
    "Dataset",
    "ImageFolder",
    "ImageSet",
    "ImageSource",
    "Images",
    "Npz",
    "OnceArrivals",
    "PeriodicArrivals",
    "PoissonArrivals",
    "Prior",
    "Signals",
    "Source",
    "Tensors",
    "TrainingSet",
    "as_float",
    "checked",
    "content_hashes",
    "data_root",
    "mnist5k",
    "mnist5k_pixels",
    "mnist5k_test_hashes",
    "mnist5k_train",
    "mnist_train",
    "padded",
    "training_set",
]

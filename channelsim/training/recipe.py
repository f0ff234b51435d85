"""The parts of a recipe: codec, data and training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from channelsim import sources
from channelsim.codecs.trained import Blueprint
from channelsim.contracts.parts import Count, Flag, InputFile, OpenFraction, Positive, Whole, part
from channelsim.sources.kinds import Size
from channelsim.training.defences import (
    AdversarialRecipe,
    ChannelRecipe,
    EarlyStopRecipe,
    MixupRecipe,
)
from channelsim.training.objectives import (
    KldRecipe,
    MmdRecipe,
    Objective,
    SwtRecipe,
    TcRecipe,
)


@part
class CodecRecipe:
    """The codec's network. ``latent_size``: K, default 10 (Lu & Chen's for digits).

    ``architecture``: lu-chen, for grey and colour images whose sides are multiples of 16.
    ``variational`` (default): the encoder returns a posterior and z is drawn from it; otherwise it
    returns z itself, as in Lu & Chen's deterministic autoencoders.
    """

    kind: ClassVar[str] = "codec"

    architecture: Literal["lu-chen"] = "lu-chen"
    latent_size: Count = 10
    variational: Flag = True

    def blueprint(self, image_shape: tuple[int, int, int]) -> Blueprint:
        """The blueprint to build it from."""
        return Blueprint(self.architecture, self.latent_size, self.variational, image_shape)


@part
class PcaCodecRecipe:
    """Principal components; ``latent_size``: K, default 10."""

    kind: ClassVar[str] = "codec"

    architecture: Literal["pca"]
    latent_size: Count = 10


@part
class DataRecipe:
    """Training images.

    ``name``: ``mnist5k`` (embedded), ``mnist``, ``fashion-mnist``, ``cifar10``, ``cifar10-subset``
    or ``celeba`` (under the data root), ``images`` (a folder) or ``npz`` (a file), both with
    ``path``. ``size`` [H, W]: of celeba and of a folder's images. ``grey``, ``test_share``: of a
    folder. ``layout``, ``pad`` [H, W] (black pixels around): of an npz file. ``count``: only that
    many, evenly spaced.
    """

    kind: ClassVar[str] = "data"

    name: Literal[
        "mnist",
        "mnist5k",
        "fashion-mnist",
        "cifar10",
        "cifar10-subset",
        "celeba",
        "images",
        "npz",
    ] = "mnist"
    path: InputFile | None = None
    size: Size | None = None
    grey: Flag = False
    test_share: OpenFraction = 0.2
    layout: Literal["nhw", "nhwc", "nchw"] | None = None
    pad: Size | None = None
    count: Count | None = None

    @model_validator(mode="after")
    def _found(self) -> DataRecipe:
        if (self.name in ("images", "npz")) != (self.path is not None):
            problem = "needs a path" if self.path is None else "lies under the data root, no path"
            raise ValueError(f"data {self.name} {problem}")
        given = {
            "size": self.size is not None,
            "grey": self.grey,
            "test_share": self.test_share != 0.2,
            "layout": self.layout is not None,
            "pad": self.pad is not None,
        }
        taken = {
            "celeba": ("size",),
            "images": ("size", "grey", "test_share"),
            "npz": ("layout", "pad"),
        }
        for key in (key for key, is_given in given.items() if is_given):
            if key not in taken.get(self.name, ()):
                takers = " and ".join(name for name, keys in taken.items() if key in keys)
                raise ValueError(f"{key} is for {takers}, not for {self.name}; leave it out")
        return self

    def load(self, root: Path | None) -> sources.TrainingSet:
        """Training and test images."""
        return sources.training_set(
            self.name,
            root,
            path=self.path,
            size=self.size,
            grey=self.grey,
            test_share=self.test_share,
            layout=self.layout,
            pad=self.pad,
            count=self.count,
        )


@part
class Recipe:
    """A training: codec, objective, data, and how long.

    ``epochs`` (at most, where ``early_stop`` is set), ``batch_size`` (64, the paper's),
    ``learning_rate`` of Adam (1e-3, the paper's), ``seed``. ``init``: a zoo codec or a weights file
    to start from. Defences: ``adversarial``, ``mixup``, ``channel``. ``store``: float32, or float16
    for the matrices and kernels where that changes neither MSE, PSNR nor SSIM by 0.1 %.
    """

    kind: ClassVar[str] = "recipe"

    title: str = ""
    codec: CodecRecipe
    objective: Objective
    data: DataRecipe
    epochs: Count
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    seed: Whole = 0
    init: str | None = None
    adversarial: AdversarialRecipe | None = None
    mixup: MixupRecipe | None = None
    channel: ChannelRecipe | None = None
    early_stop: EarlyStopRecipe | None = None
    store: Literal["float32", "float16"] = "float32"

    @property
    def frozen_encoder(self) -> bool:
        """Whether the encoder stays as ``init`` has it."""
        return self.adversarial is not None and self.adversarial.encoder == "frozen"

    @model_validator(mode="after")
    def _trainable(self) -> Recipe:
        if self.batch_size < 2:
            raise ValueError(f"batch_size {self.batch_size}: batch norm needs at least 2")
        self._enough_rows()
        if self.objective.variational_only and not self.codec.variational:
            raise ValueError(
                f"objective {self.objective.kind} needs a posterior; set codec.variational: true,"
                " or use mmd or swt"
            )
        if self.mixup is not None and not isinstance(self.objective, KldRecipe):
            raise ValueError(
                f"mixup is defined for objective kld, not {self.objective.kind}; leave one out"
            )
        if self.mixup is not None and self.objective.recon_reduction == "mean":
            raise ValueError("mixup sums over the pixels; set objective.recon_reduction: sum")
        if self.frozen_encoder and self.init is None:
            raise ValueError("adversarial.encoder frozen: name the codec to start from in init")
        return self

    def _enough_rows(self) -> None:
        size, least = self.codec.latent_size, self.objective.least_rows(self.codec.latent_size)
        if self.batch_size < least:
            raise ValueError(
                f"batch_size {self.batch_size}: objective {self.objective.kind} with latent_size"
                f" {size} needs batches of at least {least}"
            )
        if self.early_stop is not None and self.early_stop.hold_out < least:
            raise ValueError(
                f"early_stop.hold_out {self.early_stop.hold_out}: objective {self.objective.kind}"
                f" with latent_size {size} needs at least {least} images to look at"
            )
        if isinstance(self.objective, SwtRecipe) and (self.objective.directions or 0) > size:
            raise ValueError(
                f"objective.directions {self.objective.directions}: a latent of {size} values has"
                f" room for at most {size}"
            )


@part
class PcaRecipe:
    """Principal components of the training images, the linear codec of least squared error."""

    kind: ClassVar[str] = "recipe"

    title: str = ""
    codec: PcaCodecRecipe
    data: DataRecipe
    store: Literal["float32", "float16"] = "float32"


# The parts of a recipe, by key.
KEYS: Mapping[str, type] = {
    "codec": CodecRecipe,
    "data": DataRecipe,
    "objective kld": KldRecipe,
    "objective mmd": MmdRecipe,
    "objective swt": SwtRecipe,
    "objective tc": TcRecipe,
    "adversarial": AdversarialRecipe,
    "mixup": MixupRecipe,
    "channel": ChannelRecipe,
    "early_stop": EarlyStopRecipe,
}

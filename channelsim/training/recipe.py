"""What to train, on what, and how: a YAML file, read once and checked in full."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError, model_validator

from channelsim import sources
from channelsim.catalog.part_errors import faults_of
from channelsim.codecs.trained import Blueprint, load_weights, zoo_file, zoo_names
from channelsim.errors import InputError, did_you_mean
from channelsim.parts import Count, Flag, InputFile, OpenFraction, Positive, Whole, part
from channelsim.problems import Origins, Problems
from channelsim.scenario.yaml_lines import read_yaml
from channelsim.training.defences import (
    AdversarialRecipe,
    ChannelRecipe,
    EarlyStopRecipe,
    MixupRecipe,
)
from channelsim.training.objectives import KldRecipe, Objective

T = TypeVar("T")
_ALWAYS = ("kind", "algorithm", "architecture", "name")  # said even where they are the default


@part
class CodecRecipe:
    """Which network. ``latent_size``: K, default 10 (Lu & Chen's for digits).

    ``architecture``: lu-chen, for grey and colour images whose sides are multiples of 16.
    ``variational`` (default): the encoder answers a posterior and z is drawn from it; otherwise it
    answers z itself, as in Lu & Chen's deterministic autoencoders.
    """

    kind: ClassVar[str] = "codec"

    architecture: Literal["lu-chen"] = "lu-chen"
    latent_size: Count = 10
    variational: Flag = True

    def blueprint(self, image_shape: tuple[int, int, int]) -> Blueprint:
        """What is needed to build it."""
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
    folder. ``layout``: of an npz file. ``count``: only so many, evenly
    spaced.
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
    size: tuple[Count, Count] | None = None
    grey: Flag = False
    test_share: OpenFraction = 0.2
    layout: Literal["nhw", "nhwc", "nchw"] | None = None
    count: Count | None = None

    @model_validator(mode="after")
    def _found(self) -> DataRecipe:
        if (self.name in ("images", "npz")) != (self.path is not None):
            problem = "needs a path" if self.path is None else "lies under the data root, no path"
            raise ValueError(f"data {self.name} {problem}")
        return self

    def load(self, root: Path | None) -> sources.TrainingSet:
        """Training and test images."""
        if self.name in ("mnist", "mnist5k") and self.count is None:
            return sources.TRAINING_SETS[self.name](root)
        return sources.training_set(
            self.name,
            root,
            path=self.path,
            size=self.size,
            grey=self.grey,
            test_share=self.test_share,
            layout=self.layout,
            count=self.count,
        )


@part
class Recipe:
    """A training: codec, objective, data, and how long.

    ``epochs`` (at most, where ``early_stop`` is set), ``batch_size`` (64, the paper's),
    ``learning_rate`` of Adam (1e-3, the paper's), ``seed``. ``init``: a zoo codec or a weights file
    to start from. Defences: ``adversarial``, ``mixup``, ``channel``. ``store``: float32, or float16
    for the matrices and kernels where that changes no figure of the card by 0.1 %.
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


@part
class PcaRecipe:
    """Principal components of the training images, the linear codec of least squared error."""

    kind: ClassVar[str] = "recipe"

    title: str = ""
    codec: PcaCodecRecipe
    data: DataRecipe
    store: Literal["float32", "float16"] = "float32"


@dataclass(frozen=True)
class Reading:
    """A recipe as read. ``init_file``: the weights to start from. ``hash`` covers both."""

    name: str
    path: Path
    recipe: Recipe | PcaRecipe
    init_file: Path | None
    init_sha256: str | None

    @property
    def resolved(self) -> dict[str, Any]:
        """What the recipe says, without what it leaves at its default; JSON-able.

        So a new option with a default leaves the hashes of old trainings as they are.
        """
        return said(self.recipe)

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the result."""
        return hash_of(self.resolved, self.init_sha256)


def said(recipe: Any) -> dict[str, Any]:
    """A recipe's fields as it was written, JSON-able: what it leaves at its default is left out."""
    found: dict[str, Any] = _said(recipe)
    return found


def _said(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return list(value)
    if not is_dataclass(value):
        return value
    return {
        f.name: _said(getattr(value, f.name))
        for f in fields(value)
        if f.name in _ALWAYS or f.default is MISSING or getattr(value, f.name) != f.default
    }


def read_document(path: Path) -> tuple[Mapping[str, Any], Problems]:
    """What a recipe file says, unchecked, and where to note what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as reason:
        raise InputError(f"recipe {path}: cannot be read ({reason.strerror})") from reason
    except UnicodeDecodeError as reason:
        raise InputError(f"recipe {path}: not a text file") from reason
    document = read_yaml(text, path.name)
    problems = Problems(Origins(path.name, document.lines))
    if not isinstance(document.data, Mapping):
        problems.add((), "a recipe is a mapping with codec (or classifier), data and epochs")
        problems.raise_if_any()
    return document.data, problems


def validated(sort: type[T], data: Mapping[str, Any], path: Path, problems: Problems) -> T:
    """The recipe; all that is wrong with it comes in one `InputError`."""
    try:
        return TypeAdapter(sort).validate_python(data, context={"folder": path.parent})
    except ValidationError as error:
        for fault in faults_of(error, sort):
            problems.add(fault.where, fault.text)
        problems.raise_if_any()
        raise


def hash_of(resolved: Mapping[str, Any], *others: str | None) -> str:
    """SHA-256 (hex) of what decides a training's result."""
    decisive = {key: value for key, value in resolved.items() if key not in ("title", "init")}
    return hashlib.sha256(json.dumps([decisive, *others], sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path) -> Reading:
    """Read and check a codec's recipe file; all that is wrong comes in one `InputError`."""
    path = Path(path)
    data, problems = read_document(path)
    codec = data.get("codec")
    pca = isinstance(codec, Mapping) and codec.get("architecture") == "pca"
    if pca:
        return Reading(path.stem, path, validated(PcaRecipe, data, path, problems), None, None)
    recipe = validated(Recipe, data, path, problems)
    init_file = None
    if recipe.init is not None:
        init_file = _find_init(path, recipe.init, problems)
    problems.raise_if_any()
    return _with_init(path, recipe, init_file)


def _find_init(path: Path, init: str, problems: Problems) -> Path | None:
    if init in zoo_names():
        return zoo_file(init)
    file = path.parent / Path(init).expanduser()
    if file.is_file():
        return file
    known = ", ".join(zoo_names()) or "none yet"
    hint = did_you_mean(init, zoo_names())
    problems.add(("init",), f"{init!r} is neither in the zoo (known: {known}) nor a file.{hint}")
    return None


def _with_init(path: Path, recipe: Recipe, init_file: Path | None) -> Reading:
    sha256 = None
    if init_file is not None:
        start = load_weights(init_file)
        sha256 = start.sha256
        wanted = recipe.codec.blueprint(start.blueprint.image_shape)
        if start.blueprint != wanted:
            raise InputError(
                f"{path.name}  init: {recipe.init!r} is {_described(start.blueprint)}, but codec"
                f" asks for {_described(wanted)}; make them equal"
            )
    return Reading(path.stem, path, recipe, init_file, sha256)


def _described(blueprint: Blueprint) -> str:
    sort = "variational" if blueprint.variational else "deterministic"
    return f"{blueprint.architecture} with latent_size {blueprint.latent_size}, {sort}"

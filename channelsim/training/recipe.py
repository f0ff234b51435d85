"""What to train, on what, and how: a YAML file, read once and checked in full."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter, ValidationError, model_validator

from channelsim.catalog.part_errors import faults_of
from channelsim.codecs.trained import Blueprint, load_weights, zoo_file, zoo_names
from channelsim.errors import InputError, did_you_mean
from channelsim.parts import Count, Flag, NonNegative, Positive, Whole, part
from channelsim.problems import Origins, Problems
from channelsim.scenario.yaml_lines import read_yaml


@part
class CodecRecipe:
    """Which network. ``architecture``: lu-chen. ``latent_size``: K, default 10 (the paper's)."""

    kind: ClassVar[str] = "codec"

    architecture: Literal["lu-chen"] = "lu-chen"
    latent_size: Count = 10

    def blueprint(self) -> Blueprint:
        """What is needed to build it."""
        return Blueprint(self.architecture, self.latent_size, True, (1, 32, 32))


@part
class KldRecipe:
    """Reconstruction + β·KL(q(z|x) ‖ N(0, I)), averaged over the batch.

    ``recon_reduction: sum`` takes Σ_pixels (x − x̂)², ``mean`` the mean over the N pixels. −log p of
    a Gaussian of variance 1 is ½·Σ(x − x̂)², against which the KL weighs β_eff = β/2 for ``sum``
    and β·N/2 for ``mean``. (β = 1 with ``sum`` is thus the plain variational bound of a Gaussian
    likelihood of variance ½.) ``beta``: β ≥ 0, default 1. Lu & Chen state neither; ours.
    """

    kind: Literal["kld"] = "kld"
    beta: NonNegative = 1.0
    recon_reduction: Literal["sum", "mean"] = "sum"

    def effective_beta(self, pixels: int) -> float:
        """Weight of the KL against the likelihood of a Gaussian of variance 1."""
        return self.beta * (pixels if self.recon_reduction == "mean" else 1) / 2


@part
class DataRecipe:
    """Training images. ``name``: ``mnist`` (needs a data root) or ``mnist5k`` (embedded)."""

    kind: ClassVar[str] = "data"

    name: Literal["mnist", "mnist5k"] = "mnist"


@part
class AdversarialRecipe:
    """Lu & Chen's Algorithm 1 (2023): latent adversarial training of the decoder.

    After each step on encoder and decoder, ``rounds`` times: z is drawn anew from the posterior,
    ``steps`` steps of projected gradient ascent find δ within ``epsilon`` that drives the decoded
    image away from g(z), and the decoder alone takes one Adam step on e(x, g(z + δ)) against the
    original image. Attack and step run on batch norm's running statistics, which they leave alone.

    The paper's: ``epsilon`` 0.05, ``loss`` ssim (maximise 1 − SSIM), sign steps of ``step_size`` 1
    in latent units. Ours: ``rounds`` (M) 1, ``steps`` (K) 10, ``norm`` linf, ``start`` uniform in
    the ball (at zero the loss has no slope), ``keep_best``, and moments of Adam that are kept
    apart from those of the first step.
    """

    kind: ClassVar[str] = "adversarial"

    algorithm: Literal["lu-chen-1"] = "lu-chen-1"
    rounds: Count = 1
    steps: Count = 10
    epsilon: Positive = 0.05
    norm: Literal["linf", "l2"] = "linf"
    step_size: Positive = 1.0
    loss: Literal["ssim", "mse"] = "ssim"
    start: Literal["uniform", "zero"] = "uniform"
    keep_best: Flag = True


@part
class Recipe:
    """A training: codec, objective, data, and how long.

    ``epochs``, ``batch_size`` (64, the paper's), ``learning_rate`` of Adam (1e-3, the paper's),
    ``seed``, ``precision`` of the forward pass: float32, or bfloat16 autocast. ``init``: a zoo
    codec or a weights file to start from. ``adversarial``: harden the decoder.
    """

    kind: ClassVar[str] = "recipe"

    title: str = ""
    codec: CodecRecipe
    objective: KldRecipe
    data: DataRecipe
    epochs: Count
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    seed: Whole = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    init: str | None = None
    adversarial: AdversarialRecipe | None = None

    @model_validator(mode="after")
    def _trainable(self) -> Recipe:
        if self.batch_size < 2:
            raise ValueError(f"batch_size {self.batch_size}: batch norm needs at least 2")
        return self


@dataclass(frozen=True)
class Reading:
    """A recipe as read. ``init_file``: the weights to start from. ``hash`` covers both."""

    name: str
    path: Path
    recipe: Recipe
    init_file: Path | None
    init_sha256: str | None

    @property
    def resolved(self) -> dict[str, Any]:
        """Every field with its value, JSON-able."""
        return asdict(self.recipe)

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the result."""
        decisive = {k: v for k, v in self.resolved.items() if k not in ("title", "init")}
        text = json.dumps([decisive, self.init_sha256], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_recipe(path: Path) -> Reading:
    """Read and check a recipe file; all that is wrong with it comes in one `InputError`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as reason:
        raise InputError(f"recipe {path}: cannot be read ({reason.strerror})") from reason
    except UnicodeDecodeError as reason:
        raise InputError(f"recipe {path}: not a text file") from reason
    document = read_yaml(text, path.name)
    problems = Problems(Origins(path.name, document.lines))
    if not isinstance(document.data, Mapping):
        problems.add((), "a recipe is a mapping with codec, objective, data and epochs")
        problems.raise_if_any()
    try:
        recipe = TypeAdapter(Recipe).validate_python(document.data)
    except ValidationError as error:
        for fault in faults_of(error, Recipe):
            problems.add(fault.where, fault.text)
        problems.raise_if_any()
        raise
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
        if start.blueprint != recipe.codec.blueprint():
            given, wanted = start.blueprint, recipe.codec.blueprint()
            raise InputError(
                f"{path.name}  init: {recipe.init!r} is {given.architecture} with latent_size"
                f" {given.latent_size}, but codec asks for {wanted.architecture} with"
                f" {wanted.latent_size}; make them equal"
            )
    return Reading(path.stem, path, recipe, init_file, sha256)

"""A codec's recipe as read, with its initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from channelsim import sources
from channelsim.codecs.trained import Blueprint, load_weights, zoo_file, zoo_names
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.files import written_name
from channelsim.support.problems import Problems
from channelsim.training.recipe import PcaRecipe, Recipe
from channelsim.training.recipe_file import hash_of, read_document, said, validated


@dataclass(frozen=True)
class RecipeAsRead:
    """A recipe as read. ``init_file``: the weights to start from, ``init_sha256`` their content's.

    ``data_sha256``: the content of images at a path; named data sets are identified by name.
    ``hash`` covers all of it.
    """

    name: str
    path: Path
    recipe: Recipe | PcaRecipe
    init_file: Path | None
    init_sha256: str | None
    data_sha256: str | None = None

    @property
    def resolved(self) -> dict[str, Any]:
        """The recipe without keys at their defaults; JSON-able.

        So a new option with a default does not change the hashes of old trainings.
        """
        return said(self.recipe)

    @property
    def hash(self) -> str:
        """SHA-256 of everything that decides the result."""
        others = [self.init_sha256]
        if self.data_sha256 is not None:
            others.append(self.data_sha256)
        return hash_of(self.resolved, *others)

    def on(self, data: sources.TrainingSet) -> RecipeAsRead:
        """The same, with the hash of its data."""
        if self.recipe.data.path is None:
            return self
        return replace(self, data_sha256=data.content_sha256)


def read_recipe(path: Path) -> RecipeAsRead:
    """Read and check a codec's recipe file; one `InputError` lists all faults."""
    path = Path(path)
    data, problems = read_document(path)
    codec = data.get("codec")
    pca = isinstance(codec, Mapping) and codec.get("architecture") == "pca"
    if pca:
        return RecipeAsRead(path.stem, path, validated(PcaRecipe, data, path, problems), None, None)
    recipe = validated(Recipe, data, path, problems)
    init_file = None
    if recipe.init is not None:
        init_file = _find_init(path, recipe.init, problems)
    problems.raise_if_any()
    return _with_init(path, recipe, init_file)


def _find_init(path: Path, init: str, problems: Problems) -> Path | None:
    if init in zoo_names():
        return zoo_file(init)
    try:
        file = path.parent / written_name(init)
    except InputError as error:
        problems.add(("init",), error.message)
        return None
    if file.is_file():
        return file
    known = ", ".join(zoo_names()) or "none yet"
    hint = did_you_mean(init, zoo_names())
    problems.add(("init",), f"{init!r} is neither in the zoo (known: {known}) nor a file.{hint}")
    return None


def _with_init(path: Path, recipe: Recipe, init_file: Path | None) -> RecipeAsRead:
    sha256 = None
    if init_file is not None:
        start = load_weights(init_file)
        sha256 = start.content_sha256
        wanted = recipe.codec.blueprint(start.blueprint.image_shape)
        if start.blueprint != wanted:
            raise InputError(
                f"{path.name}  init: {recipe.init!r} is {_described(start.blueprint)}, but codec"
                f" asks for {_described(wanted)}; make them equal"
            )
    return RecipeAsRead(path.stem, path, recipe, init_file, sha256)


def _described(blueprint: Blueprint) -> str:
    sort = "variational" if blueprint.variational else "deterministic"
    return f"{blueprint.architecture} with latent_size {blueprint.latent_size}, {sort}"

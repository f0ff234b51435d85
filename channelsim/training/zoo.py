"""The zoo as a whole: its recipes in order, its table, and its retraining."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channelsim.codecs.trained import ZOO_FOLDER, Zoo, zoo_names
from channelsim.support.errors import InputError
from channelsim.support.weight_files import card_path, read
from channelsim.training.objectives import KldRecipe, MmdRecipe, SwtRecipe
from channelsim.training.progress import stop_signals
from channelsim.training.recipe import PcaRecipe, Recipe
from channelsim.training.recipe_as_read import read_recipe
from channelsim.training.recipe_file import read_document
from channelsim.training.several import Task, train_all

TRUNKS = ZOO_FOLDER / "trunks"
TABLE_FILE = ZOO_FOLDER / "README.md"


@dataclass(frozen=True)
class Row:
    """A codec of the zoo in the words and figures of its recipe and card."""

    name: str
    objective: str
    defence: str
    card: Mapping[str, Any]

    @property
    def figures(self) -> dict[str, str]:
        """Column → text. P: transmit power per real value; σ²: mean posterior variance."""
        card, generated = self.card, self.card["generation"]
        return {
            "MSE": f"{card['test_mse']:.4f}",
            "PSNR dB": f"{card['test_psnr_db']:.1f}",
            "SSIM": f"{card['test_ssim']:.3f}",
            "P": f"{card['transmit_power']:.3g}",
            "σ²": f"{card['transmit_power_sample'] - card['transmit_power']:.2g}",
            "β_eff": f"{card['beta_eff']:g}" if "beta_eff" in card else "",
            "diversity": f"{generated['diversity'] / generated['test_diversity']:.2f}",
            "FDD": f"{generated['fdd']:.0f}" if "fdd" in generated else "",
        }


def waves() -> list[list[Path]]:
    """Every recipe: classifiers (cards are measured on them), codecs, and codecs from other codecs.

    Each wave needs only those before it.
    """
    codecs = _recipes(ZOO_FOLDER)
    later = [file for file in codecs if "init" in read_document(file)[0]]
    return [_recipes(TRUNKS), [file for file in codecs if file not in later], later]


def _recipes(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.yaml") if ".card" not in path.name)


def rows() -> list[Row]:
    """All codecs of the zoo, by name and number."""

    def order(name: str) -> list[tuple[bool, int, str]]:
        return [
            (word.isdigit(), int(word) if word.isdigit() else 0, word) for word in name.split("-")
        ]

    return [_row(name) for name in sorted(zoo_names(), key=order)]


def _row(name: str) -> Row:
    recipe = read_recipe(ZOO_FOLDER / f"{name}.yaml").recipe
    return Row(name, objective_of(recipe), defence_of(recipe), Zoo(name=name).card)


def objective_of(recipe: Recipe | PcaRecipe) -> str:
    """The regulariser and its weight."""
    if isinstance(recipe, PcaRecipe):
        return "principal components"
    objective = recipe.objective
    encoder = "VAE" if recipe.codec.variational else "DAE"
    if isinstance(objective, KldRecipe):
        return f"{encoder}, KLD, β = {objective.beta:g}"
    if isinstance(objective, MmdRecipe):
        return f"{encoder}, MMD ({objective.kernel}), λ = {objective.weight:g}"
    if isinstance(objective, SwtRecipe):
        return f"{encoder}, SWT ({objective.mode}), λ = {objective.weight:g}"
    return f"{encoder}, TC ({objective.estimator}), β = {objective.beta:g}"


def defence_of(recipe: Recipe | PcaRecipe) -> str:
    """The defences by training, "none" without."""
    if isinstance(recipe, PcaRecipe):
        return "none"
    found = []
    if recipe.adversarial is not None:
        attack = recipe.adversarial
        how = "" if attack.algorithm == "equal-compute" else f", ε = {attack.epsilon:g}"
        frozen = ", frozen encoder" if attack.encoder == "frozen" else ""
        found.append(f"{attack.algorithm}{frozen}{how}")
    if recipe.mixup is not None:
        found.append(f"mixup ({recipe.mixup.pairing})")
    if recipe.channel is not None:
        low, high = recipe.channel.range_db
        found.append(f"noise, {low:g} dB" if low == high else f"noise, {low:g} to {high:g} dB")
    return " and ".join(found) or "none"


def table() -> str:
    """The zoo's README: a Markdown table of every card's figures."""
    found = rows()
    head = ["codec", "trained to minimise", "defence", *(found[0].figures if found else [])]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]
    lines += [[f"`{r.name}`", r.objective, r.defence, *r.figures.values()] for r in found]
    size = sum(file.stat().st_size for file in ZOO_FOLDER.rglob("*.safetensors")) / 1e6
    return _TABLE.format(
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
        count=len(found),
        size=size,
    )


_TABLE = """# The zoo

{count} codecs of digits, d = 10, in Lu & Chen's network (PCA aside), trained on MNIST without the
1,000 images of mnist5k's test split, on which MSE, PSNR and SSIM of g(μ(x)) are measured. All of
them together are {size:.0f} MB. Every figure is from the cards beside this file, and
`channelsim zoo --remake --install --data-root DIR` makes weights, cards and this table again.

{table}

P: transmit power per real value, the mean of ‖μ‖²/K over the training images. σ²: mean variance of
the posterior. β_eff: weight of the regulariser against −log p of a Gaussian of variance 1.
diversity: of 1,000 images decoded from the codec's prior (N(0, I); for SWT and PCA the Gaussian
fitted to the latents), relative to as many test images. FDD: Fréchet distance of those images to
the test images on the features of `trunks/mnist`; it is not the FID.

Read with care: nothing pays a VAE with MMD or SWT for its variance, so its posterior all but
vanishes (σ²) and it comes out as its deterministic twin does. All codecs from nothing were given
at most eight epochs, and most were still improving; the hardened ones go on for three more from
`kld-vae`, so compare them with `kld-vae-equal-compute`, which does so, too.

`trunks/` holds the classifier whose trunk serves the metric `dfd` and whose answer serves `label`.
"""


# --- making it again ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Remade:
    """A finished training; ``same``: whether it equals the zoo's to the bit."""

    name: str
    weights: Path
    same: bool


def remake(
    out: Path,
    data_root: Path | None,
    *,
    jobs: int = 1,
    only: Sequence[str] = (),
    install: bool = False,
) -> Iterator[Remade]:
    """Train every recipe (or ``only`` these) into folders of ``out``, ``jobs`` at a time.

    Started again, each resumes. With ``install`` the results replace the zoo's files, and
    codecs that start from others start from the new ones.
    """
    chosen = _chosen(only)
    with stop_signals() as stop:
        for wave in waves():
            tasks = [Task(file, out / file.stem) for file in wave if file in chosen]
            for task in train_all(tasks, data_root, jobs, stop):
                weights, old = task.weights, task.recipe.with_suffix(".safetensors")
                same = old.is_file() and read(old).content_sha256 == read(weights).content_sha256
                if install:
                    shutil.copyfile(card_path(weights), card_path(old))
                    shutil.copyfile(weights, old)
                yield Remade(task.recipe.stem, weights, same)
    if install:
        TABLE_FILE.write_text(table(), encoding="utf-8")


def _chosen(only: Sequence[str]) -> list[Path]:
    files = [file for wave in waves() for file in wave]
    unknown = sorted(set(only) - {file.stem for file in files})
    if unknown:
        known = ", ".join(file.stem for file in files)
        raise InputError(f"zoo: no recipe is called {unknown[0]} (known: {known})")
    return [file for file in files if not only or file.stem in only]

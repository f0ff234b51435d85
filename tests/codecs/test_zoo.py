"""The zoo: shipped codecs match their recipes and cards, and can be retrained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import yaml

from channelsim import sources
from channelsim.codecs import Zoo, zoo_names
from channelsim.codecs.trained import ZOO_FOLDER, load_weights
from channelsim.metrics.ssim import SSIM
from channelsim.support.errors import InputError
from channelsim.training import zoo
from channelsim.training.attacks import adversarial_latents
from channelsim.training.defences import AdversarialRecipe
from channelsim.training.recipe_as_read import read_recipe
from channelsim.training.spread import outside
from channelsim.training.train import train


@pytest.mark.parametrize("name", zoo_names())
def test_a_zoo_codec_is_what_its_recipe_and_card_say(name):
    card = Zoo(name=name).card
    images = sources.mnist5k("test").images
    codec = Zoo(name=name)
    decoded = codec.decode(codec.encode(images))
    assert card["test_mse"] == pytest.approx(float((decoded - images).square().mean()), rel=1e-3)
    assert card["test_ssim"] == pytest.approx(float(SSIM()(decoded, images).mean()), rel=1e-3)
    assert card["data"]["left_out_as_test_images"] == 1000
    assert card["data"]["images"] == 59_000
    assert card["stored"] == "float16"
    assert card["command"] == f"channelsim train channelsim/zoo/{name}.yaml --data-root DIR"
    assert card["recipe_hash"] == read_recipe(ZOO_FOLDER / f"{name}.yaml").hash


WANTED = {
    *("kld-vae", "mmd-vae", "swt-vae", "mmd-dae", "swt-dae", "pca"),
    *("kld-vae-adversarial", "kld-vae-adversarial-frozen", "kld-vae-equal-compute"),
    *("kld-vae-mixup", "kld-vae-noise"),
    *(f"beta-tcvae-{beta}" for beta in (1, 5, 10, 30, 50)),
}


def test_every_zoo_recipe_has_its_weights_and_card():
    recipes = {path.stem for path in ZOO_FOLDER.glob("*.yaml") if ".card" not in path.name}
    cards = {path.name.removesuffix(".card.yaml") for path in ZOO_FOLDER.glob("*.card.yaml")}
    assert recipes == cards == set(zoo_names()) == WANTED


def test_the_zoo_is_small_and_its_table_says_what_the_cards_say():
    assert sum(file.stat().st_size for file in ZOO_FOLDER.rglob("*")) < 40e6
    assert zoo.TABLE_FILE.read_text(encoding="utf-8") == zoo.table()


def test_codecs_that_are_compared_differ_in_one_thing():
    """Fair comparisons: same network, seed, data and length."""

    def said(name: str) -> dict:
        recipe = read_recipe(ZOO_FOLDER / f"{name}.yaml").resolved
        return {key: value for key, value in recipe.items() if key != "title"}

    def differing(one: str, other: str) -> set[str]:
        first, second = said(one), said(other)
        return {key for key in first | second if first.get(key) != second.get(key)}

    assert differing("mmd-vae", "mmd-dae") == {"codec"}
    assert differing("swt-vae", "swt-dae") == {"codec"}
    for name in ("mmd-vae", "swt-vae", *(f"beta-tcvae-{beta}" for beta in (1, 5, 10, 30, 50))):
        assert differing("kld-vae", name) == {"objective"}
    assert differing("kld-vae", "kld-vae-mixup") == {"mixup"}
    assert differing("kld-vae", "kld-vae-noise") == {"channel"}
    for name in ("frozen", "equal-compute"):
        other = name if name == "equal-compute" else f"adversarial-{name}"
        assert differing("kld-vae-adversarial", f"kld-vae-{other}") == {"adversarial"}


def test_a_receiver_behind_a_frozen_encoder_shares_the_latent_space():
    images = sources.mnist5k("test").images[:50]
    plain, hardened = Zoo(name="kld-vae"), Zoo(name="kld-vae-adversarial-frozen")
    for mine, theirs in zip(plain.posterior(images), hardened.posterior(images), strict=True):
        assert torch.equal(mine, theirs)


REMADE = Path(__file__).parents[1] / "remade"


def test_a_small_codec_remade_from_its_recipe_lies_within_the_spread_that_its_card_tells(tmp_path):
    """On any processor: rounding changes a training's course as another seed would."""
    card = yaml.safe_load((REMADE / "small.card.yaml").read_text())
    assert len(card["spread"]["seeds"]) == 10
    assert outside(card, card["spread"]) == []
    done = train(REMADE / "small.yaml", tmp_path / "out")
    assert outside(done.card, card["spread"]) == []
    assert done.card["recipe_hash"] == card["recipe_hash"]
    assert len(done.card["arithmetic"]["signature"]) == 16
    # Nor is the spread so wide that anything would pass: a codec without power, or twice the error.
    assert len(outside({**done.card, "transmit_power": 0.05}, card["spread"])) == 1
    assert len(outside({**done.card, "test_mse": 2 * card["test_mse"]}, card["spread"])) == 1


@pytest.mark.slow
def test_the_zoos_principal_components_remade_are_the_zoos_to_the_last_figure(tmp_path):
    root = os.environ.get("CHANNELSIM_DATA")
    if not root:
        pytest.skip("CHANNELSIM_DATA names no folder with MNIST")
    (remade,) = zoo.remake(tmp_path, Path(root), only=["pca"])
    shipped = Zoo(name="pca").card
    assert load_weights(remade.weights).card["test_mse"] == pytest.approx(
        shipped["test_mse"], rel=1e-6
    )


def test_remaking_names_what_it_does_not_know(tmp_path):
    with pytest.raises(InputError, match=r"no recipe is called kld-vea \(known: mnist, "):
        list(zoo.remake(tmp_path, None, only=["kld-vea"]))


def test_recipes_come_after_those_they_start_from():
    trunks, first, later = ({file.stem for file in wave} for wave in zoo.waves())
    assert trunks == {"mnist"}
    assert first | later == WANTED
    assert later == {name for name in WANTED if "adversarial" in name or "equal" in name}


def test_a_training_of_the_zoo_that_fails_says_which_and_why(tmp_path):
    with pytest.raises(InputError, match=r"training kld-vae ended with code 2: .*--data-root"):
        list(zoo.remake(tmp_path / "out", tmp_path, only=["kld-vae"]))


def damage_at(name: str, epsilon: float) -> tuple[float, float]:
    """Mean SSIM to the undisturbed image, and squared error to the source, under the attack."""
    codec, images = Zoo(name=name), sources.mnist5k("test").images[:80]
    latent = codec.encode(images)
    recipe = AdversarialRecipe(epsilon=epsilon, step_size=epsilon / 2)
    generator = torch.Generator().manual_seed(1)
    found = adversarial_latents(latent, codec.decode, recipe, generator)
    image = codec.decode(found)
    similarity = SSIM()(image, codec.decode(latent)).mean()
    return float(similarity), float((image - images).square().mean())


def test_the_hardened_zoo_codec_suffers_less_and_is_as_good_when_left_alone():
    plain, hardened = Zoo(name="kld-vae").card, Zoo(name="kld-vae-adversarial").card
    assert hardened["test_mse"] == pytest.approx(plain["test_mse"], rel=0.05)
    assert hardened["test_ssim"] > plain["test_ssim"] - 0.03
    start = load_weights(ZOO_FOLDER / "kld-vae.safetensors")
    assert hardened["init_content_sha256"] == start.content_sha256
    for epsilon, better in ((0.1, 0.005), (0.3, 0.03)):
        (plain_ssim, plain_mse), (hard_ssim, hard_mse) = (
            damage_at(name, epsilon) for name in ("kld-vae", "kld-vae-adversarial")
        )
        assert hard_ssim > plain_ssim + better
        assert hard_mse < plain_mse

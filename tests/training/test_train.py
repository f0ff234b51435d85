"""Training: checks of recipes, correct losses, and resumption after a kill without loss."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from channelsim import run, sources
from channelsim.codecs import Trained
from channelsim.codecs.trained import load_weights
from channelsim.metrics.ssim import SSIM
from channelsim.support.errors import InputError, Interrupted
from channelsim.training import card as cards
from channelsim.training import loss as losses
from channelsim.training import progress
from channelsim.training.attacks import MIXED, adversarial_latents
from channelsim.training.codec_trainer import Trainer
from channelsim.training.defences import AdversarialRecipe, ChannelRecipe, MixupRecipe
from channelsim.training.loss import batch_loss, channel_noise, mixup_loss
from channelsim.training.objectives import (
    Encoded,
    KldRecipe,
    MmdRecipe,
    SwtRecipe,
    TcRecipe,
    kl_to_standard_normal,
    reconstruction_loss,
)
from channelsim.training.recipe_as_read import read_recipe
from channelsim.training.spread import outside
from channelsim.training.train import train, train_seeds

PLAIN = {
    "codec": {"latent_size": 4},
    "objective": {"kind": "kld"},
    "data": {"name": "mnist5k"},
    "epochs": 2,
    "batch_size": 8,
    "seed": 3,
}
HARDENED = {**PLAIN, "adversarial": {"algorithm": "lu-chen-1", "steps": 3, "epsilon": 0.1}}


def write(folder: Path, recipe: dict, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def few_images(monkeypatch):
    """A training set of 40 digits, five steps of 8 to the epoch, and a test set of 20."""
    images, test = sources.mnist5k("train").images[:40], sources.mnist5k("test").images[:20]
    few = sources.TrainingSet("mnist5k", images, 0, test_images=test, test_name="few digits")
    monkeypatch.setitem(sources.TRAINING_SETS, "mnist5k", lambda root: few)
    return few


def trainer_of(folder: Path, recipe: dict) -> Trainer:
    reading = read_recipe(write(folder, recipe))
    return Trainer(reading, reading.recipe, sources.TRAINING_SETS["mnist5k"](None), folder)


# --- recipes ------------------------------------------------------------------------------------


def test_everything_wrong_with_a_recipe_is_said_at_once_with_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "codec: {latent_size: 0}\n"
        "objective: {kind: kld, bta: 1.0}\n"
        "data: {name: mnits}\n"
        "learning_rate: -1.0\n"
    )
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    said = caught.value.message.splitlines()
    assert any("bad.yaml:1  codec.latent_size: must be at least 1" in line for line in said)
    assert any("bad.yaml:2  objective.bta" in t and "Did you mean beta?" in t for t in said)
    assert any("bad.yaml:3  data.name: must be " in line for line in said)
    assert any("bad.yaml:4  learning_rate: must be more than 0" in line for line in said)
    assert any("epochs: missing" in line for line in said)


MISTAKES = [
    ({"objective": {"kind": "swt", "mode": "whitened"}, "batch_size": 4}, "batches of at least 5"),
    ({"objective": {"kind": "swt", "directions": 5}}, "directions 5: a latent of 4 values"),
    ({"objective": {"kind": "swt"}, "batch_size": 2}, "batches of at least 3"),
    ({"early_stop": {"hold_out": 1}}, r"hold_out 1: .*needs at least 2"),
    ({"batch_size": 1}, "batch norm needs at least 2"),
    ({"data": {"name": "mnist5k", "size": [64, 64]}}, "size is for celeba and images, not for mn"),
    ({"data": {"name": "mnist5k", "grey": True}}, "grey is for images, not for mnist5k"),
    ({"data": {"name": "npz"}}, "data npz needs a path"),
    ({"data": {"name": "mnist5k", "pad": 32}}, "pad is for npz, not for mnist5k"),
    ({"data": {"name": "mnist", "path": "here"}}, "lies under the data root, no path"),
    ({"objective": {"kind": "swt", "mode": "marginal", "directions": 2}}, "is for mode sliced"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=lambda value: str(value)[:40])
def test_what_cannot_be_trained_is_refused_before_anything_is_trained(tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        read_recipe(write(tmp_path, {**PLAIN, **change}))


def test_grey_weights_are_no_start_for_colour_images(tmp_path, few_images):
    start = train(write(tmp_path, {**PLAIN, "epochs": 1}, "start.yaml"), tmp_path / "start")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "c.npz", train_images=pixels[:30], test_images=pixels[30:])
    data = {"name": "npz", "path": "c.npz", "layout": "nchw"}
    recipe = {**PLAIN, "data": data, "init": os.path.relpath(start.weights, tmp_path)}
    with pytest.raises(InputError, match=r"is for images of shape \[1, 32, 32\], but .* \[3, 32"):
        train(write(tmp_path, recipe), tmp_path / "out")


def test_a_file_in_the_way_of_the_folder_is_the_users_to_move(tmp_path, few_images):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="a file is in the way"):
        train(write(tmp_path, PLAIN), tmp_path / "out")


def test_changed_images_are_another_training(tmp_path):
    """The content of a file decides the result, not its name."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    recipe = {"codec": {"architecture": "pca", "latent_size": 3}}
    recipe["data"] = {"name": "npz", "path": "d.npz", "layout": "nhw"}
    path = write(tmp_path, recipe)
    np.savez(tmp_path / "d.npz", train_images=pixels[:30], test_images=pixels[30:])
    train(path, tmp_path / "out")
    assert train(path, tmp_path / "out").already_done
    np.savez(tmp_path / "d.npz", train_images=255 - pixels[:30], test_images=pixels[30:])
    with pytest.raises(InputError, match="holds the result of another recipe"):
        train(path, tmp_path / "out")


def test_a_missing_or_unreadable_recipe_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match=r"recipe .*nowhere\.yaml: there is no such file"):
        read_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="a recipe is a mapping"):
        read_recipe(tmp_path / "list.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not a text file"):
        read_recipe(tmp_path / "bytes.yaml")


def test_training_starts_only_from_weights_that_exist_and_fit(tmp_path, few_images):
    nowhere = write(tmp_path, {**PLAIN, "init": "kld-vea"})
    with pytest.raises(InputError, match=r"init: 'kld-vea' is neither in the zoo .* nor a file"):
        read_recipe(nowhere)
    done = train(write(tmp_path, {**PLAIN, "epochs": 1}), tmp_path / "out")
    start = os.path.relpath(done.weights, tmp_path)
    other = {**PLAIN, "codec": {"latent_size": 5}, "init": start}
    with pytest.raises(InputError, match=r"latent_size 4, variational, but codec asks"):
        read_recipe(write(tmp_path, other, "other.yaml"))
    more = read_recipe(write(tmp_path, {**PLAIN, "init": start}, "more.yaml"))
    trainer = Trainer(more, more.recipe, few_images, tmp_path)
    begun = load_weights(done.weights).network.state_dict()
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, begun[name])


def test_mnist_without_a_data_root_is_refused_before_anything_is_written(tmp_path):
    recipe = write(tmp_path, {**PLAIN, "data": {"name": "mnist"}})
    with pytest.raises(InputError, match="--data-root"):
        train(recipe, tmp_path / "out", data_root=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


# --- losses -------------------------------------------------------------------------------------


def test_the_effective_beta_shows_the_reduction_trap():
    assert KldRecipe(beta=1.0).effective_beta(1024) == 0.5
    assert KldRecipe(beta=2.0, recon_reduction="sum").effective_beta(1024) == 1.0
    assert KldRecipe(beta=1.0, recon_reduction="mean").effective_beta(1024) == 512.0


def test_both_reductions_give_the_same_gradient_direction_at_equal_effective_beta():
    generator = torch.Generator().manual_seed(0)
    images, decoded = torch.rand(2, 8, 1, 32, 32, generator=generator)
    mean = torch.randn(8, 4, generator=generator)
    log_variance = torch.randn(8, 4, generator=generator)
    divergence = kl_to_standard_normal(mean, log_variance)
    by_sum = reconstruction_loss(images, decoded, "sum") + 3.0 * divergence
    by_mean = reconstruction_loss(images, decoded, "mean") + 3.0 / 1024 * divergence
    assert float(by_sum) == pytest.approx(1024 * float(by_mean), rel=1e-5)
    assert KldRecipe(beta=3.0).effective_beta(1024) == KldRecipe(
        beta=3.0 / 1024, recon_reduction="mean"
    ).effective_beta(1024)


def test_the_kl_term_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(50, 7, generator=generator)
    log_variance = torch.randn(50, 7, generator=generator)
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    prior = torch.distributions.Normal(torch.zeros(7), torch.ones(7))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    assert float(kl_to_standard_normal(mean, log_variance)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_reconstruction_is_summed_or_averaged_over_pixels_and_averaged_over_images():
    images, decoded = torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    decoded[0] += 0.5
    assert float(reconstruction_loss(images, decoded, "sum")) == pytest.approx(0.25 * 1024 / 2)
    assert float(reconstruction_loss(images, decoded, "mean")) == pytest.approx(0.25 / 2)


# --- Algorithm 1 --------------------------------------------------------------------------------


@pytest.fixture
def hardening(tmp_path, few_images):
    trainer = trainer_of(tmp_path, HARDENED)
    for _ in range(6):
        trainer.take_step()
    return trainer


def encoded_batch(trainer: Trainer) -> tuple[torch.Tensor, Encoded]:
    images = trainer._batch()
    generator = torch.Generator().manual_seed(2)
    return images, losses.encode(trainer.network.eval(), images, generator)


@pytest.mark.parametrize(
    "recipe",
    [
        AdversarialRecipe(epsilon=0.3),
        AdversarialRecipe(epsilon=0.3, start="zero", loss="mse", norm="l2", step_size=0.1),
        AdversarialRecipe(epsilon=0.3, norm="l2", keep_best=False),
    ],
)
def test_perturbed_latents_stay_in_the_ball(hardening, recipe):
    latent = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    decode = hardening.network.eval().folded().decode
    found = adversarial_latents(latent, decode, recipe, torch.Generator().manual_seed(1))
    size = torch.linalg.vector_norm(
        found - latent, ord=2 if recipe.norm == "l2" else math.inf, dim=1
    )
    assert float(size.max()) <= 0.3 * (1 + 1e-5)
    assert not found.requires_grad


def test_perturbed_latents_do_more_damage_than_random_ones_of_the_same_size(hardening):
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(64, 4, generator=generator)
    decode = hardening.network.eval().folded().decode
    found = adversarial_latents(latent, decode, AdversarialRecipe(epsilon=0.5), generator)
    signs = torch.randint(0, 2, latent.shape, generator=generator) * 2.0 - 1.0
    ssim = SSIM()
    attacked = ssim(decode(found), decode(latent)).mean()
    random = ssim(decode(latent + 0.5 * signs), decode(latent)).mean()
    assert float(attacked) < float(random) - 0.01


def test_the_hardening_step_moves_the_decoder_only_and_no_batch_norm_statistics(hardening):
    network = hardening.network
    images, encoded = encoded_batch(hardening)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    hardening._harden(images, encoded, torch.Generator().manual_seed(0))
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    decoder = {name for name, _ in network.named_parameters() if name.startswith(("from", "dec"))}
    assert moved == decoder


def test_the_hardening_step_aims_at_the_original_image(hardening, monkeypatch):
    seen = []

    def spy(images, decoded, reduction):
        seen.append(images)
        return reconstruction_loss(images, decoded, reduction)

    images, encoded = encoded_batch(hardening)
    monkeypatch.setattr(losses, "reconstruction_loss", spy)
    hardening._harden(images, encoded, torch.Generator().manual_seed(0))
    assert len(seen) == 1
    assert seen[0] is images


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_mixed_training_meets_every_attack_and_none_leaves_the_ball(hardening, norm):
    recipe = AdversarialRecipe(algorithm="mixed", epsilon=0.3, norm=norm, steps=3)
    latent = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    decode = hardening.network.eval().folded().decode
    seen = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        name = MIXED[int(torch.randint(len(MIXED), (1,), generator=generator.clone_state()))]
        delta = adversarial_latents(latent, decode, recipe, generator) - latent
        size = torch.linalg.vector_norm(delta, dim=1)
        assert float(size.max()) <= 0.3 * (2 if norm == "linf" else 1) * (1 + 1e-5)
        assert (float(size.max()) == 0) == (name == "none")
        same = bool((delta - delta[0]).abs().max() < 1e-6)
        assert same == (name in ("none", "universal"))
        if norm == "linf" and name != "awgn":
            assert float(delta.abs().max()) <= 0.3 * (1 + 1e-5)
        seen.add(name)
    assert seen == set(MIXED)


def drawn(name: str) -> torch.Generator:
    """A generator whose first draw makes mixed training choose this attack."""
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        if MIXED[int(torch.randint(len(MIXED), (1,), generator=generator.clone_state()))] == name:
            return generator
    raise AssertionError(name)


def test_a_universal_attack_finds_the_direction_that_a_linear_decoder_amplifies_most():
    gains = torch.tensor([1.0, 2.0, 8.0, 1.0])
    latent = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    recipe = AdversarialRecipe(
        algorithm="mixed", epsilon=0.5, norm="l2", step="l2", step_size=0.1, steps=20, loss="mse"
    )
    damage = {}
    for name in ("universal", "awgn"):
        found = adversarial_latents(latent, lambda z: z * gains, recipe, drawn(name))
        damage[name] = float(((found - latent) * gains).square().sum(1).mean())
    # At best ε²·max gain², on average over noise of that norm ε²·mean gain².
    assert 0.9 * 16.0 < damage["universal"] <= 16.0 * (1 + 1e-5)
    assert damage["awgn"] == pytest.approx(0.25 * float(gains.square().mean()), rel=0.25)


def test_equal_compute_takes_a_plain_step_for_every_gradient_of_the_attack(tmp_path, few_images):
    attacked = trainer_of(tmp_path, HARDENED)
    plain = trainer_of(
        tmp_path, {**PLAIN, "adversarial": {"algorithm": "equal-compute", "steps": 3}}
    )
    attacked.take_step()
    plain.take_step()

    def steps(trainer: Trainer) -> int:
        states = trainer.decoder_optimiser.state.values()
        return int(next(iter(states))["step"])

    # Three gradients of the attack and the decoder's own step, against four steps.
    assert (steps(attacked), steps(plain)) == (1, 4)


def test_equal_compute_never_attacks(tmp_path, few_images, monkeypatch):
    plain = trainer_of(tmp_path, {**PLAIN, "adversarial": {"algorithm": "equal-compute"}})
    monkeypatch.setattr(losses, "adversarial_latents", lambda *given: pytest.fail("an attack"))
    plain.take_step()


def test_a_frozen_encoder_keeps_every_bit_and_the_decoder_learns(tmp_path, few_images):
    start = train(write(tmp_path, {**PLAIN, "store": "float16"}, "start.yaml"), tmp_path / "start")
    frozen = {"algorithm": "lu-chen-1", "encoder": "frozen", "steps": 3, "epsilon": 0.1}
    recipe = {**PLAIN, "init": "start/start.safetensors", "adversarial": frozen, "store": "float16"}
    done = train(write(tmp_path, recipe), tmp_path / "out")
    one, other = Trained(weights=start.weights), Trained(weights=done.weights)
    images = few_images.test_images
    for mine, theirs in zip(one.posterior(images), other.posterior(images), strict=True):
        assert torch.equal(mine, theirs)
    latent = one.encode(images)
    assert float((one.decode(latent) - other.decode(latent)).abs().max()) > 1e-3


def test_a_frozen_encoder_stays_what_it_was_also_where_half_precision_would_round_it(
    tmp_path, few_images
):
    start = train(write(tmp_path, PLAIN, "start.yaml"), tmp_path / "start")  # float32
    frozen = {"algorithm": "equal-compute", "encoder": "frozen", "steps": 1}
    recipe = {**PLAIN, "init": "start/start.safetensors", "adversarial": frozen, "store": "float16"}
    done = train(write(tmp_path, recipe), tmp_path / "out")
    assert done.card["stored"] == "float16"
    images = few_images.test_images
    before, after = (Trained(weights=file).encode(images) for file in (start.weights, done.weights))
    assert torch.equal(before, after)


def test_a_frozen_encoder_collects_no_gradients(tmp_path, few_images):
    train(write(tmp_path, {**PLAIN, "epochs": 1}, "start.yaml"), tmp_path / "start")
    frozen = {"encoder": "frozen", "steps": 1}
    recipe = {**PLAIN, "init": "start/start.safetensors", "adversarial": frozen, "mixup": {}}
    trainer = trainer_of(tmp_path, recipe)
    trainer.take_step()
    assert all(parameter.grad is None for parameter in trainer.network.encoder_parameters())


def test_a_frozen_encoder_needs_something_to_start_from(tmp_path):
    frozen = {**PLAIN, "adversarial": {"encoder": "frozen"}}
    with pytest.raises(InputError, match="name the codec to start from in init"):
        read_recipe(write(tmp_path, frozen))


# --- mixup, channel noise, other objectives -----------------------------------------------------


def test_mixtures_leave_the_statistics_that_the_deployed_codec_runs_on_alone(tmp_path, few_images):
    states = []
    for name, recipe in (("plain", PLAIN), ("mixed", {**PLAIN, "mixup": {}})):
        (tmp_path / name).mkdir()
        trainer = trainer_of(tmp_path / name, recipe)
        images, draw = trainer._batch(), trainer._draw("x")
        batch_loss(trainer.recipe, trainer.network.train(), images, draw, 40)
        states.append(trainer.network.state_dict())
        assert all(m.momentum == 0.1 for m in trainer.network.encoder_norms)
    for name, value in states[0].items():
        if "running" in name:
            assert torch.equal(value, states[1][name]), name


class Halves(torch.nn.Module):
    """A codec with a closed form of mixup: μ(x) = the left half of the image's pixels."""

    def moments(self, images):
        mean = images.flatten(1)[:, :2]
        return mean, torch.zeros_like(mean)

    def decode(self, latent):
        return torch.cat([latent, latent], 1).view(-1, 1, 2, 2)


def mixed_up(pairing: str, seed: int) -> tuple[float, float]:
    """The mixup loss of the plain codec less its KL, and that KL at the mixed images."""
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(5))
    images[:, :, 1] = images[:, :, 0]  # so that g(μ(x)) = x
    mean, log_variance = Halves().moments(images)
    kls = []

    def draw(name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed + len(name))

    encoded = Encoded(mean, log_variance, mean)
    recipe = MixupRecipe(pairing=pairing)

    class Watched(Halves):
        def moments(self, images):
            answer = super().moments(images)
            kls.append(float(kl_to_standard_normal(*answer)))
            return answer

    total = float(mixup_loss(recipe, Watched(), images, encoded, draw))
    return total - kls[0], kls[0]


@pytest.mark.parametrize("seed", range(5))
def test_mixing_a_linear_codec_costs_nothing_but_the_kl_where_the_pairing_is_shared(seed):
    rest, kl = mixed_up("shared", seed)
    assert rest == pytest.approx(0.0, abs=1e-6)
    assert kl > 0


def test_the_released_pairing_mixes_images_and_latents_that_do_not_correspond():
    assert min(mixed_up("released", seed)[0] for seed in range(5)) > 0.01


def test_mixup_wants_the_objective_it_is_defined_for(tmp_path):
    other = {**PLAIN, "objective": {"kind": "mmd"}, "mixup": {}}
    with pytest.raises(InputError, match="mixup is defined for objective kld, not mmd"):
        read_recipe(write(tmp_path, other))


@pytest.mark.parametrize("snr_db", [-3.0, 0.0, 10.0])
def test_channel_noise_has_the_stated_share_of_the_latents_power(snr_db):
    latent = 3.0 + 2.0 * torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    noise = channel_noise(ChannelRecipe(snr_db=snr_db), latent, torch.Generator().manual_seed(1))
    ratio = float(latent.square().mean() / noise.square().mean())
    assert 10 * math.log10(ratio) == pytest.approx(snr_db, abs=0.1)


def test_a_range_of_snr_is_drawn_per_image_uniform_in_decibels():
    latent = torch.ones(4000, 100)
    recipe = ChannelRecipe(snr_db=(0.0, 20.0))
    noise = channel_noise(recipe, latent, torch.Generator().manual_seed(1))
    snr_db = -10 * torch.log10(noise.square().mean(1))
    assert float(snr_db.mean()) == pytest.approx(10.0, abs=0.3)
    assert float(snr_db.std()) == pytest.approx(20 / math.sqrt(12), abs=0.3)


def test_a_range_of_snr_goes_upwards(tmp_path):
    with pytest.raises(InputError, match="give the lower value first"):
        read_recipe(write(tmp_path, {**PLAIN, "channel": {"snr_db": [20.0, 0.0]}}))


OBJECTIVES = [
    ({"kind": "kld", "beta": 4.0}, True),
    ({"kind": "mmd", "kernel": "imq"}, True),
    ({"kind": "mmd", "kernel": "rbf_median"}, False),
    ({"kind": "mmd", "kernel": "rbf_d2"}, False),
    ({"kind": "swt"}, True),
    ({"kind": "swt", "mode": "marginal", "hinge": 0.05}, False),
    ({"kind": "swt", "mode": "whitened", "moments": 1.0}, False),
    ({"kind": "swt", "directions": 2, "reduce": "min"}, False),
    ({"kind": "tc", "beta": 5.0}, True),
    ({"kind": "tc", "estimator": "mss"}, True),
    ({"kind": "tc", "estimator": "mss_released"}, True),
]


@pytest.mark.parametrize(("objective", "variational"), OBJECTIVES, ids=str)
def test_every_objective_trains_and_its_card_says_its_weight(
    tmp_path, few_images, objective, variational
):
    codec = {"latent_size": 4, "variational": variational}
    recipe = {**PLAIN, "codec": codec, "objective": objective, "epochs": 1}
    done = train(write(tmp_path, recipe), tmp_path / "out")
    weight = (
        objective.get("beta")
        or {"kld": 1.0, "mmd": 10.0, "swt": 25.0, "tc": 1.0}[objective["kind"]]
    )
    assert done.card["beta_eff"] == weight / 2
    assert done.card["variational"] == variational
    assert done.card["prior"] == ("fitted" if objective["kind"] == "swt" else "standard")
    assert ("latent_covariance" in done.card) == (objective["kind"] == "swt")


@pytest.mark.parametrize(("colours", "side", "size"), [(1, 48, 30), (3, 32, 17)])
def test_grey_and_colour_images_of_any_size_and_latents_of_any_length_train(
    tmp_path, colours, side, size
):
    pixels = np.random.default_rng(0).integers(0, 256, (144, colours, side, side), dtype=np.uint8)
    np.savez(tmp_path / "made.npz", train_images=pixels[:140], test_images=pixels[140:])
    data = {"name": "npz", "path": "made.npz", "layout": "nchw"}
    for architecture in ("lu-chen", "pca"):
        recipe = {"codec": {"architecture": architecture, "latent_size": size}, "data": data}
        if architecture == "lu-chen":
            recipe |= {"objective": {"kind": "mmd"}, "epochs": 1, "batch_size": 70}
        done = train(write(tmp_path, recipe, f"{architecture}.yaml"), tmp_path / architecture)
        codec = Trained(weights=done.weights)
        assert codec.image_shape == (colours, side, side)
        assert codec.latent_size == size
        images = torch.from_numpy(pixels[140:]).float() / 255
        assert codec.decode(codec.encode(images)).shape == images.shape


def test_a_codec_and_a_classifier_of_a_padded_archive_fit_its_study(tmp_path):
    """What docs/own_data.md promises: from a MedMNIST archive to a run, all by its labels."""
    values = np.random.default_rng(0).integers(0, 256, (60, 28, 28, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "med.npz",
        train_images=values[:40], train_labels=np.arange(40, dtype=np.uint8)[:, None] % 4,
        test_images=values[40:], test_labels=np.arange(20, dtype=np.uint8)[:, None] % 4,
    )  # fmt: skip
    data = {"name": "npz", "path": "med.npz", "pad": 32}
    codec = {"codec": {"architecture": "pca", "latent_size": 6}, "data": data}
    classes = {"classifier": {"architecture": "small-conv"}, "data": data, "epochs": 1}
    for name, recipe in (("codec", codec), ("classes", classes)):
        train(write(tmp_path, recipe, f"{name}.yaml"), tmp_path)
    study = {
        "source": {"kind": "npz", "path": str(tmp_path / "med.npz"), "pad": 32, "count": 3},
        "receivers": {
            "mine": {"codec": {"kind": "trained", "weights": str(tmp_path / "codec.safetensors")}}
        },
        "metrics": ["mse", {"kind": "label", "weights": str(tmp_path / "classes.safetensors")}],
    }
    table = run(study, out=tmp_path / "out").frame()
    assert len(table) == 3
    assert table["label_source"].isin([0.0, 1.0]).all()


def test_images_whose_sides_do_not_fit_the_network_are_refused_in_one_sentence(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 30, 40), dtype=np.uint8)
    np.savez(tmp_path / "odd.npz", train_images=images[:10], test_images=images[10:])
    recipe = {**PLAIN, "data": {"name": "npz", "path": "odd.npz", "layout": "nhw"}}
    with pytest.raises(InputError, match="multiples of 16"):
        train(write(tmp_path, recipe), tmp_path / "out")


def test_only_objectives_with_a_posterior_ask_for_one(tmp_path):
    for kind in ("kld", "tc"):
        recipe = {**PLAIN, "codec": {"variational": False}, "objective": {"kind": kind}}
        with pytest.raises(InputError, match=f"objective {kind} needs a posterior"):
            read_recipe(write(tmp_path, recipe))


def test_the_total_correlation_objective_with_equal_weights_is_the_kl():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(500, 3, generator=generator)
    log_variance = -1.0 - torch.rand(500, 3, generator=generator)
    zeta = torch.randn(mean.shape, generator=generator)
    encoded = Encoded(mean, log_variance, mean + torch.exp(0.5 * log_variance) * zeta)
    parts = TcRecipe().penalty(encoded, lambda name: generator, 500)
    kl = kl_to_standard_normal(mean, log_variance)
    # MI + TC + Σ KL_j = E[log q(z|x) − log p(z)], one draw per image: the KL up to sampling error.
    assert float(parts["penalty"]) == pytest.approx(float(kl), rel=0.1)


def test_the_shapiro_objective_looks_along_other_directions_at_every_step():
    latent = torch.rand(64, 6, generator=torch.Generator().manual_seed(0)) ** 3
    encoded = Encoded(latent, None, latent)
    found = [
        float(
            SwtRecipe(directions=2).penalty(
                encoded, lambda name, s=seed: torch.Generator().manual_seed(s), 64
            )["swt"]
        )
        for seed in range(4)
    ]
    assert len(set(found)) == 4
    assert min(found) > 0


def test_the_discrepancy_falls_as_latents_become_normal():
    generator = torch.Generator().manual_seed(0)
    near, far = torch.randn(256, 4, generator=generator), torch.rand(256, 4, generator=generator)
    values = [
        float(MmdRecipe().penalty(Encoded(z, None, z), lambda name: generator, 256)["mmd"])
        for z in (near, far)
    ]
    assert abs(values[0]) < 0.1 * values[1]


def test_the_defences_combine(tmp_path, few_images):
    recipe = {**HARDENED, "mixup": {}, "channel": {"snr_db": 10.0}}
    trainer = trainer_of(tmp_path, recipe)
    images, draw = trainer._batch(), trainer._draw("x")
    _, terms = batch_loss(trainer.recipe, trainer.network.train(), images, draw, 40)
    parts = terms["reconstruction"] + terms["penalty"] + terms["mixup"]
    assert float(terms["loss"].detach()) == pytest.approx(float(parts.detach()), rel=1e-6)


# --- early stop ---------------------------------------------------------------------------------

EARLY = {**PLAIN, "epochs": 6, "early_stop": {"hold_out": 16, "patience": 2}}


def test_held_out_images_are_never_trained_on(tmp_path, few_images):
    trainer = trainer_of(tmp_path, EARLY)
    assert (len(trainer.images), len(trainer.held_out)) == (24, 16)
    everything = {image.numpy().tobytes() for image in few_images.images}
    trained = {image.numpy().tobytes() for image in trainer.images}
    held_out = {image.numpy().tobytes() for image in trainer.held_out}
    assert trained | held_out == everything
    assert not trained & held_out


def test_training_stops_when_the_held_out_loss_no_longer_falls_and_keeps_the_best_epoch(
    tmp_path, few_images, monkeypatch
):
    told = iter([5.0, 3.0, 4.0, 3.5, 1.0, 1.0])
    states = []

    def look(trainer):
        states.append({n: v.clone() for n, v in trainer.network.state_dict().items()})
        return next(told)

    monkeypatch.setattr(Trainer, "held_out_loss", look)
    done = train(write(tmp_path, EARLY), tmp_path / "out")
    card = done.card
    # The second epoch is the best; two more bring nothing better, so the fifth never begins.
    assert (card["best_epoch"], card["steps"], card["held_out_loss"]) == (2, 4 * 3, 3.0)
    stored = load_weights(done.weights).network.state_dict()
    for name, value in stored.items():
        if not name.endswith("batches_tracked"):
            assert torch.equal(value, states[1][name]), name


def test_an_interrupted_early_stop_goes_on_to_the_same_bits(tmp_path, few_images, monkeypatch):
    """The best epoch so far and the losses of the epochs before survive in the checkpoint."""
    monkeypatch.setattr(progress, "REPORT_S", 0.0)
    recipe = write(tmp_path, {**EARLY, "learning_rate": 0.02})
    whole = train(recipe, tmp_path / "whole")

    def stop(now):
        if now.step % 4 == 0:
            signal.raise_signal(signal.SIGINT)

    for _ in range(5):
        with contextlib.suppress(Interrupted):
            parts = train(recipe, tmp_path / "parts", on_progress=stop)
    assert parts.card["sha256"] == whole.card["sha256"]
    assert parts.resumed_at_step > 0


def test_the_held_out_loss_is_the_same_whenever_it_is_asked(tmp_path, few_images):
    trainer = trainer_of(tmp_path, {**EARLY, "adversarial": HARDENED["adversarial"]})
    trainer.take_step()
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    first = trainer.held_out_loss()
    assert trainer.held_out_loss() == first
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_recipe_that_holds_out_too_many_images_says_so(tmp_path, few_images):
    greedy = {**PLAIN, "early_stop": {"hold_out": 35}}
    with pytest.raises(InputError, match=r"40 images, which, less the 35 held out, do not fill"):
        train(write(tmp_path, greedy), tmp_path / "out")


# --- half precision -----------------------------------------------------------------------------


def test_half_precision_is_stored_where_the_card_does_not_notice(tmp_path, few_images, monkeypatch):
    full = train(write(tmp_path, PLAIN), tmp_path / "full")
    recipe = write(tmp_path, {**PLAIN, "store": "float16"}, "half.yaml")
    half = train(recipe, tmp_path / "half")
    assert (full.card["stored"], half.card["stored"]) == ("float32", "float16")
    assert half.weights.stat().st_size < 0.55 * full.weights.stat().st_size
    assert half.card["test_mse"] == pytest.approx(full.card["test_mse"], rel=1e-3)
    monkeypatch.setattr(cards, "_HARMLESS", 0.0)
    kept = train(recipe, tmp_path / "kept")
    assert kept.card["stored"] == "float32"
    assert kept.card["test_mse"] == full.card["test_mse"]


# --- the whole ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tiny_recipe_learns(tmp_path):
    recipe = {**PLAIN, "epochs": 1, "batch_size": 16, "learning_rate": 3e-3}
    recipe["codec"] = {"latent_size": 10}
    reports = []
    done = train(write(tmp_path, recipe), tmp_path / "out", on_progress=reports.append)
    assert [reports[-1].step, reports[-1].steps_total, reports[-1].epoch] == [250, 250, 1]
    assert reports[-1].losses["loss"] < 0.5 * reports[0].losses["loss"]
    images = sources.mnist5k("test").images
    mean_image = sources.mnist5k("train").images.mean(0)
    assert done.card["test_mse"] < 0.85 * float((images - mean_image).square().mean())


def test_a_card_tells_what_an_independent_look_finds(tmp_path, few_images):
    done = train(write(tmp_path, PLAIN), tmp_path / "out")
    codec, card = Trained(weights=done.weights), done.card
    assert card == {key: value for key, value in codec.card.items() if key != "content_sha256"}
    images, train_images = few_images.test_images, few_images.images
    decoded = codec.decode(codec.encode(images))
    error = float((decoded - images).square().mean())
    assert card["test_mse"] == pytest.approx(error, rel=1e-4)
    assert card["test_psnr_db"] == pytest.approx(-10 * math.log10(error), abs=1e-3)
    assert card["test_ssim"] == pytest.approx(float(SSIM()(decoded, images).mean()), abs=1e-5)
    mean, std = codec.posterior(train_images)
    power, variance = float((mean**2).mean()), float((std**2).mean())
    assert card["transmit_power"] == pytest.approx(power, rel=1e-4)
    assert card["transmit_power_sample"] == pytest.approx(power + variance, rel=1e-4)
    centred = float((mean - mean.mean(0)).square().mean())
    assert card["transmit_power_centred"] == pytest.approx(centred, rel=1e-4)
    assert card["latent_mean"] == pytest.approx(mean.mean(0).tolist(), abs=1e-5)
    assert (card["beta_eff"], card["epochs"], card["steps"], card["seed"]) == (0.5, 2, 10, 3)
    assert card["data"]["images"] == 40
    assert card["command"] == "channelsim train tiny.yaml"
    assert card["sha256"] == hashlib.sha256(done.weights.read_bytes()).hexdigest()


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path, few_images):
    recipe = write(tmp_path, HARDENED)
    shas = [train(recipe, tmp_path / str(i)).card["sha256"] for i in range(2)]
    assert shas[0] == shas[1]
    other = write(tmp_path, {**HARDENED, "seed": 4}, "other.yaml")
    assert train(other, tmp_path / "other").card["sha256"] != shas[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, few_images, number, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_S", 0.0)
    recipe = write(tmp_path, HARDENED)
    whole = train(recipe, tmp_path / "whole")

    def stop(progress):
        if progress.step == 4:
            signal.raise_signal(number)

    handler = signal.getsignal(number)
    with pytest.raises(Interrupted, match="step 4 of 10"):
        train(recipe, tmp_path / "parts", on_progress=stop)
    assert signal.getsignal(number) is handler
    steps = []
    rest = train(recipe, tmp_path / "parts", on_progress=lambda p: steps.append(p.step))
    assert (rest.resumed_at_step, steps) == (4, [5, 6, 7, 8, 9, 10])
    assert rest.card["sha256"] == whole.card["sha256"]
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "tiny.card.yaml",
        "tiny.safetensors",
    ]


def test_a_training_killed_while_it_is_measured_need_not_train_again(
    tmp_path, few_images, monkeypatch
):
    recipe = write(tmp_path, {**PLAIN, "epochs": 1})
    with monkeypatch.context() as patched:
        patched.setattr(cards, "write", lambda *given: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "out")
    assert train(recipe, tmp_path / "out").resumed_at_step == 5


CHILD = """
import sys
from channelsim import sources
from channelsim.training.train import train
images, test = sources.mnist5k("train").images[:40], sources.mnist5k("test").images[:20]
few = sources.TrainingSet("mnist5k", images, 0, test_images=test, test_name="few digits")
sources.TRAINING_SETS["mnist5k"] = lambda root: few
train(sys.argv[1], sys.argv[2], checkpoint_s=0.0)
"""


def test_a_training_killed_outright_goes_on_to_the_same_bits(tmp_path, few_images):
    recipe = write(tmp_path, {**HARDENED, "epochs": 4})
    whole = train(recipe, tmp_path / "whole")
    parts = tmp_path / "parts"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", CHILD, str(recipe), str(parts)]
    child = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])
    while child.poll() is None:
        done = [int(f.stem.split("-")[1]) for f in parts.glob("checkpoint-*.safetensors")]
        if done and max(done) >= 6:
            break
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    rest = train(recipe, parts)
    assert 6 <= rest.resumed_at_step < 20
    assert rest.card["sha256"] == whole.card["sha256"]


def test_a_finished_training_is_returned_and_another_recipe_refused(tmp_path, few_images):
    recipe = write(tmp_path, {**PLAIN, "epochs": 1})
    first = train(recipe, tmp_path / "out")
    again = train(recipe, tmp_path / "out")
    assert again.already_done
    assert again.card == first.card
    write(tmp_path, {**PLAIN, "epochs": 2})
    with pytest.raises(InputError, match="holds the result of another recipe"):
        train(recipe, tmp_path / "out")
    with pytest.raises(InputError, match="not empty"):
        train(recipe, tmp_path / "out", resume=False)


def test_an_unfinished_training_of_another_recipe_and_a_damaged_one_are_refused(
    tmp_path, few_images, monkeypatch
):
    monkeypatch.setattr(progress, "REPORT_S", 0.0)
    recipe = write(tmp_path, PLAIN)
    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "out", on_progress=lambda p: signal.raise_signal(signal.SIGINT))
    write(tmp_path, {**PLAIN, "seed": 9})
    with pytest.raises(InputError, match="unfinished training of another recipe"):
        train(recipe, tmp_path / "out")
    write(tmp_path, PLAIN)
    for file in (tmp_path / "out").glob("checkpoint-*"):
        file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputError, match="damaged checkpoint"):
        train(recipe, tmp_path / "out")


def test_a_training_whose_held_out_loss_is_not_a_number_keeps_nothing(
    tmp_path, few_images, monkeypatch
):
    monkeypatch.setattr(Trainer, "held_out_loss", lambda trainer: math.nan)
    with pytest.raises(InputError, match=r"the held-out loss is nan .*lower learning_rate"):
        train(write(tmp_path, EARLY), tmp_path / "out")


def test_a_diverging_training_says_so(tmp_path, few_images):
    recipe = write(tmp_path, {**PLAIN, "learning_rate": 1e20})
    with pytest.raises(InputError, match=r"the loss is (nan|inf) .*lower learning_rate"):
        train(recipe, tmp_path / "out")


# --- more than one seed -------------------------------------------------------------------------


def test_further_seeds_give_the_card_the_spread_of_its_figures(tmp_path, few_images):
    recipe = write(tmp_path, {**PLAIN, "epochs": 1})
    done = train_seeds(recipe, 2, tmp_path / "out")
    seed = done.card["seed"]
    alone = [train(recipe, tmp_path / f"alone{i}", seed=seed + i).card for i in range(3)]
    assert done.card["sha256"] == alone[0]["sha256"]
    spread = done.card["spread"]
    assert spread["seeds"] == [seed, seed + 1, seed + 2]
    errors = [card["test_mse"] for card in alone]
    assert spread["test_mse"]["mean"] == pytest.approx(statistics.fmean(errors), rel=1e-3)
    assert spread["test_mse"]["sd"] == pytest.approx(statistics.stdev(errors), rel=1e-3)
    middle, reach = (
        statistics.fmean(map(math.log, errors)),
        9.925 * (4 / 3) ** 0.5,
    )  # t at 99 %, 2 df
    reach *= statistics.stdev(map(math.log, errors))
    limits = [math.exp(middle - reach), math.exp(middle + reach)]
    assert spread["test_mse"]["within"] == pytest.approx(limits, rel=2e-3)
    assert outside(done.card, spread) == []
    wrong = {**done.card, "transmit_power": 100.0}
    assert [text.split()[0] for text in outside(wrong, spread)] == ["transmit_power"]
    again = train_seeds(recipe, 2, tmp_path / "out")  # all of it is there
    assert again.already_done
    assert again.card["spread"] == spread


def test_what_draws_nothing_has_no_other_seeds(tmp_path, few_images):
    pca = {"codec": {"architecture": "pca", "latent_size": 3}, "data": {"name": "mnist5k"}}
    recipe = write(tmp_path, pca)
    with pytest.raises(InputError, match="only codecs that are trained in steps differ"):
        train_seeds(recipe, 2, tmp_path / "out")
    with pytest.raises(InputError, match="pca draws nothing, so it has no other seed"):
        train(recipe, tmp_path / "another", seed=9)

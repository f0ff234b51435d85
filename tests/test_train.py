"""Training: recipes are checked, losses are what they say, and a killed training loses nothing."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from channelsim import sources
from channelsim import train as training
from channelsim.codecs import Trained, Zoo, zoo_names
from channelsim.codecs.trained import ZOO_FOLDER, load_weights
from channelsim.errors import InputError, Interrupted
from channelsim.metrics.ssim import SSIM
from channelsim.train import _Trainer, train
from channelsim.training.objective import (
    adversarial_latents,
    kl_to_standard_normal,
    reconstruction_loss,
)
from channelsim.training.recipe import AdversarialRecipe, KldRecipe, read_recipe

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
    few = sources.TrainingSet("mnist5k", sources.mnist5k("train").images[:40], 0)
    test = sources.mnist5k("test")
    test = sources.ImageSet(test.images[:20], test.labels[:20])
    monkeypatch.setitem(sources.TRAINING_SETS, "mnist5k", lambda root: few)
    monkeypatch.setattr(sources, "mnist5k", lambda split: test)


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
    assert any("bad.yaml:3  data.name: must be mnist or mnist5k" in line for line in said)
    assert any("bad.yaml:4  learning_rate: must be more than 0" in line for line in said)
    assert any("epochs: missing" in line for line in said)


def test_a_missing_or_unreadable_recipe_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match=r"recipe .*nowhere\.yaml: cannot be read"):
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
    with pytest.raises(InputError, match=r"latent_size 4, but codec asks for lu-chen with 5"):
        read_recipe(write(tmp_path, other, "other.yaml"))
    more = read_recipe(write(tmp_path, {**PLAIN, "init": start}, "more.yaml"))
    trainer = _Trainer(more, sources.TRAINING_SETS["mnist5k"](None), tmp_path)
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
    data = sources.TRAINING_SETS["mnist5k"](None)
    trainer = _Trainer(read_recipe(write(tmp_path, HARDENED)), data, tmp_path)
    for _ in range(6):
        trainer.take_step()
    return trainer


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
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = hardening._batch()
    mean, std = network.eval().encode(images)
    hardening._harden(images, mean.detach(), std.detach(), 0)
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    decoder = {name for name, _ in network.named_parameters() if name.startswith(("from", "dec"))}
    assert moved == decoder


def test_the_hardening_step_aims_at_the_original_image(hardening, monkeypatch):
    seen = []

    def spy(images, decoded, reduction):
        seen.append(images)
        return reconstruction_loss(images, decoded, reduction)

    monkeypatch.setattr(training, "reconstruction_loss", spy)
    images = hardening._batch()
    mean, std = hardening.network.eval().encode(images)
    hardening._harden(images, mean.detach(), std.detach(), 0)
    assert len(seen) == 1
    assert seen[0] is images


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
    assert card == codec.card
    images, train_images = (
        sources.mnist5k("test").images,
        sources.TRAINING_SETS["mnist5k"](None).images,
    )
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
    monkeypatch.setattr(training, "_REPORT_S", 0.0)
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
        patched.setattr(_Trainer, "finish", lambda *given: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "out")
    assert train(recipe, tmp_path / "out").resumed_at_step == 5


CHILD = """
import sys
from channelsim import sources
from channelsim.train import train
few = sources.TrainingSet("mnist5k", sources.mnist5k("train").images[:40], 0)
sources.TRAINING_SETS["mnist5k"] = lambda root: few
train(sys.argv[1], sys.argv[2], checkpoint_s=0.0)
"""


def test_a_training_killed_outright_goes_on_to_the_same_bits(tmp_path, few_images):
    recipe = write(tmp_path, {**HARDENED, "epochs": 4})
    whole = train(recipe, tmp_path / "whole")
    parts = tmp_path / "parts"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", CHILD, str(recipe), str(parts)]
    child = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent)
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
    monkeypatch.setattr(training, "_REPORT_S", 0.0)
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


def test_bfloat16_trains_too_and_says_so_in_its_card(tmp_path, few_images, monkeypatch):
    few = sources.TrainingSet("mnist5k", sources.TRAINING_SETS["mnist5k"](None).images[:4], 0)
    monkeypatch.setitem(sources.TRAINING_SETS, "mnist5k", lambda root: few)
    recipe = {**HARDENED, "epochs": 1, "batch_size": 2}
    full = train(write(tmp_path, recipe), tmp_path / "full")
    half = train(write(tmp_path, {**recipe, "precision": "bfloat16"}), tmp_path / "half")
    assert half.card["recipe"]["precision"] == "bfloat16"
    assert half.card["sha256"] != full.card["sha256"]
    one, other = (load_weights(r.weights).network.state_dict() for r in (full, half))
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), atol=0.02), name


def test_a_diverging_training_says_so(tmp_path, few_images):
    recipe = write(tmp_path, {**PLAIN, "learning_rate": 1e20})
    with pytest.raises(InputError, match=r"the loss is (nan|inf) .*lower learning_rate"):
        train(recipe, tmp_path / "out")


# --- the zoo ------------------------------------------------------------------------------------


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
    assert card["command"] == f"channelsim train channelsim/zoo/{name}.yaml --data-root DIR"
    assert card["recipe_hash"] == read_recipe(ZOO_FOLDER / f"{name}.yaml").hash


def test_every_zoo_recipe_has_its_weights_and_card():
    recipes = {path.stem for path in ZOO_FOLDER.glob("*.yaml") if ".card" not in path.name}
    cards = {path.name.removesuffix(".card.yaml") for path in ZOO_FOLDER.glob("*.card.yaml")}
    assert recipes == cards == set(zoo_names()) == {"kld-vae", "kld-vae-adversarial"}


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
    assert hardened["init_sha256"] == plain["sha256"]
    for epsilon, better in ((0.1, 0.005), (0.3, 0.03)):
        (plain_ssim, plain_mse), (hard_ssim, hard_mse) = (
            damage_at(name, epsilon) for name in ("kld-vae", "kld-vae-adversarial")
        )
        assert hard_ssim > plain_ssim + better
        assert hard_mse < plain_mse
